#include "deploy/verb/keys_retire.h"

#include "deploy/settings.h"
#include "enrich/identity/suppressed.h"
#include "ingest/config/config.h"
#include "ingest/stream/local_look.h"
#include "ingest/stream/meaning.h"
#include "schemas/error.h"

struct counting {
    struct str meaning; /* of the state that is of this key file and configuration: its beginning */
    struct suppressed_question question;
    struct retirement *retirement;
};

static int count(void *context, struct state_backend *rows)
{
    struct counting *counting = context;
    struct str stored;
    int r = meaning_stored(rows, TABLE_IDENTITY_MEANING, &stored);
    if (r == STATE_ABSENT) { /* nothing was built yet */
        counting->retirement->counted = true;
        return 0;
    }
    if (r < 0)
        return r;
    if (!str_starts_with(stored, counting->meaning)) {
        counting->retirement->why =
            "its state is of another key file, or of other [identity] namespaces";
        return 0;
    }
    r = suppressed_alone(rows, &counting->question, &counting->retirement->alone);
    counting->retirement->counted = r == 0;
    return r;
}

/* The first id is of the first key: what it suppresses no earlier one did. */
static int64_t since(const struct key_file *file)
{
    return strcmp(file->keys[0].id, "k1") == 0 ? SUPPRESSED_ALWAYS : file->keys[0].created_at;
}

int retirement_count(
    const struct verb_call *call, const struct key_file *file, struct retirement *out)
{
    struct door_config door;
    struct config_problem problem;
    CLEANUP(arena_free) struct arena arena = {0};
    CLEANUP(buf_free) struct buf meaning = {0};
    struct counting counting = {.retirement = out};
    *out = (struct retirement){.why = "there is no data directory of that name"};
    if (str_equal(config_text(call->config, OPTION_STREAM_DRIVER), STR("kafka"))) {
        out->why = "over Kafka the state is with the workers";
        return 0;
    }
    int r = door_configure(call->config, &arena, &door, &problem);
    if (r == 0)
        r = settings_identity_text(door.identifiers.namespaces, file->person_key, &meaning);
    if (r < 0)
        return r;
    counting.meaning = buf_str(&meaning);
    counting.question = (struct suppressed_question){door.identifiers.namespaces, since(file)};
    r = local_look(config_path(call->config, OPTION_DATA_DIR), count, &counting);
    if (r == ERR_NO_MEMORY)
        return r;
    if (r < 0 && r != ERR_NOT_FOUND)
        out->why = error_text(r);
    return 0;
}
