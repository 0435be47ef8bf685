/*
 * Rules as they stand in the file: a rule has conditions, a condition has items, sets are copied
 * where they are named. Answers are kept by facts, since events of one session and campaign ask the
 * same again and again. Invariant: patterns are lower case, facts are made so before they are
 * compared.
 */
#include "enrich/step/channel.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "enrich/channels_default.h" /* generated from deploy/config/channels.ini */
#include "enrich/step/memo.h"
#include "ingest/config/ini.h"
#include "schemas/error.h"
#include "schemas/nearest.h"

#define MEMO_ENTRIES 8192

struct item {
    struct str pattern; /* lower case */
    bool none;          /* the fact is empty, or what Google Analytics writes for that */
    bool glob;          /* has a * */
    bool domain;        /* .example.jp: the domain and all below it */
};

struct items {
    struct item *items;
    size_t count;
    size_t capacity;
};

struct condition {
    size_t first; /* in the items of the rules */
    size_t count; /* 0: no condition on this fact */
};

struct rule {
    struct str channel;
    struct condition conditions[CHANNEL_FACTS][2]; /* is one of, is none of */
};

struct set {
    struct str name;
    struct condition range;
};

struct channel_rules {
    struct arena arena;
    struct items items;
    struct rule rules[CHANNEL_RULES_MAX];
    size_t count;
    pthread_mutex_t lock;
    struct memo *memo; /* facts to the number of a rule */
};

static const char *const fact_keys[CHANNEL_FACTS] = {
#define X(symbol, key) key,
    CHANNEL_FACT_LIST(X)
#undef X
};

/* -- reading -------------------------------------------------------------------------------------
 */

struct loader {
    struct channel_rules *rules;
    const char *path;
    char *why;
    struct set sets[CHANNEL_SETS_MAX];
    size_t sets_count;
    bool in_set;
    bool empty; /* the section has had no key yet */
    int section_line;
    struct condition *range; /* that a continuation goes on with */
};

static int refuse(struct loader *loader, int line, const char *reason, struct str what)
{
    (void)snprintf(loader->why, CHANNEL_WHY_SIZE, "%s:%d: %s%s%.*s", loader->path, line, reason,
        what.size ? ": " : "", (int)(what.size > 80 ? 80 : what.size), what.data ? what.data : "");
    return ERR_CONFIG;
}

static int add_item(struct channel_rules *rules, const struct item *item)
{
    struct items *items = &rules->items;
    if (items->count == CHANNEL_ITEMS_MAX)
        return ERR_TOO_MANY;
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 256;
        struct item *more = realloc(items->items, capacity * sizeof *more);
        if (!more)
            return ERR_NO_MEMORY;
        items->items = more;
        items->capacity = capacity;
    }
    items->items[items->count++] = *item;
    return 0;
}

static int lower_dup(struct arena *arena, struct str text, struct str *out)
{
    char *data = arena_alloc(arena, text.size);
    if (!data)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < text.size; i++)
        data[i] = (char)tolower((unsigned char)text.data[i]);
    *out = str_make(data, text.size);
    return 0;
}

static int add_set(struct loader *loader, int line, struct str name)
{
    for (size_t i = 0; i < loader->sets_count; i++) {
        if (!str_equal(loader->sets[i].name, name))
            continue;
        struct condition range = loader->sets[i].range;
        int r = 0;
        for (size_t k = 0; k < range.count && r == 0; k++) {
            struct item copy = loader->rules->items.items[range.first + k];
            r = add_item(loader->rules, &copy);
        }
        return r;
    }
    return refuse(loader, line, "no set of this name above", name);
}

static int add_word(struct loader *loader, int line, struct str word)
{
    if (word.data[0] == '@')
        return add_set(loader, line, str_make(word.data + 1, word.size - 1));
    struct item item = {0};
    item.none = str_equal(word, STR("(none)"));
    if (!item.none) {
        int r = lower_dup(&loader->rules->arena, word, &item.pattern);
        if (r < 0)
            return r;
        item.glob = memchr(word.data, '*', word.size) != NULL;
        item.domain = !item.glob && word.data[0] == '.' && word.size > 1;
    }
    return add_item(loader->rules, &item);
}

static struct str trimmed(struct str text)
{
    while (text.size && isspace((unsigned char)text.data[0]))
        text = str_make(text.data + 1, text.size - 1);
    while (text.size && isspace((unsigned char)text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Items with commas between; a comma at the end of a line is allowed. */
static int add_words(struct loader *loader, const struct ini_entry *entry)
{
    struct str rest = entry->value;
    size_t before = loader->rules->items.count;
    while (rest.size) {
        const char *comma = memchr(rest.data, ',', rest.size);
        size_t size = comma ? (size_t)(comma - rest.data) : rest.size;
        struct str word = trimmed(str_make(rest.data, size));
        size_t cut = comma ? size + 1 : size;
        rest = str_make(rest.data + cut, rest.size - cut);
        if (word.size == 0 && rest.size == 0)
            break;
        if (word.size == 0)
            return refuse(loader, entry->line, "nothing between two commas", entry->key);
        int r = add_word(loader, entry->line, word);
        if (r == ERR_TOO_MANY)
            return refuse(loader, entry->line, "too many items", entry->key);
        if (r < 0)
            return r;
    }
    if (loader->rules->items.count == before)
        return refuse(loader, entry->line, "no value", entry->key);
    loader->range->count = loader->rules->items.count - loader->range->first;
    return 0;
}

static int end_section(struct loader *loader)
{
    if (loader->section_line && loader->empty)
        return refuse(
            loader, loader->section_line, "section without conditions", str_make(NULL, 0));
    return 0;
}

static int begin_section(struct loader *loader, const struct ini_entry *entry)
{
    int r = end_section(loader);
    if (r < 0)
        return r;
    loader->section_line = entry->line;
    loader->empty = true;
    loader->range = NULL;
    loader->in_set = str_starts_with(entry->section, STR("set "));
    struct channel_rules *rules = loader->rules;
    if (loader->in_set) {
        struct str name = trimmed(str_make(entry->section.data + 4, entry->section.size - 4));
        for (size_t i = 0; i < loader->sets_count; i++)
            if (str_equal(loader->sets[i].name, name))
                return refuse(loader, entry->line, "the set stands twice", name);
        if (loader->sets_count == CHANNEL_SETS_MAX)
            return refuse(loader, entry->line, "too many sets", name);
        loader->sets[loader->sets_count] = (struct set){0};
        return arena_dup(&rules->arena, name, &loader->sets[loader->sets_count++].name);
    }
    if (entry->section.size == 0)
        return refuse(loader, entry->line, "section without a name", entry->section);
    if (rules->count == CHANNEL_RULES_MAX)
        return refuse(loader, entry->line, "too many rules", entry->section);
    rules->rules[rules->count] = (struct rule){0};
    return arena_dup(&rules->arena, entry->section, &rules->rules[rules->count++].channel);
}

static int unknown_key(struct loader *loader, const struct ini_entry *entry, struct str key)
{
    struct str names[CHANNEL_FACTS];
    for (size_t i = 0; i < CHANNEL_FACTS; i++)
        names[i] = str_of(fact_keys[i]);
    struct str nearest = nearest_name(key, names, CHANNEL_FACTS);
    char reason[64];
    (void)snprintf(reason, sizeof(reason), nearest.size ? "unknown key (%.*s?)" : "unknown key%.*s",
        (int)nearest.size, nearest.size ? nearest.data : "");
    return refuse(loader, entry->line, reason, entry->key);
}

/* Finds where the items of a key go. */
static int begin_key(struct loader *loader, const struct ini_entry *entry)
{
    struct channel_rules *rules = loader->rules;
    loader->range = NULL;
    if (loader->section_line == 0)
        return refuse(loader, entry->line, "key before any section", entry->key);
    if (loader->in_set) {
        if (!str_equal(entry->key, STR("values")))
            return refuse(loader, entry->line, "a set has only the key values", entry->key);
        loader->range = &loader->sets[loader->sets_count - 1].range;
    } else {
        bool negated = str_starts_with(entry->key, STR("not "));
        struct str key = entry->key;
        if (negated)
            key = trimmed(str_make(key.data + 4, key.size - 4));
        for (size_t i = 0; i < CHANNEL_FACTS; i++)
            if (str_equal(key, str_of(fact_keys[i])))
                loader->range = &rules->rules[rules->count - 1].conditions[i][negated];
        if (!loader->range)
            return unknown_key(loader, entry, key);
    }
    if (loader->range->count)
        return refuse(loader, entry->line, "the key stands twice", entry->key);
    loader->range->first = rules->items.count;
    loader->empty = false;
    return 0;
}

static int take_entry(void *context, const struct ini_entry *entry)
{
    struct loader *loader = context;
    if (entry->key.size == 0)
        return begin_section(loader, entry);
    int r = entry->continuation ? 0 : begin_key(loader, entry);
    return r < 0 ? r : add_words(loader, entry);
}

static int load(struct channel_rules *rules, struct str text, const char *path, char *why)
{
    struct ini_problem problem = {0};
    struct loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return ERR_NO_MEMORY;
    *loader = (struct loader){.rules = rules, .path = path, .why = why};
    int r = ini_read(text, take_entry, loader, &problem);
    if (r == ERR_CONFIG && !*why)
        r = refuse(loader, problem.line, problem.text, str_make(NULL, 0));
    if (r == 0)
        r = end_section(loader);
    if (r == 0 && rules->count == 0)
        r = refuse(loader, 1, "no rules in it", str_make(NULL, 0));
    free(loader);
    return r;
}

int channel_rules_open(struct channel_rules **out, const char *path, char *why)
{
    CLEANUP(buf_free) struct buf text = {0};
    struct channel_rules *rules = calloc(1, sizeof *rules);
    *why = 0;
    if (!rules)
        return ERR_NO_MEMORY;
    if (pthread_mutex_init(&rules->lock, NULL) != 0) {
        free(rules);
        return ERR_NO_MEMORY;
    }
    int r = memo_new(&rules->memo, MEMO_ENTRIES);
    if (r == 0 && path && *path) {
        r = ini_load(path, INI_SIZE_MAX, &text);
        if (r < 0)
            (void)snprintf(why, CHANNEL_WHY_SIZE, "%s: %s", path, error_text(r));
        else
            r = load(rules, buf_str(&text), path, why);
    } else if (r == 0) {
        r = load(rules, str_of(channels_default), "channels.ini", why);
    }
    if (r < 0)
        channel_rules_close(&rules);
    else
        *out = rules;
    return r;
}

void channel_rules_close(struct channel_rules **rules)
{
    if (!*rules)
        return;
    memo_free(&(*rules)->memo);
    (void)pthread_mutex_destroy(&(*rules)->lock);
    free((*rules)->items.items);
    arena_free(&(*rules)->arena);
    free(*rules);
    *rules = NULL;
}

/* -- asking --------------------------------------------------------------------------------------
 */

static struct str without_www(struct str host)
{
    return str_starts_with(host, STR("www.")) ? str_make(host.data + 4, host.size - 4) : host;
}

/* host is the domain, or below it. */
static bool within(struct str host, struct str domain)
{
    if (domain.size == 0 || host.size < domain.size)
        return false;
    size_t lead = host.size - domain.size;
    return memcmp(host.data + lead, domain.data, domain.size) == 0 &&
           (lead == 0 || host.data[lead - 1] == '.');
}

void channel_facts_of(const struct touchpoint *event, struct channel_facts *out)
{
    struct str *facts = out->facts;
    *out = (struct channel_facts){0};
    facts[CHANNEL_FACT_TYPE] = event->type;
    if (event->has_campaign) {
        facts[CHANNEL_FACT_MEDIUM] = event->campaign.medium;
        facts[CHANNEL_FACT_SOURCE] = event->campaign.source;
        facts[CHANNEL_FACT_CAMPAIGN] = event->campaign.name;
    }
    if (event->has_click)
        facts[CHANNEL_FACT_CLICK] = event->click.kind;
    if (event->has_message && event->message.kind != MESSAGE_KIND_UNKNOWN)
        facts[CHANNEL_FACT_MESSAGE] = str_of(message_kind_name(event->message.kind));
    if (event->has_page && event->page.referrer_host.size) {
        struct str own = without_www(event->page.host);
        struct str other = without_www(event->page.referrer_host);
        if (!within(own, other) && !within(other, own))
            facts[CHANNEL_FACT_REFERRER] = event->page.referrer_host;
    }
}

/* * stands for any run of bytes. Of several ways only the last * is ever tried again, so it is
 * quadratic. */
static bool glob_matches(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
    while (t < text.size) {
        if (p < pattern.size && pattern.data[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.size && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}

static bool item_matches(const struct item *item, struct str fact)
{
    if (item->none)
        return fact.size == 0 || str_equal(fact, STR("(none)")) ||
               str_equal(fact, STR("(not set)"));
    if (item->glob)
        return glob_matches(item->pattern, fact);
    if (item->domain)
        return within(fact, str_make(item->pattern.data + 1, item->pattern.size - 1));
    return str_equal(item->pattern, fact);
}

static bool any_matches(
    const struct channel_rules *rules, const struct condition *condition, struct str fact)
{
    for (size_t i = 0; i < condition->count; i++)
        if (item_matches(&rules->items.items[condition->first + i], fact))
            return true;
    return false;
}

static bool rule_holds(
    const struct channel_rules *rules, const struct rule *rule, const struct channel_facts *facts)
{
    for (size_t i = 0; i < CHANNEL_FACTS; i++) {
        const struct condition *conditions = rule->conditions[i];
        if (conditions[0].count && !any_matches(rules, &conditions[0], facts->facts[i]))
            return false;
        if (conditions[1].count && any_matches(rules, &conditions[1], facts->facts[i]))
            return false;
    }
    return true;
}

#define KEY_SIZE_MAX (CHANNEL_FACTS * (CHANNEL_FACT_SIZE_MAX + 1))

/* Lower-case facts within key, with a size before each: the cache's key and what is compared. */
static size_t make_key(
    const struct channel_facts *facts, char key[KEY_SIZE_MAX], struct channel_facts *lower)
{
    size_t size = 0;
    for (size_t i = 0; i < CHANNEL_FACTS; i++) {
        struct str fact = facts->facts[i];
        if (fact.size > CHANNEL_FACT_SIZE_MAX)
            fact.size = CHANNEL_FACT_SIZE_MAX;
        key[size++] = (char)fact.size;
        lower->facts[i] = str_make(key + size, fact.size);
        for (size_t k = 0; k < fact.size; k++) {
            char c = fact.data[k];
            key[size++] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
        }
    }
    return size;
}

struct str channel_of(struct channel_rules *rules, const struct channel_facts *facts)
{
    char data[KEY_SIZE_MAX];
    struct channel_facts lower;
    struct str key = str_make(data, make_key(facts, data, &lower)), value;
    size_t rule = 0;
    (void)pthread_mutex_lock(&rules->lock);
    if (memo_get(rules->memo, key, &value)) {
        memcpy(&rule, value.data, sizeof(rule));
    } else {
        while (rule < rules->count && !rule_holds(rules, &rules->rules[rule], &lower))
            rule++;
        memo_put(rules->memo, key, str_make(&rule, sizeof(rule)));
    }
    (void)pthread_mutex_unlock(&rules->lock);
    return rule < rules->count ? rules->rules[rule].channel : STR(CHANNEL_UNASSIGNED);
}
