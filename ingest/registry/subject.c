/* See the header. */
#include "ingest/registry/subject.h"

#include <stdio.h>

#include "ingest/stream/row_schema.h"
#include "schemas/avro_plan.h"
#include "schemas/error.h"

bool subject_of(const char *prefix, enum topic topic, struct subject *out)
{
    uint32_t id = row_schema_of_topic(topic);
    if (id == 0)
        return false;
    *out = (struct subject){.topic = topic, .entry = schema_set_find(id)};
    int size = snprintf(out->name, sizeof out->name, "%s.%s.v1-value", prefix, topic_name(topic));
    check(out->entry && size > 0 && (size_t)size < sizeof out->name);
    return true;
}

static struct str name_of(const struct subject *subject)
{
    return str_of(subject->name);
}

/* Two that register the same at the same time: one may be refused, and it is there all the same. */
static int find_after_all(
    struct registry_client *client, const struct subject *subject, uint32_t *id)
{
    struct registry_version version;
    char why[REGISTRY_WHY_SIZE]; /* the refusal's reason is the one to tell */
    int r = registry_lookup(client, name_of(subject), str_of(subject->entry->text), &version, why);
    if (r == 0)
        *id = version.id;
    return r == ERR_NOT_FOUND ? ERR_SCHEMA_INCOMPATIBLE : r;
}

/* The level first where the subject is there, so that nothing incompatible is added. */
static int add_schema(
    struct registry_client *client, const struct subject *subject, uint32_t *id, char *why)
{
    struct registry_version latest;
    CLEANUP(buf_free) struct buf text = {0};
    int r = registry_latest(client, name_of(subject), &latest, &text, why);
    bool there = r == 0 || r == ERR_SCHEMA_INCOMPATIBLE;
    if (there)
        r = registry_set_level(client, name_of(subject), SUBJECT_LEVEL, why);
    else if (r == ERR_NOT_FOUND)
        r = 0;
    if (r == 0)
        r = registry_register(client, name_of(subject), str_of(subject->entry->text), id, why);
    if (r == ERR_SCHEMA_INCOMPATIBLE)
        r = find_after_all(client, subject, id);
    if (r == 0 && !there)
        r = registry_set_level(client, name_of(subject), SUBJECT_LEVEL, why);
    return r;
}

int subject_id(struct registry_client *client, const struct subject *subject, bool add,
    uint32_t *id, char *why)
{
    struct registry_version version;
    int r = registry_lookup(client, name_of(subject), str_of(subject->entry->text), &version, why);
    if (r == ERR_NOT_FOUND && add)
        return add_schema(client, subject, id, why);
    if (r == 0)
        *id = version.id;
    return r;
}

/* Whether this build reads the newest version. */
static int check_reading(
    const struct subject *subject, struct str newest, bool *readable, char *why)
{
    struct avro_plan *plan = NULL;
    char reason[WRITER_WHY_SIZE] = "";
    int r = avro_plan_new(&plan, newest, subject->entry->type, reason);
    avro_plan_free(&plan);
    *readable = r == 0;
    if (r < 0 && error_class(r) != ERROR_CLASS_REJECT)
        return r;
    if (r < 0 && !why[0])
        (void)snprintf(why, REGISTRY_WHY_SIZE, "the newest version cannot be read: %s",
            reason[0] ? reason : error_text(r));
    return 0;
}

static int check_newest(struct registry_client *client, const struct subject *subject,
    struct subject_check *out, char *why)
{
    CLEANUP(buf_free) struct buf newest = {0};
    bool compatible = false, readable = false;
    int r = registry_latest(client, name_of(subject), &out->found, &newest, why);
    if (r == ERR_NOT_FOUND) {
        out->state = SUBJECT_MISSING;
        return 0;
    }
    if (r == ERR_SCHEMA_INCOMPATIBLE) {
        out->state = SUBJECT_INCOMPATIBLE;
        return 0;
    }
    if (r == 0)
        r = registry_compatible(
            client, name_of(subject), str_of(subject->entry->text), &compatible, why);
    if (r == 0)
        r = check_reading(subject, buf_str(&newest), &readable, why);
    if (r < 0)
        return r;
    out->state = compatible && readable ? SUBJECT_COMPATIBLE : SUBJECT_INCOMPATIBLE;
    if (out->state == SUBJECT_INCOMPATIBLE && !why[0])
        (void)snprintf(why, REGISTRY_WHY_SIZE, "the registry says no, and does not say why");
    return 0;
}

int subject_check(struct registry_client *client, const struct subject *subject,
    struct subject_check *out, char *why)
{
    char level_why[REGISTRY_WHY_SIZE];
    *out = (struct subject_check){.state = SUBJECT_REGISTERED};
    int r =
        registry_lookup(client, name_of(subject), str_of(subject->entry->text), &out->found, why);
    if (r == ERR_NOT_FOUND)
        r = check_newest(client, subject, out, why);
    if (r < 0)
        return r;
    if (out->state == SUBJECT_MISSING) {
        why[0] = '\0';
        return 0;
    }
    r = registry_level(client, name_of(subject), out->level, level_why);
    if (r < 0 && r != ERR_NOT_FOUND)
        (void)snprintf(why, REGISTRY_WHY_SIZE, "%s", level_why);
    return r == ERR_NOT_FOUND ? 0 : r;
}
