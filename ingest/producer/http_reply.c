/* A reply is believed only where it has the collector's form: whatever else answers 200 (a portal,
 * a proxy) has not taken the events, nor has one whose counts are those of another request, and
 * whatever else answers 400 (a server that has TLS on this port) has not judged them. 413 is
 * believed of proxies too, as what is smaller passes them. */
#include "ingest/producer/http_reply.h"

#define STATUS_OK 200
#define STATUS_BAD_REQUEST 400
#define STATUS_UNAUTHORISED 401
#define STATUS_FORBIDDEN 403
#define STATUS_TOO_LARGE 413
#define STATUS_UNPROCESSABLE 422

static struct str text_of(struct json object, struct str key)
{
    struct json value;
    if (!json_get(object, key, &value) || json_kind(value) != JSON_TEXT)
        return STR("");
    return json_text(value);
}

static bool int_of(struct json object, struct str key, int64_t *out)
{
    struct json value;
    if (!json_get(object, key, &value) || json_kind(value) != JSON_INT || json_int(value) < 0)
        return false;
    *out = json_int(value);
    return true;
}

/* Of events of the request only. */
static bool read_rejections(
    struct json list, struct arena *arena, size_t events, struct producer_outcome *outcome)
{
    struct json_iterator at;
    struct str key;
    struct json item;
    size_t count = json_count(list);
    struct producer_rejection *rejections = arena_alloc(arena, (count + 1) * sizeof *rejections);
    if (!rejections)
        return false;
    count = 0;
    json_iterate(list, &at);
    while (json_next(&at, &key, &item)) {
        int64_t index;
        if (!int_of(item, STR("index"), &index) || (uint64_t)index >= events)
            return false;
        rejections[count++] = (struct producer_rejection){.index = (size_t)index,
            .code = text_of(item, STR("code")),
            .pointer = text_of(item, STR("pointer")),
            .hint = text_of(item, STR("hint"))};
    }
    outcome->rejections = rejections;
    outcome->rejections_count = count;
    return true;
}

/* How many events the collector found in a batch. A line by itself may be an array where it is sent
 * as it is. 0: as many as that has, which nobody has counted. */
static size_t events_of(const struct producer_batch *batch)
{
    struct str json = str_trim(producer_entry_json(batch->first));
    bool array = batch->events == 1 && json.size > 0 && json.data[0] == '[';
    return array ? 0 : batch->events;
}

/* Each event is counted once. */
static bool counts_fit(size_t events, const int64_t counts[3], size_t rejected)
{
    uint64_t left = events;
    for (size_t i = 0; i < 3; i++) {
        if ((uint64_t)counts[i] > left)
            return false;
        left -= (uint64_t)counts[i];
    }
    return rejected == left;
}

/* False: it is no reply of a collector to this batch. */
static bool read_taken(struct json reply, struct arena *arena, const struct producer_batch *batch,
    struct producer_outcome *outcome)
{
    struct json list;
    int64_t accepted, duplicates;
    int64_t denied = 0;
    if (!int_of(reply, STR("accepted"), &accepted) ||
        !int_of(reply, STR("duplicates"), &duplicates) ||
        !json_get(reply, STR("rejected"), &list) || json_kind(list) != JSON_ARRAY)
        return false;
    (void)int_of(reply, STR("no_consent"), &denied);
    outcome->duplicates = (uint64_t)duplicates;
    outcome->denied = (uint64_t)denied;
    size_t events = events_of(batch);
    const int64_t counts[3] = {accepted, duplicates, denied};
    return read_rejections(list, arena, events ? events : SIZE_MAX, outcome) &&
           (events == 0 || counts_fit(events, counts, outcome->rejections_count));
}

static enum producer_outcome_kind kind_of(int status)
{
    switch (status) {
    case STATUS_UNAUTHORISED:
    case STATUS_FORBIDDEN:
        return PRODUCER_UNAUTHORISED;
    case STATUS_BAD_REQUEST:
    case STATUS_TOO_LARGE:
    case STATUS_UNPROCESSABLE:
        return PRODUCER_REFUSED;
    default:
        return PRODUCER_AGAIN;
    }
}

void producer_http_reply_read(struct json_parser *parser, struct arena *arena,
    const struct producer_batch *batch, const struct producer_http_reply *answer,
    struct producer_outcome *outcome)
{
    struct json reply;
    int status = answer->status;
    *outcome = (struct producer_outcome){.kind = kind_of(status), .status = status};
    bool object = json_parse(parser, answer->body, &reply) == 0 && json_kind(reply) == JSON_OBJECT;
    if (status == STATUS_OK) {
        if (object && read_taken(reply, arena, batch, outcome))
            outcome->kind = PRODUCER_TAKEN;
        else
            *outcome = (struct producer_outcome){
                .kind = PRODUCER_AGAIN, .status = status, .code = STR("bad_reply")};
    } else if (object) {
        outcome->code = text_of(reply, STR("code"));
        outcome->hint = text_of(reply, STR("message"));
    }
    if (outcome->kind != PRODUCER_REFUSED || outcome->code.size)
        return;
    if (status != STATUS_TOO_LARGE)
        outcome->kind = PRODUCER_AGAIN;
    outcome->code = status == STATUS_TOO_LARGE ? STR("refused") : STR("bad_reply");
}
