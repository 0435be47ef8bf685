/*
 * Runs cases of test_journey.py: a line in is a case (events, limits, schedules), a line out is
 * what one schedule left in the published tables, as JSON; tables equal to those of an earlier
 * schedule of the case are not written again.
 *
 * The real identify and journey stages under the sim driver; the channel rule is the toy at
 * toy_channel(), which oracle.py mirrors.
 */
#include <stdio.h>
#include <stdlib.h>

#include "enrich/identity/identify.h"
#include "enrich/journey/journey.h"
#include "schemas/error.h"
#include "schemas/event_json.h"
#include "schemas/model_count.avro.h"
#include "schemas/profile.avro.h"
#include "schemas/rejected.avro.h"
#include "schemas/session.avro.h"
#include "schemas/stitched.avro.h"
#include "tests/sim/sim.h"

#define EVENTS_MAX 1000
#define HASHES_MAX 64
#define TYPES_MAX 4
#define HOUR_MICROS ((int64_t)3600 * 1000000)

struct test_case {
    int64_t number;
    struct namespace_table namespaces;
    struct journey_config journey;
    struct model models[MODELS_CONFIGURED_MAX];
    struct str types[MODELS_CONFIGURED_MAX][TYPES_MAX];
    struct str leads[TYPES_MAX], opportunities[TYPES_MAX];
    struct touchpoint events[EVENTS_MAX];
    size_t events_count;
};

/* What a row's writer has. */
struct writer {
    struct buf *out;
    struct arena *arena;
    size_t rows;
};

static void require(int r, const char *what)
{
    if (r >= 0)
        return;
    (void)fprintf(stderr, "journey_case: %s: %s\n", what, error_name(r));
    exit(1);
}

/* ---- a case ---- */

static struct json member(struct json object, const char *name)
{
    struct json value;
    if (!json_get(object, str_of(name), &value))
        require(ERR_MISSING_FIELD, name);
    return value;
}

static int64_t number(struct json object, const char *name)
{
    return json_int(member(object, name));
}

static size_t read_types(struct json types, struct str out[TYPES_MAX])
{
    struct json_iterator iterator;
    struct json type;
    struct str key;
    size_t count = 0;
    json_iterate(types, &iterator);
    for (; json_next(&iterator, &key, &type); count++) {
        check(count < TYPES_MAX);
        out[count] = json_text(type);
    }
    return count;
}

static void read_model(struct json json, struct str *types, struct model *out)
{
    struct json_iterator iterator;
    struct json type;
    struct str key;
    int rule = rule_model_from_name(json_text(member(json, "kind")));
    *out = (struct model){.name = json_text(member(json, "name")),
        .kind = model_kind_of(json_text(member(json, "kind"))),
        .rule = rule < 0 ? RULE_MODEL_UNKNOWN : (enum rule_model)rule,
        .config = rule_config_default(),
        .reset = number(json, "reset"),
        .order = (int)number(json, "order"),
        .ignore_nulls = number(json, "ignore"),
        .conversion_types = types,
        .lookback_micros = number(json, "lookback_h") * HOUR_MICROS};
    out->conversion_types_count = read_types(member(json, "types"), types);
    out->config.half_life_micros = number(json, "half_life_h") * HOUR_MICROS;
    json_iterate(member(json, "weights"), &iterator);
    uint32_t *const weights[] = {
        &out->config.custom.first, &out->config.custom.middle, &out->config.custom.last};
    for (size_t i = 0; i < 3 && json_next(&iterator, &key, &type); i++)
        *weights[i] = (uint32_t)json_int(type);
    require(model_set_version(out, STR("")), "version");
}

static void read_models(struct json config, struct test_case *out)
{
    struct json_iterator iterator;
    struct json model;
    struct str key;
    size_t count = 0;
    json_iterate(member(config, "models"), &iterator);
    for (; json_next(&iterator, &key, &model); count++)
        read_model(model, out->types[count], &out->models[count]);
    out->journey.models = out->models;
    out->journey.models_count = count;
}

static void read_config(struct json json, struct test_case *out)
{
    struct json config = member(json, "config");
    journey_config_default(&out->journey);
    out->journey.namespaces = &out->namespaces;
    out->journey.session_timeout_micros = number(config, "session_s") * 1000000;
    out->journey.lookback_micros = number(config, "lookback_h") * HOUR_MICROS;
    out->journey.lookback_impression_micros = number(config, "lookback_impression_h") * HOUR_MICROS;
    out->journey.reset = number(config, "reset");
    out->journey.impressions_earn_credit = number(config, "impressions");
    out->journey.path_touches_max = (size_t)number(config, "path_max");
    out->journey.timeline_events_max = number(config, "events_max");
    out->journey.cache_bytes_max = (size_t)number(config, "cache");
    out->journey.lead_types = out->leads;
    out->journey.lead_types_count = read_types(member(config, "leads"), out->leads);
    out->journey.opportunity_types = out->opportunities;
    out->journey.opportunity_types_count =
        read_types(member(config, "opportunities"), out->opportunities);
    read_models(config, out);
    out->namespaces = *namespace_table_default();
    for (size_t i = 0; i < out->namespaces.count; i++) {
        struct namespace_rule *rule = &out->namespaces.rules[i];
        rule->protected_max = str_equal(rule->name, STR("loyalty"));
        rule->generic_up_max = (int32_t)number(json, "up");
        rule->generic_down_max = (int32_t)number(json, "down");
    }
}

static void read_events(struct json json, struct arena *arena, struct test_case *out)
{
    struct json_iterator iterator;
    struct json value;
    struct str key;
    json_iterate(member(json, "events"), &iterator);
    out->events_count = 0;
    while (json_next(&iterator, &key, &value)) {
        struct event_problem problem;
        check(out->events_count < EVENTS_MAX);
        struct touchpoint *event = &out->events[out->events_count++];
        require(event_json_read(value, true, arena, event, &problem), "event");
    }
}

/* ---- a schedule ---- */

static int toy_channel(
    void *context, struct touchpoint *event, struct arena *arena, struct str *channel)
{
    (void)context;
    (void)arena;
    bool web = event_type_class(event->type) == EVENT_CLASS_WEB;
    if (event->has_campaign && event->campaign.medium.size)
        *channel = event->campaign.medium;
    else if (str_starts_with(event->type, STR("store_")))
        *channel = (struct str){0};
    else
        *channel = web ? STR("Direct") : event->type;
    return 0;
}

static void append_event(struct sim *sim, const struct test_case *test, struct touchpoint event,
    int64_t received_at, struct arena *arena)
{
    struct node strongest;
    CLEANUP(buf_free) struct buf value = {0};
    event.received_at = received_at;
    require(namespace_strongest(
                &test->namespaces, event.identifiers, event.identifiers_count, arena, &strongest),
        "identifiers");
    namespace_event_key(&strongest, &event);
    require(touchpoint_encode(&event, &value), "encode");
    const struct append_record record = {
        TOPIC_EVENTS, str_make(strongest.id, KEY_SIZE), buf_str(&value)};
    require(sim_append(sim, &record), "append");
}

/* The log's order, with stops: [event, received_at] appends, [-1, steps] runs batches. */
static void play(struct sim *sim, const struct test_case *test, struct json order)
{
    struct json_iterator iterator, pair;
    struct json item, first, second;
    struct str key;
    CLEANUP(arena_free) struct arena arena = {0};
    json_iterate(order, &iterator);
    while (json_next(&iterator, &key, &item)) {
        json_iterate(item, &pair);
        check(json_next(&pair, &key, &first) && json_next(&pair, &key, &second));
        if (json_int(first) < 0)
            require(sim_run(sim, (size_t)json_int(second)), "run");
        else
            append_event(sim, test, test->events[json_int(first)], json_int(second), &arena);
        arena_reset(&arena);
    }
    require(sim_run(sim, SIZE_MAX), "run to quiet");
}

/* ---- rows as JSON ---- */

static void put(struct writer *writer, const char *text)
{
    require(buf_append_str(writer->out, str_of(text)), "write");
}

static void put_name(struct writer *writer, const char *name)
{
    char last = writer->out->data[writer->out->size - 1];
    put(writer, last == '{' ? "\"" : ",\"");
    put(writer, name);
    put(writer, "\":");
}

static void put_text(struct writer *writer, const char *name, struct str text)
{
    put_name(writer, name);
    require(json_write_text(writer->out, text), "write");
}

static void put_int(struct writer *writer, const char *name, int64_t value)
{
    put_name(writer, name);
    require(json_write_int(writer->out, value), "write");
}

static void put_hex(struct writer *writer, const char *name, const void *bytes, size_t size)
{
    char hex[1024];
    check(size <= sizeof hex / 2);
    hex_encode(bytes, size, hex);
    put_text(writer, name, str_make(hex, 2 * size));
}

static void begin_row(struct writer *writer, const char *table, struct str key)
{
    put(writer, writer->rows++ ? ",{" : "{");
    put_text(writer, "table", str_of(table));
    put_hex(writer, "key", key.data, key.size);
}

static int write_event(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct stitched row;
    struct touchpoint event;
    require(stitched_decode(&row, value, writer->arena), "stitched");
    require(touchpoint_decode(&event, row.event, writer->arena), "touchpoint");
    begin_row(writer, "event", key);
    put_hex(writer, "person", row.person, KEY_SIZE);
    put_hex(writer, "node", row.node, KEY_SIZE);
    put_text(writer, "channel", row.channel);
    put_hex(writer, "session", row.session_key, row.has_session_key ? KEY_SIZE : 0);
    put_text(writer, "touch", str_of(touch_kind_name(row.touch)));
    put_text(writer, "rule", row.has_rule_channel ? row.rule_channel : STR("-"));
    put_text(writer, "id", event.event_id);
    put_text(writer, "properties", event.properties);
    put(writer, "}");
    return 0;
}

static int write_session(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct session row;
    require(session_decode(&row, value, writer->arena), "session");
    begin_row(writer, "session", key);
    put_hex(writer, "person", row.person, KEY_SIZE);
    put_hex(writer, "session", row.session_key, KEY_SIZE);
    put_int(writer, "started_at", row.started_at);
    put_int(writer, "ended_at", row.ended_at);
    put_int(writer, "events", row.events);
    put_int(writer, "page_views", row.page_views);
    put_text(writer, "channel", row.channel);
    put_text(writer, "source", row.source);
    put_text(writer, "medium", row.medium);
    put_text(writer, "campaign", row.campaign);
    put_text(writer, "landing_host", row.landing_host);
    put_text(writer, "landing_path", row.landing_path);
    put_text(writer, "device_kind", row.device_kind);
    put(writer, "}");
    return 0;
}

static void write_path(struct writer *writer, const struct conversion *row)
{
    put_name(writer, "touches");
    put(writer, "[");
    for (size_t i = 0; i < row->touches_count; i++) {
        const struct path_touch *touch = &row->touches[i];
        put(writer, i ? ",{" : "{");
        put_hex(writer, "event", touch->event_key, KEY_SIZE);
        put_int(writer, "at", touch->touched_at);
        put_text(writer, "kind", touch->kind);
        put_text(writer, "channel", touch->channel);
        put_text(writer, "source", touch->source);
        put_text(writer, "medium", touch->medium);
        put_text(writer, "campaign", touch->campaign);
        put_text(writer, "message", touch->message);
        put_int(writer, "milestones", touch->milestones);
        put(writer, "}");
    }
    put(writer, "]");
}

static void write_credits(struct writer *writer, const struct conversion *row)
{
    put_name(writer, "credits");
    put(writer, "[");
    for (size_t i = 0; i < row->credits_count; i++) {
        const struct credit *credit = &row->credits[i];
        put(writer, i ? ",{" : "{");
        put_text(writer, "model", str_of(rule_model_name(credit->model)));
        put_text(writer, "name", credit->name);
        put_int(writer, "touch", credit->touch_index);
        put_int(writer, "ppb", credit->weight_ppb);
        put_int(writer, "minor", credit->revenue_minor);
        put(writer, "}");
    }
    put(writer, "]");
}

static int write_conversion(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct conversion row;
    require(conversion_decode(&row, value, writer->arena), "conversion");
    begin_row(writer, "conversion", key);
    put_hex(writer, "person", row.person, KEY_SIZE);
    put_text(writer, "id", row.conversion_id);
    put_text(writer, "kind", str_of(conversion_kind_name(row.kind)));
    put_hex(writer, "event", row.event_key, KEY_SIZE);
    put_text(writer, "type", row.type);
    put_text(writer, "order", row.order_id);
    put_text(writer, "refund_of", row.refund_of);
    put_int(writer, "at", row.occurred_at);
    put_int(writer, "minor", row.revenue_minor);
    put_int(writer, "reset_from", row.reset_from);
    put_text(writer, "currency", row.currency);
    write_path(writer, &row);
    write_credits(writer, &row);
    put(writer, "}");
    return 0;
}

static int write_profile(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct profile row;
    require(profile_decode(&row, value, writer->arena), "profile");
    begin_row(writer, "profile", key);
    put_hex(writer, "person", row.person, KEY_SIZE);
    put_int(writer, "first_at", row.first_at);
    put_int(writer, "last_at", row.last_at);
    put_int(writer, "events", row.events);
    put_int(writer, "sessions", row.sessions);
    put_int(writer, "touches", row.touches);
    put_int(writer, "conversions", row.conversions);
    put_int(writer, "refunds", row.refunds);
    put_int(writer, "truncated", row.truncated);
    put_name(writer, "revenue");
    put(writer, "{");
    for (size_t i = 0; i < row.revenue_count; i++) {
        char currency[16] = {0};
        check(row.revenue[i].currency.size < sizeof currency);
        memcpy(currency, row.revenue[i].currency.data, row.revenue[i].currency.size);
        put_int(writer, currency, row.revenue[i].net_minor);
    }
    put(writer, "}");
    put_name(writer, "open_path");
    put(writer, "[");
    for (size_t i = 0; i < row.open_path_count; i++) {
        put(writer, i ? ",{" : "{");
        put_hex(writer, "event", row.open_path[i].event_key, KEY_SIZE);
        put_int(writer, "at", row.open_path[i].touched_at);
        put_text(writer, "channel", row.open_path[i].channel);
        put(writer, "}");
    }
    put(writer, "]}");
    return 0;
}

static void write_names(
    struct writer *writer, const char *name, const struct str *names, size_t count)
{
    put_name(writer, name);
    put(writer, "[");
    for (size_t i = 0; i < count; i++) {
        put(writer, i ? "," : "");
        require(json_write_text(writer->out, names[i]), "write");
    }
    put(writer, "]");
}

static int write_count(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct model_count row;
    require(model_count_decode(&row, value, writer->arena), "model_count");
    begin_row(writer, "count", key);
    put_text(writer, "model", row.model);
    put_text(writer, "outcome", str_of(path_outcome_name(row.outcome)));
    put_text(writer, "currency", row.currency);
    write_names(writer, "from", row.from, row.from_count);
    write_names(writer, "to", row.to, row.to_count);
    put_int(writer, "paths", row.paths);
    put_int(writer, "minor", row.revenue_minor);
    put(writer, "}");
    return 0;
}

static int write_rejected(void *context, struct str key, struct str value)
{
    struct writer *writer = context;
    struct rejected row;
    require(rejected_decode(&row, value, writer->arena), "rejected");
    begin_row(writer, "rejected", key);
    put_text(writer, "reason", row.reason);
    put_text(writer, "stage", row.stage);
    put_text(writer, "source", row.source);
    put_text(writer, "id", row.event_id);
    if (str_equal(row.stage, STR("journey")))
        put_text(writer, "payload", row.payload);
    put(writer, "}");
    return 0;
}

static void write_tables(struct sim *sim, struct writer *writer)
{
    static const struct {
        enum topic topic;
        sim_visit_fn *write;
    } tables[] = {
        {TOPIC_TOUCHPOINTS, write_event},
        {TOPIC_SESSIONS, write_session},
        {TOPIC_CONVERSIONS, write_conversion},
        {TOPIC_PROFILES, write_profile},
        {TOPIC_MODELS, write_count},
        {TOPIC_REJECTED, write_rejected},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        require(sim_results(sim, tables[i].topic, tables[i].write, writer), "results");
        arena_reset(writer->arena);
    }
}

/* ---- what a sink makes of it ---- */

/* An event as the sink has it: sinks/sqlite/event_row.c's rule, over all partitions in any order.
 */
struct standing {
    struct str event_key;
    struct str key;
    struct str value;
    int64_t placement;
    bool stands;
};

struct sink {
    struct standing rows[EVENTS_MAX * 2];
    size_t count;
    size_t found; /* rows of the tables that stand here too */
    struct arena arena;
};

static struct str copied(struct sink *sink, struct str bytes)
{
    struct str copy;
    require(arena_dup(&sink->arena, bytes, &copy), "copy");
    return copy;
}

static struct standing *standing_of(struct sink *sink, struct str event_key)
{
    for (size_t i = 0; i < sink->count; i++)
        if (str_equal(sink->rows[i].event_key, event_key))
            return &sink->rows[i];
    check(sink->count < sizeof sink->rows / sizeof *sink->rows);
    sink->rows[sink->count] = (struct standing){.event_key = copied(sink, event_key)};
    return &sink->rows[sink->count++];
}

static int apply_change(void *context, struct str key, struct str value)
{
    struct sink *sink = context;
    struct standing *standing =
        standing_of(sink, str_make(key.data + key.size - KEY_SIZE, KEY_SIZE));
    struct stitched row;
    if (!value.data) {
        standing->stands = standing->stands && !str_equal(standing->key, key);
        return 0;
    }
    require(stitched_decode(&row, value, &sink->arena), "stitched");
    if (standing->stands && row.placement < standing->placement)
        return 0;
    standing->stands = true;
    standing->placement = row.placement;
    standing->key = copied(sink, key);
    standing->value = copied(sink, value);
    return 0;
}

static int find_row(void *context, struct str key, struct str value)
{
    struct sink *sink = context;
    const struct standing *standing =
        standing_of(sink, str_make(key.data + key.size - KEY_SIZE, KEY_SIZE));
    sink->found +=
        standing->stands && str_equal(standing->key, key) && str_equal(standing->value, value);
    return 0;
}

static int count_row(void *context, struct str key, struct str value)
{
    (void)key;
    (void)value;
    ++*(size_t *)context;
    return 0;
}

/* Whether a sink that read the published changes has the rows of the tables and no other. */
static bool sink_agrees(struct sim *sim)
{
    static struct sink sink;
    size_t rows = 0, standing = 0;
    sink.count = sink.found = 0;
    require(sim_published(sim, TOPIC_TOUCHPOINTS, apply_change, &sink), "changes");
    require(sim_results(sim, TOPIC_TOUCHPOINTS, find_row, &sink), "results");
    require(sim_results(sim, TOPIC_TOUCHPOINTS, count_row, &rows), "results");
    for (size_t i = 0; i < sink.count; i++)
        standing += sink.rows[i].stands;
    arena_free(&sink.arena);
    return sink.found == rows && standing == rows;
}

/* ---- all ---- */

static bool run_schedule(const struct test_case *test, struct json run, struct buf *out)
{
    struct identify_config identify = {
        .namespaces = &test->namespaces, .tenant_key = "test", .enrich = toy_channel};
    struct stage stages[2];
    struct sim *sim;
    identify_stage(&stages[0], &identify);
    journey_stage(&stages[1], &test->journey);
    const struct sim_config config = {
        .seed = (uint64_t)number(run, "seed"),
        .partitions = (int32_t)number(run, "partitions"),
        .crash_percent = (unsigned)number(run, "crash"),
        .batch_max = (size_t)number(run, "batch"),
        .slow_percent = (unsigned)number(run, "slow"),
    };
    CLEANUP(arena_free) struct arena arena = {0};
    struct writer writer = {.out = out, .arena = &arena};
    require(sim_new(&config, stages, 2, &sim), "sim");
    play(sim, test, member(run, "order"));
    write_tables(sim, &writer);
    bool agrees = sink_agrees(sim);
    sim_free(&sim);
    return agrees;
}

static void run_case(struct json json)
{
    static struct test_case test;
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf out = {0};
    struct json_iterator iterator;
    struct json run;
    struct str key;
    uint64_t hashes[HASHES_MAX];
    size_t runs = 0;
    test.number = number(json, "case");
    read_config(json, &test);
    read_events(json, &arena, &test);
    json_iterate(member(json, "runs"), &iterator);
    for (; json_next(&iterator, &key, &run); runs++) {
        check(runs < HASHES_MAX);
        buf_clear(&out);
        bool agrees = run_schedule(&test, run, &out);
        hashes[runs] = hash64(buf_str(&out));
        size_t same = 0;
        while (hashes[same] != hashes[runs])
            same++;
        printf("{\"case\":%lld,\"run\":%zu,\"same_as\":%zu", (long long)test.number, runs, same);
        if (!agrees)
            printf(",\"sink\":\"differs\"");
        if (same == runs)
            printf(",\"rows\":[%.*s]", (int)out.size, out.data ? out.data : "");
        printf("}\n");
    }
}

int main(void)
{
    struct json_parser *parser;
    struct json json;
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    require(json_parser_new(&parser), "parser");
    while ((size = getline(&line, &room, stdin)) > 0) {
        require(json_parse(parser, str_make(line, (size_t)size), &json), "case");
        run_case(json);
        (void)fflush(stdout);
    }
    free(line);
    json_parser_free(&parser);
    return 0;
}
