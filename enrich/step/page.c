/* The page step. Invariant: parameters that are not listed reach no field of the event. */
#include "enrich/step/page.h"

#include <ctype.h>
#include <stddef.h>

#include "enrich/step/percent.h"
#include "schemas/error.h"
#include "schemas/url.h"

/* Parameter to field of the campaign. */
static const struct {
    struct str key;
    size_t offset;
} campaign_keys[] = {
    {STR_INIT("utm_source"), offsetof(struct campaign, source)},
    {STR_INIT("utm_medium"), offsetof(struct campaign, medium)},
    {STR_INIT("utm_campaign"), offsetof(struct campaign, name)},
    {STR_INIT("utm_content"), offsetof(struct campaign, content)},
    {STR_INIT("utm_term"), offsetof(struct campaign, term)},
    {STR_INIT("utm_id"), offsetof(struct campaign, id)},
};
#define CAMPAIGN_KEYS (sizeof(campaign_keys) / sizeof(campaign_keys[0]))

/* Parameter to kind of click, the surest first: fbclid is put on free links too.
 * Source: the advertisers' documents on click ids; ldtag is LINE's. */
static const struct {
    struct str key;
    struct str kind;
} click_keys[] = {
    {STR_INIT("gclid"), STR_INIT("gclid")},
    {STR_INIT("wbraid"), STR_INIT("wbraid")},
    {STR_INIT("gbraid"), STR_INIT("gbraid")},
    {STR_INIT("dclid"), STR_INIT("dclid")},
    {STR_INIT("yclid"), STR_INIT("yclid")},
    {STR_INIT("msclkid"), STR_INIT("msclkid")},
    {STR_INIT("ldtag_cl"), STR_INIT("ldtag")},
    {STR_INIT("ldtag"), STR_INIT("ldtag")},
    {STR_INIT("ttclid"), STR_INIT("ttclid")},
    {STR_INIT("twclid"), STR_INIT("twclid")},
    {STR_INIT("li_fat_id"), STR_INIT("li_fat_id")},
    {STR_INIT("ScCid"), STR_INIT("sccid")},
    {STR_INIT("fbclid"), STR_INIT("fbclid")},
};
#define CLICK_KEYS (sizeof(click_keys) / sizeof(click_keys[0]))

static struct str without_fragment(struct str text)
{
    const char *hash = text.size ? memchr(text.data, '#', text.size) : NULL;
    return hash ? str_make(text.data, (size_t)(hash - text.data)) : text;
}

static bool is_whole_address(struct str text)
{
    const char *colon = text.size > 3 ? memchr(text.data, ':', text.size - 2) : NULL;
    return colon && colon[1] == '/' && colon[2] == '/';
}

static int lower_case(struct str *text, struct arena *arena)
{
    size_t at = 0;
    while (at < text->size && !isupper((unsigned char)text->data[at]))
        at++;
    if (at == text->size)
        return 0;
    char *data = arena_alloc(arena, text->size);
    if (!data)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < text->size; i++)
        data[i] = (char)tolower((unsigned char)text->data[i]);
    *text = str_make(data, text->size);
    return 0;
}

/* Splits a whole address that stands in host or path. query may be NULL. */
static int split(struct str *host, struct str *path, struct str *query, struct arena *arena)
{
    struct str whole = is_whole_address(*host) ? *host : *path;
    bool in_path = !is_whole_address(*host);
    if (is_whole_address(whole) && (!in_path || host->size == 0)) {
        struct url url;
        int r = url_split(whole, arena, &url);
        if (r < 0)
            return r;
        *host = url.host;
        if (in_path || path->size == 0)
            *path = url.path;
        if (query && query->size == 0)
            *query = url.query;
    }
    *path = without_fragment(*path);
    return lower_case(host, arena);
}

/* Cuts the next parameter off; false at the end. */
static bool next_parameter(struct str *rest, struct str *whole, struct str *key, struct str *value)
{
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->data, '&', rest->size);
    size_t size = end ? (size_t)(end - rest->data) : rest->size;
    *whole = str_make(rest->data, size);
    const char *equals = size ? memchr(rest->data, '=', size) : NULL;
    *key = equals ? str_make(whole->data, (size_t)(equals - whole->data)) : *whole;
    *value = equals ? str_make(equals + 1, size - key->size - 1) : str_make(NULL, 0);
    size_t cut = end ? size + 1 : size;
    *rest = str_make(rest->data + cut, rest->size - cut);
    return true;
}

static int take_campaign(
    struct touchpoint *event, struct str key, struct str value, struct arena *arena)
{
    for (size_t i = 0; i < CAMPAIGN_KEYS; i++) {
        if (!str_equal(key, campaign_keys[i].key))
            continue;
        if (!event->has_campaign)
            campaign_init(&event->campaign);
        struct str *field =
            (struct str *)(void *)((char *)&event->campaign + campaign_keys[i].offset);
        if (field->size)
            return 0;
        event->has_campaign = true;
        return percent_decode(value, arena, field);
    }
    return 0;
}

/* Remembers the click id that stands first in the table. */
static void find_click(struct str key, struct str value, size_t *best, struct str *best_value)
{
    for (size_t i = 0; i < *best; i++)
        if (value.size && str_equal(key, click_keys[i].key)) {
            *best = i;
            *best_value = value;
            return;
        }
}

static bool stays(const struct page_config *config, struct str key)
{
    for (size_t i = 0; i < config->query_keys_count; i++)
        if (str_equal(key, config->query_keys[i]))
            return true;
    return false;
}

/* Goes through the parameters once; what stays is gathered in `kept`, which has room for all. */
static int take_parameters(const struct page_config *config, struct touchpoint *event,
    struct arena *arena, char *kept, size_t *kept_size)
{
    struct str rest = event->page.query, whole, key, value, click_value = {0};
    size_t click = CLICK_KEYS, size = 0;
    for (size_t count = 0; count < PAGE_PARAMETERS_MAX; count++) {
        if (!next_parameter(&rest, &whole, &key, &value))
            break;
        if (value.size && str_starts_with(key, STR("utm_"))) {
            int r = take_campaign(event, key, value, arena);
            if (r < 0)
                return r;
        }
        find_click(key, value, &click, &click_value);
        if (whole.size && stays(config, key)) {
            if (size)
                kept[size++] = '&';
            memcpy(kept + size, whole.data, whole.size);
            size += whole.size;
        }
    }
    *kept_size = size;
    if (click == CLICK_KEYS || event->has_click)
        return 0;
    event->has_click = true;
    event->click.kind = click_keys[click].kind;
    return percent_decode(click_value, arena, &event->click.value);
}

int page_step(const struct page_config *config, struct touchpoint *event, struct arena *arena)
{
    if (!event->has_page)
        return 0;
    struct page *page = &event->page;
    int r = split(&page->host, &page->path, &page->query, arena);
    if (r == 0)
        r = split(&page->referrer_host, &page->referrer_path, NULL, arena);
    if (r < 0)
        return r;
    page->query = without_fragment(page->query);
    if (page->query.size && page->query.data[0] == '?')
        page->query = str_make(page->query.data + 1, page->query.size - 1);
    if (page->query.size == 0)
        return 0;
    size_t size = 0;
    char *kept = arena_alloc(arena, page->query.size);
    if (!kept)
        return ERR_NO_MEMORY;
    r = take_parameters(config, event, arena, kept, &size);
    if (r == 0)
        page->query = str_make(kept, size);
    return r;
}
