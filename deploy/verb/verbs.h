/*
 * All verbs, one file each.
 */
#pragma once

#include "deploy/verb/verb.h"

extern const struct verb verb_attribute;
extern const struct verb verb_budget;
extern const struct verb verb_collect;
extern const struct verb verb_config;
extern const struct verb verb_demo;
extern const struct verb verb_doctor;
extern const struct verb verb_emit;
extern const struct verb verb_erase;
extern const struct verb verb_explain;
extern const struct verb verb_generate;
extern const struct verb verb_identity;
extern const struct verb verb_import;
extern const struct verb verb_keys;
extern const struct verb verb_lag;
extern const struct verb verb_link;
extern const struct verb verb_lookup;
extern const struct verb verb_rejected;
extern const struct verb verb_repartition;
extern const struct verb verb_replay;
extern const struct verb verb_run;
extern const struct verb verb_schema;
extern const struct verb verb_sink;
extern const struct verb verb_source;
extern const struct verb verb_state;
extern const struct verb verb_tail;
extern const struct verb verb_test;
extern const struct verb verb_timeline;
extern const struct verb verb_top;
extern const struct verb verb_topics;
extern const struct verb verb_unlink;
extern const struct verb verb_validate;
extern const struct verb verb_version;
extern const struct verb verb_work;
