/* Between mapping.c (files, sections, maps) and mapping_event.c (events, values, conditions). */
#pragma once

#include "ingest/import/mapping.h"

struct mapping_owner {
    struct mapping mapping; /* first: mapping_free() goes back from it */
    struct arena arena;
};

enum mapping_section {
    MAPPING_SECTION_NONE,
    MAPPING_SECTION_FILE,
    MAPPING_SECTION_EVENT,
    MAPPING_SECTION_MAP,
};

/* A map that a value names, by place: resolved when all maps are known. */
struct mapping_reference {
    struct str map;
    size_t event;
    size_t field;
    int line;
};

#define MAPPING_REFERENCES_MAX 256

struct mapping_parser {
    struct mapping_owner *owner;
    struct mapping *mapping;
    struct buf *message;
    int line;
    enum mapping_section section;
    struct mapping_map maps[MAPPING_MAPS_MAX];
    size_t maps_count;
    struct mapping_column columns[MAPPING_COLUMNS_MAX];
    size_t columns_count;
    struct mapping_event events[MAPPING_EVENTS_MAX];
    size_t events_count;
    /* Of the event whose section is being read. */
    struct mapping_field fields[MAPPING_FIELDS_MAX];
    struct str field_maps[MAPPING_FIELDS_MAX]; /* what each is `via`; empty: none */
    struct mapping_when whens[MAPPING_WHENS_MAX];
    struct mapping_reference references[MAPPING_REFERENCES_MAX];
    size_t references_count;
};

/* Append "FILE:LINE: what "about"" to the message. Return ERR_CONFIG. */
MUST_CHECK int mapping_fail(struct mapping_parser *parser, const char *what, struct str about);
MUST_CHECK int mapping_fail_near(struct mapping_parser *parser, const char *what, struct str about,
    const struct str *known, size_t count);

struct str mapping_trim(struct str text);

MUST_CHECK int mapping_event_begin(struct mapping_parser *parser, struct str name);
MUST_CHECK int mapping_event_entry(struct mapping_parser *parser, struct str key, struct str text);
/* Closes the event that is being read, if any. */
MUST_CHECK int mapping_event_end(struct mapping_parser *parser);
/* Points values to their maps. */
MUST_CHECK int mapping_resolve_maps(struct mapping_parser *parser, const struct mapping_map *maps);
