/*
 * The page step: what an address carries goes to its own fields. utm_* parameters become the
 * campaign, click ids the click, and of the query only listed parameters stay: the rest may be
 * personal, and belongs nowhere.
 */
#pragma once

#include "schemas/arena.h"
#include "schemas/touchpoint.avro.h"

#define PAGE_PARAMETERS_MAX 256 /* of one query; further ones are cut */

struct page_config {
    const struct str *query_keys; /* parameters that stay, as they stand in addresses */
    size_t query_keys_count;
};

/*
 * In place, on events that have a page:
 *   a whole address in host, path, referrer_host or referrer_path is split (clients send what they
 * like); fragments are cut, hosts are lower case; utm_source, _medium, _campaign, _content, _term,
 * _id fill what the client left empty in its campaign; the first known click id (in the order of
 * the table in page.c) becomes the click, unless the client said one; the query keeps listed
 * parameters, in their order, as they were. Parameters are percent-decoded; one that is then not
 * UTF-8 or holds controls stays as it was sent. New texts live in the arena. Pure. Errors:
 * ERR_NO_MEMORY, *event then half done. Threads: any.
 */
MUST_CHECK int page_step(
    const struct page_config *config, struct touchpoint *event, struct arena *arena);
