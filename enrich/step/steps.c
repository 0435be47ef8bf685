#include "enrich/step/steps.h"

#include <stdio.h>
#include <stdlib.h>

#include "enrich/step/address.h"
#include "enrich/step/agent.h"
#include "enrich/step/channel.h"
#include "enrich/step/page.h"
#include "schemas/error.h"
#include "schemas/event.h"

_Static_assert(STEPS_WHY_SIZE >= AGENT_WHY_SIZE && STEPS_WHY_SIZE >= CHANNEL_WHY_SIZE &&
                   STEPS_WHY_SIZE >= ADDRESS_WHY_SIZE,
    "a step's reason fits");

struct steps {
    struct arena arena; /* query keys */
    struct page_config page;
    struct agent *agent;
    struct address_places *places; /* NULL: none */
    struct channel_rules *channels;
};

static int copy_keys(struct steps *steps, const struct steps_config *config)
{
    size_t count = config->query_keys_count;
    struct str *keys = arena_alloc(&steps->arena, count * sizeof *keys);
    if (!keys)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        int r = arena_dup(&steps->arena, config->query_keys[i], &keys[i]);
        if (r < 0)
            return r;
    }
    steps->page = (struct page_config){keys, count};
    return 0;
}

int steps_open(struct steps **out, const struct steps_config *config, char *why)
{
    CLEANUP(steps_close) struct steps *steps = calloc(1, sizeof *steps);
    *why = 0;
    if (!steps)
        return ERR_NO_MEMORY;
    int r = copy_keys(steps, config);
    if (r == 0)
        r = channel_rules_open(&steps->channels, config->channel_rules, why);
    if (r == 0 && config->geo_database && *config->geo_database)
        r = address_places_open(&steps->places, config->geo_database, why);
    if (r == 0)
        r = agent_open(&steps->agent, config->agent_rules, why);
    if (r < 0)
        return r;
    *out = steps;
    steps = NULL;
    return r == AGENT_WITHOUT_RULES ? STEPS_WITHOUT_AGENT_RULES : 0;
}

void steps_close(struct steps **steps)
{
    if (!*steps)
        return;
    agent_close(&(*steps)->agent);
    address_places_close(&(*steps)->places);
    channel_rules_close(&(*steps)->channels);
    arena_free(&(*steps)->arena);
    free(*steps);
    *steps = NULL;
}

static int agent_step(struct steps *steps, struct touchpoint *event, struct arena *arena)
{
    struct agent_facts facts;
    int r = agent_look(steps->agent, event->client.user_agent, arena, &facts);
    if (r < 0)
        return r;
    event->bot = event->bot || facts.bot;
    if (!event->has_device) {
        device_init(&event->device);
        event->has_device =
            facts.kind != DEVICE_KIND_UNKNOWN || facts.os.size > 0 || facts.browser.size > 0;
    }
    struct device *device = &event->device;
    /* An app has no browser: its agent names a library, at best. */
    if (device->browser.size == 0 && device->kind != DEVICE_KIND_APP && device->app.size == 0)
        device->browser = facts.browser;
    if (device->os.size == 0)
        device->os = facts.os;
    if (device->kind == DEVICE_KIND_UNKNOWN)
        device->kind = facts.kind;
    return 0;
}

static int address_step(struct steps *steps, struct touchpoint *event, struct arena *arena)
{
    int r = 0;
    if (steps->places && !event->has_geo) {
        r = address_place(steps->places, event->client.address, arena, &event->geo);
        event->has_geo = event->geo.country.size > 0;
    }
    return r < 0 ? r : address_cut(event->client.address, arena, &event->client.address);
}

/* What is said of persons, and was done by none: it came by no channel. */
static bool is_word(const struct touchpoint *event)
{
    return (event->has_evidence && event_type_class(event->type) == EVENT_CLASS_IDENTITY) ||
           str_equal(event->type, STR("erasure_requested")) ||
           str_equal(event->type, STR("erasure_lifted"));
}

int steps_apply(void *context, struct touchpoint *event, struct arena *arena, struct str *channel)
{
    struct steps *steps = context;
    struct channel_facts facts;
    int r = page_step(&steps->page, event, arena);
    if (r == 0 && event->has_client && event->client.user_agent.size)
        r = agent_step(steps, event, arena);
    if (r == 0 && event->has_client && event->client.address.size)
        r = address_step(steps, event, arena);
    if (r < 0)
        return r;
    channel_facts_of(event, &facts);
    *channel = is_word(event) ? STR("") : channel_of(steps->channels, &facts);
    return 0;
}
