#include "deploy/verb/tables.h"

#include <stdio.h>

#include "deploy/say.h"
#include "enrich/identity/person.h"
#include "schemas/error.h"
#include "schemas/time.h"

/* ---- whether they are of these settings ---- */

/* What identifiers of the tables would be by these settings, one of each rank. */
struct fit {
    const struct settings *settings;
    struct hmac_key persons;
    int rank;
    bool public_key;
    bool other_key;
    bool other_namespaces;
};

static int judge(void *context, const struct reader_node *node)
{
    struct fit *fit = context;
    const struct identifier_config *identifiers = &fit->settings->door.identifiers;
    uint8_t own[KEY_SIZE];
    person_id(&fit->persons, node->node, own);
    bool other_name = fit->public_key && identifier_key_number(node->namespace, node->value) &&
                      !str_starts_with(node->value, identifiers->key_id);
    fit->other_key |= other_name || memcmp(own, node->own, KEY_SIZE) != 0;
    fit->other_namespaces |= namespace_rank(identifiers->namespaces, node->namespace) != fit->rank;
    return 0;
}

int tables_fit(struct verb_call *call, struct settings *settings, struct reader *reader)
{
    struct fit fit = {.settings = settings,
        .public_key = config_secret(settings->config, OPTION_IDENTITY_KEY_FILE).size == 0};
    const char *path = "";
    int r = settings_database(settings, &path);
    hmac_key_init(&fit.persons,
        str_make(settings->identify.tenant_key, sizeof settings->identify.tenant_key));
    for (; r >= 0 && fit.rank < NAMESPACES_MAX; fit.rank++)
        r = reader_any_node(reader, fit.rank, judge, &fit);
    if (r < 0)
        return verb_fail(call, r, "%s", path);
    if (fit.other_key)
        return verb_end(call, EXIT_USAGE, error_name(ERR_MEANING),
            "%s was built with another tenant key than %s: under that, e-mails and phones are "
            "other identifiers, and nobody is found by them. Give the key that it was built with "
            "([identity] key_file, key_id)",
            path,
            fit.public_key ? "the public one, which stands for none" : "that of the key file");
    if (fit.other_namespaces)
        return verb_end(call, EXIT_USAGE, error_name(ERR_MEANING),
            "%s was built with other [identity] namespaces: give those", path);
    return 0;
}

/* Where it was erased, by whatever name: EXIT_NOT_FOUND after saying so, else 0. */
static int tell_erased(struct verb_call *call, const struct settings *settings,
    struct reader *reader, const struct identifier *identifier, const char *spelling)
{
    struct reader_suppression since;
    uint8_t node[KEY_SIZE];
    char time[TIME_TEXT_SIZE_MAX], lifted[TIME_TEXT_SIZE_MAX];
    int64_t refused = 0;
    int r = reader_node_id(settings->door.identifiers.namespaces, identifier, node);
    if (r == 0)
        r = reader_suppression(reader, node, &since);
    if (r == 0)
        r = reader_refused(reader, node, &refused);
    if (r)
        return 0;
    (void)time_format(since.erased_at, time);
    (void)time_format(since.lifted_at, lifted);
    return verb_not_found(call,
        "nobody is known by \"%s\": it was erased on %s; %lld events that came to it since were "
        "refused%s%s",
        spelling, time, (long long)refused, since.lifted_at ? "; that was lifted on " : "",
        since.lifted_at ? lifted : "");
}

int tables_nobody(
    struct verb_call *call, struct settings *settings, struct reader *reader, const char *spelling)
{
    struct identifier identifier;
    int r = tables_fit(call, settings, reader);
    if (r)
        return r;
    r = strchr(spelling, ':') ? say_identifier(settings, str_of(spelling), &identifier) : 0;
    if (r == ERR_NO_IDENTIFIER || r == ERR_NAMESPACE)
        return verb_not_found(call, "nobody is known by \"%s\": it %s", spelling,
            r == ERR_NAMESPACE ? "begins with no namespace that there is"
                               : say_why_none(settings, str_of(spelling), r));
    if (r == 0 && strchr(spelling, ':'))
        r = tell_erased(call, settings, reader, &identifier, spelling);
    return r > 0 ? r : verb_not_found(call, "nobody is known by \"%s\"", spelling);
}

void tables_tell_new(const struct verb_call *call, const char *spelling)
{
    (void)fprintf(stderr,
        "tabiji %s: note: nobody was seen with \"%s\" yet; the link waits for whoever is\n",
        call->verb->name, spelling);
}

/* ---- opening ---- */

int tables_no_data(struct verb_call *call, const struct settings *settings)
{
    return verb_not_found(call,
        "there is no data in %s; `tabiji run`, `import` or `demo` makes a data directory: is "
        "--data "
        "DIR the one that was given to it?",
        config_path(settings->config, OPTION_DATA_DIR));
}

int tables_open(struct verb_call *call, struct settings *settings, struct reader **out)
{
    const char *path = "";
    int r = settings_database(settings, &path);
    if (r == 0)
        r = reader_open(out, path);
    if (r == ERR_NOT_FOUND)
        return verb_not_found(call,
            "there is no database %s; `tabiji run`, `import` or `demo` makes one: is --data DIR "
            "the directory that was given to it?",
            path);
    return r < 0 ? verb_fail(call, r, "%s", path) : 0;
}
