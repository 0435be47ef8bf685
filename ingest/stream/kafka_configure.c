#include "ingest/stream/kafka_configure.h"

#include "schemas/error.h"

#define SECTIONS 3

int kafka_configure_properties(
    const struct config *config, struct arena *arena, struct kafka_config *out)
{
    static const struct {
        enum config_verbatim section;
        enum kafka_scope scope;
    } sections[SECTIONS] = {
        {CONFIG_KAFKA, KAFKA_SCOPE_ALL},
        {CONFIG_KAFKA_PRODUCER, KAFKA_SCOPE_PRODUCER},
        {CONFIG_KAFKA_CONSUMER, KAFKA_SCOPE_CONSUMER},
    };
    const struct config_pair *pairs;
    size_t count = 0, used = 0;
    for (size_t i = 0; i < SECTIONS; i++)
        count += config_pairs(config, sections[i].section, &pairs);
    struct kafka_property *properties = arena_alloc(arena, (count + 1) * sizeof *properties);
    if (!properties)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < SECTIONS; i++) {
        size_t found = config_pairs(config, sections[i].section, &pairs);
        for (size_t k = 0; k < found; k++)
            properties[used++] = (struct kafka_property){sections[i].scope, pairs[k].key.data,
                pairs[k].value.data, pairs[k].file.size ? pairs[k].file.data : NULL};
    }
    out->properties = properties;
    out->properties_count = used;
    return 0;
}
