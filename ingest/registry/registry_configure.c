/* See the header. */
#include "ingest/registry/registry_configure.h"

#include <stdio.h>

#include "schemas/error.h"

static const char *path_or_null(const struct config *config, enum option_id id)
{
    const char *path = config_path(config, id);
    return path[0] ? path : NULL;
}

int registry_configure(
    const struct config *config, struct registry_config *out, struct config_problem *problem)
{
    char text[CONFIG_PROBLEM_SIZE - 32] = "";
    *out = (struct registry_config){
        .basic = config_secret(config, OPTION_REGISTRY_AUTH_FILE),
        .token = config_secret(config, OPTION_REGISTRY_TOKEN_FILE),
        .basic_file = config_text(config, OPTION_REGISTRY_AUTH_FILE),
        .token_file = config_text(config, OPTION_REGISTRY_TOKEN_FILE),
        .ca_file = path_or_null(config, OPTION_REGISTRY_CA_FILE),
        .certificate_file = path_or_null(config, OPTION_REGISTRY_CERTIFICATE_FILE),
        .key_file = path_or_null(config, OPTION_REGISTRY_KEY_FILE),
        .key_password = config_secret(config, OPTION_REGISTRY_KEY_PASSWORD_FILE),
        .timeout_ms = config_int(config, OPTION_REGISTRY_TIMEOUT),
        .attempts = (int)config_int(config, OPTION_REGISTRY_ATTEMPTS),
    };
    out->urls_count = config_list(config, OPTION_REGISTRY_URL, &out->urls);
    if (out->urls_count == 0)
        return REGISTRY_NONE;
    int r = registry_config_check(out, text, sizeof text);
    if (r < 0)
        (void)snprintf(problem->text, sizeof problem->text, "[registry]: %s", text);
    return r;
}
