/*
 * Notifications of whatever sender, read by the mapping file of their source.
 */
#include "ingest/collector/protocol/hook_kind.h"
#include "ingest/collector/protocol/hook_signature.h"
#include "ingest/import/mapper.h"
#include "ingest/import/row_json.h"
#include "schemas/error.h"
#include "schemas/hash.h"

#define PROOF_HEADER "X-Hub-Signature-256"
#define ID_SIZE 32 /* hex digits */

/* A signature of the raw body, or else a write key of the source. */
static int believe(const struct exchange *exchange, const struct config_source *source,
    const struct exchange_pair *pairs, size_t pairs_count, int *refusal)
{
    struct str header = source->signature_header;
    struct str signature = exchange_header(exchange, header.size ? header.data : PROOF_HEADER);
    struct str key = exchange->header_key;
    if (key.size && sources_find(exchange->sources, key, exchange->now_micros) == exchange->source)
        *refusal = HOOK_BELIEVED;
    else if (signature.size == 0 && key.size == 0)
        *refusal =
            source->secrets_count || source->keys_count ? REFUSAL_UNSIGNED : REFUSAL_NO_SECRET;
    else
        *refusal = hook_signed_sha256(source, exchange->body_raw, signature) ? HOOK_BELIEVED
                                                                             : REFUSAL_SIGNATURE;
    return 0;
}

static size_t events_max(const struct config_source *source)
{
    return source->mapping ? source->mapping->events_count : 1;
}

/* A mapping that says what an id is made of means all of it: without a part two notifications
 * would be one event, and an id of the content would not be the one that another try has. */
static int check_id(
    struct hook_reader *reader, const struct mapping *mapping, size_t nth, const struct str *values)
{
    const struct mapping_event *event = &mapping->events[nth];
    for (size_t i = 0; event->has_id && i < event->fields_count; i++) {
        const struct mapping_field *field = &event->fields[i];
        if (field->target != MAPPING_FIELD || field->field->kind != EVENT_FIELD_EVENT_ID)
            continue;
        for (size_t k = 0; k < field->value.pieces_count; k++) {
            size_t column = field->value.pieces[k].column;
            if (column != MAPPING_LITERAL && values[column].size == 0)
                return hook_fail(reader, ERR_MISSING_FIELD, mapping->columns[column].name,
                    STR("the mapping makes the event id of it"));
        }
    }
    return 0;
}

/* Where the mapping says none: of what was sent, so that the same sent again is the same. */
static int complete_id(struct hook_reader *reader, const struct mapping *mapping, size_t nth)
{
    struct touchpoint *event = &reader->event;
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    CLEANUP(buf_free) struct buf text = {0};
    if (event->event_id.size)
        return 0;
    int r = json_write_canonical(reader->item, &text);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : hook_fail(reader, r, STR(""), STR(""));
    sha256_init(&hash);
    sha256_update_sized(&hash, mapping->name);
    sha256_update_sized(&hash, buf_str(&text));
    sha256_update_sized(&hash, mapping->events[nth].name);
    sha256_final(&hash, digest);
    char *id = arena_alloc(reader->arena, ID_SIZE);
    if (!id)
        return ERR_NO_MEMORY;
    hex_encode(digest, ID_SIZE / 2, id);
    event->event_id = str_make(id, ID_SIZE);
    return 0;
}

static int read(struct hook_reader *reader, size_t nth)
{
    const struct mapping *mapping = reader->exchange->source->config.mapping;
    if (!mapping)
        return hook_fail(reader, ERR_VALUE, STR(""),
            STR("[source NAME] mapping = FILE says how such webhooks are read"));
    struct str *values = arena_alloc(reader->arena, (mapping->columns_count + 1) * sizeof *values);
    if (!values)
        return ERR_NO_MEMORY;
    int r = row_json_values(mapping, reader->item, reader->arena, values, &reader->problem);
    if (r == 0)
        r = mapper_apply(mapping, nth, values, reader->arena, &reader->event, &reader->problem);
    if (r == 0)
        r = check_id(reader, mapping, nth, values);
    if (r != 0)
        return r == MAPPER_NONE ? HOOK_NONE : r;
    if (reader->event.time_quality == TIME_QUALITY_CLIENT)
        reader->said_at = reader->event.occurred_at;
    return complete_id(reader, mapping, nth);
}

const struct hook_kind hook_generic = {.name = STR_INIT("generic"),
    .believe = believe,
    .proof = HOOK_PROOF_BODY,
    .proof_header = PROOF_HEADER,
    .names_header = true,
    .events_max = events_max,
    .read = read};
