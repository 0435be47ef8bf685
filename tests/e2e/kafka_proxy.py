"""A loopback proxy before one Kafka broker: it can cut, fall silent, delay, throttle, and swallow replies by the kind of request.

It runs in a thread of the test; all its switches may be thrown from any thread. `fired` counts what it did.
"""
import asyncio
import collections
import socket
import struct
import threading

# Kinds of requests, by Kafka's protocol guide.
PRODUCE, METADATA, END_TXN = 0, 3, 26
NOT_LEADER = 6


def not_leader(body):
    """The reply to a Produce request (version 3 to 7) that refuses all its partitions."""
    version, number, client = struct.unpack(">hih", body[2:10])
    at = 10 + max(client, 0)
    at += 2 + max(struct.unpack(">h", body[at:at + 2])[0], 0) + 6  # transactional id, acks, timeout
    topics, = struct.unpack(">i", body[at:at + 4])
    reply, at = struct.pack(">ii", number, topics), at + 4
    for _ in range(topics):
        size, = struct.unpack(">h", body[at:at + 2])
        partitions, = struct.unpack(">i", body[at + 2 + size:at + 6 + size])
        reply, at = reply + body[at:at + 6 + size], at + 6 + size
        for _ in range(partitions):
            partition, records = struct.unpack(">ii", body[at:at + 8])
            reply, at = reply + struct.pack(">ihqq", partition, NOT_LEADER, -1, -1) + (struct.pack(">q", -1) if version >= 5 else b""), at + 8 + records
    assert 3 <= version <= 7, version
    return reply + struct.pack(">i", 0)


class Proxy:
    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.target = None
        self.fired = collections.Counter()
        self.swallowing = collections.Counter()
        self.delay = 0
        self.bytes_per_second = None
        self.closed = False  # connections are refused
        self.hidden = None  # name of a topic
        self.refusing = 0  # Produce requests that a leader which is not ready refuses
        self.loop = asyncio.new_event_loop()
        self.writers = set()
        self.flow = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self, target):
        self.target = target
        self.thread.start()
        return self

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.flow = asyncio.Event()
        self.flow.set()
        self.loop.run_until_complete(asyncio.start_server(self._serve, sock=self.socket))
        self.loop.run_forever()

    # ---- switches ----

    def cut(self):
        """Ends all connections, and each new one at once."""
        self.closed = True
        self.loop.call_soon_threadsafe(self._close_all)

    def silence(self):
        """Connections stay open, new ones are taken, and nothing comes through: half-open to both sides."""
        self.loop.call_soon_threadsafe(self.flow.clear)

    def hide(self, topic):
        """The topic is in no metadata; connections end, so that clients ask."""
        self.hidden = topic.encode()
        self.loop.call_soon_threadsafe(self._close_all)

    def heal(self):
        self.closed, self.delay, self.bytes_per_second, self.hidden = False, 0, None, None
        self.swallowing.clear()
        self.loop.call_soon_threadsafe(self.flow.set)

    def swallow(self, kind, count):
        """The next replies to requests of this kind do not arrive: the broker has done what it was asked, and the connection ends."""
        self.swallowing[kind] = count

    def stop(self):
        self.loop.call_soon_threadsafe(self.loop.stop)

    # ---- connections ----

    def _close_all(self):
        for writer in self.writers:
            writer.close()
            self.fired["cut"] += 1

    async def _serve(self, reader, writer):
        if self.closed:
            self.fired["refused"] += 1
            writer.close()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        both = {writer, far_writer}
        self.writers |= both
        kinds = {}  # of requests that wait for a reply, by correlation id
        await asyncio.wait([asyncio.ensure_future(self._pump(reader, far_writer, writer, kinds, True)),
                            asyncio.ensure_future(self._pump(far_reader, writer, far_writer, kinds, False))], return_when=asyncio.FIRST_COMPLETED)
        self.writers -= both
        for each in both:
            each.close()

    async def _pump(self, reader, writer, back, kinds, requests):
        try:
            while True:
                head = await reader.readexactly(4)
                body = await reader.readexactly(struct.unpack(">i", head)[0])
                if not self.flow.is_set():
                    self.fired["held"] += 1
                    await self.flow.wait()
                if self.delay or self.bytes_per_second:
                    self.fired["slowed"] += 1
                    await asyncio.sleep(self.delay + len(body) / (self.bytes_per_second or 1e12))
                if requests:
                    kind, _, number = struct.unpack(">hhi", body[:8])
                    if kind == PRODUCE and self.refusing > 0:
                        self.refusing -= 1
                        self.fired["not leader"] += 1
                        reply = not_leader(body)
                        self.loop.call_later(0.2, back.write, struct.pack(">i", len(reply)) + reply)  # while others may be on their way
                        continue
                    kinds[number] = kind
                else:
                    kind = kinds.pop(struct.unpack(">i", body[:4])[0], None)
                    if self._swallows(kind):
                        return
                    if kind == METADATA and self.hidden and self.hidden in body:
                        body = body.replace(self.hidden, b"x" * len(self.hidden))
                        self.fired["hidden"] += 1
                writer.write(head + body)
                await writer.drain()
        except (OSError, EOFError, asyncio.IncompleteReadError):
            pass

    def _swallows(self, kind):
        if self.swallowing[kind] <= 0:
            return False
        self.swallowing[kind] -= 1
        self.fired[f"swallowed {kind}"] += 1
        return True
