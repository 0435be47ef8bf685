/* A name is first made a slug; the table has those whose canonical type is called otherwise. */
#include "ingest/collector/protocol/segment_names.h"

#include "schemas/error.h"

#define NAME_NONE "custom"

static const struct {
    struct str slug;
    struct str type;
    enum message_kind message;
} renamed[] = {
    {STR_INIT("products_searched"), STR_INIT("searched"), MESSAGE_KIND_UNKNOWN},
    {STR_INIT("order_canceled"), STR_INIT("order_cancelled"), MESSAGE_KIND_UNKNOWN},
    {STR_INIT("product_reviewed"), STR_INIT("review_posted"), MESSAGE_KIND_UNKNOWN},
    {STR_INIT("application_installed"), STR_INIT("app_installed"), MESSAGE_KIND_UNKNOWN},
    {STR_INIT("application_opened"), STR_INIT("app_opened"), MESSAGE_KIND_UNKNOWN},
    {STR_INIT("push_notification_received"), STR_INIT("message_delivered"), MESSAGE_KIND_PUSH},
    {STR_INIT("push_notification_tapped"), STR_INIT("message_clicked"), MESSAGE_KIND_PUSH},
    {STR_INIT("email_delivered"), STR_INIT("message_delivered"), MESSAGE_KIND_EMAIL},
    {STR_INIT("email_opened"), STR_INIT("message_opened"), MESSAGE_KIND_EMAIL},
    {STR_INIT("email_link_clicked"), STR_INIT("message_clicked"), MESSAGE_KIND_EMAIL},
    {STR_INIT("unsubscribed"), STR_INIT("message_unsubscribed"), MESSAGE_KIND_EMAIL},
    {STR_INIT("segment_consent_preference_updated"), STR_INIT("consent_changed"),
        MESSAGE_KIND_UNKNOWN},
};

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* Lower case, one '_' for whatever is no letter or digit, none at the ends. */
static size_t make_slug(struct str name, char out[EVENT_TYPE_SIZE_MAX], bool *exact)
{
    size_t size = 0;
    bool gap = false;
    *exact = true;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (!is_word(c)) {
            *exact = *exact && (c == ' ' || c == '_');
            gap = true;
            continue;
        }
        size_t need = gap && size ? 2 : 1;
        if (size + need > EVENT_TYPE_SIZE_MAX) {
            *exact = false;
            break;
        }
        if (need == 2)
            out[size++] = '_';
        out[size++] = c;
        gap = false;
    }
    return size;
}

int segment_name_read(struct str name, struct arena *arena, struct segment_name *out)
{
    char slug[EVENT_TYPE_SIZE_MAX];
    bool exact = false;
    struct str text = str_make(slug, make_slug(name, slug, &exact));
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (str_equal(renamed[i].slug, text)) {
            *out = (struct segment_name){renamed[i].type, renamed[i].message, exact};
            return 0;
        }
    *out = (struct segment_name){STR(NAME_NONE), MESSAGE_KIND_UNKNOWN, false};
    if (!event_type_valid(text))
        return 0;
    out->exact = exact;
    return arena_dup(arena, text, &out->type);
}
