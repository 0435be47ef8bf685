/* Configuration: it is refused with a sentence, or what is dumped reads back to the same. */
#include <stdio.h>
#include <stdlib.h>

#include "ingest/config/config.h"
#include "schemas/error.h"
#include "tests/fuzz/exchange_check.h"
#include "tests/fuzz/replay.h"

static const char *const samples[] = {
    "# c\n[data]\ndir = /x\n[collector]\nlisten = [::]:8080\nbody_size_max = 2 "
    "MiB\nrequest_timeout = 10 s\n"
    "forwarded_for = yes\n[identity]\nblocked = 03-1234-5678,\n  x y\n  z\n[journey]\njourney = "
    "reset\n",
    "[source ec-web]\nkey_sha256 = "
    "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92\n"
    "origins = https://a.jp, https://b.jp\nprotocols = native\nrate = 100\nenabled = no\ncurrency "
    "= JPY\n",
    "[kafka]\nbootstrap.servers = a:1,b:2\nssl.ca.pem = -----BEGIN\n  x\n  "
    "-----END\n[kafka.producer]\nlinger.ms = 5\n"
    "[stream]\ndriver = kafka\npartitions = 12\n[worker]\nbatch_bytes = 64 "
    "MiB\n[sink.sqlite]\npath = x.db\n",
};

static char *dump(const struct config *config)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out && config_dump(config, false, false, out) == 0 && fclose(out) == 0);
    return text;
}

static bool hides(const char *text)
{
    return strstr(text, "(hidden)") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(config_free) struct config *config = NULL;
    CLEANUP(config_free) struct config *again = NULL;
    struct config_problem problem = {""};
    check(config_new(&config) == 0 && config_new(&again) == 0);
    int r = config_load_text(config, "fuzz", str_make(data, size), &problem);
    check(r == 0 || (r == ERR_CONFIG && strncmp(problem.text, "fuzz:", 5) == 0));
    if (r < 0)
        return 0;
    char *first = dump(config);
    r = config_load_text(again, "dump", str_of(first), &problem);
    check(r == 0);
    char *second = dump(again);
    check(hides(first) || strcmp(first, second) == 0);
    free(first);
    free(second);
    return 0;
}

size_t fuzz_seed(uint64_t seed, uint8_t out[FUZZ_INPUT_SIZE_MAX])
{
    return exchange_seed(samples, sizeof samples / sizeof *samples, seed, out);
}
