"""A loopback proxy before the collector: it refuses requests and swallows replies, as load balancers and mobile networks do.

It runs in threads of the test. `faults` is what happens to the next POSTs, one after the other: "503" (refused, the collector hears
nothing), "504" (the collector takes it, the client hears of a gateway's timeout), "drop" (the collector takes it, the client hears nothing; a
browser then asks again by itself on a connection that it has used before), None (nothing). `fired` counts what was done, `seen` what was asked, by method and path.
"""
import collections
import http.client
import http.server
import json
import socket
import threading

HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server", "content-length"}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass  # of clients that went away


class Proxy:
    def __init__(self, port, target, faults=()):
        self.port, self.target = port, target
        self.url = f"http://127.0.0.1:{port}"
        self.faults = collections.deque(faults)
        self.fired, self.seen = collections.Counter(), collections.Counter()
        self.answered = set()  # as `seen`, by the collector
        self.types = set()  # Content-Type and Content-Encoding of POSTs
        self.lock = threading.Lock()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                proxy.serve(self)

            do_GET = do_POST = do_HEAD = do_OPTIONS = do

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def serve(self, client):
        if client.path == "/seen":
            return self.tell(client)
        body = client.rfile.read(int(client.headers.get("Content-Length") or 0))
        fault = None
        with self.lock:
            self.seen[client.command, client.path.partition("?")[0]] += 1
            if client.command == "POST":
                self.types.add((client.headers.get("Content-Type"), client.headers.get("Content-Encoding")))
                fault = self.faults.popleft() if self.faults else None
                if fault:
                    self.fired[fault] += 1
        if fault == "503":
            return self.refuse(client, 503)
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=30)
        headers = {name: value for name, value in client.headers.items() if name.lower() not in HOP or name.lower() == "content-length"}
        connection.request(client.command, client.path, body or None, headers)
        reply = connection.getresponse()
        text = reply.read()
        connection.close()
        with self.lock:
            self.answered.add((client.command, client.path.partition("?")[0]))
        if fault == "drop":
            client.close_connection = True
            client.connection.shutdown(socket.SHUT_RDWR)
            return None
        if fault == "504":
            return self.refuse(client, 504)
        client.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in HOP:
                client.send_header(name, value)
        client.send_header("Content-Length", len(text))
        client.end_headers()
        if client.command != "HEAD":
            client.wfile.write(text)

    def tell(self, client):
        """What was answered, to those who cannot see it otherwise."""
        with self.lock:
            text = json.dumps([f"{method} {path}" for method, path in self.answered]).encode()
        client.send_response(200)
        client.send_header("Content-Length", len(text))
        client.end_headers()
        client.wfile.write(text)

    @staticmethod
    def refuse(client, status):
        text = b"the gateway has nobody to ask"
        client.send_response(status)
        if client.headers.get("Origin"):
            client.send_header("Access-Control-Allow-Origin", client.headers["Origin"])
            client.send_header("Access-Control-Allow-Credentials", "true")
            client.send_header("Access-Control-Expose-Headers", "Retry-After")
        if status == 503:
            client.send_header("Retry-After", "1")
        client.send_header("Content-Type", "text/plain")
        client.send_header("Content-Length", len(text))
        client.end_headers()
        client.wfile.write(text)
