/* The types that have no name, and what generated code calls. */
#include "schemas/avro_type.h"

const struct avro_type avro_type_boolean = {.kind = AVRO_KIND_BOOLEAN, .size = sizeof(bool)};
const struct avro_type avro_type_int = {.kind = AVRO_KIND_INT, .size = sizeof(int32_t)};
const struct avro_type avro_type_long = {.kind = AVRO_KIND_LONG, .size = sizeof(int64_t)};
const struct avro_type avro_type_double = {.kind = AVRO_KIND_DOUBLE, .size = sizeof(double)};
const struct avro_type avro_type_string = {.kind = AVRO_KIND_STRING, .size = sizeof(struct str)};
const struct avro_type avro_type_bytes = {.kind = AVRO_KIND_BYTES, .size = sizeof(struct str)};

__attribute__((noinline)) void avro_clear_large(void *out, size_t size)
{
    memset(out, 0, size);
}
