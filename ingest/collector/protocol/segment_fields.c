/* Names are told apart by their sizes first: few are as long as one another. */
#include "ingest/collector/protocol/segment_fields.h"

/* Sizes agree: a literal of known size is compared without a call. */
#define IS(literal, found)                                                                         \
    if (memcmp(name.data, literal, sizeof(literal) - 1) == 0)                                      \
    return SEGMENT_FIELD_##found

static enum segment_field short_field(struct str name)
{
    switch (name.size) {
    case 2:
        IS("ip", IP);
        IS("os", OS);
        break;
    case 3:
        IS("app", APP);
        break;
    case 4:
        IS("page", PAGE);
        IS("name", NAME);
        break;
    case 5:
        IS("event", EVENT);
        break;
    case 6:
        IS("userId", USER_ID);
        IS("screen", SCREEN);
        IS("locale", LOCALE);
        IS("traits", TRAITS);
        IS("sentAt", SENT_AT);
        IS("device", DEVICE);
        break;
    default:
        break;
    }
    return SEGMENT_FIELD_NONE;
}

enum segment_field segment_field_of(struct str name)
{
    switch (name.size) {
    case 7:
        IS("context", CONTEXT);
        IS("library", LIBRARY);
        IS("channel", CHANNEL);
        IS("consent", CONSENT);
        IS("groupId", GROUP_ID);
        break;
    case 8:
        IS("campaign", CAMPAIGN);
        IS("category", CATEGORY);
        break;
    case 9:
        IS("messageId", MESSAGE_ID);
        IS("timestamp", TIMESTAMP);
        IS("userAgent", USER_AGENT);
        break;
    case 10:
        IS("properties", PROPERTIES);
        IS("previousId", PREVIOUS_ID);
        break;
    case 11:
        IS("anonymousId", ANONYMOUS_ID);
        break;
    case 15:
        IS("mergeProperties", MERGE_PROPERTIES);
        break;
    case 17:
        IS("originalTimestamp", ORIGINAL_TIMESTAMP);
        break;
    default:
        break;
    }
    return short_field(name);
}

void segment_fields_read(struct json object, struct segment_fields *out)
{
    *out = (struct segment_fields){.tape = object.tape, .lowest = SEGMENT_FIELD_COUNT};
    if (json_kind(object) != JSON_OBJECT)
        return;
    struct json_iterator iterator;
    struct str name;
    struct json value;
    json_iterate(object, &iterator);
    while (json_next(&iterator, &name, &value)) {
        enum segment_field field = segment_field_of(name);
        if (field < out->lowest)
            out->lowest = field;
        if (field != SEGMENT_FIELD_NONE && out->at[field] == 0)
            out->at[field] = (uint32_t)value.at; /* a tape's places fit: JSON_TEXT_SIZE_MAX */
    }
}
