/*
 * The fields of one event of a Snowplow tracker, however they came. Source: Snowplow, "Snowplow
 * Tracker Protocol"; PROTOCOLS.
 */
#pragma once

#include "ingest/collector/exchange.h"
#include "schemas/event_json.h"

/* X(symbol, name, kept): what has no place of its own goes into properties, what tells of the
 * tracker there into an object of its own, as does what is not listed here. */
#define SNOWPLOW_FIELD_LIST(X)                                                                     \
    X(E, "e", NO)                                                                                  \
    X(EID, "eid", NO)                                                                              \
    X(P, "p", TRACKER)                                                                             \
    X(TV, "tv", NO)                                                                                \
    X(TNA, "tna", TRACKER)                                                                         \
    X(AID, "aid", TRACKER)                                                                         \
    X(DTM, "dtm", NO)                                                                              \
    X(STM, "stm", NO)                                                                              \
    X(TTM, "ttm", NO)                                                                              \
    X(TZ, "tz", TRACKER)                                                                           \
    X(DUID, "duid", NO)                                                                            \
    X(NUID, "nuid", NO)                                                                            \
    X(TNUID, "tnuid", NO)                                                                          \
    X(UID, "uid", NO)                                                                              \
    X(SID, "sid", TRACKER)                                                                         \
    X(VID, "vid", TRACKER)                                                                         \
    X(IP, "ip", NO)                                                                                \
    X(UA, "ua", NO)                                                                                \
    X(URL, "url", NO)                                                                              \
    X(PAGE, "page", NO)                                                                            \
    X(REFR, "refr", NO)                                                                            \
    X(LANG, "lang", NO)                                                                            \
    X(COOKIE, "cookie", TRACKER)                                                                   \
    X(CD, "cd", TRACKER)                                                                           \
    X(CS, "cs", TRACKER)                                                                           \
    X(RES, "res", NO)                                                                              \
    X(VP, "vp", TRACKER)                                                                           \
    X(DS, "ds", TRACKER)                                                                           \
    X(PP_MIX, "pp_mix", EVENT)                                                                     \
    X(PP_MAX, "pp_max", EVENT)                                                                     \
    X(PP_MIY, "pp_miy", EVENT)                                                                     \
    X(PP_MAY, "pp_may", EVENT)                                                                     \
    X(SE_CA, "se_ca", EVENT)                                                                       \
    X(SE_AC, "se_ac", EVENT)                                                                       \
    X(SE_LA, "se_la", EVENT)                                                                       \
    X(SE_PR, "se_pr", EVENT)                                                                       \
    X(SE_VA, "se_va", EVENT)                                                                       \
    X(TR_ID, "tr_id", NO)                                                                          \
    X(TR_AF, "tr_af", EVENT)                                                                       \
    X(TR_TT, "tr_tt", NO)                                                                          \
    X(TR_TX, "tr_tx", NO)                                                                          \
    X(TR_SH, "tr_sh", NO)                                                                          \
    X(TR_CI, "tr_ci", EVENT)                                                                       \
    X(TR_ST, "tr_st", EVENT)                                                                       \
    X(TR_CO, "tr_co", EVENT)                                                                       \
    X(TR_CU, "tr_cu", NO)                                                                          \
    X(TI_ID, "ti_id", NO)                                                                          \
    X(TI_SK, "ti_sk", NO)                                                                          \
    X(TI_NM, "ti_nm", EVENT)                                                                       \
    X(TI_CA, "ti_ca", NO)                                                                          \
    X(TI_PR, "ti_pr", NO)                                                                          \
    X(TI_QU, "ti_qu", NO)                                                                          \
    X(TI_CU, "ti_cu", NO)                                                                          \
    X(UE_PR, "ue_pr", NO)                                                                          \
    X(UE_PX, "ue_px", NO)                                                                          \
    X(CO, "co", NO)                                                                                \
    X(CX, "cx", NO)

enum snowplow_keep {
    SNOWPLOW_KEEP_NO,
    SNOWPLOW_KEEP_EVENT,
    SNOWPLOW_KEEP_TRACKER,
};

enum snowplow_field {
#define X(symbol, name, kept) SNOWPLOW_##symbol,
    SNOWPLOW_FIELD_LIST(X)
#undef X
        SNOWPLOW_FIELD_COUNT,
};

struct snowplow_fields {
    struct str values[SNOWPLOW_FIELD_COUNT]; /* empty: absent */
    struct exchange_pair *others;            /* in the arena */
    size_t others_count;
    size_t others_capacity;
};

struct str snowplow_field_name(enum snowplow_field field);
/* Its JSON pointer: the name behind a slash. */
struct str snowplow_field_pointer(enum snowplow_field field);
enum snowplow_keep snowplow_field_keep(enum snowplow_field field);

/* Reads the members of an object; numbers and truth values as they are written, and JSON in ue_pr
 * and co, which is a text there, also as it is. Errors: ERR_FIELD_TYPE with *problem;
 * ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int snowplow_fields_read(struct json object, struct arena *arena,
    struct snowplow_fields *out, struct event_problem *problem);

/* Sets what the query says but for the write key and, where the event has one, the network user
 * id. Errors: ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int snowplow_fields_merge(
    struct snowplow_fields *fields, const struct exchange *exchange);

/* The JSON that a field carries, without its base64; the text itself where it is none of both.
 * Errors: ERR_VALUE (no base64), ERR_NO_MEMORY. Threads: any. */
MUST_CHECK int snowplow_field_json(const struct snowplow_fields *fields, enum snowplow_field field,
    struct arena *arena, struct str *out);

/* The fields as a JSON object, into the arena: what is kept of an event that is refused. JSON
 * within a field stands in it as ue_pr and co as it is, not quoted and not as base64: so that
 * whoever looks for an identifier finds it. parser: for that. Errors: ERR_NO_MEMORY. Threads: one a
 * parser. */
MUST_CHECK int snowplow_fields_text(const struct snowplow_fields *fields,
    struct json_parser *parser, struct arena *arena, struct str *out);
