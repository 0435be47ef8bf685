#!/usr/bin/env python3
"""[registry] against a server of TLS that wants a client's certificate and credentials; none of the secrets is ever said."""
import base64
import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading

from harness import PROGRAM, Workspace, skip

SECRET, TOKEN, KEY_PASSWORD = "correct-horse", "token-of-a-robot", "battery"
BASIC = "Basic " + base64.b64encode(f"shop:{SECRET}".encode()).decode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        shown = self.headers.get("Authorization")
        self.server.shown.append(shown)
        good = shown in (BASIC, f"Bearer {TOKEN}")
        body = json.dumps([] if good else {"error_code": 401, "message": "who are you?"}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def certificates(path):
    """An authority, a server's and a client's certificate (the client's key with a password), and a stranger."""
    for name in ("authority", "stranger"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2, "-subj", f"/CN={name}",
                "-keyout", path / f"{name}.key", "-out", path / f"{name}.pem")
    (path / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", path / f"{name}.key", "-out", path / f"{name}.csr")
        openssl("x509", "-req", "-in", path / f"{name}.csr", "-CA", path / "authority.pem", "-CAkey", path / "authority.key",
                "-CAcreateserial", "-days", 2, "-extfile", path / "san", "-out", path / f"{name}.pem")
    openssl("pkcs8", "-topk8", "-in", path / "client.key", "-out", path / "locked.key", "-passout", f"pass:{KEY_PASSWORD}")


def serve(path):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.shown = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path / "server.pem", path / "server.key")
    context.load_verify_locations(path / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"https://127.0.0.1:{server.server_address[1]}"


def main():
    if not shutil.which("openssl"):
        skip("openssl is not installed")
    with Workspace() as space:
        path = space.path
        certificates(path)
        for name, text in {"auth": f"shop:{SECRET}\n", "wrong": "shop:guess\n", "token": TOKEN, "password": KEY_PASSWORD}.items():
            (path / name).write_text(text)
        server, url = serve(path)
        every = {"url": url, "auth_file": path / "auth", "ca_file": path / "authority.pem", "certificate_file": path / "client.pem",
                 "key_file": path / "locked.key", "key_password_file": path / "password", "attempts": 1}

        def run(expect, said, verb=("schema", "list"), **change):
            config = path / "tabiji.ini"
            options = {key: value for key, value in {**every, **change}.items() if value is not None}
            config.write_text("[registry]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
            done = subprocess.run([PROGRAM, *verb, "--config", config], capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "SSL_CERT_FILE": "/nonexistent"})
            assert done.returncode == expect and said in done.stderr + done.stdout, (change, done)
            for secret in (SECRET, TOKEN, KEY_PASSWORD, BASIC):
                assert secret not in done.stdout + done.stderr, (secret, done)

        run(0, "")
        assert server.shown == [BASIC], server.shown
        run(0, "", auth_file=None, token_file=path / "token")
        assert server.shown == [BASIC, f"Bearer {TOKEN}"], server.shown
        run(0, "", key_file=path / "client.key", key_password_file=None)
        run(5, "401", auth_file=path / "wrong")
        run(5, "401", auth_file=None)
        asked = len(server.shown)
        run(5, "certificate", ca_file=path / "stranger.pem")
        run(5, "certificate", url=url.replace("127.0.0.1", "localhost"))  # not the name in the certificate
        run(7, "does not answer", certificate_file=None, key_file=None, key_password_file=None)
        run(7, "does not answer", url=url.replace("https", "http"))
        run(2, "configuration", ca_file=path / "none.pem")
        run(2, "configuration", key_password_file=path / "token")
        run(2, "exclude", token_file=path / "token")
        run(2, "auth_file", url="https://shop:guess@127.0.0.1")
        run(2, "tabiji.ini:2: a url of [registry] holds credentials", url=f"https://shop:{SECRET}@127.0.0.1", verb=("config", "dump"))
        assert len(server.shown) == asked, "asked without trust"
        run(0, f"auth_file = {path / 'auth'}", verb=("config", "dump", "--origin"))
        run(0, "answers; 0 subjects", verb=("doctor", "--data", path / "none"))
        run(1, "check [registry] url", verb=("doctor", "--data", path / "none"), auth_file=path / "wrong")
        server.shutdown()
    print("schema registry over TLS: as said")


if __name__ == "__main__":
    main()
