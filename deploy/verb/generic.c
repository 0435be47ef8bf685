/* The counts come from the tables: reducers stop to count one behind the limit. */
#include "deploy/verb/generic.h"

#include "deploy/render.h"
#include "deploy/uuid.h"
#include "schemas/error.h"
#include "schemas/json.h"

int generic_excesses(const struct settings *settings, struct reader *reader,
    const uint8_t node[KEY_SIZE], struct generic_excess *out, size_t *count)
{
    const struct namespace_table *table = settings->door.identifiers.namespaces;
    size_t own = node[0] / 2; /* rank; source: namespace.h */
    int64_t counts[NAMESPACES_MAX];
    int r = reader_neighbours(reader, node, counts);
    *count = 0;
    for (size_t i = 0; r == 0 && own < table->count && i < table->count; i++) {
        const struct namespace_rule *rule = &table->rules[own];
        int64_t limit = i < own ? rule->generic_up_max : rule->generic_down_max;
        if (i == own || limit == 0 || counts[i] <= limit)
            continue;
        out[(*count)++] = (struct generic_excess){
            .namespace = table->rules[i].name, .count = counts[i], .limit = limit, .up = i < own};
    }
    return r;
}

static const char *setting_of(const struct generic_excess *excess)
{
    return excess->up ? "identity.generic_up" : "identity.generic_down";
}

int generic_text(const struct generic_excess *excesses, size_t count, struct buf *out)
{
    int r = 0;
    if (count == 0)
        return buf_append_str(
            out, STR("what it was seen with is erased, but once generic it stays so"));
    for (size_t i = 0; r == 0 && i < count; i++)
        r = buf_appendf(out, "%s%lld of %.*s, more than %lld (%s)",
            i ? " and " : "it was seen with ", (long long)excesses[i].count,
            (int)excesses[i].namespace.size, excesses[i].namespace.data,
            (long long)excesses[i].limit, setting_of(&excesses[i]));
    return r;
}

int generic_json(const struct generic_excess *excesses, size_t count, struct buf *out)
{
    int r = buf_append(out, "[", 1);
    for (size_t i = 0; r == 0 && i < count; i++) {
        r = buf_append_str(out, i ? STR(",{\"namespace\":") : STR("{\"namespace\":"));
        if (r == 0)
            r = json_write_text(out, excesses[i].namespace);
        if (r == 0)
            r = buf_appendf(out, ",\"count\":%lld,\"limit\":%lld,\"setting\":\"%s\"}",
                (long long)excesses[i].count, (long long)excesses[i].limit,
                setting_of(&excesses[i]));
    }
    return r == 0 ? buf_append(out, "]", 1) : r;
}

struct persons {
    struct buf *out;
    bool json;
    size_t count;
};

static int append_person_json(struct persons *persons, const struct reader_candidate *candidate)
{
    struct buf *out = persons->out;
    bool named = candidate->namespace.size != 0;
    char uuid[UUID_TEXT_SIZE];
    uuid_write(candidate->person, uuid);
    int r = buf_append_str(out, persons->count ? STR(",{\"namespace\":") : STR("{\"namespace\":"));
    if (r == 0)
        r = named ? json_write_text(out, candidate->namespace) : buf_append_str(out, STR("null"));
    if (r == 0)
        r = buf_append_str(out, STR(",\"value\":"));
    if (r == 0)
        r = named ? json_write_text(out, candidate->value) : buf_append_str(out, STR("null"));
    return r < 0 ? r
                 : buf_appendf(out, ",\"person\":\"%s\",\"events\":%lld}", uuid,
                       (long long)candidate->events);
}

static int append_person_text(struct persons *persons, const struct reader_candidate *candidate)
{
    struct buf *out = persons->out;
    char uuid[UUID_TEXT_SIZE];
    int r = persons->count ? 0
                           : buf_append_str(out, STR("They are of these persons, who are erased "
                                                     "each by an identifier of their own:\n"));
    uuid_write(candidate->person, uuid);
    if (r == 0)
        r = buf_append_str(out, STR("  "));
    if (r == 0 && candidate->namespace.size)
        r = buf_appendf(out, "%.*s:", (int)candidate->namespace.size, candidate->namespace.data);
    if (r == 0)
        r = candidate->namespace.size ? render_safe(out, candidate->value)
                                      : buf_appendf(out, "person %s", uuid);
    return r < 0 ? r
                 : buf_appendf(out, " (%lld event%s)\n", (long long)candidate->events,
                       candidate->events == 1 ? "" : "s");
}

static int append_person(void *context, const struct reader_candidate *candidate)
{
    struct persons *persons = context;
    int r = 0;
    if (persons->json)
        r = append_person_json(persons, candidate);
    else if (persons->count < GENERIC_PERSONS_MAX)
        r = append_person_text(persons, candidate);
    persons->count++;
    return r;
}

int generic_persons(struct reader *reader, const uint8_t node[KEY_SIZE], bool json, struct buf *out)
{
    struct persons persons = {.out = out, .json = json};
    int r = json ? buf_append(out, "[", 1) : 0;
    if (r == 0)
        r = reader_candidates(reader, node, INT64_MAX, append_person, &persons);
    if (r == 0 && json)
        r = buf_append(out, "]", 1);
    else if (r == 0 && persons.count > GENERIC_PERSONS_MAX)
        r = buf_appendf(
            out, "  ... and %zu more (--json: all)\n", persons.count - GENERIC_PERSONS_MAX);
    return r;
}

static int judge(void *context, const struct reader_node *node)
{
    bool *generic = context;
    *generic |= str_equal(node->why, STR("generic"));
    return 0;
}

int generic_link_word(struct reader *reader, const struct reader_link *link, struct str *out)
{
    const uint8_t *const ends[] = {link->weaker, link->stronger};
    uint8_t nodes[READER_PSEUDONYMS_MAX][KEY_SIZE];
    bool generic = false;
    int r = 0;
    for (size_t i = 0; r >= 0 && !link->parted && i < 2; i++) {
        size_t count = 0;
        r = reader_pseudonyms(reader, ends[i], nodes, &count);
        for (size_t k = 0; r >= 0 && k < count; k++)
            r = reader_node(reader, nodes[k], judge, &generic);
    }
    if (r >= 0)
        *out = link->parted ? STR("parted") : generic ? STR("dead") : STR("stands");
    return r < 0 ? r : 0;
}
