#include "ingest/collector/protocol/page_address.h"

#include "schemas/url.h"

int page_address_read(
    struct str address, struct str referrer, struct arena *arena, struct page *out)
{
    struct url url;
    int r = url_split(address, arena, &url);
    if (r < 0)
        return r;
    out->host = url.host;
    out->path = url.path;
    out->query = url.query;
    r = url_split(referrer, arena, &url);
    if (r < 0)
        return r;
    out->referrer_host = url.host;
    out->referrer_path = url.path;
    return 0;
}
