/* The door's settings from the configuration. */
#include <stdio.h>

#include "ingest/door.h"
#include "ingest/normalise/namespace_config.h"
#include "schemas/error.h"

#define TENANT_KEY_SIZE 32

/* The configured key, or the public one. */
static int set_key(const struct config *config, struct arena *arena,
    struct identifier_config *identifiers, struct config_problem *problem)
{
    uint8_t key[TENANT_KEY_SIZE];
    struct str secret = config_secret(config, OPTION_IDENTITY_KEY_FILE);
    struct str key_id;
    int r = arena_dup(arena, config_text(config, OPTION_IDENTITY_KEY_ID), &key_id);
    if (r < 0)
        return r;
    if (secret.size == 0) {
        memcpy(key, IDENTIFIER_PUBLIC_KEY, sizeof key);
    } else if (!hex_decode(secret, key, sizeof key)) {
        (void)snprintf(problem->text, sizeof problem->text,
            "identity.key_file: the file does not hold 64 hex digits (openssl rand -hex 32)");
        return ERR_CONFIG;
    }
    if (identifier_config_key(identifiers, key, key_id) < 0) {
        (void)snprintf(problem->text, sizeof problem->text,
            "identity.key_id: \"%.*s\" is not k and 1 to 7 digits", (int)key_id.size, key_id.data);
        return ERR_CONFIG;
    }
    return 0;
}

static int set_blocked(
    const struct config *config, struct arena *arena, struct identifier_config *identifiers)
{
    const struct str *values = NULL;
    size_t count = config_list(config, OPTION_IDENTITY_BLOCKED, &values);
    struct str *blocked =
        arena_alloc(arena, (count * IDENTIFIER_BLOCK_FORMS + 1) * sizeof *blocked);
    if (!blocked)
        return ERR_NO_MEMORY;
    identifiers->blocked = blocked;
    for (size_t i = 0; i < count; i++) {
        size_t forms = 0;
        int r = identifier_block(values[i], arena, blocked + identifiers->blocked_count, &forms);
        if (r < 0)
            return r;
        identifiers->blocked_count += forms;
    }
    return 0;
}

/* The table of namespaces, in the arena with its names. */
static int set_namespaces(const struct config *config, struct arena *arena,
    struct identifier_config *identifiers, struct config_problem *problem)
{
    struct namespace_lists lists = {.names = NULL};
    char why[NAMESPACE_WHY_SIZE] = "";
    struct namespace_table *table = arena_alloc(arena, sizeof *table);
    if (!table)
        return ERR_NO_MEMORY;
    lists.names_count = config_list(config, OPTION_IDENTITY_NAMESPACES, &lists.names);
    lists.protected_count = config_list(config, OPTION_IDENTITY_PROTECTED, &lists.protected_counts);
    lists.up_count = config_list(config, OPTION_IDENTITY_GENERIC_UP, &lists.up);
    lists.down_count = config_list(config, OPTION_IDENTITY_GENERIC_DOWN, &lists.down);
    int r = namespace_table_read(&lists, table, why);
    for (size_t i = 0; r == 0 && i < table->count; i++)
        r = arena_dup(arena, table->rules[i].name, &table->rules[i].name);
    if (r == 0)
        identifiers->namespaces = table;
    else
        (void)snprintf(problem->text, sizeof problem->text, "%s", why);
    return r;
}

int door_configure(const struct config *config, struct arena *arena, struct door_config *out,
    struct config_problem *problem)
{
    struct door_config door;
    door_config_default(&door);
    int r = set_namespaces(config, arena, &door.identifiers, problem);
    if (r == 0)
        r = set_key(config, arena, &door.identifiers, problem);
    if (r == 0)
        r = set_blocked(config, arena, &door.identifiers);
    if (r == 0)
        *out = door;
    return r;
}
