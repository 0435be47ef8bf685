/* Plans by writer, made when first asked for. */
#include "ingest/stream/translator.h"

#include <stdlib.h>

#include "schemas/avro_plan.h"
#include "schemas/error.h"

struct translation {
    struct avro_plan *plan;
    const struct avro_type *type;
    bool tried;
};

void translator_fini(struct translator *translator)
{
    size_t count;
    (void)schema_set(&count);
    for (size_t i = 0; translator->translations && i < count; i++)
        avro_plan_free(&translator->translations[i].plan);
    free(translator->translations);
    arena_free(&translator->scratch);
    *translator = (struct translator){.translated = 0};
}

static int make_plan(struct translation *translation, const struct schema_entry *writer)
{
    const struct schema_entry *present = schema_set_present(str_of(writer->name));
    if (!present)
        return ERR_SCHEMA_UNKNOWN;
    int r = avro_plan_new(&translation->plan, str_of(writer->text), present->type, NULL);
    if (r < 0)
        return error_class(r) == ERROR_CLASS_REJECT ? ERR_SCHEMA_UNKNOWN : r;
    translation->type = present->type;
    return 0;
}

static int find(struct translator *translator, const struct schema_entry *writer,
    const struct translation **out)
{
    size_t count;
    const struct schema_entry *entries = schema_set(&count);
    if (!translator->translations)
        translator->translations = calloc(count, sizeof *translator->translations);
    if (!translator->translations)
        return ERR_NO_MEMORY;
    struct translation *translation = &translator->translations[writer - entries];
    int r = translation->plan ? 0 : translation->tried ? ERR_SCHEMA_UNKNOWN : 1;
    if (r == 1)
        r = make_plan(translation, writer);
    translation->tried = r == 0 || r == ERR_SCHEMA_UNKNOWN;
    *out = translation;
    return r;
}

static int append(struct translator *translator, const struct avro_plan *plan,
    const struct avro_type *type, struct str avro, struct buf *out)
{
    arena_reset(&translator->scratch);
    void *record = arena_alloc(&translator->scratch, type->size);
    if (!record)
        return ERR_NO_MEMORY;
    int r = avro_plan_decode(plan, record, avro, &translator->scratch);
    if (r == 0)
        r = type->encode(record, out);
    translator->translated += r == 0;
    return r;
}

int translator_append(struct translator *translator, const struct schema_entry *writer,
    struct str avro, struct buf *out)
{
    const struct translation *translation;
    int r = find(translator, writer, &translation);
    return r < 0 ? r : append(translator, translation->plan, translation->type, avro, out);
}

int translator_plan(struct translator *translator, const struct avro_plan *plan,
    const struct avro_type *type, struct str avro, struct arena *arena, struct str *out)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    int r = append(translator, plan, type, avro, &bytes);
    return r < 0 ? r : arena_dup(arena, buf_str(&bytes), out);
}

int translator_value(struct translator *translator, const struct schema_entry *writer,
    struct str value, size_t begin, struct arena *arena, struct str *out)
{
    CLEANUP(buf_free) struct buf bytes = {0};
    if (value.size < begin)
        return ERR_AVRO;
    int r = buf_append(&bytes, value.data, begin);
    if (r == 0)
        r = translator_append(
            translator, writer, str_make(value.data + begin, value.size - begin), &bytes);
    return r < 0 ? r : arena_dup(arena, buf_str(&bytes), out);
}
