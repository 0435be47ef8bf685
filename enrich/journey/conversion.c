/*
 * Conversions, and refunds of them.
 *
 * Invariants:
 *  I1 0 <= refunded_minor <= revenue_minor of every order that has a positive revenue; else nothing
 *     is refunded.
 *  I2 only orders that have not converted have waiting refunds.
 *  I3 two conversions of one person have different ids.
 */
#include "enrich/journey/fold.h"

#include <stdlib.h>

#include "schemas/error.h"

#define ORDERS_LINEAR_MAX ((size_t)16)
#define HEX_KEY_SIZE (2 * KEY_SIZE)

struct str conversion_key(struct str conversion_id, uint8_t room[SHA256_SIZE])
{
    if (conversion_id.size <= CONVERSION_KEY_SIZE_MAX)
        return conversion_id;
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, conversion_id);
    sha256_final(&hash, room);
    return str_make(room, KEY_SIZE);
}

/* ---- orders by the key of their id ---- */

static uint64_t hash_order(struct str id, bool is_order)
{
    return hash64(id) ^ (is_order ? UINT64_C(0x9e3779b97f4a7c15) : 0);
}

static struct str order_id(const struct fold *fold, const struct fold_order *order)
{
    return str_make(fold->ids.data + order->id_offset, order->id_size);
}

static struct str order_row(const struct fold *fold, const struct fold_order *order)
{
    return str_make(fold->ids.data + order->row_offset, order->row_size);
}

static bool is(const struct fold *fold, size_t index, uint64_t hash, struct str id, bool is_order)
{
    const struct fold_order *order = &fold->orders[index];
    return order->hash == hash && order->is_order == is_order &&
           str_equal(order_id(fold, order), id);
}

static struct fold_order *find_order(const struct fold *fold, struct str id, bool is_order)
{
    uint64_t hash = hash_order(id, is_order);
    if (!fold->orders_slots_size) {
        for (size_t i = 0; i < fold->orders_count; i++)
            if (is(fold, i, hash, id, is_order))
                return &fold->orders[i];
        return NULL;
    }
    size_t mask = fold->orders_slots_size - 1;
    for (size_t at = hash & mask; fold->orders_slots[at]; at = (at + 1) & mask)
        if (is(fold, fold->orders_slots[at] - 1, hash, id, is_order))
            return &fold->orders[fold->orders_slots[at] - 1];
    return NULL;
}

static void enter(uint32_t *slots, size_t size, const struct fold_order *order, size_t index)
{
    size_t at = order->hash & (size - 1);
    while (slots[at])
        at = (at + 1) & (size - 1);
    slots[at] = (uint32_t)index + 1;
}

/* Makes room for one more order in the table, once there are many. */
static int grow_slots(struct fold *fold)
{
    if (fold->orders_count < ORDERS_LINEAR_MAX || fold->orders_count * 2 < fold->orders_slots_size)
        return 0;
    size_t size = ORDERS_LINEAR_MAX * 4;
    while (size < fold->orders_count * 4)
        size *= 2;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < fold->orders_count; i++)
        enter(slots, size, &fold->orders[i], i);
    free(fold->orders_slots);
    fold->orders_slots = slots;
    fold->orders_slots_size = size;
    return 0;
}

static int add_order(struct fold *fold, struct str id, bool is_order, struct fold_order **out)
{
    int r = grow_slots(fold);
    if (r < 0)
        return r;
    if (fold->orders_count == fold->orders_room) {
        void *more = array_grow(fold->orders, &fold->orders_room, sizeof *fold->orders);
        if (!more)
            return ERR_NO_MEMORY;
        fold->orders = more;
    }
    struct fold_order *order = &fold->orders[fold->orders_count];
    *order = (struct fold_order){
        .hash = hash_order(id, is_order),
        .id_offset = (uint32_t)fold->ids.size,
        .row_offset = (uint32_t)fold->ids.size,
        .id_size = (uint16_t)id.size,
        .row_size = (uint16_t)id.size,
        .is_order = is_order,
    };
    r = buf_append_str(&fold->ids, id);
    if (r < 0)
        return r;
    if (fold->orders_slots_size)
        enter(fold->orders_slots, fold->orders_slots_size, order, fold->orders_count);
    fold->orders_count++;
    *out = order;
    return 0;
}

/* ---- rows ---- */

/* `text`, for a suffixed id followed by '#' and the event key in hex. */
static int make_id(struct folder *folder, struct str text, const uint8_t *suffix, struct str *out)
{
    char hex[HEX_KEY_SIZE];
    buf_clear(&folder->id);
    int r = buf_append_str(&folder->id, text);
    if (r == 0 && suffix) {
        hex_encode(suffix, KEY_SIZE, hex);
        r = buf_append(&folder->id, "#", 1);
        if (r == 0)
            r = buf_append(&folder->id, hex, sizeof hex);
    }
    *out = buf_str(&folder->id);
    return r;
}

static int add_revenue(struct fold *fold, uint32_t currency, int64_t minor)
{
    size_t i = 0;
    while (i < fold->revenue_count && fold->revenue[i].currency != currency)
        i++;
    if (i == fold->revenue_count) {
        if (fold->revenue_count == fold->revenue_room) {
            void *more = array_grow(fold->revenue, &fold->revenue_room, sizeof *fold->revenue);
            if (!more)
                return ERR_NO_MEMORY;
            fold->revenue = more;
        }
        fold->revenue[fold->revenue_count++] = (struct fold_revenue){.currency = currency};
    }
    fold->revenue[i].net_minor += minor;
    return 0;
}

/* Makes room for the longest path. */
static int reserve_path(struct folder *folder)
{
    size_t max = folder->config->path_touches_max;
    if (folder->path_room >= max)
        return 0;
    struct path_touch *path = realloc(folder->path, max * sizeof *path);
    if (!path)
        return ERR_NO_MEMORY;
    folder->path = path;
    struct rule_touch *rule_path = realloc(folder->rule_path, max * sizeof *rule_path);
    if (!rule_path)
        return ERR_NO_MEMORY;
    folder->rule_path = rule_path;
    folder->path_room = max;
    return 0;
}

/* Within its own lookback before `at`. */
static bool in_window(
    const struct journey_config *config, const struct fold_touch *touch, int64_t at)
{
    int64_t lookback = touch->kind == TOUCH_KIND_IMPRESSION ? config->lookback_impression_micros
                                                            : config->lookback_micros;
    return (uint64_t)at - (uint64_t)touch->at <= (uint64_t)lookback;
}

static void describe_touch(const struct folder *folder, const struct fold_touch *touch, size_t at)
{
    struct path_touch *row = &folder->path[at];
    *row = (struct path_touch){
        .touched_at = touch->at,
        .kind = str_of(touch_kind_name(touch->kind)),
        .channel = intern_text(folder->intern, touch->channel),
        .source = intern_text(folder->intern, touch->source),
        .medium = intern_text(folder->intern, touch->medium),
        .campaign = intern_text(folder->intern, touch->campaign),
        .message = intern_text(folder->intern, touch->message),
        .milestones = (int32_t)touch->milestones,
    };
    memcpy(row->event_key, touch->event_key, KEY_SIZE);
    folder->rule_path[at] = (struct rule_touch){
        .touched_at = touch->at,
        .milestones = touch->milestones,
        .channel = touch->channel,
        .direct = str_equal(row->channel, folder->config->direct_channel),
    };
}

/* The path up to a conversion at that time. All touches so far stand before it. *reset_from: so
 * many of them stand before the conversion before. */
static size_t make_path(
    const struct folder *folder, const struct fold *fold, int64_t at, int32_t *reset_from)
{
    const struct journey_config *config = folder->config;
    size_t begin = fold->touches_count > config->path_touches_max
                       ? fold->touches_count - config->path_touches_max
                       : 0;
    if (config->reset && begin < fold->open_from)
        begin = fold->open_from;
    size_t count = 0;
    *reset_from = 0;
    for (size_t i = begin; i < fold->touches_count; i++) {
        if (!in_window(config, &fold->touches[i], at))
            continue;
        *reset_from += i < fold->open_from;
        describe_touch(folder, &fold->touches[i], count++);
    }
    return count;
}

/* ---- refunds ---- */

static int64_t refunded_by(const struct fold_order *order, const struct fold_refund *refund)
{
    int64_t left = order->revenue_minor > 0 ? order->revenue_minor - order->refunded_minor : 0;
    return refund->amount == FOLD_ALL_LEFT || refund->amount > left ? left : refund->amount;
}

static int set_keys(struct folder *folder, const struct conversion *row)
{
    const struct credit_keys keys = {
        .conversion = row->event_key,
        .touches = row->touches_count ? row->touches->event_key : NULL,
        .stride = sizeof *row->touches,
        .count = row->touches_count,
    };
    return credits_set_keys(&folder->credits, &keys);
}

static int write_refund(struct folder *folder, const struct fold_order *order,
    const struct fold_refund *refund, const struct conversion *original, int64_t taken)
{
    struct conversion row;
    conversion_init(&row);
    int r = set_keys(folder, original);
    if (r == 0)
        r = credits_of_refund(&folder->credits, original->credits, original->credits_count,
            order->refunded_minor, order->refunded_minor + taken);
    if (r == 0)
        r = make_id(folder, original->order_id, refund->event_key, &row.conversion_id);
    if (r < 0)
        return r;
    row.kind = CONVERSION_KIND_REFUND;
    memcpy(row.event_key, refund->event_key, KEY_SIZE);
    row.type = intern_text(folder->intern, refund->type);
    row.order_id = original->order_id;
    row.refund_of = original->conversion_id;
    row.occurred_at = refund->at;
    row.revenue_minor = -taken;
    row.currency = original->currency;
    row.touches = original->touches;
    row.touches_count = original->touches_count;
    row.reset_from = original->reset_from;
    row.credits = folder->credits.items;
    row.credits_count = folder->credits.count;
    return folder->output.conversion(folder->output.context, &row);
}

/* Takes a refund from an order that has converted. One in another currency waits for ever: nothing
 * says what it is worth. */
static int apply_refund(struct folder *folder, struct fold *fold, struct fold_order *order,
    const struct fold_refund *refund)
{
    if (refund->currency && order->currency && refund->currency != order->currency)
        return 0;
    struct conversion original;
    int64_t taken = refunded_by(order, refund);
    int r = folder->output.find(folder->output.context, order_row(fold, order), &original);
    if (r == 0)
        r = write_refund(folder, order, refund, &original, taken);
    if (r == 0)
        r = add_revenue(fold, order->currency, -taken);
    order->refunded_minor += taken;
    fold->refunds_total++;
    return r;
}

static int64_t magnitude(int64_t amount)
{
    return amount == INT64_MIN ? INT64_MAX : amount < 0 ? -amount : amount;
}

static int64_t amount_of(const struct moment *moment)
{
    if (moment->revenue_minor)
        return magnitude(moment->revenue_minor);
    if (moment->items_minor && moment->type->refund != REFUND_CANCEL)
        return moment->items_minor;
    return moment->type->refund == REFUND_ITEMS ? 0 : FOLD_ALL_LEFT;
}

/* Keeps the refund until its order converts. */
static int wait(struct fold *fold, struct fold_order *order, const struct fold_refund *refund)
{
    if (fold->waiting_count == fold->waiting_room) {
        void *more = array_grow(fold->waiting, &fold->waiting_room, sizeof *fold->waiting);
        if (!more)
            return ERR_NO_MEMORY;
        fold->waiting = more;
    }
    fold->waiting[fold->waiting_count++] = *refund;
    uint32_t number = (uint32_t)fold->waiting_count;
    if (order->waiting_last)
        fold->waiting[order->waiting_last - 1].next = number;
    else
        order->waiting_first = number;
    order->waiting_last = number;
    return 0;
}

int fold_take_back(struct folder *folder, struct fold *fold, const struct moment *moment)
{
    if (moment->order_id.size == 0)
        return 0;
    uint8_t digest[SHA256_SIZE];
    struct str key = conversion_key(moment->order_id, digest);
    struct fold_refund refund = {.at = moment->place.at, .amount = amount_of(moment)};
    memcpy(refund.event_key, moment->place.event_key, KEY_SIZE);
    int r = intern_add(folder->intern, moment->type_name, &refund.type);
    if (r == 0)
        r = intern_add(folder->intern, moment->currency, &refund.currency);
    struct fold_order *order = find_order(fold, key, true);
    if (r == 0 && !order)
        r = add_order(fold, key, true, &order);
    if (r < 0)
        return r;
    return order->converted ? apply_refund(folder, fold, order, &refund)
                            : wait(fold, order, &refund);
}

/* ---- conversions ---- */

/* Credits by rules of the configuration, for the path as each sees it. */
static int add_rules(struct folder *folder, const struct conversion *row)
{
    const struct journey_config *config = folder->config;
    const struct model_path path = {
        .at = row->occurred_at,
        .reset_from = (size_t)row->reset_from,
        .touched_at = row->touches_count ? &folder->rule_path->touched_at : NULL,
        .stride = sizeof *folder->rule_path,
        .count = row->touches_count,
    };
    int r = 0;
    for (size_t i = 0; r == 0 && i < config->models_count; i++) {
        const struct model *model = &config->models[i];
        if (!model_is_rule(model) || !model_counts_type(model, row->type))
            continue;
        const struct credit_rule rule = {
            model->name, model->rule, &model->config, model_path_begin(model, &path)};
        r = credits_add_rule(
            &folder->credits, &rule, folder->rule_path, path.count, row->revenue_minor);
    }
    return r;
}

static int write_conversion(
    struct folder *folder, struct fold *fold, const struct moment *moment, struct str id)
{
    struct conversion row;
    conversion_init(&row);
    int r = reserve_path(folder);
    if (r < 0)
        return r;
    row.touches_count = make_path(folder, fold, moment->place.at, &row.reset_from);
    row.touches = folder->path;
    memcpy(row.event_key, moment->place.event_key, KEY_SIZE);
    r = set_keys(folder, &row);
    if (r == 0)
        r = credits_of_conversion(&folder->credits, &folder->config->rules, folder->rule_path,
            row.touches_count, moment->revenue_minor);
    if (r < 0)
        return r;
    row.conversion_id = id;
    row.kind = CONVERSION_KIND_CONVERSION;
    row.type = moment->type_name;
    row.order_id = moment->order_id;
    row.occurred_at = moment->place.at;
    row.revenue_minor = moment->revenue_minor;
    row.currency = moment->currency;
    r = add_rules(folder, &row);
    if (r < 0)
        return r;
    row.credits = folder->credits.items;
    row.credits_count = folder->credits.count;
    return folder->output.conversion(folder->output.context, &row);
}

/* The order converts; refunds that waited follow at once, in timeline order. */
static int apply_waiting(struct folder *folder, struct fold *fold, struct fold_order *order)
{
    int r = 0;
    uint32_t number = order->waiting_first;
    for (; r == 0 && number; number = fold->waiting[number - 1].next)
        r = apply_refund(folder, fold, order, &fold->waiting[number - 1]);
    order->waiting_first = order->waiting_last = 0;
    return r;
}

/* The order has converted under that id. */
static int mark_converted(struct fold *fold, struct fold_order *order, const struct moment *moment,
    uint32_t currency, struct str id)
{
    uint8_t digest[SHA256_SIZE];
    struct str row = conversion_key(id, digest);
    order->converted = true;
    order->currency = currency;
    order->revenue_minor = moment->revenue_minor;
    if (str_equal(row, order_id(fold, order)))
        return 0;
    order->suffixed = true;
    order->row_offset = (uint32_t)fold->ids.size;
    order->row_size = (uint16_t)row.size;
    return buf_append_str(&fold->ids, row);
}

int fold_conversion(struct folder *folder, struct fold *fold, const struct moment *moment)
{
    uint8_t digest[SHA256_SIZE];
    bool is_order = moment->order_id.size > 0;
    struct str text = is_order ? moment->order_id : moment->event_id, id;
    struct str key = conversion_key(text, digest);
    uint32_t currency;
    struct fold_order *order = find_order(fold, key, is_order);
    if (is_order && order && order->converted)
        return 0; /* another facet of the same order */
    const struct fold_order *other = find_order(fold, key, !is_order);
    bool again = !is_order && order; /* another event with the same id */
    bool taken = again || (other && other->converted && !other->suffixed);
    int r = order ? 0 : add_order(fold, key, is_order, &order);
    if (r == 0)
        r = make_id(folder, text, taken ? moment->place.event_key : NULL, &id);
    if (r == 0)
        r = intern_add(folder->intern, moment->currency, &currency);
    if (r == 0 && !again)
        r = mark_converted(fold, order, moment, currency, id);
    if (r == 0)
        r = write_conversion(folder, fold, moment, id);
    if (r == 0)
        r = add_revenue(fold, currency, moment->revenue_minor);
    fold->open_from = fold->touches_count;
    fold->conversions_total++;
    return r < 0 ? r : apply_waiting(folder, fold, order);
}
