/*
 * YAML comes as a stream of events; the file's shape is a mapping of list names to sequences of
 * mappings of plain texts, and everything else is refused.
 *
 *     depth 1: name of a list    depth 2: its rules    depth 3: keys and values of one rule
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "enrich/step/agent_rules.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "ingest/config/ini.h"
#include "schemas/error.h"

/* Work that one expression may do on one text. The rules' own tests need less than a thousandth of
 * it. */
#define MATCH_LIMIT 200000
#define JIT_STACK_SIZE_MIN ((size_t)32 << 10)
#define JIT_STACK_SIZE_MAX ((size_t)512 << 10)
#define FIELD_SIZE_MAX ((size_t)256) /* of what a rule says */
#define GROUPS_MAX 10                /* the whole match, and $1 to $9 */

struct rule {
    pcre2_code *code;
    struct str replacement[AGENT_RULE_FIELDS]; /* empty: the group of that place */
};

struct list {
    struct rule *rules;
    size_t count;
    size_t capacity;
};

struct agent_rules {
    struct arena arena; /* texts of replacements */
    struct list lists[AGENT_LISTS];
    pcre2_match_context *context;
    pcre2_match_data *data;
    pcre2_jit_stack *stack;
};

/* Keys of a rule by list; the place is that of the field. */
static const char *const list_names[AGENT_LISTS] = {
    "user_agent_parsers", "os_parsers", "device_parsers"};
static const char *const keys[AGENT_LISTS][AGENT_RULE_FIELDS] = {
    {"family_replacement", "v1_replacement", "v2_replacement", "v3_replacement", "v4_replacement"},
    {"os_replacement", "os_v1_replacement", "os_v2_replacement", "os_v3_replacement",
        "os_v4_replacement"},
    {"device_replacement", "brand_replacement", "model_replacement", "", ""},
};

/* The group that fills a field without replacement; 0: none. */
static const size_t default_groups[AGENT_LISTS][AGENT_RULE_FIELDS] = {
    {1, 2, 3, 4, 0}, {1, 2, 3, 4, 5}, {1, 0, 1, 0, 0}};

struct loader {
    struct agent_rules *rules;
    const char *path;
    char *why;
    yaml_parser_t parser;
    size_t line;      /* from 1: of what is looked at */
    size_t rule_line; /* where the rule began */
    int depth;
    int list;       /* -1: one that we do not know */
    struct str key; /* of the value that comes next; empty: a key comes next */
    struct str regex;
    bool caseless;
    struct rule rule;
};

static int refuse(struct loader *loader, const char *what, const char *detail)
{
    (void)snprintf(loader->why, AGENT_WHY_SIZE, "%s:%zu: %s%s%s", loader->path, loader->line, what,
        *detail ? ": " : "", detail);
    return ERR_CONFIG;
}

static int compile(struct loader *loader, struct str regex, bool caseless, pcre2_code **out)
{
    int error;
    PCRE2_SIZE at;
    uint32_t options = caseless ? PCRE2_CASELESS : 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)regex.data, regex.size, options, &error, &at, NULL);
    if (!code) {
        PCRE2_UCHAR message[128];
        (void)pcre2_get_error_message(error, message, sizeof(message));
        return refuse(loader, "bad expression", (const char *)message);
    }
    /* Without JIT (an architecture that has none) the interpreter does the same, slower. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
    *out = code;
    return 0;
}

static int add_rule(struct loader *loader)
{
    struct list *list = &loader->rules->lists[loader->list];
    loader->line = loader->rule_line;
    if (loader->regex.size == 0)
        return refuse(loader, "rule without regex", "");
    if (list->count == AGENT_RULES_MAX)
        return refuse(loader, "too many rules", "");
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 256;
        struct rule *rules = realloc(list->rules, capacity * sizeof *rules);
        if (!rules)
            return ERR_NO_MEMORY;
        list->rules = rules;
        list->capacity = capacity;
    }
    int r = compile(loader, loader->regex, loader->caseless, &loader->rule.code);
    if (r == 0)
        list->rules[list->count++] = loader->rule;
    return r;
}

static int begin_list(struct loader *loader, struct str name)
{
    loader->list = -1;
    for (int i = 0; i < AGENT_LISTS; i++)
        if (str_equal(name, str_of(list_names[i])))
            loader->list = i;
    return 0;
}

static int rule_value(struct loader *loader, struct str value)
{
    struct str key = loader->key;
    if (loader->list < 0)
        return 0;
    if (str_equal(key, STR("regex")))
        return arena_dup(&loader->rules->arena, value, &loader->regex);
    if (str_equal(key, STR("regex_flag"))) {
        loader->caseless = str_equal(value, STR("i"));
        return loader->caseless ? 0 : refuse(loader, "regex_flag is not i", "");
    }
    for (size_t i = 0; i < AGENT_RULE_FIELDS; i++)
        if (keys[loader->list][i][0] && str_equal(key, str_of(keys[loader->list][i])))
            return arena_dup(&loader->rules->arena, value, &loader->rule.replacement[i]);
    return 0; /* of a newer version of the rules */
}

static int take_scalar(struct loader *loader, const yaml_event_t *event)
{
    struct str text = str_make(event->data.scalar.value, event->data.scalar.length);
    if (loader->depth == 1)
        return begin_list(loader, text);
    if (loader->depth != 3)
        return refuse(loader, "a text where none belongs", "");
    if (loader->key.size == 0)
        return text.size ? arena_dup(&loader->rules->arena, text, &loader->key)
                         : refuse(loader, "empty key", "");
    int r = rule_value(loader, text);
    loader->key = str_make(NULL, 0);
    return r;
}

static int take_event(struct loader *loader, const yaml_event_t *event)
{
    loader->line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(loader, event);
    case YAML_SEQUENCE_START_EVENT:
        return ++loader->depth == 2 ? 0 : refuse(loader, "a list where none belongs", "");
    case YAML_MAPPING_START_EVENT:
        loader->regex = str_make(NULL, 0);
        loader->caseless = false;
        loader->rule = (struct rule){0};
        loader->rule_line = loader->line;
        loader->depth++;
        return loader->depth == 1 || loader->depth == 3
                   ? 0
                   : refuse(loader, "a mapping where none belongs", "");
    case YAML_SEQUENCE_END_EVENT:
        loader->depth--;
        return 0;
    case YAML_MAPPING_END_EVENT:
        if (loader->depth-- == 3 && loader->list >= 0)
            return add_rule(loader);
        return 0;
    case YAML_ALIAS_EVENT:
        return refuse(loader, "aliases are not supported", "");
    default:
        return 0;
    }
}

static int load(struct loader *loader, struct str text)
{
    int r = 0;
    bool ended = false;
    if (text.size == 0) /* libyaml asserts that there is something */
        return refuse(loader, "empty file", "");
    yaml_parser_set_input_string(&loader->parser, (const unsigned char *)text.data, text.size);
    while (r == 0 && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&loader->parser, &event)) {
            loader->line = loader->parser.problem_mark.line + 1;
            return refuse(loader, "not YAML", loader->parser.problem ? loader->parser.problem : "");
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        r = take_event(loader, &event);
        yaml_event_delete(&event);
    }
    if (r == 0 && loader->rules->lists[AGENT_LIST_BROWSER].count == 0)
        r = refuse(loader, "no user_agent_parsers in it", "");
    return r;
}

static int prepare(struct agent_rules *rules)
{
    rules->context = pcre2_match_context_create(NULL);
    rules->data = pcre2_match_data_create(GROUPS_MAX, NULL);
    rules->stack = pcre2_jit_stack_create(JIT_STACK_SIZE_MIN, JIT_STACK_SIZE_MAX, NULL);
    if (!rules->context || !rules->data || !rules->stack)
        return ERR_NO_MEMORY;
    (void)pcre2_set_match_limit(rules->context, MATCH_LIMIT);
    pcre2_jit_stack_assign(rules->context, NULL, rules->stack);
    return 0;
}

int agent_rules_open(struct agent_rules **out, const char *path, char *why)
{
    CLEANUP(buf_free) struct buf text = {0};
    CLEANUP(agent_rules_close) struct agent_rules *rules = calloc(1, sizeof *rules);
    *why = 0;
    if (!rules)
        return ERR_NO_MEMORY;
    int r = ini_load(path, AGENT_RULES_SIZE_MAX, &text);
    if (r == 0)
        r = prepare(rules);
    if (r < 0) {
        (void)snprintf(why, AGENT_WHY_SIZE, "%s: %s", path, error_text(r));
        return r;
    }
    struct loader loader = {.rules = rules, .path = path, .why = why, .list = -1};
    if (!yaml_parser_initialize(&loader.parser))
        return ERR_NO_MEMORY;
    r = load(&loader, buf_str(&text));
    yaml_parser_delete(&loader.parser);
    if (r < 0)
        return r;
    *out = rules;
    rules = NULL;
    return 0;
}

void agent_rules_close(struct agent_rules **pointer)
{
    struct agent_rules *rules = *pointer;
    if (!rules)
        return;
    for (size_t i = 0; i < AGENT_LISTS; i++) {
        for (size_t k = 0; k < rules->lists[i].count; k++)
            pcre2_code_free(rules->lists[i].rules[k].code);
        free(rules->lists[i].rules);
    }
    pcre2_jit_stack_free(rules->stack);
    pcre2_match_data_free(rules->data);
    pcre2_match_context_free(rules->context);
    arena_free(&rules->arena);
    free(rules);
    *pointer = NULL;
}

/* A match: the text, and where its groups are. */
struct found {
    struct str text;
    const PCRE2_SIZE *offsets;
    size_t groups;
};

static struct str group_of(const struct found *found, size_t group)
{
    const PCRE2_SIZE *at = found->offsets + 2 * group;
    if (group == 0 || group >= found->groups || at[0] == PCRE2_UNSET || at[1] < at[0])
        return str_make(NULL, 0);
    return str_make(found->text.data + at[0], at[1] - at[0]);
}

static struct str trimmed(struct str text)
{
    while (text.size && text.data[text.size - 1] == ' ')
        text.size--;
    while (text.size && text.data[0] == ' ')
        text = str_make(text.data + 1, text.size - 1);
    return text;
}

/* The replacement with $1 to $9 filled in, cut to FIELD_SIZE_MAX. Returns the size. */
static size_t fill_in(const struct found *found, struct str replacement, char *out)
{
    size_t size = 0;
    for (size_t i = 0; i < replacement.size; i++) {
        struct str piece = str_make(replacement.data + i, 1);
        char next = i + 1 < replacement.size ? replacement.data[i + 1] : 0;
        if (*piece.data == '$' && next >= '1' && next <= '9') {
            piece = group_of(found, (size_t)(next - '0'));
            i++;
        }
        if (piece.size > FIELD_SIZE_MAX - size)
            piece.size = FIELD_SIZE_MAX - size;
        if (piece.size)
            memcpy(out + size, piece.data, piece.size);
        size += piece.size;
    }
    return size;
}

static int fill_match(const struct found *found, const struct rule *rule, enum agent_list list,
    struct arena *arena, struct agent_match *out)
{
    struct agent_match match = {0};
    for (size_t i = 0; i < AGENT_RULE_FIELDS; i++) {
        char filled[FIELD_SIZE_MAX];
        struct str text = group_of(found, default_groups[list][i]);
        if (rule->replacement[i].size)
            text = str_make(filled, fill_in(found, rule->replacement[i], filled));
        text = trimmed(text);
        if (text.size > FIELD_SIZE_MAX)
            text.size = FIELD_SIZE_MAX;
        int r = text.size ? arena_dup(arena, text, &match.fields[i]) : 0;
        if (r < 0)
            return r;
    }
    *out = match;
    return 0;
}

int agent_rules_match(struct agent_rules *rules, enum agent_list list, struct str agent,
    struct arena *arena, struct agent_match *out)
{
    if (agent.size > AGENT_SIZE_MAX)
        agent.size = AGENT_SIZE_MAX;
    for (size_t i = 0; i < rules->lists[list].count; i++) {
        const struct rule *rule = &rules->lists[list].rules[i];
        int groups = pcre2_match(rule->code, (PCRE2_SPTR)(agent.size ? agent.data : ""), agent.size,
            0, 0, rules->data, rules->context);
        if (groups == PCRE2_ERROR_NOMEMORY)
            return ERR_NO_MEMORY;
        if (groups < 0)
            continue; /* no match, or more work than one text is worth */
        if (groups == 0)
            groups = GROUPS_MAX; /* more groups than anybody refers to */
        struct found found = {agent, pcre2_get_ovector_pointer(rules->data), (size_t)groups};
        return fill_match(&found, rule, list, arena, out);
    }
    return AGENT_RULES_NONE;
}
