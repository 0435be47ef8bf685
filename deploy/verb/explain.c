/*
 * `tabiji explain A B`: why two identifiers are one person, or why they are not.
 *
 * The way (explain_way.h) is the shortest over links whose identifiers are all of the one person;
 * where the two are not one person, the shortest over any links tells where it breaks.
 */
#include <stdio.h>
#include <stdlib.h>

#include "deploy/render.h"
#include "deploy/say.h"
#include "deploy/uuid.h"
#include "deploy/verb/claim.h"
#include "deploy/verb/explain_credit.h"
#include "deploy/verb/explain_way.h"
#include "deploy/verb/generic.h"
#include "deploy/verb/tables.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

#define LINK_COLUMNS 5 /* of the way: what a row's link rests on */
#define WORD_COLUMNS 5 /* and what was said of it */

/* ---- answers ---- */

static void show_step(struct render_table *table, const struct met *met, bool first)
{
    render_text(table, met->namespace.size ? met->namespace : STR("?"));
    render_text(table, met->value);
    render_text(table, met->why);
    render_uuid(table, met->person);
    if (first) {
        for (int i = 0; i < LINK_COLUMNS; i++)
            render_nothing(table);
        return;
    }
    if (met->rotation) {
        render_nothing(table);
        render_time(table, met->first_at);
        render_text(table, STR("key rotation"));
        render_nothing(table);
        render_nothing(table);
        return;
    }
    render_integer(table, met->events);
    render_time(table, met->first_at);
    render_text(table, met->first_id);
    render_time(table, met->last_at);
    render_text(table, met->last_id);
}

/* What was said of the two; people read it as sentences below. */
static void show_word(struct render_table *table, const struct met *met, bool first)
{
    const struct reader_word *word = &met->word;
    if (first || word->sign == 0) {
        for (int i = 0; i < WORD_COLUMNS; i++)
            render_nothing(table);
        return;
    }
    render_text(table, word->sign > 0 ? STR("link") : STR("unlink"));
    render_integer(table, word->authority);
    render_time(table, word->said_at);
    render_text(table, word->event_id);
    render_text(table, word->reason);
}

static int show_way(
    const struct verb_call *call, const struct search *search, const struct way *way)
{
    static const struct render_column columns[] = {
        {"namespace", "namespace", RENDER_LEFT, 0},
        {"value", "value", RENDER_LEFT, 40},
        {"why", "why", RENDER_LEFT, 0},
        {"person", "person", RENDER_LEFT, 0},
        {"events", "events together", RENDER_RIGHT, 0},
        {"first_at", "first", RENDER_LEFT, 0},
        {"first_event", "event", RENDER_LEFT, 20},
        {"last_at", "last", RENDER_LEFT, 0},
        {"last_event", "event", RENDER_LEFT, 20},
        {"word", "word", RENDER_LEFT, 0},
        {"word_authority", "authority", RENDER_RIGHT, 0},
        {"word_at", "said", RENDER_LEFT, 0},
        {"word_event", "event", RENDER_LEFT, 0},
        {"word_reason", "reason", RENDER_LEFT, 0},
    };
    struct render_table *table = NULL;
    size_t count = sizeof columns / sizeof *columns;
    int r = render_new(&table, columns, call->json ? count : count - WORD_COLUMNS);
    for (size_t i = 0; r == 0 && i < way->count; i++) {
        show_step(table, &search->items[way->steps[i]], i == 0);
        if (call->json)
            show_word(table, &search->items[way->steps[i]], i == 0);
    }
    if (r == 0)
        r = render_write(table, call->json, stdout);
    render_free(&table);
    return r;
}

/* ---- what keeps the two apart ---- */

static int append_name(struct buf *out, const struct met *met)
{
    return buf_appendf(out, "%.*s:%.*s", (int)met->namespace.size, met->namespace.data,
        (int)met->value.size, met->value.data);
}

static int append_member(struct buf *out, const char *name, struct str value)
{
    int r = buf_appendf(out, "\"%s\":", name);
    return r == 0 ? json_write_text(out, value) : r;
}

static int append_identifier(struct buf *out, struct str namespace, struct str value)
{
    int r = append_member(out, "namespace", namespace);
    if (r == 0)
        r = buf_append(out, ",", 1);
    return r == 0 ? append_member(out, "value", value) : r;
}

/* Reasons as they are found: lines for people, JSON for programs. */
struct reasons {
    struct settings *settings;
    struct reader *reader;
    const char *first; /* kind of the first; NULL: there is none */
    struct buf text;
    struct buf json;
};

static void reasons_free(struct reasons *reasons)
{
    buf_free(&reasons->text);
    buf_free(&reasons->json);
}

/* One reason: its sentence, and {kind, namespace, value, more, text}. more: empty, or members
 * behind a comma. */
static int add_reason(struct reasons *reasons, const char *kind, const struct met *met,
    struct str sentence, struct str more)
{
    struct buf *json = &reasons->json;
    int r = render_safe(&reasons->text, sentence);
    if (r == 0)
        r = buf_append(&reasons->text, "\n", 1);
    if (r == 0)
        r = buf_appendf(json, "%s{\"kind\":\"%s\",", reasons->first ? "," : "", kind);
    if (r == 0)
        r = append_identifier(json, met->namespace, met->value);
    if (r == 0)
        r = buf_append_str(json, more);
    if (r == 0)
        r = buf_append(json, ",", 1);
    if (r == 0)
        r = append_member(json, "text", sentence);
    if (r == 0)
        r = buf_append(json, "}", 1);
    if (!reasons->first)
        reasons->first = kind;
    return r;
}

/* "login:u-1 and login:u-2 were linked by an operator on 2026-11-20T10:00:00Z (event op-1): called
 * in" */
static int append_word(struct buf *out, const struct met *from, const struct met *met)
{
    const struct reader_word *word = &met->word;
    char time[TIME_TEXT_SIZE_MAX];
    (void)time_format(word->said_at, time);
    int r = append_name(out, from);
    if (r == 0)
        r = buf_append_str(out, STR(" and "));
    if (r == 0)
        r = append_name(out, met);
    return r < 0
               ? r
               : buf_appendf(out, " were %s by %s on %s (event %.*s)%s%.*s",
                     word->sign > 0 ? "linked" : "unlinked",
                     word->authority >= EVENT_AUTHORITY_OPERATOR ? "an operator" : "a client", time,
                     (int)word->event_id.size, word->event_id.data, word->reason.size ? ": " : "",
                     (int)word->reason.size, word->reason.size ? word->reason.data : "");
}

/* Sentences for people: which links of the way rest on words. */
static int write_words(const struct search *search, const struct way *way)
{
    CLEANUP(buf_free) struct buf out = {0};
    CLEANUP(buf_free) struct buf safe = {0};
    int r = 0;
    for (size_t i = 1; r == 0 && i < way->count; i++) {
        const struct met *met = &search->items[way->steps[i]];
        if (met->word.sign <= 0) /* words against are reasons */
            continue;
        buf_clear(&out);
        r = buf_append_str(&out, STR("word: "));
        if (r == 0)
            r = append_word(&out, &search->items[met->from], met);
        if (r == 0)
            r = render_safe(&safe, buf_str(&out));
        if (r == 0)
            r = buf_append(&safe, "\n", 1);
    }
    if (r == 0)
        (void)printf("%.*s", (int)safe.size, safe.size ? safe.data : "");
    return r;
}

static int append_word_json(struct buf *out, const struct reader_word *word)
{
    char time[TIME_TEXT_SIZE_MAX];
    (void)time_format(word->said_at, time);
    int r = buf_appendf(
        out, ",\"word\":{\"authority\":%lld,\"time\":\"%s\",", (long long)word->authority, time);
    if (r == 0)
        r = append_member(out, "event", word->event_id);
    if (r == 0)
        r = buf_append(out, ",", 1);
    if (r == 0)
        r = append_member(out, "reason", word->reason);
    return r == 0 ? buf_append(out, "}", 1) : r;
}

static int add_unlinked(struct reasons *reasons, const struct met *from, const struct met *met)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    CLEANUP(buf_free) struct buf more = {0};
    int r = append_word(&sentence, from, met);
    if (r == 0)
        r = buf_append_str(&more, STR(",\"other\":{"));
    if (r == 0)
        r = append_identifier(&more, met->namespace, met->value);
    if (r == 0)
        r = buf_append(&more, "}", 1);
    if (r == 0)
        r = append_word_json(&more, &met->word);
    return r < 0 ? r : add_reason(reasons, "unlinked", from, buf_str(&sentence), buf_str(&more));
}

static int add_generic(struct reasons *reasons, const struct met *met)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    CLEANUP(buf_free) struct buf more = {0};
    struct generic_excess excesses[NAMESPACES_MAX];
    size_t count = 0;
    int r = generic_excesses(reasons->settings, reasons->reader, met->node, excesses, &count);
    if (r == 0)
        r = append_name(&sentence, met);
    if (r == 0)
        r = buf_append_str(&sentence, STR(" is generic, so it links nobody: "));
    if (r == 0)
        r = generic_text(excesses, count, &sentence);
    if (r == 0)
        r = buf_append_str(&more, STR(",\"exceeded\":"));
    if (r == 0)
        r = generic_json(excesses, count, &more);
    return r < 0 ? r : add_reason(reasons, "generic", met, buf_str(&sentence), buf_str(&more));
}

static int add_why(struct reasons *reasons, const struct met *met)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    bool shared = str_equal(met->why, STR("shared"));
    if (str_equal(met->why, STR("generic")))
        return add_generic(reasons, met);
    if (!shared && !str_equal(met->why, STR("rejected")))
        return 0;
    CLEANUP(buf_free) struct buf more = {0};
    int r = append_name(&sentence, met);
    if (r == 0)
        r = shared
                ? buf_append_str(&sentence,
                      STR(" is shared by persons of equal strength, so it belongs to neither"))
                : claim_rejected(reasons->settings, reasons->reader, met->node, &sentence, &more);
    return r < 0 ? r
                 : add_reason(reasons, shared ? "shared" : "rejected", met, buf_str(&sentence),
                       buf_str(&more));
}

/* What of the way keeps its ends apart, from a to b. */
static int find_reasons(const struct search *search, const struct way *way, struct reasons *reasons)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < way->count; i++) {
        const struct met *met = &search->items[way->steps[i]];
        if (met->parted)
            r = add_unlinked(reasons, &search->items[met->from], met);
        if (r == 0)
            r = add_why(reasons, met);
    }
    return r;
}

/* ---- what else the two have in common ---- */

/* The way is one of the shortest: where it goes by one identifier that both were seen with, others
 * of that kind are told too, as many as WITHOUT_MAX. */
static int find_common(const struct search *first, const struct way *way, struct reasons *reasons)
{
    const uint8_t *a = first->items[way->steps[0]].node, *b = first->items[way->steps[2]].node;
    struct search search = {.reader = first->reader, .arena = first->arena};
    struct way more;
    size_t end;
    int r = search_open(&search);
    memcpy(search.without[search.without_count++], first->items[way->steps[1]].node, KEY_SIZE);
    while (r == 0 && search.without_count < WITHOUT_MAX) {
        r = search_way(&search, a, b, NULL, &end);
        if (r == 0)
            way_trace(&search, end, &more);
        if (r < 0 || end == NO_NODE || more.count != 3)
            break;
        const struct met *met = &search.items[more.steps[1]];
        memcpy(search.without[search.without_count++], met->node, KEY_SIZE);
        r = add_why(reasons, met);
    }
    search_close(&search);
    return r;
}

/* ---- where no rule names one of them ---- */

static unsigned rank_of(const struct met *met)
{
    return met->node[0] / 2; /* source: namespace.h */
}

/* Of which stronger namespaces the identifier was seen with several: it joins its neighbours to one
 * another only while there is at most one of each. */
static int append_several(
    struct reasons *reasons, const struct met *met, struct buf *sentence, struct buf *more)
{
    const struct namespace_table *table = reasons->settings->door.identifiers.namespaces;
    int64_t counts[NAMESPACES_MAX];
    size_t several = 0;
    int r = reader_neighbours(reasons->reader, met->node, counts);
    if (r == 0)
        r = buf_append_str(more, STR(",\"seen_with\":["));
    for (size_t i = 0; r == 0 && i < table->count && i < rank_of(met); i++) {
        struct str name = table->rules[i].name;
        if (counts[i] < 2)
            continue;
        r = buf_appendf(sentence, "%s%lld of %.*s",
            several ? " and "
                    : "; it would join the two only if it had been seen with one of "
                      "each kind at most, but it was with ",
            (long long)counts[i], (int)name.size, name.data);
        if (r == 0)
            r = buf_append_str(more, several++ ? STR(",{") : STR("{"));
        if (r == 0)
            r = append_member(more, "namespace", name);
        if (r == 0)
            r = buf_appendf(more, ",\"count\":%lld}", (long long)counts[i]);
    }
    return r == 0 ? buf_append(more, "]", 1) : r;
}

/* Two identifiers of the way that stood together, of which the weaker is another person's. */
static int add_bridge(struct search *search, struct reasons *reasons, const struct met *weaker,
    const struct met *stronger)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    CLEANUP(buf_free) struct buf more = {0};
    struct met root = {.known = false};
    struct kept kept = {search, &root};
    int r = reader_node(search->reader, weaker->root, search_keep, &kept);
    if (r >= 0)
        r = append_name(&sentence, weaker);
    if (r == 0)
        r = buf_append_str(&sentence, STR(" was seen with "));
    if (r == 0)
        r = append_name(&sentence, stronger);
    if (r == 0)
        r = buf_append_str(&sentence, STR(", but belongs to "));
    if (r == 0)
        r = root.known && memcmp(root.node, weaker->node, KEY_SIZE) != 0
                ? append_name(&sentence, &root)
                : buf_append_str(&sentence, STR("another person"));
    if (r == 0)
        r = append_several(reasons, weaker, &sentence, &more);
    if (r == 0)
        r = buf_append_str(&more, STR(",\"other\":{"));
    if (r == 0)
        r = append_identifier(&more, stronger->namespace, stronger->value);
    if (r == 0)
        r = buf_append(&more, "}", 1);
    return r < 0 ? r : add_reason(reasons, "bridge", weaker, buf_str(&sentence), buf_str(&more));
}

/* Each link of the way whose two ends are not one person. */
static int add_apart(struct search *search, const struct way *way, struct reasons *reasons)
{
    int r = 0;
    for (size_t i = 1; r == 0 && i < way->count; i++) {
        const struct met *a = &search->items[way->steps[i - 1]];
        const struct met *b = &search->items[way->steps[i]];
        if (memcmp(a->person, b->person, KEY_SIZE) != 0)
            r = rank_of(a) < rank_of(b) ? add_bridge(search, reasons, b, a)
                                        : add_bridge(search, reasons, a, b);
    }
    return r;
}

/* ---- the two that are asked about ---- */

struct end {
    const char *spelling;
    struct identifier identifier; /* normalised; as it was spelled where it is blocked */
    enum identifier_fate fate;
    uint8_t node[KEY_SIZE];
    struct met own;
};

static int read_end(
    struct verb_call *call, struct settings *settings, const char *spelling, struct end *out)
{
    struct identifier_report report;
    uint8_t person[KEY_SIZE];
    *out = (struct end){.spelling = spelling};
    if (uuid_read(str_of(spelling), person))
        return verb_usage(call,
            "%s is a person's id: name an identifier of it, namespace:value (tabiji identity show "
            "lists them)",
            spelling);
    int r = say_identifier_report(settings, str_of(spelling), &out->identifier, &report);
    out->fate = report.dropped_why;
    if (r == ERR_NO_IDENTIFIER)
        return 0;
    return r < 0 ? say_bad_identifier(call, settings, spelling, r) : 0;
}

/* What is blocked by now may be known from before. */
static int find_end(struct settings *settings, struct reader *reader, struct end *end)
{
    if (end->fate != IDENTIFIER_KEPT) {
        int r = say_identifier_known(settings, reader, str_of(end->spelling), &end->identifier);
        if (r < 0)
            return r == ERR_NO_IDENTIFIER ? 0 : r;
        end->fate = IDENTIFIER_KEPT;
    }
    return reader_node_id(settings->door.identifiers.namespaces, &end->identifier, end->node);
}

static int add_blocked(struct reasons *reasons, const struct end *end)
{
    static const struct {
        const char *kind;
        const char *sentence;
    } fates[] = {
        [IDENTIFIER_BLOCKED] = {"blocked", "is blocked: values such as this one mean nobody"},
        [IDENTIFIER_SHARED] = {"service_number", "is blocked: a service number means nobody"},
        [IDENTIFIER_MALFORMED] = {"malformed", "is malformed, so it means nobody"},
    };
    CLEANUP(buf_free) struct buf sentence = {0};
    const struct met met = {.namespace = end->identifier.namespace, .value = end->identifier.value};
    int r = buf_appendf(&sentence, "%s %s", end->spelling, fates[end->fate].sentence);
    return r < 0 ? r
                 : add_reason(reasons, fates[end->fate].kind, &met, buf_str(&sentence), STR(""));
}

static int add_unknown(struct reasons *reasons, const struct end *end)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    const struct met met = {.namespace = end->identifier.namespace, .value = end->identifier.value};
    int r = buf_appendf(&sentence, "nobody is known by \"%s\"", end->spelling);
    return r < 0 ? r : add_reason(reasons, "unknown", &met, buf_str(&sentence), STR(""));
}

/* Nothing leads from a to b; search: all that a leads to. */
static int add_no_path(
    const struct search *search, const struct end ends[2], struct reasons *reasons)
{
    CLEANUP(buf_free) struct buf sentence = {0};
    CLEANUP(buf_free) struct buf more = {0};
    size_t reached = search->count - 1;
    bool all = search->count < NODES_SEEN_MAX;
    int r = buf_appendf(&sentence,
        "%s leads to %zu other identifier%s over events and words%s, and %s is none of them",
        ends[0].spelling, reached, reached == 1 ? "" : "s", all ? "" : " (no more are looked at)",
        ends[1].spelling);
    if (r == 0)
        r = buf_appendf(&more, ",\"reached\":%zu", reached);
    return r < 0 ? r
                 : add_reason(reasons, "no_path", &ends[0].own, buf_str(&sentence), buf_str(&more));
}

/* {"spelling":..,"namespace":..,"value":..,"why":..,"person":..}: what is not known is null. */
static int append_end(struct buf *out, const struct end *end)
{
    char uuid[UUID_TEXT_SIZE];
    uuid_write(end->own.person, uuid);
    int r = buf_append(out, "{", 1);
    if (r == 0)
        r = append_member(out, "spelling", str_of(end->spelling));
    if (r == 0)
        r = buf_append(out, ",", 1);
    if (r == 0)
        r = append_identifier(out, end->identifier.namespace, end->identifier.value);
    if (r == 0)
        r = buf_append_str(out, STR(",\"why\":"));
    if (r == 0)
        r = end->own.known ? json_write_text(out, end->own.why) : buf_append_str(out, STR("null"));
    if (r == 0)
        r = buf_appendf(out, ",\"person\":%s%s%s}", end->own.known ? "\"" : "",
            end->own.known ? uuid : "null", end->own.known ? "\"" : "");
    return r;
}

/* ---- the answer ---- */

struct answer {
    bool one;
    const char *verdict;
    const struct end *ends;
    const struct search *search; /* NULL: nothing was searched */
    struct way way;
};

static int write_json(
    const struct verb_call *call, const struct answer *answer, const struct reasons *reasons)
{
    CLEANUP(buf_free) struct buf head = {0};
    int r = buf_appendf(&head,
        "{\"same_person\":%s,\"verdict\":\"%s\",\"a\":", answer->one ? "true" : "false",
        answer->verdict);
    if (r == 0)
        r = append_end(&head, &answer->ends[0]);
    if (r == 0)
        r = buf_append_str(&head, STR(",\"b\":"));
    if (r == 0)
        r = append_end(&head, &answer->ends[1]);
    if (r < 0)
        return r;
    (void)printf("%.*s,\"chain\":", (int)head.size, head.data);
    if (answer->way.count)
        r = show_way(call, answer->search, &answer->way);
    else
        (void)printf("[]");
    (void)printf(",\"reasons\":[%.*s]}\n", (int)reasons->json.size,
        reasons->json.size ? reasons->json.data : "");
    return r;
}

static int write_text(
    const struct verb_call *call, const struct answer *answer, const struct reasons *reasons)
{
    int r = 0;
    if (answer->search)
        (void)printf(answer->one ? "one person, by these links:\n" : "not one person%s\n",
            answer->way.count ? "; the links between them:"
                              : ": no event leads from one to the other");
    if (answer->way.count)
        r = show_way(call, answer->search, &answer->way);
    if (r == 0)
        r = write_words(answer->search, &answer->way);
    (void)printf("%.*s", (int)reasons->text.size, reasons->text.size ? reasons->text.data : "");
    return r;
}

static int write_answer(
    struct verb_call *call, const struct answer *answer, const struct reasons *reasons, int code)
{
    int r = call->json ? write_json(call, answer, reasons) : write_text(call, answer, reasons);
    return r < 0 ? verb_fail(call, r, "explain") : code;
}

static int answer_unknown(struct verb_call *call, struct answer *answer, struct reasons *reasons)
{
    int r = tables_fit(call, reasons->settings, reasons->reader);
    if (r)
        return r;
    for (size_t i = 0; r == 0 && i < 2; i++)
        if (!answer->ends[i].own.known)
            r = add_unknown(reasons, &answer->ends[i]);
    if (r < 0)
        return verb_fail(call, r, "explain");
    for (size_t i = 0; i < 2; i++)
        if (!answer->ends[i].own.known)
            (void)fprintf(
                stderr, "tabiji explain: nobody is known by \"%s\"\n", call->arguments[i]);
    buf_clear(&reasons->text);
    answer->verdict = "unknown";
    return write_answer(call, answer, reasons, EXIT_NOT_FOUND);
}

static int answer_known(
    struct verb_call *call, struct search *search, struct end ends[2], struct reasons *reasons)
{
    struct answer answer = {.ends = ends, .verdict = "same_person"};
    size_t end;
    for (size_t i = 0; i < 2; i++) {
        struct kept kept = {search, &ends[i].own};
        int r = reader_node(search->reader, ends[i].node, search_keep, &kept);
        if (r < 0)
            return verb_fail(call, r, "%s", call->arguments[i]);
    }
    if (!ends[0].own.known || !ends[1].own.known)
        return answer_unknown(call, &answer, reasons);
    bool one = memcmp(ends[0].own.person, ends[1].own.person, KEY_SIZE) == 0;
    int r = search_way(search, ends[0].node, ends[1].node, one ? ends[0].own.person : NULL, &end);
    if (r == 0 && one && end == NO_NODE) /* over a set of several, or an identifier of another */
        r = search_way(search, ends[0].node, ends[1].node, NULL, &end);
    if (r == 0)
        r = search_sum_up(search, end);
    answer.one = one;
    answer.search = search;
    way_trace(search, end, &answer.way);
    if (r == 0 && !one)
        r = find_reasons(search, &answer.way, reasons);
    if (r == 0 && reasons->first && answer.way.count == 3)
        r = find_common(search, &answer.way, reasons);
    if (!one)
        answer.verdict = reasons->first ? reasons->first : answer.way.count ? "apart" : "no_path";
    if (r == 0 && !one && !reasons->first)
        r = answer.way.count ? add_apart(search, &answer.way, reasons)
                             : add_no_path(search, ends, reasons);
    if (r < 0)
        return verb_fail(call, r, "explain");
    return write_answer(call, &answer, reasons, EXIT_OK);
}

static int explain_ends(
    struct verb_call *call, struct settings *settings, struct end ends[2], struct reasons *reasons)
{
    CLEANUP(reader_close) struct reader *reader = NULL;
    struct answer blocked = {.ends = ends, .verdict = "blocked"};
    int r = tables_open(call, settings, &reader);
    if (r)
        return r;
    for (size_t i = 0; r == 0 && i < 2; i++)
        r = find_end(settings, reader, &ends[i]);
    for (size_t i = 0; r == 0 && i < 2; i++)
        if (ends[i].fate != IDENTIFIER_KEPT)
            r = add_blocked(reasons, &ends[i]);
    if (r < 0)
        return verb_fail(call, r, "explain");
    struct search search = {.reader = reader, .arena = &settings->arena};
    reasons->reader = reader;
    for (size_t i = 0; reasons->first && r >= 0 && i < 2; i++) {
        struct kept kept = {&search, &ends[i].own}; /* the other is whose it is */
        if (ends[i].fate == IDENTIFIER_KEPT)
            r = reader_node(reader, ends[i].node, search_keep, &kept);
    }
    if (r < 0)
        return verb_fail(call, r, "explain");
    if (reasons->first)
        return write_answer(call, &blocked, reasons, EXIT_NOT_FOUND);
    r = search_open(&search);
    r = r < 0 ? verb_fail(call, r, "explain") : answer_known(call, &search, ends, reasons);
    search_close(&search);
    return r;
}

static int explain(struct verb_call *call, struct settings *settings)
{
    struct end ends[2];
    struct reasons reasons = {.settings = settings};
    for (size_t i = 0; i < 2; i++) {
        int r = read_end(call, settings, call->arguments[i], &ends[i]);
        if (r)
            return r;
    }
    if (str_equal(ends[0].identifier.namespace, ends[1].identifier.namespace) &&
        str_equal(ends[0].identifier.value, ends[1].identifier.value))
        return verb_usage(call, "both are the same identifier");
    int r = explain_ends(call, settings, ends, &reasons);
    reasons_free(&reasons);
    return r;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    int r = settings_open(&settings, call->config);
    if (r < 0)
        r = verb_fail(call, r, "configuration");
    else if (strcmp(call->arguments[0], "credit") == 0)
        r = explain_credit(call, &settings);
    else
        r = explain(call, &settings);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir", false},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path", false},
    {"--model", "NAME",
        "credit: models that are solved, by kind or by name; several: again, or in commas "
        "(those of the configuration)",
        NULL, true},
    {"--order", "K", "credit: order of markov, 1 to 6 (1)", NULL, false},
};

const struct verb verb_explain = {
    .name = "explain",
    .summary = "why two identifiers are one person, or not; where a conversion's credit went",
    .arguments = "A B | credit CONVERSION",
    .detail =
        "A and B are namespace:value. Prints the links that lead from A to B, each with the "
        "first and last event\n"
        "that shows both and how many do; where the two are not one person, what keeps them "
        "apart: generic\n"
        "(with how many of which namespace it was seen with, and the limit), shared, a "
        "rejected claim, an operator's\n"
        "unlink, an identifier that joins nobody since it was seen with several of one kind, or no "
        "link at all. What an operator, or a client's alias, said of two is told with its reason, "
        "time "
        "and event.\n"
        "\"key rotation\" links two pseudonyms of one value; events together are counted under all "
        "pseudonyms. Exit 4 when\n"
        "nobody is known by one of them, or one is blocked. --json: {\"same_person\", "
        "\"verdict\", \"a\", \"b\", \"chain\",\n"
        "\"reasons\"}; the verdict is same_person, unlinked, generic, shared, rejected, apart "
        "(reasons: bridge), no_path,\n"
        "blocked or unknown.\n"
        "credit: the touches before a conversion (or refund), named by its conversion, order "
        "or event id, with "
        "what each\n"
        "rule model gives each of them, and models that are solved over all journeys as they "
        "stand; and the sums.",
    .examples = "  tabiji explain --data shop cookie:c-1 email:hana@example.jp\n"
                "  tabiji explain --data shop credit W0000742-2",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};
