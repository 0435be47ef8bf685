/* Invariant: fold->sessions holds at most one session a visitor, and none that ended before the
 * event in hand. */
#include "enrich/journey/fold.h"

#include "schemas/error.h"

#define MIX UINT64_C(0x9e3779b97f4a7c15)

/* What a change of cuts a session; 0 when the event names no campaign. A hash that somebody could
 * forge: only one's own session then is not cut. */
static uint64_t campaign_of(const struct moment *moment)
{
    const struct str parts[] = {
        moment->source, moment->medium, moment->campaign, moment->click_kind, moment->click_value};
    uint64_t hash = 0;
    size_t size = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        size += parts[i].size;
        hash = (hash ^ (parts[i].size ? hash64(parts[i]) : 0)) * MIX;
        hash ^= hash >> 32;
    }
    return size == 0 ? 0 : hash | 1;
}

/* The visitor's session that still goes on, or NULL; drops all that have ended. */
static struct open_session *find(
    const struct journey_config *config, struct fold *fold, const struct moment *moment)
{
    struct open_session *found = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < fold->sessions_count; i++) {
        struct open_session *session = &fold->sessions[i];
        uint64_t silence = (uint64_t)moment->place.at - (uint64_t)session->last_at;
        if (silence >= (uint64_t)config->session_timeout_micros)
            continue;
        fold->sessions[kept] = *session;
        if (memcmp(session->visitor, moment->visitor, KEY_SIZE) == 0)
            found = &fold->sessions[kept];
        kept++;
    }
    fold->sessions_count = kept;
    return found;
}

/* The session's row in this run. */
static int row_of(struct folder *folder, struct open_session *session, struct session_row **out)
{
    if (session->row == FOLD_NO_ROW) {
        if (folder->rows_count == folder->rows_room) {
            void *more = array_grow(folder->rows, &folder->rows_room, sizeof *folder->rows);
            if (!more)
                return ERR_NO_MEMORY;
            folder->rows = more;
        }
        session->row = (uint32_t)folder->rows_count++;
        struct session_row *row = &folder->rows[session->row];
        *row = (struct session_row){.started_at = session->started_at};
        memcpy(row->session_key, session->session_key, KEY_SIZE);
    }
    *out = &folder->rows[session->row];
    return 0;
}

/* Begins a session, in the place of the visitor's former one if there is any. */
static int begin(struct fold *fold, const struct moment *moment, struct open_session **session)
{
    if (!*session) {
        if (fold->sessions_count == fold->sessions_room) {
            void *more = array_grow(fold->sessions, &fold->sessions_room, sizeof *fold->sessions);
            if (!more)
                return ERR_NO_MEMORY;
            fold->sessions = more;
        }
        *session = &fold->sessions[fold->sessions_count++];
    }
    **session = (struct open_session){.started_at = moment->place.at, .row = FOLD_NO_ROW};
    memcpy((*session)->visitor, moment->visitor, KEY_SIZE);
    memcpy((*session)->session_key, moment->place.event_key, KEY_SIZE);
    fold->sessions_total++;
    return 0;
}

static void describe(struct session_row *row, const struct moment *moment)
{
    row->begun = true;
    row->channel = moment->own_channel.size ? moment->own_channel : moment->rule_channel;
    row->source = moment->source;
    row->medium = moment->medium;
    row->campaign = moment->campaign;
    row->landing_host = moment->landing_host;
    row->landing_path = moment->landing_path;
    row->device_kind = moment->device_kind;
}

int fold_session(struct folder *folder, struct fold *fold, struct moment *moment, bool *begun)
{
    struct open_session *session = find(folder->config, fold, moment);
    struct session_row *row;
    uint64_t campaign = campaign_of(moment);
    int r = 0;
    *begun = !session || (campaign && campaign != session->campaign);
    if (*begun)
        r = begin(fold, moment, &session);
    if (r == 0)
        r = row_of(folder, session, &row);
    if (r < 0)
        return r;
    if (*begun) {
        session->campaign = campaign;
        describe(row, moment);
    }
    session->last_at = moment->place.at;
    session->events++;
    session->page_views += moment->type->page_view;
    row->ended_at = session->last_at;
    row->events = session->events;
    row->page_views = session->page_views;
    moment->has_session = true;
    memcpy(moment->session_key, session->session_key, KEY_SIZE);
    return 0;
}
