/*
 * Both ways from tokens to a tape say the same: a document D without a backslash, which is taken by
 * json_tape_build() where it can, is what it is within ["\u0041", D], which simdjson's own second
 * stage takes. Documents are samples with pieces that mean something put over them.
 */
#include <stdio.h>

#include "schemas/error.h"
#include "schemas/json.h"
#include "tests/property/random.h"

#define CASES 200000
#define PIECES_MAX 4
#define DOCUMENT_SIZE_MAX 512

static struct random source;

static const struct str samples[] = {
    STR_INIT("{\"a\":1,\"b\":[true,false,null,-12,0.75,\"\",{}],\"long enough for two "
             "words\":\"旅路\"}"),
    STR_INIT("[0,-0,1.5,-0.0,100,999999999999999999,123456789.125,[[],[[]],{\"\":{}}]]"),
    STR_INIT(" { \"k\" : [ 1 , 2 ] , \"t\" : \" x \" ,\t\"u\":\r\n\"y\" } "),
    STR_INIT("{\"type\":\"page_viewed\",\"ids\":{\"cookie\":\"c-1\"},\"properties\":{\"x\":[1,"
             "\"a\",2.5]}}"),
};

static const struct str pieces[] = {STR_INIT("\""), STR_INIT("{"), STR_INIT("}"), STR_INIT("["),
    STR_INIT("]"), STR_INIT(":"), STR_INIT(","), STR_INIT("0"), STR_INIT("9"), STR_INIT("-"),
    STR_INIT("."), STR_INIT("e5"), STR_INIT("E-400"), STR_INIT("true"), STR_INIT("nul"),
    STR_INIT(" "), STR_INIT("\n"), STR_INIT("\"a\":1,"), STR_INIT("1234567890"), STR_INIT("x"),
    STR_INIT("[1,[2]]"), STR_INIT("\"旅\""), STR_INIT("0.1"), STR_INIT("00")};

/* Puts a piece in, over what stands there or before it. */
static void change(struct buf *document)
{
    struct str piece = pieces[random_below(&source, sizeof(pieces) / sizeof(pieces[0]))];
    size_t at = random_below(&source, document->size + 1);
    size_t over = random_once_in(&source, 2) ? random_below(&source, piece.size + 1) : 0;
    if (over > document->size - at)
        over = document->size - at;
    char rest[DOCUMENT_SIZE_MAX];
    size_t rest_size = document->size - at - over;
    memcpy(rest, document->data + at + over, rest_size);
    document->size = at;
    check(buf_append_str(document, piece) == 0 && buf_append(document, rest, rest_size) == 0);
}

static int canonical(struct json_parser *parser, struct str text, struct buf *out)
{
    struct json root;
    int r = json_parse(parser, text, &root);
    return r < 0 ? r : json_write_canonical(root, out);
}

/* Whether a document is refused, or the same by both ways; counts those taken. */
static bool same(struct json_parser *parser, struct str document, int *taken)
{
    CLEANUP(buf_free) struct buf out = {0};
    CLEANUP(buf_free) struct buf within = {0};
    CLEANUP(buf_free) struct buf got = {0};
    CLEANUP(buf_free) struct buf want = {0};
    if (canonical(parser, document, &out) < 0)
        return true;
    *taken += 1;
    check(buf_appendf(&within, "[\"\\u0041\",%.*s]", (int)document.size, document.data) == 0);
    check(buf_appendf(&want, "[\"A\",%.*s]", (int)out.size, out.data) == 0);
    int r = canonical(parser, buf_str(&within), &got);
    if (r == 0 && str_equal(buf_str(&got), buf_str(&want)))
        return true;
    printf("%s: %.*s\n%.*s\n%.*s\n", error_name(r), (int)document.size, document.data,
        (int)want.size, want.data, (int)got.size, got.data);
    return false;
}

int main(void)
{
    struct json_parser *parser;
    source = random_begin();
    check(json_parser_new(&parser) == 0);
    CLEANUP(buf_free) struct buf document = {0};
    int good = 0;
    int taken = 0;
    for (; good < CASES; good++) {
        buf_clear(&document);
        check(buf_append_str(&document,
                  samples[random_below(&source, sizeof(samples) / sizeof(samples[0]))]) == 0);
        for (size_t changes = random_below(&source, PIECES_MAX + 1); changes; changes--)
            change(&document);
        if (!same(parser, buf_str(&document), &taken))
            break;
    }
    json_parser_free(&parser);
    printf("%d of %d documents are the same by both ways, %d of them taken\n", good, CASES, taken);
    return good == CASES && taken > CASES / 10 ? 0 : 1;
}
