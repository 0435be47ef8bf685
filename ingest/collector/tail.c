/* Invariants, under the lock: entries [oldest, head) are kept; a bit of an entry's mask is a slot;
 * a viewer that is live is its slot's; only the thread takes from `followed`. */
#include "ingest/collector/tail.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "ingest/collector/tail_slot.h"
#include "schemas/error.h"
#include "schemas/json.h"

#define TICK_MS 100
#define ASK_TICKS 2 /* later fates are asked for every so many ticks */

struct entry {
    char *text; /* NULL: a gap */
    size_t size;
    uint32_t mask;
    uint32_t missed; /* of a gap: items that were not shown */
};

/* An event whose later fate is asked for. */
struct followed {
    struct tail_pick pick;
    struct tail_question question;
    char *texts; /* what the question borrows */
    int64_t until_ms;
};

struct tail {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    tail_later_fn *later;
    void *later_context;
    struct metrics *metrics;
    char boot[17]; /* of this process: ids of another one's mean nothing */
    _Atomic int taken;
    struct tail_slot slots[TAIL_VIEWERS_MAX];
    struct entry entries[TAIL_ENTRIES_MAX];
    uint64_t oldest, head;
    size_t bytes;
    struct followed followed[TAIL_FOLLOWED_MAX];
    size_t followed_count;
    struct tail_question questions[TAIL_FOLLOWED_MAX]; /* the thread's own */
    struct tail_later answers[TAIL_FOLLOWED_MAX];      /* likewise */
    bool ended, stopping;
};

static int64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void lock(struct tail *tail)
{
    check(pthread_mutex_lock(&tail->lock) == 0);
}

static void unlock(struct tail *tail)
{
    check(pthread_mutex_unlock(&tail->lock) == 0);
}

bool tail_watched(const struct tail *tail)
{
    return atomic_load_explicit(&tail->taken, memory_order_relaxed) > 0;
}

/* ---- ring ---- */

static struct entry *entry_at(struct tail *tail, uint64_t at)
{
    return &tail->entries[at % TAIL_ENTRIES_MAX];
}

/* Lets the oldest entry go; who has not had it has missed it. */
static void drop_oldest(struct tail *tail)
{
    struct entry *entry = entry_at(tail, tail->oldest);
    for (unsigned i = 0; i < TAIL_VIEWERS_MAX; i++) {
        struct tail_slot *slot = &tail->slots[i];
        if (entry->mask & 1u << i && slot->next <= tail->oldest)
            slot->missed += entry->text ? 1 : entry->missed;
    }
    tail->bytes -= entry->size;
    free(entry->text);
    *entry = (struct entry){0};
    tail->oldest++;
}

static struct entry *add_entry(struct tail *tail, size_t size)
{
    while (tail->head - tail->oldest == TAIL_ENTRIES_MAX ||
           (tail->bytes + size > TAIL_BYTES_MAX && tail->oldest < tail->head))
        drop_oldest(tail);
    tail->bytes += size;
    return entry_at(tail, tail->head++);
}

/* Takes a copy; a gap where there is no memory for it. */
static void add_item(struct tail *tail, uint32_t mask, struct str text)
{
    char *copy = malloc(text.size + 1);
    struct entry *entry = add_entry(tail, copy ? text.size : 0);
    *entry = (struct entry){.text = copy, .size = copy ? text.size : 0, .mask = mask, .missed = 1};
    if (copy)
        memcpy(copy, text.data, text.size);
}

/* One more item is not shown. Gaps in a row are one, unless somebody has read the last already. */
static void add_gap(struct tail *tail, uint32_t mask)
{
    struct entry *last = tail->head > tail->oldest ? entry_at(tail, tail->head - 1) : NULL;
    bool same = last && !last->text && last->mask == mask && last->missed < UINT32_MAX;
    for (unsigned i = 0; same && i < TAIL_VIEWERS_MAX; i++)
        same = !(mask & 1u << i) || tail->slots[i].next < tail->head;
    if (same)
        last->missed++;
    else
        *add_entry(tail, 0) = (struct entry){.mask = mask, .missed = 1};
    metrics_add(tail->metrics, METRIC_COLLECTOR_VIEWERS_MISSED, 0, 0, 1);
}

/* ---- what is shown ---- */

bool tail_pick(struct tail *tail, const struct tail_facts *facts, struct tail_pick *out)
{
    struct tail_pick pick = {0};
    uint32_t beyond = 0;
    lock(tail);
    for (unsigned i = 0; i < TAIL_VIEWERS_MAX; i++) {
        struct tail_slot *slot = &tail->slots[i];
        if (slot->state == SLOT_FREE || !slot_wants(slot, facts))
            continue;
        if (!slot_wants_fate(slot, facts->fate)) {
            pick.followed |= 1u << i;
        } else if (slot->budget == 0) {
            beyond |= 1u << i;
        } else {
            slot->budget--;
            pick.followed |= 1u << i;
            pick.shown |= 1u << i;
        }
    }
    if (beyond)
        add_gap(tail, beyond);
    unlock(tail);
    *out = pick;
    return pick.followed != 0;
}

static void follow(
    struct tail *tail, const struct tail_pick *pick, const struct tail_question *question)
{
    if (tail->followed_count == TAIL_FOLLOWED_MAX || !tail->later)
        return;
    struct followed *followed = &tail->followed[tail->followed_count];
    size_t source = strlen(question->source) + 1, id = strlen(question->event_id) + 1;
    *followed = (struct followed){.pick = *pick, .question = *question};
    followed->texts = malloc(source + id);
    if (!followed->texts)
        return;
    memcpy(followed->texts, question->source, source);
    memcpy(followed->texts + source, question->event_id, id);
    followed->question.source = followed->texts;
    followed->question.event_id = followed->texts + source;
    followed->until_ms = now_ms() + TAIL_FOLLOW_MS;
    tail->followed_count++;
}

void tail_put(struct tail *tail, const struct tail_pick *pick, struct str text,
    const struct tail_question *followed)
{
    lock(tail);
    if (pick->shown)
        add_item(tail, pick->shown, text);
    if (followed)
        follow(tail, pick, followed);
    unlock(tail);
}

/* ---- later fates: the thread ---- */

static int write_later(
    const struct tail_question *question, const struct tail_later *later, struct buf *out)
{
    char key[2 * KEY_SIZE], person[2 * KEY_SIZE];
    hex_encode(question->event_key, KEY_SIZE, key);
    hex_encode(later->person, KEY_SIZE, person);
    int r = buf_appendf(
        out, "event: fate\ndata: {\"event_key\":\"%.*s\",\"source\":", (int)sizeof key, key);
    if (r == 0)
        r = json_write_text(out, str_of(question->source));
    if (r == 0)
        r = buf_append_str(out, STR(",\"event_id\":"));
    if (r == 0)
        r = json_write_text(out, str_of(question->event_id));
    if (r == 0)
        r = buf_appendf(out, ",\"stage\":\"tables\",\"fate\":\"%s\"", slot_fate_name(later->fate));
    if (r == 0 && later->fate != TAIL_FATE_REJECTED)
        r = buf_appendf(out, ",\"person\":\"%.8s-%.4s-%.4s-%.4s-%.12s\"", person, person + 8,
            person + 12, person + 16, person + 20);
    if (r == 0)
        r = buf_appendf(out, "%s}", later->detail);
    return r;
}

static void show_later(
    struct tail *tail, const struct followed *followed, const struct tail_later *later)
{
    CLEANUP(buf_free) struct buf text = {0};
    uint32_t mask = followed->pick.shown;
    for (unsigned i = 0; i < TAIL_VIEWERS_MAX; i++)
        if (followed->pick.followed & 1u << i &&
            slot_wants_fate(&tail->slots[i], str_of(slot_fate_name(later->fate))))
            mask |= 1u << i;
    if (mask && write_later(&followed->question, later, &text) == 0)
        add_item(tail, mask, buf_str(&text));
}

static void forget_followed(struct tail *tail, size_t at)
{
    free(tail->followed[at].texts);
    tail->followed_count--;
    memmove(&tail->followed[at], &tail->followed[at + 1],
        (tail->followed_count - at) * sizeof *tail->followed);
}

/* Called with the lock, which is let go while the answers are looked for. */
static void ask_later(struct tail *tail)
{
    struct tail_question *questions = tail->questions;
    struct tail_later *answers = tail->answers;
    size_t count = tail->followed_count;
    int64_t now = now_ms();
    if (!tail->later || count == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        questions[i] = tail->followed[i].question;
        tail->followed[i].question.asked++;
    }
    memset(answers, 0, count * sizeof *answers);
    unlock(tail);
    int r = tail->later(tail->later_context, questions, count, answers);
    lock(tail);
    for (size_t i = count; i-- > 0;) {
        bool known = r == 0 && answers[i].fate != TAIL_FATE_UNKNOWN;
        if (known)
            show_later(tail, &tail->followed[i], &answers[i]);
        if (known || tail->followed[i].until_ms <= now)
            forget_followed(tail, i);
    }
}

/* ---- viewers ---- */

struct tail_viewer {
    struct tail *tail;
    struct tail_slot *slot; /* whose viewer it is while slot->viewer says so */
    struct buf pending;     /* of the stream, not read yet from `at` on */
    size_t at;
    bool asleep;
    int64_t read_ms; /* when something was last written */
    void (*sleep)(void *context);
    void (*wake)(void *context);
    void *context;
    char base[TAIL_BASE_SIZE_MAX];
};

static void free_slot(struct tail *tail, struct tail_slot *slot)
{
    uint32_t bit = 1u << (slot - tail->slots);
    for (size_t i = tail->followed_count; i-- > 0;) {
        struct tail_pick *pick = &tail->followed[i].pick;
        pick->shown &= ~bit;
        pick->followed &= ~bit;
    }
    slot_free(slot);
    (void)atomic_fetch_sub(&tail->taken, 1);
}

static void wake(struct tail_viewer *viewer)
{
    if (!viewer->asleep)
        return;
    viewer->asleep = false;
    viewer->wake(viewer->context);
}

/* Wakes whom there is something for; lets slots go whose viewer does not come back. */
static void look_at_slots(struct tail *tail)
{
    int64_t now = now_ms();
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++) {
        struct tail_slot *slot = &tail->slots[i];
        struct tail_viewer *viewer = slot->viewer;
        if (slot->state == SLOT_LINGERING && slot->until_ms <= now)
            free_slot(tail, slot);
        slot->budget += TAIL_SECOND_MAX * TICK_MS / 1000;
        if (slot->budget > TAIL_SECOND_MAX)
            slot->budget = TAIL_SECOND_MAX;
        if (!viewer || !viewer->asleep)
            continue;
        bool beat = now - viewer->read_ms >= TAIL_BEAT_MS;
        if (beat && buf_append_str(&viewer->pending, STR(":\n\n")) < 0)
            continue;
        if (beat || slot->next < tail->head)
            wake(viewer);
    }
}

static void *run(void *context)
{
    struct tail *tail = context;
    lock(tail);
    for (unsigned tick = 0; !tail->stopping; tick++) {
        struct timespec until;
        if (!tail_watched(tail)) {
            check(pthread_cond_wait(&tail->wake, &tail->lock) == 0);
            continue;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        (void)pthread_cond_timedwait(&tail->wake, &tail->lock, &until);
        if (tick % ASK_TICKS == 0)
            ask_later(tail);
        look_at_slots(tail);
    }
    unlock(tail);
    return NULL;
}

/* The slot that an id names, where its viewer was the one that comes back; *next: behind what it
 * has had. */
static struct tail_slot *find_slot(struct tail *tail, struct str id, uint64_t *next)
{
    unsigned at = 0;
    unsigned long long last = 0;
    char text[TAIL_ID_SIZE_MAX + 1], boot[17];
    if (id.size == 0 || id.size > TAIL_ID_SIZE_MAX)
        return NULL;
    memcpy(text, id.data, id.size);
    text[id.size] = '\0';
    if (sscanf(text, "%16[0-9a-f]-%u-%llu", boot, &at, &last) != 3 ||
        strcmp(boot, tail->boot) != 0 || at >= TAIL_VIEWERS_MAX || last >= tail->head)
        return NULL;
    *next = last + 1;
    return tail->slots[at].state == SLOT_FREE ? NULL : &tail->slots[at];
}

static struct tail_slot *take_slot(struct tail *tail)
{
    struct tail_slot *lingering = NULL;
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++) {
        if (tail->slots[i].state == SLOT_FREE)
            return &tail->slots[i];
        if (tail->slots[i].state == SLOT_LINGERING)
            lingering = &tail->slots[i];
    }
    if (lingering)
        free_slot(tail, lingering);
    return lingering;
}

/* Goes on where the viewer was, or begins now. Errors: ERR_FULL, ERR_NO_MEMORY. */
static int enter(struct tail *tail, struct tail_viewer *viewer, const struct tail_viewing *viewing)
{
    uint64_t next = 0;
    struct tail_slot *slot = find_slot(tail, viewing->last_id, &next);
    if (slot && slot_filter_is(slot, &viewing->filter)) {
        if (slot->viewer) /* whose connection is dead, though nobody knows yet */
            wake(slot->viewer);
        slot->at_least = slot->at_least || next < tail->oldest;
        slot->next = next;
    } else {
        slot = take_slot(tail);
        if (!slot)
            return ERR_FULL;
        int r = slot_take(slot, &viewing->filter);
        if (r < 0)
            return r;
        slot->next = tail->head;
        (void)atomic_fetch_add(&tail->taken, 1);
        if (viewing->last_id.size)
            slot->at_least = true;
    }
    slot->state = SLOT_LIVE;
    slot->viewer = viewer;
    viewer->slot = slot;
    return 0;
}

int tail_open(struct tail *tail, const struct tail_viewing *viewing, struct tail_viewer **out)
{
    struct tail_viewer *viewer = calloc(1, sizeof *viewer);
    if (!viewer)
        return ERR_NO_MEMORY;
    viewer->tail = tail;
    viewer->read_ms = now_ms();
    viewer->sleep = viewing->sleep;
    viewer->wake = viewing->wake;
    viewer->context = viewing->context;
    (void)snprintf(viewer->base, sizeof viewer->base, "%.*s", (int)viewing->base.size,
        viewing->base.size ? viewing->base.data : "");
    int r = buf_append_str(&viewer->pending, STR("retry: 1000\n: live\n\n"));
    lock(tail);
    if (r == 0)
        r = tail->ended ? ERR_AGAIN : enter(tail, viewer, viewing);
    if (r == 0)
        metrics_add(tail->metrics, METRIC_COLLECTOR_VIEWERS, 0, 0, 1);
    check(pthread_cond_signal(&tail->wake) == 0);
    unlock(tail);
    if (r < 0) {
        buf_free(&viewer->pending);
        free(viewer);
        return r;
    }
    *out = viewer;
    return 0;
}

void tail_close(struct tail_viewer **viewer_)
{
    struct tail_viewer *viewer = *viewer_;
    if (!viewer)
        return;
    struct tail *tail = viewer->tail;
    lock(tail);
    if (viewer->slot->viewer == viewer) {
        viewer->slot->viewer = NULL;
        viewer->slot->state = SLOT_LINGERING;
        viewer->slot->until_ms = now_ms() + TAIL_LINGER_MS;
    }
    metrics_add(tail->metrics, METRIC_COLLECTOR_VIEWERS, 0, 0, -1);
    unlock(tail);
    buf_free(&viewer->pending);
    free(viewer);
    *viewer_ = NULL;
}

/* ---- the stream ---- */

static int write_missed(struct tail_slot *slot, struct buf *out)
{
    int r = 0;
    if (slot->missed || slot->at_least)
        r = buf_appendf(out, "event: missed\ndata: {\"missed\":%llu%s}\n\n",
            (unsigned long long)slot->missed, slot->at_least ? ",\"at_least\":true" : "");
    if (r == 0) {
        slot->missed = 0;
        slot->at_least = false;
    }
    return r;
}

/* An item's text with the viewer's address in its place. */
static int write_item(
    const struct tail_viewer *viewer, uint64_t at, const struct entry *entry, struct buf *out)
{
    const struct tail *tail = viewer->tail;
    struct str rest = str_make(entry->text, entry->size);
    int r = buf_appendf(out, "id: %s-%zu-%llu\n", tail->boot, (size_t)(viewer->slot - tail->slots),
        (unsigned long long)at);
    while (r == 0 && rest.size) {
        const char *mark = memchr(rest.data, TAIL_BASE_MARK[0], rest.size);
        size_t size = mark ? (size_t)(mark - rest.data) : rest.size;
        r = buf_append(out, rest.data, size);
        if (r == 0 && mark)
            r = buf_append_str(out, str_of(viewer->base));
        size += mark != NULL;
        rest = str_make(rest.data + size, rest.size - size);
    }
    return r == 0 ? buf_append_str(out, STR("\n\n")) : r;
}

/* Writes what was missed and the next item, where there is one. Errors: ERR_NO_MEMORY. */
static int write_next(struct tail_viewer *viewer)
{
    struct tail *tail = viewer->tail;
    struct tail_slot *slot = viewer->slot;
    uint32_t bit = 1u << (slot - tail->slots);
    if (slot->next < tail->oldest)
        slot->next = tail->oldest;
    for (; slot->next < tail->head; slot->next++) {
        const struct entry *entry = entry_at(tail, slot->next);
        if (!(entry->mask & bit))
            continue;
        if (entry->text)
            break;
        slot->missed += entry->missed;
    }
    int r = write_missed(slot, &viewer->pending);
    if (r < 0 || slot->next == tail->head)
        return r;
    r = write_item(viewer, slot->next, entry_at(tail, slot->next), &viewer->pending);
    slot->next += r == 0;
    return r;
}

ssize_t tail_read(struct tail_viewer *viewer, char *out, size_t size)
{
    struct tail *tail = viewer->tail;
    int r = 0;
    lock(tail);
    if (tail->ended || viewer->slot->viewer != viewer) {
        unlock(tail);
        return TAIL_ENDED;
    }
    if (viewer->at == viewer->pending.size) {
        viewer->at = 0;
        buf_clear(&viewer->pending);
        r = write_next(viewer);
    }
    size_t left = viewer->pending.size - viewer->at;
    if (left == 0 || r < 0) { /* without memory: again at the next tick */
        buf_clear(&viewer->pending);
        viewer->at = 0;
        viewer->asleep = true;
        viewer->sleep(viewer->context);
        unlock(tail);
        return 0;
    }
    size_t count = left < size ? left : size;
    memcpy(out, viewer->pending.data + viewer->at, count);
    viewer->at += count;
    viewer->read_ms = now_ms();
    unlock(tail);
    return (ssize_t)count;
}

/* ---- start and stop ---- */

int tail_start(tail_later_fn *later, void *context, struct metrics *metrics, struct tail **out)
{
    struct tail *tail = calloc(1, sizeof *tail);
    if (!tail)
        return ERR_NO_MEMORY;
    tail->later = later;
    tail->later_context = context;
    tail->metrics = metrics;
    uint8_t boot[8];
    if (getrandom(boot, sizeof boot, 0) != (ssize_t)sizeof boot) {
        free(tail);
        return ERR_IO;
    }
    hex_encode(boot, sizeof boot, tail->boot);
    pthread_condattr_t attributes;
    check(pthread_condattr_init(&attributes) == 0);
    check(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    check(pthread_mutex_init(&tail->lock, NULL) == 0);
    check(pthread_cond_init(&tail->wake, &attributes) == 0);
    check(pthread_condattr_destroy(&attributes) == 0);
    if (pthread_create(&tail->thread, NULL, run, tail) != 0) {
        free(tail);
        return ERR_IO;
    }
    *out = tail;
    return 0;
}

void tail_end(struct tail *tail)
{
    if (!tail)
        return;
    lock(tail);
    tail->ended = true;
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++)
        if (tail->slots[i].viewer)
            wake(tail->slots[i].viewer);
    unlock(tail);
}

void tail_stop(struct tail **tail_)
{
    struct tail *tail = *tail_;
    if (!tail)
        return;
    lock(tail);
    tail->stopping = true;
    check(pthread_cond_signal(&tail->wake) == 0);
    unlock(tail);
    check(pthread_join(tail->thread, NULL) == 0);
    for (size_t i = 0; i < TAIL_VIEWERS_MAX; i++)
        slot_free(&tail->slots[i]);
    while (tail->oldest < tail->head)
        drop_oldest(tail);
    while (tail->followed_count)
        forget_followed(tail, tail->followed_count - 1);
    check(pthread_mutex_destroy(&tail->lock) == 0);
    check(pthread_cond_destroy(&tail->wake) == 0);
    free(tail);
    *tail_ = NULL;
}
