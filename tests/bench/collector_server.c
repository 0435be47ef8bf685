/*
 * A collector before a real log, for the bench: collector_server DIR [THREADS]. Prints its port,
 * serves until standard input ends, then prints how many records the log has.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ingest/collector/collector.h"
#include "ingest/stream/local.h"
#include "schemas/error.h"

#define IDENTITY_OF_NOBODY "bench"
#define MAP_BYTES ((size_t)32 << 30) /* as much as valgrind lets us have */

static int serve(struct local *local, const char *threads)
{
    CLEANUP(config_free) struct config *config = NULL;
    CLEANUP(metrics_free) struct metrics *metrics = NULL;
    struct config_problem problem;
    struct door_config door;
    struct collector_config collector_config;
    struct collector *collector = NULL;
    const struct log log = {.fd = 2, .level = LOG_LEVEL_WARNING};
    int r = config_new(&config);
    if (r == 0)
        r = metrics_new(&metrics);
    if (r == 0)
        r = config_set(config, "collector.listen", "127.0.0.1:0", "bench", &problem);
    if (r == 0)
        r = config_set(config, "collector.open_source", IDENTITY_OF_NOBODY, "bench", &problem);
    if (r == 0 && threads)
        r = config_set(config, "collector.threads", threads, "bench", &problem);
    if (r == 0)
        r = config_finish(config, &problem);
    if (r < 0)
        return r;
    door_config_default(&door);
    collector_configure(config, &collector_config);
    collector_config.door = &door;
    collector_config.log = &log;
    collector_config.metrics = metrics;
    r = collector_start(&collector_config, local_appender(local), &collector);
    if (r < 0)
        return r;
    (void)printf("%d\n", collector_port(collector));
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    collector_stop(&collector);
    (void)printf("%" PRId64 "\n", local_log_end(local));
    return 0;
}

int main(int argc, char **argv)
{
    struct local *local = NULL;
    const struct local_options options = {.map_bytes = MAP_BYTES};
    if (argc < 2)
        return 2;
    int r = local_open(&local, argv[1], &options);
    if (r == 0)
        r = serve(local, argc > 2 ? argv[2] : NULL);
    if (r < 0)
        (void)fprintf(stderr, "%s\n", error_text(r));
    local_close(&local);
    return r < 0;
}
