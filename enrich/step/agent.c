/*
 * The rules tell families; the kind of device is told by words in the text, since the rules' device
 * families are product names. One lock guards the rules' working memory and the cache.
 */
#include "enrich/step/agent.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>

#include "enrich/step/memo.h"
#include "schemas/error.h"

#define MEMO_ENTRIES 16384

struct agent {
    pthread_mutex_t lock;
    struct agent_rules *rules; /* NULL: none */
    struct memo *memo;
    struct arena scratch;
};

/* What the cache holds before the two texts. */
struct remembered {
    uint8_t kind;
    uint8_t bot;
    uint16_t browser_size;
};

/* Machines that visit by themselves and that the rules' device family Spider misses; lower case. */
static const char *const bot_words[] = {"bot", "crawl", "spider", "slurp", "headless", "phantomjs",
    "selenium", "puppeteer", "playwright", "lighthouse", "pagespeed", "uptime", "pingdom",
    "monitor", "python-requests", "python-urllib", "aiohttp", "httpx", "curl/", "wget/",
    "go-http-client", "java/", "libwww-perl", "scrapy", "facebookexternalhit",
    "mediapartners-google", "apis-google", "feedfetcher", "ia_archiver", "ichiro",
    "hatena::", "preview", "validator"};

/* Words that tell the kind; the first row that has one in the text. Lower case. */
static const struct {
    const char *word;
    enum device_kind kind;
} kind_words[] = {
    {"smarttv", DEVICE_KIND_TV},
    {"smart-tv", DEVICE_KIND_TV},
    {"appletv", DEVICE_KIND_TV},
    {"apple tv", DEVICE_KIND_TV},
    {"googletv", DEVICE_KIND_TV},
    {"android tv", DEVICE_KIND_TV},
    {"hbbtv", DEVICE_KIND_TV},
    {"web0s", DEVICE_KIND_TV},
    {"bravia", DEVICE_KIND_TV},
    {"viera", DEVICE_KIND_TV},
    {"aquos-tv", DEVICE_KIND_TV},
    {"roku", DEVICE_KIND_TV},
    {"crkey", DEVICE_KIND_TV},
    {" aft", DEVICE_KIND_TV}, /* Fire TV models */
    {"playstation", DEVICE_KIND_OTHER},
    {"nintendo", DEVICE_KIND_OTHER},
    {"xbox", DEVICE_KIND_OTHER},
    {"watchos", DEVICE_KIND_OTHER},
    {"ipad", DEVICE_KIND_TABLET},
    {"tablet", DEVICE_KIND_TABLET},
    {"kindle", DEVICE_KIND_TABLET},
    {"playbook", DEVICE_KIND_TABLET},
    {"iphone", DEVICE_KIND_MOBILE},
    {"ipod", DEVICE_KIND_MOBILE},
    {"mobile", DEVICE_KIND_MOBILE},
    {"windows phone", DEVICE_KIND_MOBILE},
    {"blackberry", DEVICE_KIND_MOBILE},
    {"opera mini", DEVICE_KIND_MOBILE},
    {"docomo/", DEVICE_KIND_MOBILE}, /* Japanese feature phones */
    {"kddi-", DEVICE_KIND_MOBILE},
    {"up.browser", DEVICE_KIND_MOBILE},
    {"softbank/", DEVICE_KIND_MOBILE},
    {"vodafone/", DEVICE_KIND_MOBILE},
    {"j-phone/", DEVICE_KIND_MOBILE},
    {"android", DEVICE_KIND_TABLET}, /* without "mobile". Source: Android's own browsers */
    {"windows nt", DEVICE_KIND_DESKTOP},
    {"macintosh", DEVICE_KIND_DESKTOP},
    {"x11;", DEVICE_KIND_DESKTOP},
    {"cros ", DEVICE_KIND_DESKTOP},
    {"linux x86_64", DEVICE_KIND_DESKTOP},
};

int agent_open(struct agent **out, const char *rules_path, char *why)
{
    CLEANUP(agent_close) struct agent *agent = calloc(1, sizeof *agent);
    *why = 0;
    if (!agent)
        return ERR_NO_MEMORY;
    if (pthread_mutex_init(&agent->lock, NULL) != 0) {
        free(agent);
        agent = NULL;
        return ERR_NO_MEMORY;
    }
    int outcome = 0;
    int r = memo_new(&agent->memo, MEMO_ENTRIES);
    if (r == 0 && rules_path && *rules_path)
        r = agent_rules_open(&agent->rules, rules_path, why);
    if (r == ERR_NOT_FOUND)
        outcome = AGENT_WITHOUT_RULES;
    else if (r < 0)
        return r;
    *out = agent;
    agent = NULL;
    return outcome;
}

void agent_close(struct agent **agent)
{
    if (!*agent)
        return;
    agent_rules_close(&(*agent)->rules);
    memo_free(&(*agent)->memo);
    arena_free(&(*agent)->scratch);
    (void)pthread_mutex_destroy(&(*agent)->lock);
    free(*agent);
    *agent = NULL;
}

static bool has_word(struct str lower, const char *word)
{
    return memmem(lower.data, lower.size, word, strlen(word)) != NULL;
}

static void look_at_words(struct str text, struct agent_facts *out)
{
    char data[AGENT_SIZE_MAX];
    for (size_t i = 0; i < text.size; i++)
        data[i] = (char)tolower((unsigned char)text.data[i]);
    struct str lower = str_make(data, text.size);
    for (size_t i = 0; i < sizeof(bot_words) / sizeof(bot_words[0]) && !out->bot; i++)
        out->bot = has_word(lower, bot_words[i]);
    for (size_t i = 0; i < sizeof(kind_words) / sizeof(kind_words[0]); i++)
        if (has_word(lower, kind_words[i].word)) {
            out->kind = kind_words[i].kind;
            return;
        }
}

/* A family, unless it is the rules' word for not knowing. */
static struct str family_of(const struct agent_match *match)
{
    return str_equal(match->fields[0], STR("Other")) ? str_make(NULL, 0) : match->fields[0];
}

static int look_at_rules(struct agent *agent, struct str text, struct agent_facts *out)
{
    struct agent_match match;
    int r = agent_rules_match(agent->rules, AGENT_LIST_DEVICE, text, &agent->scratch, &match);
    if (r == 0 && str_equal(match.fields[0], STR("Spider")))
        out->bot = true;
    if (r >= 0)
        r = agent_rules_match(agent->rules, AGENT_LIST_BROWSER, text, &agent->scratch, &match);
    if (r == 0)
        out->browser = family_of(&match);
    if (r >= 0)
        r = agent_rules_match(agent->rules, AGENT_LIST_OS, text, &agent->scratch, &match);
    if (r == 0)
        out->os = family_of(&match);
    return r < 0 ? r : 0;
}

static int copy_out(const struct agent_facts *facts, struct arena *arena, struct agent_facts *out)
{
    struct agent_facts copy = *facts;
    int r = arena_dup(arena, facts->browser, &copy.browser);
    if (r == 0)
        r = arena_dup(arena, facts->os, &copy.os);
    if (r == 0)
        *out = copy;
    return r;
}

static void remember(struct agent *agent, struct str text, const struct agent_facts *facts)
{
    CLEANUP(buf_free) struct buf value = {0};
    struct remembered head = {(uint8_t)facts->kind, facts->bot, (uint16_t)facts->browser.size};
    int r = buf_append(&value, &head, sizeof(head));
    if (r == 0)
        r = buf_append_str(&value, facts->browser);
    if (r == 0)
        r = buf_append_str(&value, facts->os);
    if (r == 0)
        memo_put(agent->memo, text, buf_str(&value));
}

static bool recall(struct agent *agent, struct str text, struct agent_facts *out)
{
    struct str value;
    struct remembered head;
    if (!memo_get(agent->memo, text, &value))
        return false;
    memcpy(&head, value.data, sizeof(head));
    const char *texts = value.data + sizeof(head);
    *out = (struct agent_facts){.kind = (enum device_kind)head.kind,
        .bot = head.bot,
        .browser = str_make(texts, head.browser_size),
        .os = str_make(texts + head.browser_size, value.size - sizeof(head) - head.browser_size)};
    return true;
}

int agent_look(struct agent *agent, struct str text, struct arena *arena, struct agent_facts *out)
{
    struct agent_facts facts = {0};
    if (text.size > AGENT_SIZE_MAX)
        text.size = AGENT_SIZE_MAX;
    if (text.size == 0) {
        *out = facts;
        return 0;
    }
    (void)pthread_mutex_lock(&agent->lock);
    int r = 0;
    if (!recall(agent, text, &facts)) {
        arena_reset(&agent->scratch);
        look_at_words(text, &facts);
        if (agent->rules)
            r = look_at_rules(agent, text, &facts);
        if (r == 0)
            remember(agent, text, &facts);
    }
    if (r == 0)
        r = copy_out(&facts, arena, out);
    (void)pthread_mutex_unlock(&agent->lock);
    return r;
}
