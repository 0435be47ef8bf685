/* Precedence, types, hints, sources, dumps. */
#include "ingest/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "schemas/error.h"
#include "schemas/hash.h"

struct fixture {
    struct config *config;
    struct config_problem problem;
};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){0};
    *state = &fixture;
    return config_new(&fixture.config);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    config_free(&fixture->config);
    config_free(&fixture->config); /* accepts NULL */
    return 0;
}

static int load(struct fixture *fixture, const char *text)
{
    return config_load_text(fixture->config, "t.ini", str_of(text), &fixture->problem);
}

/* Loading text fails, and the sentence holds every given word. */
static void assert_complaint(struct fixture *fixture, const char *text, const char *words)
{
    fixture->problem.text[0] = '\0';
    assert_int_equal(load(fixture, text), ERR_CONFIG);
    if (!strstr(fixture->problem.text, words))
        fail_msg("\"%s\" is not in \"%s\"", words, fixture->problem.text);
}

static void test_config_new_has_the_tables_defaults(void **state)
{
    struct fixture *fixture = *state;
    const struct config *config = fixture->config;
    assert_string_equal(config_path(config, OPTION_DATA_DIR), "tabiji-data");
    assert_int_equal(config_int(config, OPTION_COLLECTOR_BODY_SIZE_MAX), 1 << 20);
    assert_int_equal(config_int(config, OPTION_JOURNEY_SESSION_TIMEOUT), 1800000);
    assert_false(config_bool(config, OPTION_JOURNEY_IMPRESSIONS_EARN_CREDIT));
    const struct str *items = NULL;
    assert_int_equal(config_list(config, OPTION_JOURNEY_CONVERSION_TYPES, &items), 2);
    assert_true(str_equal(items[1], STR("store_purchase")));
    assert_false(config_given(config, OPTION_DATA_DIR));
}

static void test_config_precedence_file_environment_flag(void **state)
{
    struct fixture *fixture = *state;
    char *const environment[] = {"TABIJI_DATA_DIR=/env", "TABIJI_SINK_SQLITE_PATH=/env.db",
        "TABIJI_KAFKA_BOOTSTRAP_SERVERS=b:1", "TABIJI_KAFKA_PRODUCER_LINGER_MS=7",
        "TABIJI_SHARED=x", "TABIJI_SOURCE_ROOT=x", "OTHER=1", "TABIJI_", NULL};
    assert_int_equal(load(fixture, "[data]\ndir = /file\n[kafka]\nbootstrap.servers = a:1\n"), 0);
    assert_string_equal(config_path(fixture->config, OPTION_DATA_DIR), "/file");
    assert_int_equal(config_environment(fixture->config, environment, &fixture->problem), 0);
    assert_string_equal(config_path(fixture->config, OPTION_DATA_DIR), "/env");
    assert_string_equal(config_path(fixture->config, OPTION_SINK_SQLITE_PATH), "/env.db");
    assert_int_equal(
        config_set(fixture->config, "data.dir", "/flag", "--data", &fixture->problem), 0);
    assert_string_equal(config_path(fixture->config, OPTION_DATA_DIR), "/flag");
    assert_true(config_given(fixture->config, OPTION_DATA_DIR));
    const struct config_pair *pairs = NULL;
    assert_int_equal(config_pairs(fixture->config, CONFIG_KAFKA, &pairs), 1);
    assert_string_equal(pairs[0].key.data, "bootstrap.servers");
    assert_string_equal(pairs[0].value.data, "b:1");
    assert_int_equal(config_pairs(fixture->config, CONFIG_KAFKA_PRODUCER, &pairs), 1);
    assert_string_equal(pairs[0].key.data, "linger.ms");
}

static void test_config_load_wrong_key_tells_place_and_nearest(void **state)
{
    struct fixture *fixture = *state;
    assert_complaint(fixture, "\n[collector]\nlisten = a:1\nlisen = b:1\n",
        "t.ini:4: unknown key \"lisen\" in [collector]: did you mean \"listen\"?");
    assert_complaint(fixture, "[colector]\n", "t.ini:1: unknown section [colector]");
    assert_complaint(fixture, "[source a]\nrat = 1\n", "did you mean \"rate\"?");
    assert_complaint(fixture, "[data]\ndir = a\ndir = b\n", "t.ini:3: \"dir\" stands twice");
    assert_complaint(fixture, "[kafka]\na = 1\na = 2\n", "t.ini:3: \"a\" stands twice");
    assert_complaint(fixture, "[data]\ndir\n", "t.ini:2: ");
    assert_complaint(fixture, "key = 1\n", "unknown section []");
    assert_complaint(fixture, "[source Bad Name]\n", "is no name of a source");
    assert_complaint(fixture, "[source ]\n", "t.ini:1:");
}

static void test_config_load_same_key_in_two_files_later_wins(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[data]\ndir = a\n[source s]\nrate = 1\n"), 0);
    assert_int_equal(load(fixture, "[data]\ndir = b\n[source s]\nrate = 2\n"), 0);
    assert_string_equal(config_path(fixture->config, OPTION_DATA_DIR), "b");
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    const struct config_source *sources = NULL;
    assert_int_equal(config_sources(fixture->config, &sources), 1);
    assert_int_equal(sources[0].rate, 2);
}

static void test_config_load_values_of_each_type(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[collector]\nbody_size_max = 10 kB\nthreads = 4\n"
                                   "request_timeout = 2 min\nforwarded_for = ON\n"),
        ERR_CONFIG); /* words are lower case */
    assert_int_equal(load(fixture, "[collector]\nbody_size_max = 10 kB\nthreads = 4\n"
                                   "request_timeout = 2 min\nforwarded_for = on\n"
                                   "[identity]\nblocked = 03-1234-5678,\n  テスト\n\n  x ,y\n"),
        0);
    const struct config *config = fixture->config;
    assert_int_equal(config_int(config, OPTION_COLLECTOR_BODY_SIZE_MAX), 10000);
    assert_int_equal(config_int(config, OPTION_COLLECTOR_THREADS), 4);
    assert_int_equal(config_int(config, OPTION_COLLECTOR_REQUEST_TIMEOUT), 120000);
    assert_true(config_bool(config, OPTION_COLLECTOR_FORWARDED_FOR));
    const struct str *items = NULL;
    assert_int_equal(config_list(config, OPTION_IDENTITY_BLOCKED, &items), 4);
    assert_string_equal(items[1].data, "テスト");
    assert_string_equal(items[3].data, "y");
}

static void test_config_models_default_and_sections(void **state)
{
    struct fixture *fixture = *state;
    const struct config_model *models = NULL;
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    assert_int_equal(config_models(fixture->config, &models), 7); /* all that are solved */
    assert_string_equal(models[0].name.data, "markov");
    assert_string_equal(models[1].kind.data, "shapley");
    assert_string_equal(models[6].kind.data, "shao_li");
    assert_int_equal(models[1].order, 1);
    assert_int_equal(
        load(fixture, "[attribution]\nmodels = markov, shapley\n"
                      "[model second]\norder = 2\nnull = ignore\nlookback_days = 7\n"
                      "conversion_types = a, b\n[model shapley]\nkind = shapley_rate\n"),
        0);
    assert_int_equal(
        config_set(fixture->config, "model.second.order", "3", "--set", &fixture->problem), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    assert_int_equal(config_models(fixture->config, &models), 3);
    assert_string_equal(models[0].name.data, "markov");
    assert_string_equal(models[1].name.data, "second");
    assert_string_equal(models[1].kind.data, "markov");
    assert_int_equal(models[1].order, 3);
    assert_true(models[1].ignore_nulls);
    assert_int_equal(models[1].lookback_days, 7);
    assert_int_equal(models[1].conversion_types_count, 2);
    assert_string_equal(models[2].kind.data, "shapley_rate");
    assert_false(models[1].reset);
    assert_int_equal(load(fixture, "[attribution]\nmodels =\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    assert_int_equal(config_models(fixture->config, &models), 2);
}

static void assert_unfinished(struct fixture *fixture, const char *text, const char *wanted)
{
    assert_int_equal(load(fixture, text), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, wanted));
}

static void test_config_models_of_rules_have_parameters(void **state)
{
    struct fixture *fixture = *state;
    const struct config_model *models = NULL;
    assert_int_equal(
        load(fixture, "[attribution]\nmodels = w_shape\n[journey]\nlead_types = signed_up\n"
                      "[model ends]\nkind = custom\nweights = 3:0:1000\njourney = reset\n"
                      "[model week]\nkind = time_decay\nhalf_life_days = 2\n"),
        0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    assert_int_equal(config_models(fixture->config, &models), 3);
    assert_string_equal(models[0].name.data, "w_shape");
    assert_string_equal(models[1].kind.data, "custom");
    assert_true(models[1].reset);
    assert_int_equal(models[1].weights[0], 3);
    assert_int_equal(models[1].weights[1], 0);
    assert_int_equal(models[1].weights[2], 1000);
    assert_int_equal(models[2].half_life_days, 2);
    assert_int_equal(models[2].weights[1], 1);
}

static void test_config_models_of_rules_that_cannot_be_are_named(void **state)
{
    static const char *const cases[][2] = {
        {"[model participation]\nkind = markov\n", "not of a markov"},
        {"[model markov]\nkind = linear\n", "not of a linear"},
        {"[model a]\nkind = full_path\n", "needs [journey] lead_types"},
        {"[model a]\nkind = linear\nweights = 1:2:1\n", "weights is of custom"},
        {"[model a]\nkind = custom\nweights = 1:2\n", "FIRST:MIDDLE:LAST"},
        {"[model a]\nkind = custom\nweights = 1:2:1001\n", "to 1000"},
        {"[model a]\nkind = custom\nweights = 0:0:0\n", "not all 0"},
        {"[model a]\nkind = linear\nhalf_life_days = 3\n", "is of time_decay"},
        {"[model a]\nlookback_days = 91\n", "over the 90 of [journey]"},
        {"[model a]\njourney = reuse\n[journey]\njourney = reset\n",
            "needs [journey] journey = reuse"},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config_free(&fixture->config);
        assert_int_equal(config_new(&fixture->config), 0);
        assert_unfinished(fixture, cases[i][0], cases[i][1]);
    }
}

static void test_config_models_that_cannot_be_are_named(void **state)
{
    struct fixture *fixture = *state;
    assert_complaint(fixture, "[model a]\nkind = shaply\n", "did you mean \"shapley\"?");
    assert_complaint(fixture, "[attribution]\nmodels = markow\n", "did you mean \"markov\"?");
    assert_complaint(fixture, "[model a]\nordr = 2\n", "did you mean \"order\"?");
    assert_complaint(fixture, "[model a]\norder = 7\n", "none of 1|2|3|4|5|6|auto");
    assert_complaint(fixture, "[model A]\norder = 2\n", "is no name of a model");
    assert_complaint(fixture, "[modle a]\n", "unknown section [modle a]");
    assert_unfinished(fixture, "[model a]\nkind = shapley\norder = 2\n",
        "t.ini:3: order is of markov, not of shapley");
    assert_unfinished(
        fixture, "[model a]\norder = 1\nkind = shao_li\nnull = ignore\n", "null is of markov");
    assert_unfinished(fixture, "[model a]\nkind = markov\n[model linear]\n",
        "[model linear]: that is the name of a rule model");
}

static void test_config_load_bad_value_says_what_was_wanted(void **state)
{
    struct fixture *fixture = *state;
    assert_complaint(fixture, "[collector]\nthreads = 257\n", "not within 0 and 256");
    assert_complaint(fixture, "[collector]\nthreads = -1\n", "is not a whole number");
    assert_complaint(fixture, "[collector]\nthreads = \n", "is not a whole number");
    assert_complaint(
        fixture, "[collector]\nthreads = 99999999999999999999\n", "is not a whole number");
    assert_complaint(fixture, "[collector]\nbody_size_max = 1 mib\n", "is not a size");
    assert_complaint(fixture, "[collector]\nidle_timeout = 30\n", "is not a time");
    assert_complaint(fixture, "[collector]\nidle_timeout = 9223372036854775807 d\n", "not a time");
    assert_complaint(fixture, "[journey]\njourney = re\n", "is none of reuse|reset");
    assert_complaint(fixture, "[source s]\nprotocols = native, x\n",
        "\"native, x\" has \"x\", which is none of native|segment");
    assert_complaint(fixture, "[geo]\ndatabase = a\n  b\n", "one line");
    assert_int_equal(config_int(fixture->config, OPTION_COLLECTOR_THREADS), 0);
}

static void test_config_environment_unknown_key_of_known_section_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    char *const environment[] = {"TABIJI_DATA_DIRR=/env", NULL};
    assert_int_equal(
        config_environment(fixture->config, environment, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "did you mean \"dir\"?"));
    assert_non_null(strstr(fixture->problem.text, "environment TABIJI_DATA_DIRR"));
}

static void test_config_set_names(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = fixture->config;
    struct config_problem *problem = &fixture->problem;
    assert_int_equal(config_set(config, "source.ec-web.rate", "5", "--set", problem), 0);
    assert_int_equal(config_set(config, "kafka.consumer.a.b", "1", "--set", problem), 0);
    assert_int_equal(config_set(config, "kafka.a.b", "1", "--set", problem), 0);
    assert_int_equal(config_set(config, "sink.sqlite.batch", "9", "--set", problem), 0);
    assert_int_equal(config_set(config, "data", "x", "--set", problem), ERR_CONFIG);
    assert_int_equal(config_set(config, "data.", "x", "--set", problem), ERR_CONFIG);
    assert_int_equal(config_set(config, "source.x", "x", "--set", problem), ERR_CONFIG);
    assert_int_equal(config_set(config, "data.dri", "x", "--set", problem), ERR_CONFIG);
    assert_int_equal(config_int(config, OPTION_SINK_SQLITE_BATCH), 9);
}

#define KEY_HEX "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92" /* of 123456 */

static void test_config_finish_makes_sources_ready(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[source ec-web]\nkey_sha256 = " KEY_HEX "\n"
                                   "origins = https://a.jp, https://b.jp\nprotocols = segment\n"
                                   "trusted_channel = yes\n[source pos_1]\nenabled = no\n"
                                   "currency = USD\n"),
        0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    const struct config_source *source = config_source(fixture->config, STR("ec-web"));
    assert_non_null(source);
    uint8_t digest[SHA256_SIZE];
    struct sha256 hash;
    sha256_init(&hash);
    sha256_update(&hash, STR("123456"));
    sha256_final(&hash, digest);
    assert_int_equal(source->keys_count, 1);
    assert_memory_equal(source->keys[0], digest, sizeof digest);
    assert_int_equal(source->origins_count, 2);
    assert_int_equal(source->protocols, SOURCE_PROTOCOL_SEGMENT);
    assert_true(source->trusted_channel);
    assert_true(source->enabled);
    const struct config_source *other = config_source(fixture->config, STR("pos_1"));
    assert_false(other->enabled);
    assert_true(source->currency_assumed);
    assert_false(other->currency_assumed); /* the usual one, but somebody has said it */
    assert_int_equal(other->protocols, SOURCE_PROTOCOL_NATIVE | SOURCE_PROTOCOL_SEGMENT |
                                           SOURCE_PROTOCOL_SNOWPLOW | SOURCE_PROTOCOL_GA4 |
                                           SOURCE_PROTOCOL_WEBHOOK);
    assert_null(config_source(fixture->config, STR("none")));
}

static void test_config_finish_bad_source_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[source a]\nkey_sha256 = 123456\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "t.ini:2"));
    assert_int_equal(load(fixture, "[source a]\nkey_sha256 =\ncurrency = YEN\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "t.ini:3: \"YEN\" is not an ISO 4217 currency"));
    static const char digest[] = "8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92";
    char old[300];
    (void)snprintf(old, sizeof old, "[source a]\ncurrency = JPY\nold_key_sha256 = %s\n", digest);
    assert_int_equal(load(fixture, old), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "t.ini:3: old_key_sha256 needs old_key_until"));
    assert_int_equal(load(fixture, "[source a]\nold_key_until = tomorrow\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "t.ini:2: old_key_until is not a time"));
    assert_int_equal(load(fixture, "[source a]\nold_key_until = 2026-11-20T11:00:00+09:00\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    const struct config_source *source = config_source(fixture->config, STR("a"));
    assert_int_equal(source->old_keys_count, 1);
    assert_true(source->old_keys_until_micros == INT64_C(1795140000000000));
    assert_int_equal(load(fixture, "[source a]\ncurrency = JPY\nburst = 9\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(strstr(fixture->problem.text, "t.ini:3: burst is of a source with a rate"));
    static const char *const origins[] = {"https://shop.example/", "shop.example", "https://",
        "https://*.", "https://a.*.jp", "://a.jp", "https://a.jp?b", "https://u@a.jp", "*"};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "[source a]\nburst = 0\norigins = %s\n", origins[i]);
        assert_int_equal(load(fixture, text), 0);
        assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
        assert_non_null(strstr(fixture->problem.text, "is not a web origin"));
    }
    assert_int_equal(
        load(fixture, "[source a]\norigins = null, https://*.a.jp, capacitor://localhost\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
}

static void test_config_load_sources_text_adds_sources_alone(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = fixture->config;
    assert_int_equal(load(fixture, "[source main]\nrate = 5\n"), 0);
    assert_int_equal(config_set(config, "source.web.rate", "9", "--set", &fixture->problem), 0);
    assert_int_equal(config_load_sources_text(config, "s.ini",
                         STR("[source web]\nrate = 7\norigins = https://a.jp\n  https://b.jp\n"),
                         &fixture->problem),
        0);
    assert_int_equal(config_finish(config, &fixture->problem), 0);
    const struct config_source *web = config_source(config, STR("web"));
    assert_int_equal(web->rate, 9); /* a flag's */
    assert_int_equal(web->origins_count, 2);
    assert_int_equal(config_source(config, STR("main"))->rate, 5);
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"[source main]\n", "s.ini:1: [source main] stands in another file already"},
        {"\n[log]\nlevel = info\n", "s.ini:2: a file of sources has [source NAME] sections alone"},
        {"[model a]\n", "s.ini:1: a file of sources has"},
        {"level = info\n", "s.ini:1: a file of sources has"},
        {"[source b]\nrat = 1\n",
            "s.ini:2: unknown key \"rat\" in [source b]: did you mean \"rate\"?"},
        {"[source c]\nrate = 1\n[source c]\nrate = 2\n", "s.ini:4: \"rate\" stands twice"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(
            config_load_sources_text(config, "s.ini", str_of(bad[i].text), &fixture->problem),
            ERR_CONFIG);
        if (!strstr(fixture->problem.text, bad[i].says))
            fail_msg("%s", fixture->problem.text);
    }
    assert_int_equal(
        config_load_sources(config, "/nowhere/s.ini", &fixture->problem), ERR_NOT_FOUND);
}

static void test_config_finish_app_id_is_of_one_source(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[source a]\napp_ids = shop, mail\n[source b]\n"
                                   "protocols = snowplow, ga4\napp_ids = app\n"),
        0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    const struct config_source *source = config_source(fixture->config, STR("a"));
    assert_int_equal(source->app_ids_count, 2);
    assert_true(str_equal(source->app_ids[1], STR("mail")));
    assert_int_equal(config_source(fixture->config, STR("b"))->protocols,
        SOURCE_PROTOCOL_SNOWPLOW | SOURCE_PROTOCOL_GA4);
    assert_int_equal(load(fixture, "[source b]\napp_ids = app, mail\n"), 0);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    assert_non_null(
        strstr(fixture->problem.text, "t.ini:2: app id \"mail\" is [source a]'s already"));
}

static void test_config_finish_reads_secrets_from_files(void **state)
{
    struct fixture *fixture = *state;
    char path[] = "/tmp/test_config_secret_XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "s3cret\r\n", 8), 8);
    assert_int_equal(close(file), 0);
    struct config_problem *problem = &fixture->problem;
    assert_int_equal(config_set(fixture->config, "identity.key_file", path, "--set", problem), 0);
    assert_int_equal(
        config_set(fixture->config, "kafka.sasl.password_file", path, "--set", problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), 0);
    assert_true(str_equal(config_secret(fixture->config, OPTION_IDENTITY_KEY_FILE), STR("s3cret")));
    const struct config_pair *pairs = NULL;
    assert_int_equal(config_pairs(fixture->config, CONFIG_KAFKA, &pairs), 1);
    assert_string_equal(pairs[0].key.data, "sasl.password");
    assert_string_equal(pairs[0].value.data, "s3cret");
    assert_int_equal(unlink(path), 0);
    char *dump = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&dump, &size);
    assert_int_equal(config_dump(fixture->config, true, true, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(dump, "s3cret"));
    assert_non_null(strstr(dump, "sasl.password_file = /tmp/"));
    free(dump);
}

/* Writes a file of this mode; returns its path, in a buffer of the caller's. */
static const char *make_file(char path[64], const char *text, mode_t mode)
{
    (void)snprintf(path, 64, "/tmp/test_config_file_XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(file, mode), 0);
    assert_int_equal(close(file), 0);
    return path;
}

static void set_source(struct fixture *fixture, const char *key, const char *value)
{
    char name[64];
    (void)snprintf(name, sizeof name, "source.cc.%s", key);
    assert_int_equal(config_set(fixture->config, name, value, "--set", &fixture->problem), 0);
}

static void test_config_finish_reads_what_webhooks_need(void **state)
{
    struct fixture *fixture = *state;
    char new_path[64], old_path[64], mapping[64], both[160];
    (void)snprintf(both, sizeof both, "%s, %s", make_file(new_path, "s3cret\n", 0600),
        make_file(old_path, "0ld", 0600));
    set_source(fixture, "secret_file", both);
    set_source(fixture, "public_url", "https://t.example.jp/");
    set_source(fixture, "signature_header", "X-Our-Secret");
    set_source(fixture, "replay_window", "5 min");
    set_source(fixture, "mapping",
        make_file(mapping,
            "[file]\nname = m\nformat = ndjson\n[event x]\ntime = t\nids.phone = p\n", 0644));
    assert_int_equal(config_finish(fixture->config, &fixture->problem), 0);
    const struct config_source *source = config_source(fixture->config, STR("cc"));
    assert_int_equal(source->secrets_count, 2);
    assert_true(str_equal(source->secrets[0], STR("s3cret")));
    assert_true(str_equal(source->secrets[1], STR("0ld")));
    assert_true(str_equal(source->public_url, STR("https://t.example.jp")));
    assert_string_equal(source->signature_header.data, "X-Our-Secret");
    assert_int_equal(source->replay_window_micros, 300000000);
    assert_non_null(source->mapping);
    char *dump = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&dump, &size);
    assert_int_equal(config_dump(fixture->config, true, true, out), 0);
    assert_int_equal(fclose(out), 0);
    assert_null(strstr(dump, "s3cret"));
    assert_null(strstr(dump, "0ld"));
    assert_non_null(strstr(dump, "secret_file = /tmp/test_config_file_"));
    free(dump);
    assert_int_equal(unlink(new_path) + unlink(old_path) + unlink(mapping), 0);
}

static void assert_source_refused(
    struct fixture *fixture, const char *key, const char *value, const char *part)
{
    set_source(fixture, key, value);
    assert_int_equal(config_finish(fixture->config, &fixture->problem), ERR_CONFIG);
    if (!strstr(fixture->problem.text, part))
        fail_msg("%s\nis not in\n%s", part, fixture->problem.text);
    set_source(fixture, key, "");
}

static void test_config_finish_bad_webhook_settings_are_errors(void **state)
{
    struct fixture *fixture = *state;
    char path[64], mapping[64], wanted[160];
    (void)snprintf(wanted, sizeof wanted, "--set: %s may be read by others: chmod 600 %s",
        make_file(path, "s3cret", 0640), path);
    assert_source_refused(fixture, "secret_file", path, wanted);
    assert_null(strstr(fixture->problem.text, "s3cret"));
    assert_source_refused(fixture, "secret_file", "/nonexistent", "/nonexistent");
    assert_source_refused(fixture, "secret_file", "/a, /b, /c", "at most 2 files");
    assert_source_refused(fixture, "public_url", "t.example.jp", "public_url begins with https://");
    assert_source_refused(fixture, "signature_header", "X Y", "no name of a header");
    assert_source_refused(fixture, "mapping", "/nonexistent", "mapping: ");
    make_file(
        mapping, "[file]\nname = m\nformat = csv\n[event x]\ntime = t\nids.phone = p\n", 0644);
    assert_source_refused(fixture, "mapping", mapping, "webhooks want format = ndjson");
    assert_int_equal(unlink(path) + unlink(mapping), 0);
    assert_complaint(fixture, "[source a]\nsecret_fil = x\n", "did you mean \"secret_file\"?");
}

static void test_config_finish_absent_or_empty_secret_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem *problem = &fixture->problem;
    assert_int_equal(
        config_set(fixture->config, "identity.key_file", "/nonexistent", "--set", problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), ERR_CONFIG);
    assert_non_null(strstr(problem->text, "/nonexistent"));
    assert_int_equal(
        config_set(fixture->config, "identity.key_file", "/dev/null", "--set", problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), ERR_CONFIG);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(
        config_set(fixture->config, "identity.key_file", "credential:k", "--set", problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), ERR_CONFIG);
}

static char *dump_of(const struct config *config, bool comments)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(config_dump(config, comments, comments, out), 0);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_config_dump_reads_back_to_the_same(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[identity]\nblocked = a, b\n  c\n[source x]\nrate = 3\n"
                                   "[source y]\norigins = https://o.jp\n"
                                   "[kafka]\nssl.ca = l1\n  l2\n[kafka.consumer]\nf = ;x #y\n"),
        0);
    char *first = dump_of(fixture->config, false);
    char *commented = dump_of(fixture->config, true);
    assert_non_null(strstr(commented, "# from: t.ini:2\nblocked = a, b, c\n"));
    assert_non_null(strstr(commented, "# from: default\ndir = tabiji-data\n"));
    struct config *again = NULL;
    assert_int_equal(config_new(&again), 0);
    assert_int_equal(config_load_text(again, "d.ini", str_of(commented), &fixture->problem), 0);
    char *second = dump_of(again, false);
    assert_string_equal(first, second);
    config_free(&again);
    free(first);
    free(second);
    free(commented);
}

static void test_config_dump_of_defaults_shows_how_a_source_is_written(void **state)
{
    struct fixture *fixture = *state;
    char *text = dump_of(fixture->config, true);
    assert_non_null(strstr(text, "\n# [source NAME]\n"));
    assert_non_null(strstr(text, "\n# rate = 0\n"));
    assert_int_equal(load(fixture, text), 0);
    free(text);
}

static void test_config_dump_hides_passwords(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(load(fixture, "[kafka]\nsasl.password = open sesame\n"), 0);
    char *text = dump_of(fixture->config, true);
    assert_null(strstr(text, "sesame"));
    free(text);
}

static void test_config_secrets_of_kafka_are_not_taken_where_others_see_them(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem *problem = &fixture->problem;
    char secret[] = "TABIJI_KAFKA_SASL_PASSWORD=open sesame";
    char name[] = "TABIJI_KAFKA_SASL_PASSWORD_FILE=/nonexistent/secret";
    char *environment[] = {secret, NULL}, *of_file[] = {name, NULL};
    assert_int_equal(
        config_set(fixture->config, "kafka.sasl.password", "open sesame", "--set", problem),
        ERR_CONFIG);
    assert_non_null(strstr(problem->text, "sasl.password_file"));
    assert_null(strstr(problem->text, "sesame"));
    assert_int_equal(config_environment(fixture->config, environment, problem), ERR_CONFIG);
    assert_null(strstr(problem->text, "sesame"));
    assert_int_equal(config_environment(fixture->config, of_file, problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), ERR_CONFIG);
    assert_non_null(strstr(problem->text, "/nonexistent/secret"));
}

static void test_config_secret_file_that_others_may_read_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct config_problem *problem = &fixture->problem;
    char path[] = "/tmp/tabiji-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "sesame\n", 7), 7);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(
        config_set(fixture->config, "kafka.sasl.password_file", path, "--set", problem), 0);
    assert_int_equal(config_finish(fixture->config, problem), ERR_CONFIG);
    assert_non_null(strstr(problem->text, "may be read by others: chmod 600"));
    close(fd);
    unlink(path);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_config_new_has_the_tables_defaults),
        CASE(test_config_precedence_file_environment_flag),
        CASE(test_config_load_wrong_key_tells_place_and_nearest),
        CASE(test_config_load_same_key_in_two_files_later_wins),
        CASE(test_config_load_values_of_each_type),
        CASE(test_config_load_bad_value_says_what_was_wanted),
        CASE(test_config_models_default_and_sections),
        CASE(test_config_models_of_rules_have_parameters),
        CASE(test_config_models_of_rules_that_cannot_be_are_named),
        CASE(test_config_models_that_cannot_be_are_named),
        CASE(test_config_environment_unknown_key_of_known_section_is_an_error),
        CASE(test_config_set_names),
        CASE(test_config_finish_makes_sources_ready),
        CASE(test_config_finish_bad_source_is_an_error),
        CASE(test_config_load_sources_text_adds_sources_alone),
        CASE(test_config_finish_app_id_is_of_one_source),
        CASE(test_config_finish_reads_secrets_from_files),
        CASE(test_config_finish_reads_what_webhooks_need),
        CASE(test_config_finish_bad_webhook_settings_are_errors),
        CASE(test_config_finish_absent_or_empty_secret_is_an_error),
        CASE(test_config_dump_reads_back_to_the_same),
        CASE(test_config_dump_of_defaults_shows_how_a_source_is_written),
        CASE(test_config_dump_hides_passwords),
        CASE(test_config_secrets_of_kafka_are_not_taken_where_others_see_them),
        CASE(test_config_secret_file_that_others_may_read_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
