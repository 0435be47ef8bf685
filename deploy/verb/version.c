/* `tabiji version`: what this program is and which libraries it runs with. */
#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <lmdb.h>
#include <microhttpd.h>
#include <sqlite3.h>
#include <stdio.h>
#include <zlib.h>

#include "deploy/verb/verbs.h"

static int run(struct verb_call *call)
{
    const char *const libraries[][2] = {
        {"librdkafka", rd_kafka_version_str()},
        {"lmdb", mdb_version(NULL, NULL, NULL)},
        {"sqlite", sqlite3_libversion()},
        {"libmicrohttpd", MHD_get_version()},
        {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
        {"zlib", zlibVersion()},
    };
    (void)printf(call->json ? "{\"tabiji\":\"%s\"" : "tabiji %s\n", TABIJI_VERSION);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        (void)printf(
            call->json ? ",\"%s\":\"%s\"" : "  %-14s %s\n", libraries[i][0], libraries[i][1]);
    if (call->json)
        (void)puts("}");
    return EXIT_OK;
}

const struct verb verb_version = {
    .name = "version",
    .summary = "print the versions of tabiji and its libraries",
    .arguments = "",
    .detail = "Prints the version of tabiji and of the libraries that it runs with.",
    .examples = "  tabiji version --json",
    .run = run,
};
