/* No state. */
#include "enrich/journey/row.h"

#include "ingest/stream/row_schema.h"
#include "schemas/error.h"

#define RECORD_SIZE ROW_RECORD_HEAD_SIZE
#define GONE_BACK_SIZE ((size_t)8 + 1)

const uint8_t gone_mixed[KEY_SIZE] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

void timeline_key(uint8_t out[TIMELINE_KEY_SIZE], const uint8_t person[KEY_SIZE],
    const struct moment_place *place)
{
    memcpy(out, person, KEY_SIZE);
    put_be64_signed(out + KEY_SIZE, place->at);
    put_be64_signed(out + KEY_SIZE + 8, place->sequence);
    memcpy(out + KEY_SIZE + 16, place->event_key, KEY_SIZE);
}

void record_key(uint8_t out[RECORD_KEY_SIZE], const uint8_t person[KEY_SIZE],
    const uint8_t node[KEY_SIZE], const uint8_t event_key[KEY_SIZE])
{
    memcpy(out, person, KEY_SIZE);
    memcpy(out + KEY_SIZE, node, KEY_SIZE);
    memcpy(out + 2 * KEY_SIZE, event_key, KEY_SIZE);
}

void gone_key(
    uint8_t out[GONE_KEY_SIZE], const uint8_t person[KEY_SIZE], const uint8_t node[KEY_SIZE])
{
    memcpy(out, person, KEY_SIZE);
    memcpy(out + KEY_SIZE, node, KEY_SIZE);
}

int record_row_encode(const struct record_row *row, struct buf *out)
{
    uint8_t fixed[RECORD_SIZE];
    put_be64_signed(fixed, row->at);
    put_be64_signed(fixed + 8, row->sequence);
    put_be64_signed(fixed + 16, row->position);
    fixed[24] = row->chain_index;
    int r = buf_append(out, fixed, sizeof fixed);
    return r < 0 ? r : buf_append_str(out, row->hidden);
}

int record_row_decode(struct record_row *out, struct str value)
{
    if (value.size < RECORD_SIZE)
        return ERR_STATE;
    const uint8_t *fixed = (const uint8_t *)value.data;
    *out = (struct record_row){
        .at = get_be64_signed(fixed),
        .sequence = get_be64_signed(fixed + 8),
        .position = get_be64_signed(fixed + 16),
        .chain_index = fixed[24],
        .hidden = str_make(value.data + RECORD_SIZE, value.size - RECORD_SIZE),
    };
    return 0;
}

int gone_row_decode(struct gone_node *out, struct str key, struct str value)
{
    if (key.size != GONE_KEY_SIZE ||
        (value.size != 8 && value.size != GONE_BACK_SIZE && value.size != 8 + KEY_SIZE))
        return ERR_STATE;
    *out = (struct gone_node){
        .epoch = get_be64_signed((const uint8_t *)value.data),
        .back = value.size == GONE_BACK_SIZE,
        .scattered = value.size == 8,
    };
    memcpy(out->node, key.data + KEY_SIZE, KEY_SIZE);
    if (value.size == 8 + KEY_SIZE)
        memcpy(out->to, value.data + 8, KEY_SIZE);
    return 0;
}

int gone_row_put(struct state *state, const uint8_t person[KEY_SIZE], const struct gone_node *gone)
{
    uint8_t key[GONE_KEY_SIZE], value[8 + KEY_SIZE];
    gone_key(key, person, gone->node);
    put_be64_signed(value, gone->epoch);
    memcpy(value + 8, gone->to, KEY_SIZE);
    if (gone->back)
        value[8] = 1;
    size_t size = gone->back ? GONE_BACK_SIZE : gone->scattered ? 8 : sizeof value;
    return state_put(state, TABLE_GONE, str_make(key, sizeof key), str_make(value, size));
}

int stitched_row_encode(
    const uint8_t person[KEY_SIZE], const struct pending_event *event, struct buf *out)
{
    const struct moment *moment = &event->moment;
    struct stitched row = {
        .placement = event->placement,
        .position = event->position,
        .channel = moment->channel,
        .has_session_key = moment->has_session,
        .touch = moment->touch,
        .event = event->event,
        .lifted_at = event->lifted_at,
    };
    if (!moment->own_channel.size && !str_equal(moment->channel, moment->rule_channel)) {
        row.has_rule_channel = true;
        row.rule_channel = moment->rule_channel;
    }
    memcpy(row.person, person, KEY_SIZE);
    memcpy(row.node, moment->node, KEY_SIZE);
    if (row.has_session_key)
        memcpy(row.session_key, moment->session_key, KEY_SIZE);
    return stitched_encode(&row, out);
}
