/*
 * What the files of json_schema.h share; for no one else.
 */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "ingest/plan/json_schema.h"

/* Types, one bit each. An integer is a number, too. */
enum type_bit {
    TYPE_NULL = 1,
    TYPE_BOOLEAN = 2,
    TYPE_INTEGER = 4,
    TYPE_NUMBER = 8,
    TYPE_STRING = 16,
    TYPE_ARRAY = 32,
    TYPE_OBJECT = 64,
};
#define TYPES 7
extern const char *const json_schema_types[TYPES]; /* names, by bit */

enum format {
    FORMAT_NONE,
    FORMAT_DATE_TIME,
    FORMAT_DATE,
    FORMAT_EMAIL,
    FORMAT_UUID,
    FORMAT_IPV4,
    FORMAT_IPV6,
    FORMAT_URI,
    FORMAT_COUNT,
};
extern const char *const json_schema_formats[FORMAT_COUNT]; /* names */
bool json_schema_format_holds(enum format format, struct str text);

struct node;

struct node_list {
    struct node **list;
    size_t count;
};

/* Schemas by name, or by pattern. */
struct node_map {
    struct str *names;
    pcre2_code **patterns; /* of patternProperties; else NULL */
    struct node **nodes;
    size_t count;
};

struct name_list {
    struct str *names;
    size_t count;
};

/* dependentRequired. */
struct name_lists {
    struct str *names;
    struct name_list *lists;
    size_t count;
};

#define COUNT_ABSENT (-1)

/* One schema, that is one object or boolean of the file. Values without a tape, lists without
 * members and pointers that are NULL are keywords that do not stand there. */
struct node {
    struct str pointer; /* of itself: "#/properties/plan" */
    bool nothing;       /* false: no value fits */
    bool unique_items;
    unsigned types; /* 0: any */
    enum format format;
    struct json enumeration; /* an array */
    struct json constant;
    struct json minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of;
    int64_t min_length, max_length, min_items, max_items, min_contains, max_contains,
        min_properties, max_properties;
    struct str pattern_text;
    pcre2_code *pattern;
    struct node_map properties; /* sorted by name */
    struct node_map pattern_properties;
    struct node_map dependent_schemas;
    struct node_map definitions[2]; /* $defs, definitions: looked up by $ref alone */
    struct name_list required;
    struct name_lists dependent_required;
    struct node *additional_properties, *property_names, *items, *contains, *not_, *if_, *then_,
        *else_;
    struct node_list prefix_items, all_of, any_of, one_of;
    struct str ref_text; /* "#/$defs/id"; empty: none */
    struct node *ref;
    bool says_more; /* than $ref */
};

struct json_schema {
    struct arena arena;
    struct json_parser *parser; /* holds the values of enum, const and numbers */
    struct node *root;
    pcre2_code **codes; /* to be freed */
    size_t codes_count;
    size_t codes_capacity;
};

/* "string or null". Errors as buf_append(). */
MUST_CHECK int json_schema_write_types(unsigned types, struct buf *out);
