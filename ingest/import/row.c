#include "ingest/import/row.h"

#include <stdio.h>
#include <stdlib.h>

#include "ingest/collector/protocol/segment_message.h"
#include "ingest/import/row_json.h"
#include "schemas/error.h"
#include "schemas/nearest.h"
#include "schemas/time.h"

#define RECORDS_CAPACITY_MIN 1024
#define ADAPTER_VERSION 1
#define ROW_ID_SIZE 32   /* hex digits of a row's id */
#define UTF8_EXPANSION 3 /* bytes that a byte of Shift_JIS becomes at most */
#define STAGE_NAME STR("import")

/* An identifier that the door left out of an event. */
struct row_drop {
    struct row_drop *next;
    size_t rank;
    enum identifier_fate why;
};

/* What is known of the row that is being taken. */
struct row {
    const struct csv_row *csv;
    int64_t line;
    bool count_only;
    bool counted;
    struct row_drop *drops; /* of its events so far; in the scratch arena */
    char id[ROW_ID_SIZE];
    struct str event_id; /* of the event that failed */
};

/* ---- output ---- */

void row_output_free(struct row_output *output)
{
    arena_free(&output->arena);
    free(output->records);
    *output = (struct row_output){0};
}

void row_output_reset(struct row_output *output)
{
    arena_reset(&output->arena);
    output->records_count = 0;
    output->pairs = (struct rotation_list){.count = 0};
    output->count = (struct import_progress){0};
    memset(output->drops, 0, sizeof output->drops);
}

static int add_record(struct row_output *output, const struct append_record *record)
{
    if (output->records_count == output->records_capacity) {
        size_t capacity =
            output->records_capacity ? output->records_capacity * 2 : RECORDS_CAPACITY_MIN;
        struct append_record *records = realloc(output->records, capacity * sizeof(*records));
        if (!records)
            return ERR_NO_MEMORY;
        output->records = records;
        output->records_capacity = capacity;
    }
    output->records[output->records_count++] = *record;
    return 0;
}

/* ---- opening ---- */

/* Shift_JIS is read as CP932 too, as everybody does. Source: WHATWG Encoding, shift_jis. */
static int open_converter(struct row_mapper *mapper)
{
    mapper->converter = (iconv_t)-1;
    if (mapper->options->mapping->encoding == MAPPING_UTF_8)
        return 0;
    mapper->converter = iconv_open("UTF-8", "CP932");
    return mapper->converter == (iconv_t)-1 ? ERR_UNSUPPORTED : 0;
}

int row_mapper_open(struct row_mapper *mapper, const struct import_options *options)
{
    *mapper = (struct row_mapper){.options = options};
    int r = open_converter(mapper);
    if (r == 0)
        r = json_parser_new(&mapper->parser);
    if (r == 0)
        r = occurrences_new(&mapper->occurrences);
    return r;
}

void row_mapper_close(struct row_mapper *mapper)
{
    if (mapper->options && mapper->converter != (iconv_t)-1)
        (void)iconv_close(mapper->converter);
    json_parser_free(&mapper->parser);
    occurrences_free(&mapper->occurrences);
    arena_free(&mapper->scratch);
    arena_free(&mapper->header_arena);
    mapper->options = NULL;
}

/* ---- values ---- */

static bool is_ascii(struct str text)
{
    unsigned char all = 0;
    for (size_t i = 0; i < text.size; i++)
        all |= (unsigned char)text.data[i];
    return all < 0x80;
}

/* To UTF-8, into the arena. Errors: ERR_UTF8. */
static int convert(struct row_mapper *mapper, struct arena *arena, struct str *text)
{
    if (mapper->converter == (iconv_t)-1 || is_ascii(*text))
        return 0;
    size_t room = text->size * UTF8_EXPANSION;
    char *out = arena_alloc(arena, room);
    if (!out)
        return ERR_NO_MEMORY;
    char *in_at = (char *)(uintptr_t)text->data; /* iconv() does not write there */
    size_t in_left = text->size;
    char *out_at = out;
    size_t out_left = room;
    (void)iconv(mapper->converter, NULL, NULL, NULL, NULL);
    if (iconv(mapper->converter, &in_at, &in_left, &out_at, &out_left) == (size_t)-1)
        return ERR_UTF8;
    *text = str_make(out, (size_t)(out_at - out));
    return 0;
}

static int fail(struct event_problem *problem, int error, struct str where, struct str hint)
{
    *problem = (struct event_problem){.error = error, .pointer = where, .hint = hint};
    return error;
}

static int failf(struct row_mapper *mapper, struct event_problem *problem, const char *format,
    size_t a, size_t b)
{
    char text[128];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the two callers' literals */
    int size = snprintf(text, sizeof(text), format, a, b);
#pragma GCC diagnostic pop
    struct str hint;
    int r = arena_dup(&mapper->scratch, str_make(text, (size_t)size), &hint);
    return r < 0 ? r : fail(problem, ERR_ROW, str_make(NULL, 0), hint);
}

static int csv_values(
    struct row_mapper *mapper, const struct csv_row *row, struct event_problem *problem)
{
    const struct mapping *mapping = mapper->options->mapping;
    if (row->fields_count != mapper->header_count)
        return failf(mapper, problem, "%zu columns, the header has %zu", row->fields_count,
            mapper->header_count);
    if (mapping->encoding == MAPPING_UTF_8 && !json_utf8_valid(row->bytes))
        return fail(problem, ERR_UTF8, str_make(NULL, 0), str_make(NULL, 0));
    for (size_t i = 0; i < mapping->columns_count; i++) {
        mapper->values[i] = row->fields[mapper->places[i]];
        int r = convert(mapper, &mapper->scratch, &mapper->values[i]);
        if (r == ERR_UTF8)
            return fail(problem, r, mapping->columns[i].name, STR("not of the mapping's encoding"));
        if (r < 0)
            return r;
    }
    return 0;
}

static int json_values(
    struct row_mapper *mapper, const struct csv_row *row, struct event_problem *problem)
{
    const struct mapping *mapping = mapper->options->mapping;
    struct json root = {0};
    int r = json_parse(mapper->parser, row->bytes, &root);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : fail(problem, r, str_make(NULL, 0), str_make(NULL, 0));
    return row_json_values(mapping, root, &mapper->scratch, mapper->values, problem);
}

/* ---- ids ---- */

/* Once a row: counts it and makes the id of its occurrence. */
static int row_id(struct row_mapper *mapper, struct row *row)
{
    if (row->counted)
        return 0;
    uint64_t nth = 0;
    int r = occurrences_count(mapper->occurrences, row->csv->bytes, &nth);
    if (r < 0)
        return r;
    row->counted = true;
    uint8_t number[8];
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    put_be64(number, nth);
    sha256_init(&hash);
    sha256_update_sized(&hash, mapper->options->mapping->name);
    sha256_update_sized(&hash, row->csv->bytes);
    sha256_update(&hash, str_make(number, sizeof(number)));
    sha256_final(&hash, digest);
    hex_encode(digest, ROW_ID_SIZE / 2, row->id);
    return 0;
}

/* An event without an id of its own gets the row's, and its section where there are several. */
static int complete_id(
    struct row_mapper *mapper, struct row *row, struct str section, struct touchpoint *event)
{
    if (event->event_id.size)
        return 0;
    int r = row_id(mapper, row);
    if (r < 0)
        return r;
    size_t size = ROW_ID_SIZE + (section.size ? section.size + 1 : 0);
    char *id = arena_alloc(&mapper->scratch, size);
    if (!id)
        return ERR_NO_MEMORY;
    memcpy(id, row->id, ROW_ID_SIZE);
    if (section.size) {
        id[ROW_ID_SIZE] = '.';
        memcpy(id + ROW_ID_SIZE + 1, section.data, section.size);
    }
    event->event_id = str_make(id, size);
    return 0;
}

/* ---- rows ---- */

/* What the door left out of one event of the row. */
static int remember_drops(struct row_mapper *mapper, struct row *row, const struct door_out *out)
{
    const struct namespace_table *table = mapper->options->door->identifiers.namespaces;
    for (size_t i = 0; i < out->drops_count; i++) {
        int rank = namespace_rank(table, out->drops[i].namespace);
        struct row_drop *drop = arena_alloc(&mapper->scratch, sizeof *drop);
        if (!drop || rank < 0)
            return drop ? rank : ERR_NO_MEMORY;
        *drop = (struct row_drop){row->drops, (size_t)rank, out->drops[i].why};
        row->drops = drop;
    }
    return 0;
}

/* The row is taken: so are its events without those identifiers. */
static void count_drops(const struct row *row, struct row_output *output)
{
    for (const struct row_drop *drop = row->drops; drop; drop = drop->next) {
        struct row_drops *drops = &output->drops[drop->rank][drop->why];
        if (drops->count++ == 0)
            drops->line = row->line;
    }
}

/* What only an operator may say of identifiers (event_is_operators(); spend is of nobody). A file
 * says it where the mapping grants the right, as the verbs do: with their authority, and a reason.
 * An erasure has its receipt from who asks, so no file asks for one. */
static int judge_word(
    const struct mapping *mapping, struct touchpoint *event, struct event_problem *problem)
{
    bool against = event->has_evidence && event->evidence.sign < 0;
    bool spend = event_type_class(event->type) == EVENT_CLASS_LEDGER;
    if (str_equal(event->type, STR("erasure_lifted")))
        return fail(problem, ERR_VALUE, STR("/type"),
            STR("not by a file: tabiji erase ID --lift, for each identifier by its name"));
    if (str_equal(event->type, STR("erasure_requested")))
        return fail(problem, ERR_VALUE, STR("/type"),
            STR("not by a file: tabiji erase ID --confirm, which leaves a receipt"));
    if (event->has_evidence)
        event->evidence.authority = mapping->is_operator ? EVENT_AUTHORITY_OPERATOR : 0;
    if (!event_is_operators(event) || (spend && !against))
        return 0;
    if (!mapping->is_operator)
        return fail(problem, ERR_VALUE, STR("/type"),
            STR("an operator's word: tabiji link A B --reason TEXT, tabiji unlink, or a mapping "
                "with operator = yes"));
    if (!event->has_evidence || event->evidence.reason.size == 0)
        return fail(problem, ERR_MISSING_FIELD, STR("/evidence/reason"),
            STR("an operator's word says why"));
    return 0;
}

static int accept(struct row_mapper *mapper, struct row *row, struct touchpoint *event,
    struct row_output *output, struct event_problem *problem)
{
    if (row->count_only)
        return 0;
    if (door_refused_by_customer(event)) {
        output->count.refused++;
        return 0;
    }
    struct door_out out;
    size_t pairs_before = output->pairs.count;
    row->event_id = event->event_id;
    event->adapter_version = ADAPTER_VERSION;
    int r = judge_word(mapper->options->mapping, event, problem);
    if (r == 0)
        r = door_plan(mapper->options->door, mapper->options->plan, event, &output->arena, problem);
    if (r == DOOR_WARNED)
        output->count.planless++;
    if (r >= 0)
        r = door_take(mapper->options->door, event, mapper->options->now_micros, &output->arena,
            &out, problem);
    if (r == 0)
        r = rotation_add_list(&output->pairs, &out.pairs, &output->arena);
    for (size_t i = pairs_before; r == 0 && i < output->pairs.count; i++)
        r = add_record(output, &output->pairs.records[i]);
    if (r == 0)
        r = remember_drops(mapper, row, &out);
    return r < 0 ? r : add_record(output, &out.record);
}

static int take_native(struct row_mapper *mapper, struct row *row, struct row_output *output,
    struct event_problem *problem)
{
    struct json root = {0};
    struct touchpoint event;
    int r = json_parse_padded(mapper->parser, row->csv->bytes, &root);
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : fail(problem, r, str_make(NULL, 0), str_make(NULL, 0));
    r = event_json_read(root, true, &mapper->scratch, &event, problem);
    if (r < 0)
        return r;
    if (event.source.size == 0)
        event.source = mapper->options->mapping->source;
    if (event.protocol == PROTOCOL_UNKNOWN)
        event.protocol = PROTOCOL_IMPORT;
    r = complete_id(mapper, row, str_make(NULL, 0), &event);
    return r < 0 ? r : accept(mapper, row, &event, output, problem);
}

/* When Segment received the message; without its word, when it was sent. */
static int64_t received_at(const struct row_mapper *mapper, struct json item)
{
    int64_t micros = mapper->options->now_micros;
    struct json value;
    bool said = json_get(item, STR("receivedAt"), &value) || json_get(item, STR("sentAt"), &value);
    if (said && json_kind(value) == JSON_TEXT && time_parse_local(json_text(value), 0, &micros) < 0)
        micros = mapper->options->now_micros;
    return micros;
}

static int take_segment(struct row_mapper *mapper, struct row *row, struct row_output *output,
    struct event_problem *problem)
{
    const struct mapping *mapping = mapper->options->mapping;
    struct json root = {0};
    struct json type = {0};
    int r = json_parse(mapper->parser, row->csv->bytes, &root);
    if (r == 0 && json_kind(root) != JSON_OBJECT)
        r = ERR_FIELD_TYPE;
    if (r < 0)
        return r == ERR_NO_MEMORY ? r : fail(problem, r, str_make(NULL, 0), str_make(NULL, 0));
    int call = -1;
    if (json_get(root, STR("type"), &type) && json_kind(type) == JSON_TEXT)
        call = segment_call_of(json_text(type));
    if (call < 0)
        return fail(problem, ERR_EVENT_TYPE, STR("/type"),
            STR("track, page, screen, identify, group, alias or merge"));
    const struct segment_message message = {.item = root,
        .call = (enum segment_call)call,
        .currency = mapping->currency,
        .now_micros = received_at(mapper, root),
        .arena = &mapper->scratch};
    struct touchpoint event = {0};
    r = segment_read(&message, &event, problem);
    if (r < 0)
        return r;
    event.source = mapping->source;
    return accept(mapper, row, &event, output, problem);
}

static int take_mapped(struct row_mapper *mapper, struct row *row, struct row_output *output,
    struct event_problem *problem)
{
    const struct mapping *mapping = mapper->options->mapping;
    int r = mapping->format == MAPPING_CSV ? csv_values(mapper, row->csv, problem)
                                           : json_values(mapper, row->csv, problem);
    size_t before = output->records_count, pairs_before = output->pairs.count;
    bool none = true;
    for (size_t i = 0; r == 0 && i < mapping->events_count; i++) {
        struct touchpoint event;
        r = mapper_apply(mapping, i, mapper->values, &mapper->scratch, &event, problem);
        if (r == MAPPER_NONE) {
            r = 0;
            continue;
        }
        none = false;
        if (r == 0)
            r = complete_id(mapper, row, mapping->events[i].name, &event);
        if (r < 0)
            break;
        r = accept(mapper, row, &event, output, problem);
        if (r < 0)
            problem->pointer = mapper_column(mapping, i, problem->pointer);
    }
    if (r < 0) { /* a row is taken whole or not at all */
        output->records_count = before;
        output->pairs.count = pairs_before;
    } else if (none && !row->count_only) {
        output->count.skipped++;
    }
    return r;
}

static int reject(struct row_mapper *mapper, const struct row *row,
    const struct event_problem *problem, struct row_output *output)
{
    output->count.rejected++;
    struct door_rejection rejection = {
        .source = mapper->options->mapping->source,
        .stage = STAGE_NAME,
        .payload = row->csv->bytes,
        .event_id = row->event_id,
        .file = str_of(mapper->path),
        .line = row->line,
    };
    struct append_record record;
    int r = door_reject(&rejection, problem, mapper->options->now_micros, &output->arena, &record);
    return r < 0 ? r : add_record(output, &record);
}

/* The column that csv_read() stopped at, by name where it has one. */
static struct str bad_column(const struct row_mapper *mapper, const struct csv_row *row)
{
    size_t column = row->bad_column;
    return column && column <= mapper->header_count ? mapper->header[column - 1]
                                                    : str_make(NULL, 0);
}

int row_mapper_take(struct row_mapper *mapper, const struct csv_row *csv, int error, int64_t line,
    bool count_only, struct row_output *output)
{
    struct row row = {.csv = csv, .line = line, .count_only = count_only};
    struct event_problem problem = {0};
    size_t before = output->records_count - output->pairs.count;
    int r = error;
    arena_reset(&mapper->scratch);
    if (error < 0)
        (void)fail(&problem, error, bad_column(mapper, csv), str_of(csv->why));
    else if (mapper->options->mapping->format == MAPPING_NATIVE)
        r = take_native(mapper, &row, output, &problem);
    else if (mapper->options->mapping->format == MAPPING_SEGMENT)
        r = take_segment(mapper, &row, output, &problem);
    else
        r = take_mapped(mapper, &row, output, &problem);
    if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
        return r;
    if (count_only)
        return 0;
    output->count.rows++;
    if (r < 0 && problem.error == 0)
        problem.error = r;
    if (r < 0)
        return reject(mapper, &row, &problem, output);
    output->count.events += output->records_count - output->pairs.count - before;
    count_drops(&row, output);
    return 0;
}

/* ---- the header ---- */

/* In quotes, with what no eye sees spelt: control characters, no-break and zero-width spaces. */
static int spell(struct buf *out, struct str name)
{
    static const struct {
        struct str text;
        const char *spelt;
    } unseen[] = {{STR_INIT("\xc2\xa0"), "\\u00a0"}, {STR_INIT("\xe2\x80\x8b"), "\\u200b"},
        {STR_INIT("\xef\xbb\xbf"), "\\ufeff"}};
    int r = buf_append_str(out, STR("\""));
    for (size_t i = 0; r == 0 && i < name.size;) {
        struct str rest = str_make(name.data + i, name.size - i);
        size_t k = 0;
        while (k < sizeof(unseen) / sizeof(unseen[0]) && !str_starts_with(rest, unseen[k].text))
            k++;
        bool found = k < sizeof(unseen) / sizeof(unseen[0]);
        unsigned char c = (unsigned char)rest.data[0];
        if (found)
            r = buf_append_str(out, str_of(unseen[k].spelt));
        else if (c < ' ' || c == 0x7f)
            r = buf_appendf(out, "\\x%02x", c);
        else
            r = buf_append(out, rest.data, 1);
        i += found ? unseen[k].text.size : 1;
    }
    return r == 0 ? buf_append_str(out, STR("\"")) : r;
}

static int not_a_column(struct row_mapper *mapper, const struct mapping_column *column,
    const char *what, struct buf *message)
{
    const struct mapping *mapping = mapper->options->mapping;
    int r = buf_appendf(message, "%.*s:%d: %s %s ", (int)mapping->path.size, mapping->path.data,
        column->line, mapper->path, what);
    if (r == 0)
        r = spell(message, column->name);
    struct str near = nearest_name(column->name, mapper->header, mapper->header_count);
    if (r == 0 && near.size && !str_equal(near, column->name)) {
        r = buf_append_str(message, STR(", did you mean "));
        if (r == 0)
            r = spell(message, near);
        if (r == 0)
            r = buf_append_str(message, STR("?"));
    }
    return r < 0 ? r : ERR_CONFIG;
}

static int find_column(struct row_mapper *mapper, size_t index, struct buf *message)
{
    const struct mapping_column *column = &mapper->options->mapping->columns[index];
    size_t found = 0;
    for (size_t i = 0; i < mapper->header_count; i++) {
        if (!str_equal(mapper->header[i], column->name))
            continue;
        mapper->places[index] = i;
        found++;
    }
    if (found == 0)
        return not_a_column(mapper, column, "has no column", message);
    if (found > 1)
        return not_a_column(mapper, column, "has more than one column", message);
    return 0;
}

static int copy_header(struct row_mapper *mapper, const struct csv_row *row, struct buf *message)
{
    arena_reset(&mapper->header_arena);
    struct str *names = arena_alloc(&mapper->header_arena, row->fields_count * sizeof(*names));
    if (!names)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < row->fields_count; i++) {
        struct str name = row->fields[i];
        int r = convert(mapper, &mapper->header_arena, &name);
        if (r == 0 && !json_utf8_valid(name))
            r = ERR_UTF8;
        if (r == ERR_UTF8) {
            r = buf_appendf(message,
                "%s:1: the name of column %zu is not of the mapping's encoding", mapper->path,
                i + 1);
            return r < 0 ? r : ERR_CONFIG;
        }
        if (r == 0)
            r = arena_dup(&mapper->header_arena, name, &names[i]);
        if (r < 0)
            return r;
    }
    mapper->header = names;
    mapper->header_count = row->fields_count;
    return 0;
}

int row_mapper_bind(struct row_mapper *mapper, const struct csv_row *header, struct buf *message)
{
    const struct mapping *mapping = mapper->options->mapping;
    mapper->header = mapping->header;
    mapper->header_count = mapping->header_count;
    int r = header ? copy_header(mapper, header, message) : 0;
    for (size_t i = 0; r == 0 && i < mapping->columns_count; i++)
        r = find_column(mapper, i, message);
    return r;
}
