/* The bare parse that bench_event_json.c compares with: simdjson's DOM, parser reused, input
 * padded. */
#include <cstddef>
#include <simdjson.h>

extern "C" int bench_simdjson_parse(const char *text, size_t size);

int bench_simdjson_parse(const char *text, size_t size)
{
    static simdjson::dom::parser parser;
    simdjson::dom::element root;
    return parser.parse(text, size, false).get(root) == simdjson::SUCCESS;
}
