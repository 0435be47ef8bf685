/* Values as they are compared. Invariant: what leaves here passes through again unchanged. */
#include "ingest/normalise/identifier.h"

#include <stdlib.h>

#include <utf8proc.h>

#include "ingest/normalise/phone.h"
#include "schemas/error.h"

#define PSEUDONYM_HEX_SIZE 32
#define PAIRS_MAX (EVENT_IDENTIFIERS_MAX + 2) /* and those of the evidence */
#define DROPS_MAX (EVENT_IDENTIFIERS_MAX + 2) /* and the event's order and call */
#define VALUE_SIZE_GROWTH 3 /* NFKC of a value that is kept may have been this much longer */

/* Source: IDENTITY, rule 1. Lower case, without quotes. */
#define BLOCKED_WORD_SIZE_MAX 15
static const struct str blocked_words[] = {STR_INIT(""), STR_INIT("null"), STR_INIT("(null)"),
    STR_INIT("undefined"), STR_INIT("nan"), STR_INIT("none"), STR_INIT("nil"), STR_INIT("0"),
    STR_INIT("-1"), STR_INIT("anonymous"), STR_INIT("guest"), STR_INIT("true"), STR_INIT("false"),
    STR_INIT("[object object]"), STR_INIT("unknown"), STR_INIT("n/a"), STR_INIT("withheld"),
    STR_INIT("restricted"), STR_INIT("unavailable"), STR_INIT("非通知"), STR_INIT("公衆電話"),
    STR_INIT("表示圏外"), STR_INIT("通知不可能")};

/* U+2010..2015, U+2212 MINUS SIGN, U+30FC PROLONGED SOUND MARK, U+301C WAVE DASH: each three bytes.
 */
static const char *const dashes[] = {
    "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2015", "\u2212", "\u30fc", "\u301c"};
#define DASH_SIZE 3

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool is_ascii(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return false;
    return true;
}

/* Takes white space and control characters off both ends (NFKC has made all spaces U+0020). */
static struct str trim(struct str text)
{
    while (text.size && (unsigned char)text.data[0] <= ' ') {
        text.data++;
        text.size--;
    }
    while (text.size && (unsigned char)text.data[text.size - 1] <= ' ')
        text.size--;
    return text;
}

static bool is_dash(const char *at)
{
    for (size_t i = 0; i < sizeof dashes / sizeof *dashes; i++)
        if (memcmp(at, dashes[i], DASH_SIZE) == 0)
            return true;
    return false;
}

/* Makes each dash between digits a '-', in place; returns the new size. */
static size_t fold_dashes(char *text, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < size;) {
        bool between = out > 0 && is_digit(text[out - 1]) && size - i > DASH_SIZE &&
                       is_digit(text[i + DASH_SIZE]) && is_dash(text + i);
        text[out++] = between ? '-' : text[i];
        i += between ? DASH_SIZE : 1;
    }
    return out;
}

/* A sound mark that stands by itself (゛ ゜) is that of the kana before it: NFKC alone would put a
 * blank between. */
static utf8proc_int32_t join_mark(utf8proc_int32_t point, void *context)
{
    (void)context;
    return point == 0x309b ? 0x3099 : point == 0x309c ? 0x309a : point;
}

/* NFKC, sound marks, dashes, trim. Errors: ERR_UTF8, ERR_NO_MEMORY. */
static int normalise_text(struct str text, struct arena *arena, struct str *out)
{
    if (is_ascii(text)) {
        *out = trim(text);
        return 0;
    }
    utf8proc_uint8_t *mapped = NULL;
    utf8proc_ssize_t size =
        utf8proc_map_custom((const utf8proc_uint8_t *)text.data, (utf8proc_ssize_t)text.size,
            &mapped, UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, join_mark, NULL);
    if (size < 0)
        return size == UTF8PROC_ERROR_NOMEM ? ERR_NO_MEMORY : ERR_UTF8;
    size_t folded = fold_dashes((char *)mapped, (size_t)size);
    int r = arena_dup(arena, trim(str_make(mapped, folded)), out);
    free(mapped);
    return r;
}

/* Lower case of every code point that has one of its own. Text: UTF-8. */
static int lower_text(struct str text, struct arena *arena, struct str *out)
{
    char *lower = arena_alloc(arena, text.size * 4 + 4);
    if (!lower)
        return ERR_NO_MEMORY;
    size_t size = 0;
    for (size_t i = 0; i < text.size;) {
        utf8proc_int32_t point = 0;
        utf8proc_ssize_t step = utf8proc_iterate(
            (const utf8proc_uint8_t *)text.data + i, (utf8proc_ssize_t)(text.size - i), &point);
        if (step <= 0)
            return ERR_UTF8;
        size +=
            (size_t)utf8proc_encode_char(utf8proc_tolower(point), (utf8proc_uint8_t *)lower + size);
        i += (size_t)step;
    }
    *out = str_make(lower, size);
    return 0;
}

/* One character before the @, one after, one @ at most outside quotes: no clever rules beyond. */
static bool is_email(struct str text)
{
    const char *at = text.size ? memrchr(text.data, '@', text.size) : NULL;
    if (!at || at == text.data || at == text.data + text.size - 1)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] <= ' ')
            return false;
    return true;
}

static bool is_key_id(struct str text)
{
    if (text.size < 2 || text.size > IDENTIFIER_KEY_ID_SIZE_MAX || text.data[0] != 'k')
        return false;
    for (size_t i = 1; i < text.size; i++)
        if (!is_digit(text.data[i]))
            return false;
    return true;
}

/* A pseudonym of any key: k1:<32 hex digits>. */
static bool is_pseudonym(struct str text)
{
    const char *colon = text.size ? memchr(text.data, ':', text.size) : NULL;
    if (!colon || !is_key_id(str_make(text.data, (size_t)(colon - text.data))))
        return false;
    size_t begin = (size_t)(colon - text.data) + 1;
    if (text.size - begin != PSEUDONYM_HEX_SIZE)
        return false;
    for (size_t i = begin; i < text.size; i++)
        if (!is_digit(text.data[i]) && !(text.data[i] >= 'a' && text.data[i] <= 'f'))
            return false;
    return true;
}

/* key NULL: a pseudonym of no key. */
static int make_pseudonym(
    struct str key_id, const struct hmac_key *key, struct arena *arena, struct str *value)
{
    union {
        uint8_t bytes[SHA256_SIZE];
        uint64_t words[2];
    } digest;
    if (key)
        hmac_sha256_with(key, *value, digest.bytes);
    else
        hash128(*value, digest.words);
    size_t size = key_id.size + 1 + PSEUDONYM_HEX_SIZE;
    char *text = arena_alloc(arena, size);
    if (!text)
        return ERR_NO_MEMORY;
    memcpy(text, key_id.data, key_id.size);
    text[key_id.size] = ':';
    hex_encode(digest.bytes, PSEUDONYM_HEX_SIZE / 2, text + key_id.size + 1);
    *value = str_make(text, size);
    return 0;
}

/* How values of one event are normalised. */
struct work {
    const struct identifier_config *config;
    struct arena *arena;
    struct identifier_report *report;
};

/* Remembers what both keys make of a value; once, however often the event names it. */
static int add_pair(const struct work *work, const struct identifier_pair *pair)
{
    struct identifier_report *report = work->report;
    if (!report->pairs)
        report->pairs = arena_alloc(work->arena, PAIRS_MAX * sizeof *report->pairs);
    if (!report->pairs)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < report->pairs_count; i++)
        if (str_equal(report->pairs[i].old, pair->old) &&
            str_equal(report->pairs[i].namespace, pair->namespace))
            return 0;
    check(report->pairs_count < PAIRS_MAX);
    report->pairs[report->pairs_count++] = *pair;
    return 0;
}

/* The pseudonym of the key in use; while another is to follow, its pseudonym is remembered. */
static int pseudonymise(const struct work *work, bool email, struct str *value)
{
    const struct identifier_config *config = work->config;
    const struct identifier_next *next = &config->next;
    const struct hmac_key *key = email ? &config->email_key : &config->phone_key;
    struct identifier_pair pair = {email ? STR("email") : STR("phone"), *value, *value};
    int r = make_pseudonym(config->key_id, config->keyless ? NULL : key, work->arena, &pair.old);
    if (r == 0 && next->live)
        r = make_pseudonym(
            next->key_id, email ? &next->email_key : &next->phone_key, work->arena, &pair.new);
    if (r == 0 && next->live)
        r = add_pair(work, &pair);
    if (r == 0)
        *value = pair.old;
    return r;
}

/* Opening and closing marks; NFKC has made the wide ones of ASCII narrow. */
static const struct str quotes[][2] = {{STR_INIT("\""), STR_INIT("\"")},
    {STR_INIT("'"), STR_INIT("'")}, {STR_INIT("`"), STR_INIT("`")}, {STR_INIT("“"), STR_INIT("”")},
    {STR_INIT("”"), STR_INIT("”")}, {STR_INIT("‘"), STR_INIT("’")}, {STR_INIT("’"), STR_INIT("’")},
    {STR_INIT("「"), STR_INIT("」")}, {STR_INIT("『"), STR_INIT("』")}};

/* Whether a text may begin with one of the quotes: most do not, and are told by one byte. */
static bool may_be_quoted(struct str text)
{
    return text.size > 1 && (text.data[0] == '"' || text.data[0] == '\'' || text.data[0] == '`' ||
                                (unsigned char)text.data[0] >= 0x80);
}

/* Takes one pair of quotes off; false when there is none. */
static bool unquote_once(struct str *text)
{
    if (!may_be_quoted(*text))
        return false;
    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++) {
        struct str open = quotes[i][0], close = quotes[i][1];
        if (text->size < open.size + close.size || !str_starts_with(*text, open) ||
            memcmp(text->data + text->size - close.size, close.data, close.size) != 0)
            continue;
        *text = trim(str_make(text->data + open.size, text->size - open.size - close.size));
        return true;
    }
    return false;
}

/* "value", 'value', “value”, `value` without their quotes. */
static struct str unquote(struct str text)
{
    while (unquote_once(&text))
        ;
    return text;
}

/* Both of one size. */
static bool equals_lower(struct str text, struct str lower)
{
    for (size_t i = 0; i < text.size; i++)
        if (to_lower(text.data[i]) != lower.data[i])
            return false;
    return true;
}

/* 00000000-0000-0000-0000-000000000000, also without dashes or in braces. */
static bool is_zero_uuid(struct str text)
{
    size_t zeros = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '0')
            zeros++;
        else if (text.data[i] != '-' && text.data[i] != '{' && text.data[i] != '}')
            return false;
    }
    return zeros == 32;
}

bool identifier_blocked(const struct identifier_config *config, struct str value)
{
    for (size_t i = 0; i < config->blocked_count; i++)
        if (str_equal(value, config->blocked[i]))
            return true;
    struct str word = unquote(value);
    if (word.size > BLOCKED_WORD_SIZE_MAX)
        return is_zero_uuid(word);
    for (size_t i = 0; i < sizeof blocked_words / sizeof *blocked_words; i++)
        if (word.size == blocked_words[i].size && equals_lower(word, blocked_words[i]))
            return true;
    return false;
}

/* As an e-mail's value is compared. */
static int block_email(struct str text, struct arena *arena, struct str *forms, size_t *forms_count)
{
    struct str lower;
    int r = is_email(text) ? lower_text(text, arena, &lower) : 0;
    if (r < 0 || !is_email(text) || str_equal(lower, text))
        return r;
    forms[(*forms_count)++] = lower;
    return 0;
}

/* As a phone's is. */
static int block_phone(struct str text, struct arena *arena, struct str *forms, size_t *forms_count)
{
    char number[PHONE_SIZE_MAX];
    size_t number_size = 0;
    int r = phone_normalise(text, number, &number_size);
    if (r != 0)
        return r < 0 ? r : 0;
    r = arena_dup(arena, str_make(number, number_size), &forms[*forms_count]);
    *forms_count += r == 0;
    return r;
}

int identifier_block(struct str value, struct arena *arena, struct str *forms, size_t *forms_count)
{
    struct str text;
    int r = normalise_text(value, arena, &text);
    if (r == 0)
        r = arena_dup(arena, text, &text); /* it may still be a piece of value */
    if (r < 0)
        return r;
    forms[0] = text;
    *forms_count = 1;
    r = block_email(text, arena, forms, forms_count);
    return r < 0 ? r : block_phone(text, arena, forms, forms_count);
}

/* Returns an enum identifier_fate; *value becomes the pseudonym when it is kept. */
static int normalise_email(const struct work *work, struct str *value)
{
    int r = lower_text(*value, work->arena, value);
    if (r < 0)
        return r;
    if (identifier_blocked(work->config, *value))
        return IDENTIFIER_BLOCKED;
    if (!is_email(*value))
        return IDENTIFIER_MALFORMED;
    return pseudonymise(work, true, value);
}

/* As normalise_email(). */
static int normalise_phone(const struct work *work, struct str *value)
{
    char number[PHONE_SIZE_MAX];
    size_t size = 0;
    int r = phone_normalise(*value, number, &size);
    if (r < 0)
        return r;
    if (r == PHONE_SHARED)
        return IDENTIFIER_SHARED;
    if (r == PHONE_MALFORMED)
        return identifier_blocked(work->config, *value) ? IDENTIFIER_BLOCKED : IDENTIFIER_MALFORMED;
    *value = str_make(number, size);
    if (identifier_blocked(work->config, *value))
        return IDENTIFIER_BLOCKED;
    return pseudonymise(work, false, value);
}

/* Normalises one value. Returns an enum identifier_fate or an ERR_*. */
static int normalise_value(const struct work *work, struct str name, struct str *value)
{
    if (namespace_rank(work->config->namespaces, name) < 0)
        return ERR_NAMESPACE;
    if (value->size > IDENTIFIER_VALUE_SIZE_MAX * VALUE_SIZE_GROWTH)
        return ERR_VALUE;
    struct str text;
    int r = normalise_text(*value, work->arena, &text);
    if (r < 0)
        return r;
    if (text.size > IDENTIFIER_VALUE_SIZE_MAX)
        return ERR_VALUE;
    bool email = str_equal(name, STR("email"));
    bool phone = str_equal(name, STR("phone"));
    *value = text;
    if ((email || phone) && !is_pseudonym(text))
        return email ? normalise_email(work, value) : normalise_phone(work, value);
    return identifier_blocked(work->config, text) ? IDENTIFIER_BLOCKED : IDENTIFIER_KEPT;
}

/* The identifiers that are kept, as they grow. */
struct kept {
    struct identifier *list;
    size_t count;
    size_t count_max;
};

static bool is_kept(const struct kept *kept, struct str name, struct str value)
{
    for (size_t i = 0; i < kept->count; i++)
        if (str_equal(kept->list[i].value, value) && str_equal(kept->list[i].namespace, name))
            return true;
    return false;
}

static int add_drop(const struct work *work, struct str namespace, enum identifier_fate why)
{
    struct identifier_report *report = work->report;
    if (!report->drops)
        report->drops = arena_alloc(work->arena, DROPS_MAX * sizeof *report->drops);
    if (!report->drops)
        return ERR_NO_MEMORY;
    if (report->dropped_count == 0) {
        report->dropped_namespace = namespace;
        report->dropped_why = why;
    }
    check(report->dropped_count < DROPS_MAX);
    report->drops[report->dropped_count++] = (struct identifier_drop){namespace, why};
    return 0;
}

static int keep(const struct work *work, const struct identifier *sent, struct kept *kept)
{
    struct identifier one = *sent;
    int fate = normalise_value(work, one.namespace, &one.value);
    if (fate < 0)
        return fate;
    if (fate != IDENTIFIER_KEPT)
        return add_drop(work, one.namespace, (enum identifier_fate)fate);
    if (is_kept(kept, one.namespace, one.value))
        return 0;
    if (kept->count == kept->count_max)
        return ERR_TOO_MANY;
    kept->list[kept->count++] = one;
    return 0;
}

/* What the event's own parts say: its order and its call. */
static int keep_parts(const struct work *work, const struct touchpoint *event, struct kept *kept)
{
    struct identifier parts[2];
    size_t count = 0;
    if (event->has_order && event->order.order_id.size)
        parts[count++] = (struct identifier){.namespace = STR("order"), event->order.order_id};
    if (event->has_call && event->call.call_id.size)
        parts[count++] = (struct identifier){.namespace = STR("case"), event->call.call_id};
    for (size_t i = 0; i < count; i++) {
        if (namespace_rank(work->config->namespaces, parts[i].namespace) < 0)
            continue; /* the operator's table has no such namespace */
        int r = keep(work, &parts[i], kept);
        if (r < 0)
            return r;
    }
    return 0;
}

static int normalise_evidence(const struct work *work, struct evidence *evidence)
{
    struct str a = evidence->a_value;
    struct str b = evidence->b_value;
    int r = normalise_value(work, evidence->a_namespace, &a);
    if (r == 0)
        r = normalise_value(work, evidence->b_namespace, &b);
    if (r != 0)
        return r < 0 ? r : ERR_VALUE;
    if (str_equal(a, b) && str_equal(evidence->a_namespace, evidence->b_namespace))
        return ERR_VALUE;
    evidence->a_value = a;
    evidence->b_value = b;
    return 0;
}

int identifier_normalise(const struct identifier_config *config, struct arena *arena,
    struct touchpoint *event, struct identifier_report *report)
{
    const struct work work = {config, arena, report};
    *report = (struct identifier_report){0};
    if (event->identifiers_count > EVENT_IDENTIFIERS_MAX)
        return ERR_TOO_MANY;
    struct kept kept = {.count_max = event->identifiers_count + 2};
    if (kept.count_max > EVENT_IDENTIFIERS_MAX)
        kept.count_max = EVENT_IDENTIFIERS_MAX;
    kept.list = arena_alloc(arena, kept.count_max * sizeof *kept.list);
    if (!kept.list)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < event->identifiers_count; i++) {
        report->failed_index = i;
        int r = keep(&work, &event->identifiers[i], &kept);
        if (r < 0)
            return r;
    }
    report->failed_index = event->identifiers_count;
    int r = keep_parts(&work, event, &kept);
    if (r == 0 && event->has_evidence)
        r = normalise_evidence(&work, &event->evidence);
    if (r < 0)
        return r;
    if (kept.count == 0)
        return ERR_NO_IDENTIFIER;
    event->identifiers = kept.list;
    event->identifiers_count = kept.count;
    return 0;
}

void identifier_config_default(struct identifier_config *config)
{
    *config = (struct identifier_config){.namespaces = namespace_table_default()};
    check(identifier_config_key(config, (const uint8_t *)IDENTIFIER_PUBLIC_KEY, STR("k1")) == 0);
}

/* The keys of both fields. */
static void derive(
    const uint8_t tenant_key[32], struct hmac_key *email_key, struct hmac_key *phone_key)
{
    struct hmac_key tenant;
    uint8_t derived[SHA256_SIZE];
    hmac_key_init(&tenant, str_make(tenant_key, 32));
    hmac_sha256_with(&tenant, STR("email"), derived);
    hmac_key_init(email_key, str_make(derived, sizeof derived));
    hmac_sha256_with(&tenant, STR("phone"), derived);
    hmac_key_init(phone_key, str_make(derived, sizeof derived));
}

int identifier_config_key(
    struct identifier_config *config, const uint8_t tenant_key[32], struct str key_id)
{
    if (!is_key_id(key_id))
        return ERR_VALUE;
    derive(tenant_key, &config->email_key, &config->phone_key);
    config->key_id = key_id;
    return 0;
}

int identifier_config_next(struct identifier_config *config, const uint8_t tenant_key[32],
    struct str key_id, int64_t since)
{
    if (!is_key_id(key_id))
        return ERR_VALUE;
    derive(tenant_key, &config->next.email_key, &config->next.phone_key);
    config->next.key_id = key_id;
    config->next.since = since;
    config->next.live = true;
    return 0;
}

void identifier_config_follow(struct identifier_config *config)
{
    check(config->next.live);
    config->key_id = config->next.key_id;
    config->email_key = config->next.email_key;
    config->phone_key = config->next.phone_key;
    config->next.live = false;
}

int32_t identifier_key_number(struct str namespace, struct str value)
{
    int32_t number = 0;
    bool has_pseudonyms = str_equal(namespace, STR("email")) || str_equal(namespace, STR("phone"));
    if (!has_pseudonyms || !is_pseudonym(value))
        return 0;
    for (size_t i = 1; value.data[i] != ':'; i++)
        number = number * 10 + (value.data[i] - '0');
    return number;
}
