#!/usr/bin/env python3
"""Durable events over HTTP, by wrk on loopback: single events and batches of 20 of about 1 kB, native and Segment; the embedded log,
Kafka, and beside them a collector of fastify and kafkajs (peers/fastify) that answers after Kafka has acknowledged, and Telegraf
(peers/telegraf, native events only), which answers before.

    collector.py SERVER [SECONDS [CONNECTIONS]]

Of each: events a second, CPU seconds of the server a million events, p99; p99 at half of that load; which threads the CPU went to, and,
where perf may look, which functions. Then the p99 of others beside 5,000 silent connections and 200 slow ones. Compare within a run.
"""
import contextlib
import hashlib
import math
import os
import pathlib
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import kafka_broker  # noqa: E402
import peer_telegraf  # noqa: E402

PEER = HERE / "peers" / "fastify"
SHAPES = [(form, batch) for form in ("native", "segment") for batch in (20, 1)]
TICK = os.sysconf("SC_CLK_TCK")
FUNCTIONS_SHOWN = 12
HALF_TRIES = 3
SAMPLES_MIN = 100  # where perf sees fewer it may not look


def cpu_of(path):
    """User and system seconds of a process or thread."""
    fields = pathlib.Path(path).read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) / TICK, int(fields[12]) / TICK


def cpu_exact(pid):
    """Seconds of all threads, to the nanosecond: a loaded machine gives little in a run."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Server:
    """A collector that prints its port, and ends with its standard input."""

    def __init__(self, name, *command, cwd=None, env=None):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd, env=env)
        line = self.process.stdout.readline()
        if not line.strip():
            raise RuntimeError(f"{name} did not start")
        self.port = int(line)

    def threads(self):
        """CPU seconds by name of a thread: user, system."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                name = re.sub(r"[:\d]+$", "", (task / "comm").read_text().strip())
                user, system = cpu_of(task / "stat")
                before = found.get(name, (0, 0))
                found[name] = (before[0] + user, before[1] + system)
        return found

    def peak(self):
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1]) / 1024

    def stop(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.wait()
        return rest


def milliseconds(text):
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if not found:  # of so few requests wrk says nothing
        return float("nan")
    number, unit = found.groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60000}[unit]


def wrk(server, form, batch, seconds, connections, pause=0):
    """(events, events/s, CPU seconds a million events, p99 in ms, mean of a request in ms)"""
    before = cpu_exact(server.process.pid)
    run = subprocess.run(["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", HERE / "collector.lua",
                          f"http://127.0.0.1:{server.port}", "--", form, str(batch), str(pause), server.name], capture_output=True, text=True)
    spent = cpu_exact(server.process.pid) - before
    if run.stderr.strip() or "Non-2xx" in run.stdout or "requests in" not in run.stdout:
        raise RuntimeError(f"{server.name}: {run.stdout}{run.stderr}")
    events = int(re.search(r"(\d+) requests in", run.stdout)[1]) * batch
    if events == 0:
        raise RuntimeError(f"{server.name}: no answer within {seconds} s: is the machine busy? Give more seconds")
    took = float(re.search(r"requests in ([\d.]+)", run.stdout)[1])
    p99 = milliseconds(re.search(r"99%\s+(\S+)", run.stdout)[1])
    mean = milliseconds(re.search(r"Latency\s+(\S+)", run.stdout)[1])
    return events, events / took, spent * 1e6 / max(events, 1), p99, mean


def functions(server, form, batch, connections):
    """Where the program's own time goes, as perf sees it; nothing where it may not look."""
    if not shutil.which("perf"):
        return
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-") as directory:
        data = f"{directory}/perf.data"
        perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-p", str(server.process.pid), "-o", data, "--", "sleep", "2"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wrk(server, form, batch, 3, connections)
        perf.wait()
        shown = subprocess.run(["perf", "report", "-i", data, "--no-children", "--sort", "symbol", "-n", "--stdio", "-q"],
                               capture_output=True, text=True).stdout
        lines = [line.split(None, 3) for line in shown.splitlines() if re.match(r"\s+[\d.]+%\s+\d+ ", line)]
        if sum(int(samples) for _, samples, _, _ in lines) >= SAMPLES_MIN:
            print("      functions: " + ", ".join(f"{share} {name.split()[0]}" for share, _, _, name in lines[:FUNCTIONS_SHOWN]))


def measure(server, form, batch, seconds, connections, detail):
    before = server.threads()
    _, rate, cpu, p99, mean = wrk(server, form, batch, seconds, connections)
    after = server.threads()
    # Half: each connection rests as long as a request took, and what wrk itself takes a request; then by what was seen.
    pause = max(1, round(2 * connections * batch / rate * 1000 - (0 if math.isnan(mean) else mean)))
    for _ in range(HALF_TRIES):
        _, half_rate, _, half_p99, _ = wrk(server, form, batch, seconds, connections, pause)
        if abs(half_rate / rate - 0.5) < 0.05:
            break
        pause = max(1, round(pause + connections * batch * (2 / rate - 1 / half_rate) * 1000))
    print(f"{server.name:9} {form:7} x{batch:<2}  {rate:9,.0f} events/s  {cpu:6.2f} CPU s/M  p99 {p99:7.1f} ms;  "
          f"at {half_rate / rate * 100:3.0f} % of that p99 {half_p99:6.1f} ms;  peak {server.peak():.0f} MiB", flush=True)
    if detail:
        spent = {name: (u - before.get(name, (0, 0))[0], s - before.get(name, (0, 0))[1]) for name, (u, s) in after.items()}
        total = sum(map(sum, spent.values())) or 1
        print("      threads: " + ", ".join(f"{name} {u / total * 100:.0f} % + {s / total * 100:.0f} % system" for name, (u, s) in
                                           sorted(spent.items(), key=lambda item: -sum(item[1])) if u + s > total / 50))
        functions(server, form, batch, connections)
    return cpu


def run_all(server, seconds, connections, detail):
    """CPU seconds a million events by shape."""
    wrk(server, "native", 20, seconds, connections)  # to warm up
    return {(form, batch): measure(server, form, batch, seconds, connections, detail) for form, batch in SHAPES}


def peer_modules():
    """Directory of the peer's modules as its lock file has them, fetched once; None without npm or the registry."""
    digest = hashlib.sha256((PEER / "package-lock.json").read_bytes()).hexdigest()[:12]
    home = kafka_broker.cache().parent / f"fastify-peer-{digest}"
    if not (home / "made").exists():
        home.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEER / name, home)
        try:
            subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=home, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"the peer is left out: npm could not fetch it: {error}")
            return None
        (home / "made").touch()
    return home / "node_modules"


def collect_command(bootstrap, directory, settings):
    """`tabiji collect` that behaves as Server wants it: a port first, then the end of standard input."""
    more = " ".join(f"--set {setting}" for setting in settings)
    port = kafka_broker.free_ports(1)[0]
    script = (f'"$0" collect --set stream.driver=kafka --set kafka.bootstrap.servers={bootstrap} --set data.dir={directory} '
              f"--set collector.open_source=bench --set collector.listen=127.0.0.1:{port} {more} 2>{directory}/collect.log & "
              f"until curl -sf 127.0.0.1:{port}/readyz >/dev/null; do kill -0 $! || exit 1; sleep 0.1; done; echo {port} $!; "
              "cat >/dev/null; kill $!; wait $!")
    return ["sh", "-c", script, os.environ["TABIJI_PROGRAM"]]


class Collect(Server):
    def __init__(self, bootstrap, directory, *settings):
        self.name = "kafka"
        self.shell = subprocess.Popen(collect_command(bootstrap, directory, settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        port, pid = self.shell.stdout.readline().split()
        self.port, self.process = int(port), type("Process", (), {"pid": int(pid)})

    def stop(self):
        self.shell.stdin.close()
        self.shell.wait()


def beside_hostile(server, connections):
    """p99 of health checks and events alone, then beside silent and slow connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    count = min(5000, min(hard, 16384) - 1000)

    def connect(text):
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        connection.sendall(text)
        return connection

    def health():
        run = subprocess.run(["wrk", "-t2", "-c16", "-d3s", "--latency", f"http://127.0.0.1:{server.port}/healthz"], capture_output=True, text=True)
        return milliseconds(re.search(r"99%\s+(\S+)", run.stdout)[1])

    alone = [(health(), wrk(server, "native", 1, 3, 16, 4)[3]) for _ in range(2)]
    silent = [connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(count)]
    slow = [connect(b"POST /v1/events HTTP/1.1\r\nHost: x\r\n" + more) for more in (b"X: ", b"Content-Length: 9999\r\n\r\n{") for _ in range(100)]
    done = threading.Event()

    def drip():
        while not done.wait(0.2):
            for connection in slow:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    beside = [(health(), wrk(server, "native", 1, 3, 16, 4)[3]) for _ in range(2)]
    done.set()
    thread.join()
    for connection in silent + slow:
        connection.close()
    for name, i in (("health", 0), ("events", 1)):
        quiet, loud = min(row[i] for row in alone), min(row[i] for row in beside)
        print(f"p99 of {name}: {quiet:.2f} ms alone, {loud:.2f} ms beside {count} silent and 200 slow connections: {loud / quiet:.2f} times")


def telegraf(seconds, connections, bootstrap, directory):
    """Its cost, and what is left of what it acknowledged when it is killed under load."""
    if not (built := peer_telegraf.program()):
        return
    for batch in (20, 1):
        peer = peer_telegraf.Telegraf(built, bootstrap, directory, f"peer.telegraf.{batch}")
        acknowledged, rate, cpu, p99, _ = wrk(peer, "native", batch, seconds, connections)
        peer.kill()
        print(f"telegraf  native  x{batch:<2}  {rate:9,.0f} events/s  {cpu:6.2f} CPU s/M  p99 {p99:7.1f} ms;  killed then: of {acknowledged:,} events "
              f"acknowledged {peer.arrived():,} are in Kafka", flush=True)


def on_kafka(seconds, connections, directory):
    """CPU a million events of ours and the peer's, by shape; None where there is no broker."""
    try:
        bootstrap, _ = kafka_broker.start(f"{directory}/broker")
    except kafka_broker.Unavailable as reason:
        print(f"no Kafka here: {reason}")
        return None, None
    try:
        pathlib.Path(f"{directory}/collect").mkdir()
        ours = Collect(bootstrap, f"{directory}/collect")
        our_cpu = run_all(ours, seconds, connections, True)
        ours.stop()
        telegraf(seconds, connections, bootstrap, directory)
        modules = peer_modules()
        if not modules:
            return our_cpu, None
        peer = Server("fastify", "node", str(PEER / "collector.cjs"), bootstrap, "peer.events",
                      env={**os.environ, "NODE_PATH": str(modules), "KAFKAJS_NO_PARTITIONER_WARNING": "1"})
        peer_cpu = run_all(peer, seconds, connections, False)
        peer.stop()
        return our_cpu, peer_cpu
    finally:
        kafka_broker.stop(f"{directory}/broker")


def main():
    server, seconds, connections = sys.argv[1], int((sys.argv + ["", "4"])[2] or 4), int((sys.argv + ["", "", "64"])[3] or 64)
    if not shutil.which("wrk"):
        print("skipped: wrk is not installed")
        return 77
    print(f"cores {os.cpu_count()}, {connections} connections, {seconds} s each; wrk takes a share of the same cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="tabiji-bench-", dir=os.environ.get("TABIJI_BENCH_DIR")) as directory:
        embedded = Server("embedded", server, f"{directory}/log")
        embedded_cpu = run_all(embedded, seconds, connections, True)
        beside_hostile(embedded, connections)
        embedded.stop()
        kafka_cpu, peer_cpu = on_kafka(seconds, connections, directory)
    for (form, batch), peer in (peer_cpu or {}).items():
        print(f"CPU of {form} x{batch}: fastify takes {peer / embedded_cpu[form, batch]:.1f} times the embedded log's, "
              f"{peer / kafka_cpu[form, batch]:.1f} times that on Kafka")
    return 0


if __name__ == "__main__":
    sys.exit(main())
