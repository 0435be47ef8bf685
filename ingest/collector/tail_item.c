/* JSON of one line; the command within it is quoted for a shell first, then for JSON. */
#include "ingest/collector/tail_item.h"

#include <stdio.h>

#include "ingest/collector/protocol/hook.h"
#include "ingest/collector/raw_json.h"
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/time.h"

#define KEY_SIZE_MIN 4 /* shorter ones would be found everywhere */
#define KEY_WORD "'\"$WRITE_KEY\"'"
#define HEADER_SHOWN_MAX 1024

/* ---- members ---- */

/* Appends ,"name":"text" where there is one. */
static int add_text(struct buf *out, const char *name, struct str text)
{
    if (text.size == 0 || !json_utf8_valid(text))
        return 0;
    int r = buf_appendf(out, ",\"%s\":", name);
    return r == 0 ? json_write_text(out, text) : r;
}

/* The same of a member's JSON. */
static int add_raw(struct buf *out, const char *name, struct str json)
{
    if (json.size == 0)
        return 0;
    int r = buf_appendf(out, ",\"%s\":", name);
    return r == 0 ? buf_append_str(out, json) : r;
}

/* A member of an object, if it is text without escapes. */
static struct str plain_member(struct str object, struct str key)
{
    struct str json = raw_member(object, key);
    if (json.size < 3 || json.data[0] != '"' || memchr(json.data, '\\', json.size))
        return STR("");
    struct str text = str_make(json.data + 1, json.size - 2);
    return json_utf8_valid(text) ? text : STR("");
}

static int begin_item(struct buf *out, int64_t at)
{
    char time[TIME_TEXT_SIZE_MAX];
    (void)time_format(at, time);
    return buf_appendf(out, "event: event\ndata: {\"at\":\"%s\"", time);
}

static int add_identifiers(struct buf *out, const struct tail_facts *facts)
{
    int r = buf_append_str(out, STR(",\"identifiers\":["));
    for (size_t i = 0; r == 0 && i < facts->identifiers_count; i++) {
        r = buf_append_str(out, i ? STR(",{\"namespace\":") : STR("{\"namespace\":"));
        if (r == 0)
            r = json_write_text(out, facts->identifiers[i].namespace);
        if (r == 0)
            r = buf_append_str(out, STR(",\"value\":"));
        if (r == 0)
            r = json_write_text(out, facts->identifiers[i].value);
        if (r == 0)
            r = buf_append_str(out, STR("}"));
    }
    return r == 0 ? buf_append_str(out, STR("]")) : r;
}

/* ---- the command ---- */

struct command {
    const struct exchange *exchange;
    struct str key; /* what stands for $WRITE_KEY; empty: not known */
    bool has_key;   /* the request had one */
    bool is_hook;   /* a webhook, whose elements do not stand for themselves */
    struct buf *out;
};

/* Appends what stands between two single quotes of a shell. */
static int quote(struct command *command, struct str text)
{
    struct str key = command->key;
    int r = 0;
    for (size_t i = 0; r == 0 && i < text.size;) {
        char c = text.data[i];
        bool is_key =
            key.size && text.size - i >= key.size && memcmp(text.data + i, key.data, key.size) == 0;
        if (is_key)
            r = buf_append_str(command->out, STR(KEY_WORD));
        else if (c == '\'')
            r = buf_append_str(command->out, STR("'\\''"));
        else
            r = buf_append(command->out, (unsigned char)c < ' ' || c == '\x7f' ? " " : &c, 1);
        i += is_key ? key.size : 1;
    }
    return r;
}

static int add_option(struct command *command, const char *option, struct str text)
{
    int r = buf_append_str(command->out, str_of(option));
    if (r == 0)
        r = quote(command, text);
    return r == 0 ? buf_append_str(command->out, STR("'")) : r;
}

static int add_header(struct command *command, const char *name)
{
    struct str text = exchange_header(command->exchange, name);
    char option[64];
    if (text.size == 0 || text.size > HEADER_SHOWN_MAX)
        return 0;
    (void)snprintf(option, sizeof option, " -H '%s: ", name);
    return add_option(command, option, text);
}

/* The address behind the server's name, with parameters that are keys replaced. Returns 1 when it
 * had one, 0, or an error. */
static int add_target(struct command *command, bool query)
{
    struct str rest = command->exchange->target;
    bool has_key = false;
    int r = 0;
    while (r == 0 && rest.size) {
        size_t size = 1;
        while (size < rest.size && rest.data[size] != '?' && rest.data[size] != '&')
            size++;
        struct str part = str_make(rest.data, size);
        struct str name = str_make(part.data + 1, part.size - 1);
        bool is_key =
            str_starts_with(name, STR("writeKey=")) || str_starts_with(name, STR("api_secret="));
        if (!query && part.data[0] == '?')
            break;
        if (is_key) {
            size_t name_size = (size_t)((const char *)memchr(part.data, '=', size) - part.data) + 1;
            r = quote(command, str_make(part.data, name_size));
            if (r == 0)
                r = buf_append_str(command->out, STR(KEY_WORD));
        } else {
            r = quote(command, part);
        }
        has_key = has_key || is_key;
        rest = str_make(rest.data + size, rest.size - size);
    }
    return r < 0 ? r : has_key;
}

/* What Shopify says in headers. */
static int add_hook_headers(struct command *command)
{
    static const char *const names[] = {
        "X-Shopify-Topic", "X-Shopify-Event-Id", "X-Shopify-Webhook-Id", "X-Shopify-Triggered-At"};
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof names / sizeof *names; i++)
        r = add_header(command, names[i]);
    return r;
}

/* A body: one event where it stands for itself, else the request's. */
static int add_body(struct command *command, struct str payload, bool batch)
{
    struct str type = exchange_header(command->exchange, "Content-Type");
    int r = payload.size || type.size == 0 || type.size > HEADER_SHOWN_MAX
                ? buf_append_str(command->out, STR(" -H 'Content-Type: application/json'"))
                : add_header(command, "Content-Type");
    if (r == 0)
        r = buf_append_str(command->out, STR(" --data-binary '"));
    if (r == 0 && batch)
        r = buf_append_str(command->out, STR("{\"batch\":["));
    if (r == 0)
        r = quote(command, payload.size ? payload : command->exchange->body);
    return r == 0 ? buf_append_str(command->out, batch ? STR("]}'") : STR("'")) : r;
}

/* Of what is no webhook. */
static int write_plain(struct command *command, struct str payload)
{
    const struct exchange *exchange = command->exchange;
    bool batch = payload.size && str_equal(exchange->call, STR("batch"));
    int r = buf_append_str(command->out, STR("curl -sS '" TAIL_BASE_MARK));
    int has_key = r < 0 ? r : add_target(command, payload.size == 0 || !batch);
    r = has_key < 0 ? has_key : buf_append_str(command->out, STR("'"));
    if (r == 0 && !has_key && (exchange->header_key.size || (payload.size && command->has_key)))
        r = buf_append_str(command->out, STR(" -u \"$WRITE_KEY:\""));
    if (r == 0 && exchange->browser)
        r = add_header(command, "Origin");
    if (r == 0 && exchange->browser)
        r = add_header(command, "User-Agent");
    if (r == 0 && payload.size == 0)
        r = add_header(command, "Cookie");
    if (r == 0 && command->is_hook)
        r = add_hook_headers(command);
    return r == 0 && !exchange->get ? add_body(command, payload, batch) : r;
}

/* ---- the command of a webhook, which its secret signs ---- */

#define BY_SECRET(digest)                                                                          \
    " | openssl dgst -" digest " -hmac \"$(cat \"$SECRET_FILE\")\" -binary | openssl base64)\""

static bool has_controls(struct str text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == '\x7f')
            return true;
    return false;
}

/* Appends what stands between two single quotes behind printf %b, byte for byte. */
static int quote_exactly(struct command *command, struct str text)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < text.size; i++) {
        char c = text.data[i];
        if (c == '\'')
            r = buf_append_str(command->out, STR("'\\''"));
        else if (c == '\\')
            r = buf_append_str(command->out, STR("\\\\"));
        else if ((unsigned char)c < ' ' || c == '\x7f')
            r = buf_appendf(command->out, "\\0%03o", (unsigned)c);
        else
            r = buf_append(command->out, &c, 1);
    }
    return r;
}

/* The body, which is signed and sent, stands once. */
static int name_body(struct command *command)
{
    struct str body = command->exchange->body;
    bool exact = has_controls(body);
    int r = buf_append_str(command->out, exact ? STR("body=\"$(printf %b '") : STR("body='"));
    if (r == 0)
        r = exact ? quote_exactly(command, body) : quote(command, body);
    return r == 0 ? buf_append_str(command->out, exact ? STR("')\"; ") : STR("'; ")) : r;
}

/* The address as the collector will know it: the one that its source says, or the viewer's own. */
static int add_signed_address(struct command *command)
{
    CLEANUP(buf_free) struct buf pairs = {0};
    const struct exchange *exchange = command->exchange;
    struct str public_url = exchange->source->config.public_url;
    int r = hook_proof_pairs(exchange, &pairs);
    if (r == 0)
        r = buf_append_str(command->out, STR("printf %b '"));
    if (r == 0)
        r = public_url.size ? quote_exactly(command, public_url)
                            : buf_append_str(command->out, STR(TAIL_BASE_MARK));
    if (r == 0)
        r = quote_exactly(command, exchange->target);
    if (r == 0)
        r = quote_exactly(command, buf_str(&pairs));
    return r == 0 ? buf_append_str(command->out, STR("'")) : r;
}

static int add_proof(struct command *command, enum hook_proof proof, struct str header)
{
    int r = buf_appendf(command->out, " -H \"%.*s: $(", (int)header.size, header.data);
    if (r == 0 && proof == HOOK_PROOF_SECRET)
        r = buf_append_str(command->out, STR("cat \"$SECRET_FILE\")\""));
    else if (r == 0 && proof == HOOK_PROOF_BODY)
        r = buf_append_str(command->out, STR("printf %s \"$body\"" BY_SECRET("sha256")));
    else if (r == 0)
        r = add_signed_address(command);
    if (r == 0 && proof == HOOK_PROOF_FORM)
        r = buf_append_str(command->out, STR(BY_SECRET("sha1")));
    return r;
}

/* All that its request held. */
static int write_signed(struct command *command, enum hook_proof proof, struct str header)
{
    int r = name_body(command);
    if (r == 0)
        r = buf_append_str(command->out, STR("curl -sS '" TAIL_BASE_MARK));
    if (r == 0)
        r = quote(command, command->exchange->target);
    if (r == 0)
        r = buf_append_str(command->out, STR("'"));
    if (r == 0)
        r = add_proof(command, proof, header);
    if (r == 0)
        r = add_hook_headers(command);
    if (r == 0)
        r = add_header(command, "Content-Type");
    return r == 0 ? buf_append_str(command->out, STR(" --data-binary \"$body\"")) : r;
}

/* JSON of a text, the marks in which stay what they are. */
static int add_marked(struct str text, struct buf *out)
{
    int r = 0;
    for (struct str rest = text; r == 0 && rest.size;) {
        CLEANUP(buf_free) struct buf json = {0};
        const char *mark = memchr(rest.data, TAIL_BASE_MARK[0], rest.size);
        size_t size = mark ? (size_t)(mark - rest.data) : rest.size;
        r = json_write_text(&json, str_make(rest.data, size));
        if (r == 0)
            r = buf_append(out, json.data + 1, json.size - 2);
        if (r == 0 && mark)
            r = buf_append_str(out, STR(TAIL_BASE_MARK));
        size += mark != NULL;
        rest = str_make(rest.data + size, rest.size - size);
    }
    return r;
}

/* Appends ,"curl":... unless the request is not known whole, or no text. */
static int add_curl(const struct exchange *exchange, struct str payload, struct buf *out)
{
    CLEANUP(buf_free) struct buf text = {.size_max = TAIL_CURL_SIZE_MAX};
    struct str key = exchange->header_key;
    struct str header = STR("");
    struct command command = {.exchange = exchange, .out = &text};
    if (exchange->target.size == 0 || (exchange->body.size == 0 && !exchange->get))
        return 0;
    if (key.size == 0)
        key = plain_member(exchange->body, STR("writeKey"));
    command.has_key = key.size != 0;
    if (key.size >= KEY_SIZE_MIN)
        command.key = key;
    enum hook_proof proof = hook_proof(exchange, &header);
    command.is_hook = str_starts_with(exchange->target, STR("/hooks/"));
    int r = proof == HOOK_PROOF_NONE ? write_plain(&command, command.is_hook ? STR("") : payload)
                                     : write_signed(&command, proof, header);
    if (r < 0 && r != ERR_NO_MEMORY)
        return 0;
    if (r < 0 || !json_utf8_valid(buf_str(&text)))
        return r;
    r = buf_append_str(out, STR(",\"curl\":\""));
    if (r == 0)
        r = add_marked(buf_str(&text), out);
    return r == 0 ? buf_append_str(out, STR("\"")) : r;
}

/* ---- events ---- */

static struct str protocol_of(const struct exchange *exchange, const struct note *note)
{
    return note->protocol == PROTOCOL_UNKNOWN ? exchange->intake.stage
                                              : str_of(protocol_name(note->protocol));
}

void tail_item_facts(const struct exchange *exchange, const struct note *note, bool log_failed,
    struct tail_facts *out)
{
    static const char *const fates[] = {
        [NOTE_ACCEPTED] = "accepted",
        [NOTE_DUPLICATE] = "duplicate",
        [NOTE_NO_CONSENT] = "no_consent",
        [NOTE_IGNORED] = "ignored",
        [NOTE_REJECTED] = "rejected",
    };
    bool lost = log_failed && (note->fate == NOTE_ACCEPTED || note->fate == NOTE_REJECTED);
    *out = (struct tail_facts){.source = exchange->source->config.name,
        .type = note->type,
        .fate = lost ? STR("failed") : str_of(fates[note->fate]),
        .identifiers = note->identifiers,
        .identifiers_count = note->identifiers_count};
    if (out->type.size == 0) /* it could not be read: as it says itself */
        out->type = plain_member(note->payload, STR("event"));
    if (out->type.size == 0)
        out->type = plain_member(note->payload, STR("type"));
}

/* What the door said, then what the log did. */
static int add_stages(const struct note *note, const struct tail_facts *facts, struct buf *out)
{
    bool failed = str_equal(facts->fate, STR("failed"));
    bool appended = note->fate == NOTE_ACCEPTED || note->fate == NOTE_REJECTED;
    struct str fate = note->fate == NOTE_REJECTED ? STR("rejected")
                      : failed                    ? STR("accepted")
                                                  : facts->fate;
    int r = buf_appendf(
        out, ",\"stages\":[{\"stage\":\"collector\",\"fate\":\"%.*s\"}", (int)fate.size, fate.data);
    if (r == 0 && appended)
        r = buf_appendf(out, ",{\"stage\":\"log\",\"fate\":\"%s\"}", failed ? "failed" : "durable");
    return r == 0 ? buf_append_str(out, STR("]")) : r;
}

static int add_problem(const struct event_problem *problem, struct buf *out)
{
    int r = add_text(out, "reason", str_of(error_name(problem->error)));
    if (r == 0)
        r = add_text(out, "message", str_of(error_text(problem->error)));
    if (r == 0)
        r = add_text(out, "pointer", problem->pointer);
    return r == 0 ? add_text(out, "hint", problem->hint) : r;
}

static int add_ignored(struct buf *out)
{
    int r = add_text(out, "reason", STR("ignored"));
    return r < 0 ? r
                 : add_text(out, "message",
                       STR("no \"when\" of its source's mapping holds: nothing is kept of it"));
}

int tail_item_write(const struct exchange *exchange, const struct note *note,
    const struct tail_facts *facts, struct buf *out)
{
    int r = begin_item(out, exchange->intake.now_micros);
    if (r == 0)
        r = add_text(out, "source", facts->source);
    if (r == 0)
        r = add_text(out, "protocol", protocol_of(exchange, note));
    if (r == 0)
        r = add_text(out, "type", facts->type);
    if (r == 0)
        r = add_text(out, "event_id", note->event_id);
    if (r == 0 && note->fate == NOTE_ACCEPTED) {
        char key[2 * KEY_SIZE];
        hex_encode(note->event_key, KEY_SIZE, key);
        r = add_text(out, "event_key", str_make(key, sizeof key));
    }
    if (r == 0)
        r = add_identifiers(out, facts);
    if (r == 0)
        r = add_text(out, "fate", facts->fate);
    if (r == 0)
        r = add_stages(note, facts, out);
    if (r == 0 && note->fate == NOTE_REJECTED)
        r = add_problem(&note->problem, out);
    if (r == 0 && note->fate == NOTE_IGNORED)
        r = add_ignored(out);
    if (r == 0)
        r = buf_appendf(out, ",\"index\":%zu", note->index);
    if (r == 0 && note->fate != NOTE_NO_CONSENT)
        r = add_curl(exchange, note->payload, out);
    return r == 0 ? buf_append_str(out, STR("}")) : r;
}

/* ---- requests ---- */

void tail_item_refused_facts(const struct exchange *exchange, struct tail_facts *out)
{
    *out = (struct tail_facts){
        .source = exchange->source ? exchange->source->config.name : STR(""),
        .type = STR(""),
        .fate = STR("refused"),
    };
}

int tail_item_refused(
    const struct exchange *exchange, const char *protocol, int64_t now_micros, struct buf *out)
{
    struct str reply = exchange->media_type ? STR("") : buf_str(&exchange->reply);
    struct tail_facts facts;
    tail_item_refused_facts(exchange, &facts);
    int r = begin_item(out, now_micros);
    if (r == 0)
        r = add_text(out, "source", facts.source);
    if (r == 0)
        r = add_text(out, "protocol", str_of(protocol));
    if (r == 0)
        r = buf_appendf(out,
            ",\"fate\":\"refused\",\"stages\":[{\"stage\":\"collector\",\"fate\":\"refused\"}],"
            "\"status\":%d",
            exchange->status);
    if (r == 0)
        r = add_raw(out, "reason", raw_member(reply, STR("code")));
    if (r == 0)
        r = add_raw(out, "message", raw_member(reply, STR("message")));
    if (r == 0)
        r = add_raw(out, "hint", raw_member(reply, STR("hint")));
    if (r == 0)
        r = add_curl(exchange, STR(""), out);
    return r == 0 ? buf_append_str(out, STR("}")) : r;
}
