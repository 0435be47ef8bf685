/* `tabiji state digest|dump`: what the tables say, whatever the order in which their events came.
 */
#include <stdio.h>

#include "deploy/settings.h"
#include "deploy/verb/verbs.h"
#include "schemas/error.h"
#include "sinks/sqlite/database.h"
#include "sinks/sqlite/digest.h"

static void print_digest(const struct verb_call *call, const struct digest *digest)
{
    char hex[2 * DIGEST_SIZE + 1] = "";
    for (size_t i = 0; i < digest->tables_count; i++) {
        const struct digest_table *table = &digest->tables[i];
        hex_encode(table->sha256, DIGEST_SIZE, hex);
        if (call->json)
            (void)printf("%s{\"table\":\"%s\",\"rows\":%lld,\"sha256\":\"%s\"}",
                i ? ",\n" : "{\"tables\":[", table->name, (long long)table->rows, hex);
        else
            (void)printf("%-20s %12lld %s\n", table->name, (long long)table->rows, hex);
    }
    hex_encode(digest->sha256, DIGEST_SIZE, hex);
    (void)printf(
        call->json ? "],\n\"sha256\":\"%s\"}\n" : "all                               %s\n", hex);
}

static int show(struct verb_call *call, sqlite3 *db)
{
    const char *what = call->arguments[0];
    const char *table = call->arguments_count > 1 ? call->arguments[1] : NULL;
    if (strcmp(what, "dump") == 0) {
        int r = digest_dump(db, table, stdout);
        return r < 0 ? verb_fail(call, r, "%s", table ? table : "dump") : EXIT_OK;
    }
    struct digest digest;
    int r = digest_make(db, &digest);
    if (r < 0)
        return verb_fail(call, r, "digest");
    print_digest(call, &digest);
    return EXIT_OK;
}

static int run(struct verb_call *call)
{
    struct settings settings;
    const char *path = NULL;
    CLEANUP(database_close) sqlite3 *db = NULL;
    const char *what = call->arguments[0];
    if (strcmp(what, "digest") != 0 && strcmp(what, "dump") != 0)
        return verb_usage(call, "knows \"digest\" and \"dump\", not \"%s\"", what);
    int r = settings_open(&settings, call->config);
    if (r == 0)
        r = settings_database(&settings, &path);
    if (r == 0)
        r = database_open_reader(&db, path);
    r = r < 0 ? verb_fail(call, r, "%s", path ? path : "configuration") : show(call, db);
    settings_close(&settings);
    return r;
}

static const struct verb_option options[] = {
    {"--data", "DIR", "data directory", "data.dir"},
    {"--database", "FILE", "SQLite file", "sink.sqlite.path"},
};

const struct verb verb_state = {
    .name = "state",
    .summary = "digest or dump the tables, to compare two databases",
    .arguments = "digest|dump [TABLE]",
    .detail = "digest prints a SHA-256 for each table and one for all; dump prints the rows as "
              "JSON lines, sorted.\n"
              "Columns that tell of arrival only (see data_dictionary) are left out: two databases "
              "made from the\n"
              "same set of events, in any order, agree to the byte.",
    .examples = "  tabiji state digest --data shop\n"
                "  tabiji state dump conversion --data shop",
    .options = options,
    .options_count = sizeof options / sizeof *options,
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
