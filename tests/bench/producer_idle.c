/* A client of libtabiji at rest, for footprint.py, which compiles it: producer_idle
 * none|idle|event|phone [SPOOL-DIR]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/producer/tabiji.h"

int main(int argc, char **argv)
{
    struct tabiji_options options = {0};
    struct tabiji_producer *producer = NULL;
    const char *state = argc > 1 ? argv[1] : "";
    const char *json = strcmp(state, "phone") == 0
                           ? "{\"type\":\"x\",\"ids\":{\"phone\":\"03-1234-5678\"}}"
                           : "{\"type\":\"x\",\"ids\":{\"login\":\"u\"}}";
    options.size = sizeof options;
    options.url = "http://127.0.0.1:1"; /* nobody is there */
    options.retry_min_ms = options.retry_max_ms = 30000;
    options.spool_dir = argc > 2 ? argv[2] : NULL;
    if (strcmp(state, "none") != 0 && tabiji_producer_new(&options, &producer, NULL) != TABIJI_OK)
        return 1;
    if (strcmp(state, "none") != 0 && strcmp(state, "idle") != 0 &&
        tabiji_send_json(producer, json, strlen(json), NULL, NULL) != TABIJI_OK)
        return 1;
    (void)printf("%s\n", tabiji_version());
    (void)fflush(stdout);
    while (getchar() != EOF)
        ;
    (void)tabiji_producer_close(&producer, 0);
    return 0;
}
