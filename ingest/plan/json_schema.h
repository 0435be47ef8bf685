/*
 * JSON Schema, the part of draft 2020-12 that tracking plans use:
 *
 *     type enum const  properties required additionalProperties patternProperties propertyNames
 *     minProperties maxProperties dependentRequired dependentSchemas  items prefixItems contains
 *     minContains maxContains minItems maxItems uniqueItems  minLength maxLength pattern format
 *     minimum maximum exclusiveMinimum exclusiveMaximum multipleOf  allOf anyOf oneOf not if then
 *     else  $ref (within the file) $defs definitions
 *
 * format asserts: date-time date email uuid ipv4 ipv6 uri. Patterns are PCRE2's, which reads those
 * of ECMA 262 that plans have. Annotations (title, description, default, examples, deprecated,
 * readOnly, writeOnly, $comment, $id of the whole, and what begins with x-) say nothing. Any other
 * keyword is refused with its place: one that were passed over would let through what it forbids.
 * Files of draft-07 and 2019-09 are read likewise; what these drafts mean otherwise (items as an
 * array, keywords beside a $ref of draft-07) is refused, too.
 *
 * Why not a library: what Debian 12 has (valijson) ends at draft 7, passes unknown keywords over,
 * and takes its patterns to std::regex, which recurses with the text that a stranger sends.
 * Source: https://json-schema.org/draft/2020-12
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/json.h"

#define JSON_SCHEMA_SIZE_MAX ((size_t)1 << 20)
#define JSON_SCHEMA_NODES_MAX 20000
/* Work of one judgement: schemas applied to values, and values compared. */
#define JSON_SCHEMA_STEPS_MAX 200000
/* Schemas within schemas, by $ref and the like; besides the depth of a document. */
#define JSON_SCHEMA_DEPTH_MAX 200

struct json_schema;

/* Reads a schema. *why (in the arena) says on ERR_CONFIG what is wrong: "#/properties/plan:
 * unsupported keyword \"minLenght\": did you mean \"minLength\"?". Errors: ERR_CONFIG,
 * ERR_NO_MEMORY. Threads: any once made. */
MUST_CHECK int json_schema_new(
    struct str text, struct arena *arena, struct str *why, struct json_schema **out);
/* Accepts NULL inside, leaves NULL. */
void json_schema_free(struct json_schema **schema);

/* What a judgement needs for itself; one thread each. Errors: ERR_NO_MEMORY. */
struct json_judge;
MUST_CHECK int json_judge_new(struct json_judge **out);
void json_judge_free(struct json_judge **judge);

/* Where and how a value does not fit. Slices live in the arena. */
struct json_misfit {
    struct str pointer; /* RFC 6901; of a member that is missing, where it would be */
    struct str hint;    /* with the nearest known name; never a value that was sent */
};

/* Judges a value. 0: it fits; JSON_MISFIT: not, the first place in *misfit. Errors: ERR_NO_MEMORY.
 */
#define JSON_MISFIT 1
MUST_CHECK int json_schema_judge(const struct json_schema *schema, struct json_judge *judge,
    struct json value, struct arena *arena, struct json_misfit *misfit);
