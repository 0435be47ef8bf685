/* One call for stages, whatever driver is behind. */
#include "ingest/stream/outbox.h"

int outbox_send(struct outbox *outbox, enum topic topic, struct str key, struct str value)
{
    return outbox->send(outbox, topic, key, value);
}
