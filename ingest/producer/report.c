/* A kept report carries a copy of the event's id. */
#include "ingest/producer/report.h"

#include "schemas/error.h"

struct producer_report {
    struct tabiji_report report; /* first, so that its address is the report's */
    struct producer_report *next;
    char id[];
};

int producer_reports_init(struct producer_reports *reports, const struct tabiji_allocator *memory)
{
    *reports = (struct producer_reports){.memory = memory};
    if (pthread_mutex_init(&reports->lock, NULL) != 0)
        return ERR_NO_MEMORY;
    int r = producer_condition_init(&reports->came);
    if (r < 0)
        (void)pthread_mutex_destroy(&reports->lock);
    return r;
}

void producer_reports_fini(struct producer_reports *reports)
{
    while (reports->first) {
        struct producer_report *next = reports->first->next;
        producer_memory_free(reports->memory, reports->first);
        reports->first = next;
    }
    (void)pthread_cond_destroy(&reports->came);
    (void)pthread_mutex_destroy(&reports->lock);
}

static struct producer_report *copy_report(
    const struct producer_reports *reports, const struct tabiji_report *report)
{
    size_t id_size = strlen(report->event_id) + 1;
    struct producer_report *copy = producer_memory_get(reports->memory, sizeof *copy + id_size);
    if (!copy)
        return NULL;
    copy->report = *report;
    copy->next = NULL;
    memcpy(copy->id, report->event_id, id_size);
    copy->report.event_id = copy->id;
    return copy;
}

static void keep(struct producer_reports *reports, const struct tabiji_report *report)
{
    (void)pthread_mutex_lock(&reports->lock);
    struct producer_report *copy =
        reports->kept < reports->kept_max ? copy_report(reports, report) : NULL;
    if (!copy)
        reports->lost++;
    else if (reports->last)
        reports->last->next = copy;
    else
        reports->first = copy;
    if (copy) {
        reports->last = copy;
        reports->kept++;
        (void)pthread_cond_signal(&reports->came);
    }
    (void)pthread_mutex_unlock(&reports->lock);
}

static void tell(struct producer_reports *reports, const struct tabiji_report *report)
{
    if (reports->on_report)
        reports->on_report(reports->context, report);
    else if (reports->kept_max > 0)
        keep(reports, report);
}

void producer_reports_tell(struct producer_reports *reports, enum tabiji_report_kind kind,
    const struct producer_entry *entry, const struct tabiji_problem *problem)
{
    struct tabiji_report report = {.size = sizeof report,
        .kind = kind,
        .event_id = entry ? entry->bytes : "",
        .opaque = entry ? entry->opaque : NULL,
        .problem = {.size = sizeof report.problem}};
    if (kind == TABIJI_REPORT_DELIVERED && reports->failures_only)
        return;
    if (problem)
        report.problem = *problem;
    tell(reports, &report);
}

void producer_reports_tell_spool(
    struct producer_reports *reports, const struct tabiji_problem *problem, uint64_t events)
{
    const struct tabiji_report report = {.size = sizeof report,
        .kind = TABIJI_REPORT_SPOOL,
        .event_id = "",
        .problem = *problem,
        .events = events};
    tell(reports, &report);
}

int producer_reports_next(
    struct producer_reports *reports, int timeout_ms, struct tabiji_report **out)
{
    struct timespec at = producer_deadline(timeout_ms < 0 ? 0 : timeout_ms);
    int waited = 0;
    (void)pthread_mutex_lock(&reports->lock);
    while (waited == 0 && !reports->first)
        waited = pthread_cond_timedwait(&reports->came, &reports->lock, &at);
    struct producer_report *first = reports->first;
    if (first) {
        reports->first = first->next;
        if (!reports->first)
            reports->last = NULL;
        reports->kept--;
    }
    (void)pthread_mutex_unlock(&reports->lock);
    if (!first)
        return ERR_AGAIN;
    *out = &first->report;
    return 0;
}

void producer_reports_free(struct producer_reports *reports, struct tabiji_report **report)
{
    producer_memory_free(reports->memory, *report);
    *report = NULL;
}

uint64_t producer_reports_lost(struct producer_reports *reports)
{
    (void)pthread_mutex_lock(&reports->lock);
    uint64_t lost = reports->lost;
    (void)pthread_mutex_unlock(&reports->lock);
    return lost;
}
