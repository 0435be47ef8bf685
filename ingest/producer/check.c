/* The door wants a source and a time: any will do, as none of its verdicts depends on them. */
#include "ingest/producer/check.h"

#include <time.h>

#include "ingest/producer/error.h"
#include "ingest/producer/event.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

#define SOURCE "producer"
/* Stands for the id that an event is given when it is sent. */
#define ID_TO_BE "00000000-0000-7000-8000-000000000000"
/* What one check leaves for the next: more than a common event needs. */
#define ARENA_KEPT_SIZE ((size_t)256 << 10)
#define NANOS_PER_MICRO 1000

struct producer_checker {
    struct json_parser *parser;
    struct arena arena;
};

static bool is_separator(char c)
{
    return c == ' ' || c == ',';
}

static bool is_name(struct str name)
{
    bool valid = name.size > 0 && name.size <= 32 && name.data[0] >= 'a' && name.data[0] <= 'z';
    for (size_t i = 1; valid && i < name.size; i++) {
        char c = name.data[i];
        valid = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    }
    return valid;
}

static int add_namespaces(struct producer_rules *rules)
{
    const char *at = rules->names;
    struct namespace_table *table = &rules->namespaces;
    while (*at) {
        const char *end = at;
        while (*end && !is_separator(*end))
            end++;
        struct str name = str_make(at, (size_t)(end - at));
        at = *end ? end + 1 : end;
        if (name.size == 0 || namespace_rank(table, name) >= 0)
            continue;
        if (!is_name(name) || table->count == NAMESPACES_MAX)
            return ERR_VALUE;
        table->rules[table->count++] = (struct namespace_rule){.name = name};
    }
    return 0;
}

int producer_rules_init(struct producer_rules *rules, const struct tabiji_allocator *memory,
    const char *namespaces, bool trusted)
{
    *rules = (struct producer_rules){.trusted = trusted};
    door_config_default(&rules->door);
    rules->namespaces = *namespace_table_default();
    rules->door.identifiers.namespaces = &rules->namespaces;
    rules->door.identifiers.keyless = true;
    if (!namespaces)
        return 0;
    size_t size = strlen(namespaces) + 1;
    rules->names = producer_memory_get(memory, size);
    if (!rules->names)
        return ERR_NO_MEMORY;
    memcpy(rules->names, namespaces, size);
    int r = add_namespaces(rules);
    if (r < 0)
        producer_rules_fini(rules, memory);
    return r;
}

void producer_rules_fini(struct producer_rules *rules, const struct tabiji_allocator *memory)
{
    producer_memory_free(memory, rules->names);
    rules->names = NULL;
}

int producer_checker_new(const struct tabiji_allocator *memory, struct producer_checker **out)
{
    struct producer_checker *checker = producer_memory_zero(memory, sizeof *checker);
    if (!checker)
        return ERR_NO_MEMORY;
    checker->arena.block_size_max = ARENA_KEPT_SIZE;
    int r = json_parser_new(&checker->parser);
    if (r < 0) {
        producer_checker_free(memory, &checker);
        return r;
    }
    *out = checker;
    return 0;
}

void producer_checker_free(const struct tabiji_allocator *memory, struct producer_checker **checker)
{
    if (!*checker)
        return;
    json_parser_free(&(*checker)->parser);
    arena_free(&(*checker)->arena);
    producer_memory_free(memory, *checker);
    *checker = NULL;
}

static int64_t now_micros(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * TIME_MICROS_PER_SECOND + now.tv_nsec / NANOS_PER_MICRO;
}

static int parse(struct producer_checker *checker, struct str json, struct json *value,
    struct producer_finding *finding)
{
    *finding = (struct producer_finding){0};
    arena_reset(&checker->arena);
    int r = json_parse_unchecked(checker->parser, json, value);
    finding->problem = (struct event_problem){.error = r, .pointer = STR(""), .hint = STR("")};
    return r;
}

/* What the transport makes of the event. Returns 0 where that is nothing. */
static int seal(struct producer_checker *checker, const struct producer_rules *rules,
    const struct touchpoint *event, struct producer_finding *finding)
{
    struct producer_sealed sealed = {.bytes = STR("")};
    if (!rules->seal || finding->lacks_id || finding->lacks_time)
        return 0;
    struct touchpoint changed = *event;
    int r = rules->seal(rules->seal_context, &changed, &checker->arena, &sealed);
    if (r < 0)
        return r;
    if (sealed.bytes.size)
        finding->problem = sealed.problem;
    finding->sealed = sealed.bytes;
    return 0;
}

static int judge(struct producer_checker *checker, const struct producer_rules *rules,
    struct str json, bool gives_id, struct producer_finding *finding)
{
    struct json value, member;
    struct touchpoint event;
    int r = parse(checker, json, &value, finding);
    if (r == 0)
        r = event_json_read(value, rules->trusted, &checker->arena, &event, &finding->problem);
    if (r < 0) {
        finding->problem.error = r;
        return r;
    }
    finding->event_id = event.event_id;
    finding->lacks_id = event.event_id.size == 0 && !json_get(value, STR("id"), &member);
    finding->lacks_time =
        event.time_quality == TIME_QUALITY_UNKNOWN && !json_get(value, STR("time"), &member);
    r = seal(checker, rules, &event, finding);
    if (r < 0 || finding->sealed.size)
        return r;
    if (finding->lacks_id && gives_id)
        event.event_id = STR(ID_TO_BE);
    event.source = STR(SOURCE);
    event.protocol = PROTOCOL_NATIVE;
    if (door_refused_by_customer(&event) && event.event_id.size)
        return 0; /* the collector looks no further */
    const struct door_known known = {.nul_free = !value.tape->escapes_nul, .json_size = json.size};
    r = door_judge(&rules->door, &event, &known, now_micros(), &checker->arena, &finding->problem);
    finding->problem.error = r;
    return r;
}

/* Keys that stand twice are left to the reader, which saves a pass over them; but the collector
 * sees them first, and says nothing else then. */
int producer_checker_judge(struct producer_checker *checker, const struct producer_rules *rules,
    struct str json, bool gives_id, struct producer_finding *finding)
{
    struct json value;
    int r = judge(checker, rules, json, gives_id, finding);
    int said = r < 0 ? json_parse(checker->parser, json, &value) : 0;
    if (said == 0)
        return r;
    finding->problem = (struct event_problem){.error = said, .pointer = STR(""), .hint = STR("")};
    return said;
}

int producer_checker_skim(
    struct producer_checker *checker, struct str json, struct producer_finding *finding)
{
    struct json value, member;
    int r = parse(checker, json, &value, finding);
    if (r == 0 && json_kind(value) != JSON_OBJECT)
        r = ERR_FIELD_TYPE;
    finding->problem.error = r;
    if (r < 0)
        return r;
    finding->lacks_id = !json_get(value, STR("id"), &member);
    if (!finding->lacks_id && json_kind(member) == JSON_TEXT &&
        json_text(member).size <= EVENT_ID_SIZE_MAX)
        finding->event_id = json_text(member);
    finding->lacks_time = !json_get(value, STR("time"), &member);
    return 0;
}

/* One check without a producer. */
static int check_alone(struct str json, struct tabiji_problem *problem)
{
    struct tabiji_allocator memory;
    struct producer_rules rules;
    struct producer_checker *checker = NULL;
    struct producer_finding finding = {0};
    (void)producer_memory_init(&memory, NULL);
    int r = producer_rules_init(&rules, &memory, NULL, false);
    if (r == 0)
        r = producer_checker_new(&memory, &checker);
    if (r == 0)
        r = producer_checker_judge(checker, &rules, json, true, &finding);
    r = producer_problem_of(problem, r, &finding.problem);
    producer_checker_free(&memory, &checker);
    producer_rules_fini(&rules, &memory);
    return r;
}

int tabiji_event_check(struct tabiji_event *event, struct tabiji_problem *problem)
{
    struct event_problem wrong;
    struct str line;
    if (!event)
        return TABIJI_ERROR_ARGUMENT;
    int r = producer_event_line(event, &line, &wrong);
    return r < 0 ? producer_problem_of(problem, r, &wrong) : check_alone(line, problem);
}

int tabiji_json_check(const char *json, size_t json_size, struct tabiji_problem *problem)
{
    return json ? check_alone(str_make(json, json_size), problem) : TABIJI_ERROR_ARGUMENT;
}
