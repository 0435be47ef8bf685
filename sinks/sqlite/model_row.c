/* Rows of model_transition: what one partition counts, under the result's own key. */
#include "schemas/error.h"
#include "schemas/json.h"
#include "schemas/model_count.avro.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/writer.h"

#define COUNT_KEY_SIZE ((size_t)32)

/* A JSON array: names may hold whatever stands between them elsewhere. */
static int write_names(struct buf *out, const struct str *names, size_t count)
{
    int r = buf_append(out, "[", 1);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = i ? buf_append(out, ",", 1) : 0;
        if (r == 0)
            r = json_write_text(out, names[i]);
    }
    return r == 0 ? buf_append(out, "]", 1) : r;
}

static int put_count(struct writer *writer, struct str key, const struct model_count *count)
{
    sqlite3_stmt *put;
    buf_clear(&writer->text);
    int r = writer_currency(writer, count->currency);
    if (r == 0)
        r = write_names(&writer->text, count->from, count->from_count);
    size_t from_size = writer->text.size;
    if (r == 0)
        r = write_names(&writer->text, count->to, count->to_count);
    if (r == 0)
        r = writer_statement(writer, STATEMENT_MODEL_COUNT_PUT, &put);
    if (r < 0)
        return r;
    struct str text = buf_str(&writer->text);
    bind_blob(put, 1, key);
    sqlite3_bind_int(put, 2, count->partition);
    bind_text(put, 3, count->model);
    bind_text(put, 4, str_of(model_kind_name(count->kind)));
    sqlite3_bind_int(put, 5, count->order);
    bind_text(put, 6, count->version);
    bind_text(put, 7, str_of(path_outcome_name(count->outcome)));
    bind_text(put, 8, count->currency);
    bind_text(put, 9, str_make(text.data, from_size));
    bind_text(put, 10, str_make(text.data + from_size, text.size - from_size));
    sqlite3_bind_int64(put, 11, count->paths);
    sqlite3_bind_int64(put, 12, count->revenue_minor);
    return writer_step(writer, put);
}

int writer_model_count(struct writer *writer, const struct result *result)
{
    struct model_count count;
    sqlite3_stmt *delete;
    if (result->key.size != COUNT_KEY_SIZE)
        return ERR_AVRO;
    if (!result->tombstone) {
        int r = model_count_decode(&count, result->value, &writer->arena);
        if (r == 0 && (count.kind == MODEL_KIND_UNKNOWN || count.paths <= 0))
            r = ERR_VALUE;
        return r == 0 ? put_count(writer, result->key, &count) : r;
    }
    int r = writer_statement(writer, STATEMENT_MODEL_COUNT_DELETE, &delete);
    if (r < 0)
        return r;
    bind_blob(delete, 1, result->key);
    return writer_step(writer, delete);
}
