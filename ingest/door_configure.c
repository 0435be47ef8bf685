/* The door's settings from the configuration. */
#include <stdio.h>

#include "ingest/door.h"
#include "ingest/normalise/namespace_config.h"
#include "schemas/error.h"

static int complain_id(struct str id, struct config_problem *problem)
{
    (void)snprintf(problem->text, sizeof problem->text,
        "identity.key_id: \"%.*s\" is not k and a number of 1 to 7 digits", (int)id.size, id.data);
    return ERR_CONFIG;
}

/* The keys of the file: the active one makes pseudonyms, the next one is told of. */
static int take_keys(const struct key_file *file, struct arena *arena, struct door_config *door)
{
    struct str ids[KEY_FILE_KEYS_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < file->keys_count; i++)
        r = arena_dup(arena, str_of(file->keys[i].id), &ids[i]);
    if (r == 0)
        r = identifier_config_key(&door->identifiers, file->keys[0].secret, ids[0]);
    memcpy(door->person_key, file->person_key, TENANT_KEY_SIZE);
    if (r < 0 || file->keys_count < 2)
        return r;
    door->told = rotation_cache_new(arena);
    return door->told ? identifier_config_next(&door->identifiers, file->keys[1].secret, ids[1],
                            file->keys[1].created_at)
                      : ERR_NO_MEMORY;
}

/* The configured keys, or the public one. */
static int set_keys(const struct config *config, struct arena *arena, struct door_config *door,
    struct config_problem *problem)
{
    struct str secret = config_secret(config, OPTION_IDENTITY_KEY_FILE);
    struct str key_id = config_text(config, OPTION_IDENTITY_KEY_ID);
    struct key_file file;
    if (!key_file_id_valid(key_id))
        return complain_id(key_id, problem);
    if (secret.size == 0) {
        struct str id;
        int r = arena_dup(arena, key_id, &id);
        return r < 0 ? r
                     : identifier_config_key(
                           &door->identifiers, (const uint8_t *)IDENTIFIER_PUBLIC_KEY, id);
    }
    int r = key_file_read(secret, key_id, &file);
    if (r == ERR_CONFIG)
        (void)snprintf(problem->text, sizeof problem->text,
            "identity.key_file: the file is none of tabiji keys, or was cut; nor does it hold 64 "
            "hex digits alone");
    if (r == 0)
        r = take_keys(&file, arena, door);
    explicit_bzero(&file, sizeof file);
    return r;
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

int door_configure_namespaces(const struct config *config, struct arena *arena,
    const struct namespace_table **out, struct config_problem *problem)
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
        *out = table;
    else
        (void)snprintf(problem->text, sizeof problem->text, "%s", why);
    return r;
}

int door_configure(const struct config *config, struct arena *arena, struct door_config *out,
    struct config_problem *problem)
{
    struct door_config door;
    door_config_default(&door);
    int r = door_configure_namespaces(config, arena, &door.identifiers.namespaces, problem);
    if (r == 0)
        r = set_keys(config, arena, &door, problem);
    if (r == 0)
        r = set_blocked(config, arena, &door.identifiers);
    if (r == 0)
        *out = door;
    return r;
}
