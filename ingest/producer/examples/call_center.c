/*
 * A telephone exchange: it tells of each state of a call as it changes, and never waits for us.
 *
 *     cc call_center.c $(pkg-config --cflags --libs tabiji) -o call_center
 *     ./call_center https://collect.example.jp /etc/pbx/write-key < states
 *
 * A line of input is a state: TIME CALL STATE CALLER QUEUE AGENT WAIT_MS TALK_MS, - for nothing.
 *
 *     2026-11-20T10:15:00+09:00 CA1 started 03-1234-5678 returns - 0 0
 *     2026-11-20T10:15:12+09:00 CA1 answered 03-1234-5678 returns a-7 12000 0
 *     2026-11-20T10:18:15+09:00 CA1 ended 03-1234-5678 returns a-7 12000 183000
 */
#include <stdio.h>
#include <string.h>
#include <tabiji.h>

struct state {
    char time[41], call[41], name[16], caller[41], queue[41], agent[41];
    long wait_ms, talk_ms;
};

static const char *type_of(const char *name)
{
    if (strcmp(name, "started") == 0)
        return TABIJI_CALL_STARTED;
    if (strcmp(name, "answered") == 0)
        return TABIJI_CALL_ANSWERED;
    if (strcmp(name, "abandoned") == 0)
        return TABIJI_CALL_ABANDONED;
    return strcmp(name, "ended") == 0 ? TABIJI_CALL_ENDED : NULL;
}

static const char *said(const char *word)
{
    return strcmp(word, "-") == 0 ? NULL : word;
}

static int send_state(struct tabiji_producer *producer, const struct state *state)
{
    struct tabiji_event *event = NULL;
    struct tabiji_problem problem = {0};
    struct tabiji_call call = {0};
    char id[64];
    const char *type = type_of(state->name);
    int r = type ? tabiji_event_new(type, NULL, &event) : TABIJI_ERROR_ARGUMENT;
    problem.size = sizeof problem;
    call.size = sizeof call;
    call.call_id = state->call;
    call.direction = "inbound";
    call.queue = said(state->queue);
    call.agent = said(state->agent);
    call.wait_ms = state->wait_ms;
    call.talk_ms = state->talk_ms;
    if (r == TABIJI_OK) {
        /* The same state told twice is one event: by its id, with the exchange's time. With the
         * time at which it was told, the second would be another body under the id, and refused. */
        (void)snprintf(id, sizeof id, "%s-%s", state->call, state->name);
        (void)tabiji_event_set_id(event, id);
        (void)tabiji_event_set_time(event, state->time);
        if (said(state->caller)) /* as the network gives it: the collector makes it a pseudonym */
            (void)tabiji_event_add_identifier(event, "phone", state->caller);
        (void)tabiji_event_set_call(event, &call);
        r = tabiji_send(producer, event, NULL, &problem);
    }
    if (r != TABIJI_OK)
        (void)fprintf(stderr, "%s %s: %s: %s %s %s\n", state->call, state->name,
            tabiji_error_text(r), problem.code, problem.pointer, problem.hint);
    tabiji_event_free(&event);
    return r;
}

int main(int argc, char **argv)
{
    struct tabiji_options options = {0};
    struct tabiji_problem problem = {0};
    struct tabiji_producer *producer = NULL;
    struct state state;
    int failed = 0;
    options.size = sizeof options;
    options.url = argc > 1 ? argv[1] : "http://127.0.0.1:8080";
    options.key_file = argc > 2 ? argv[2] : NULL;
    options.queue_policy = TABIJI_POLICY_DROP_OLDEST; /* never waits; the freshest states matter */
    problem.size = sizeof problem;
    if (tabiji_producer_new(&options, &producer, &problem) != TABIJI_OK) {
        (void)fprintf(stderr, "%s: %s\n", problem.pointer, problem.hint);
        return 2;
    }
    while (scanf("%40s %40s %15s %40s %40s %40s %ld %ld", state.time, state.call, state.name,
               state.caller, state.queue, state.agent, &state.wait_ms, &state.talk_ms) == 8)
        failed |= send_state(producer, &state) != TABIJI_OK;
    failed |= tabiji_producer_close(&producer, 10000) != TABIJI_OK;
    return failed;
}
