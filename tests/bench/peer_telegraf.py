"""Telegraf as a peer of tests/bench/collector.py: built from its Go module, native events over HTTP to Kafka."""
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import kafka_broker  # noqa: E402

SOURCE = HERE / "peers" / "telegraf"
# It answers once an event is in its memory. The buffer holds a run whole, so that none is lost but by the kill; all replicas
# acknowledge, as with the others.
CONFIG = """
[agent]
  interval = "1s"
  flush_interval = "1s"
  metric_batch_size = 5000
  metric_buffer_limit = 5000000
  omit_hostname = true
  quiet = true
[[inputs.http_listener_v2]]
  service_address = "127.0.0.1:{port}"
  paths = ["/v1/events"]
  methods = ["POST"]
  data_format = "json"
  json_string_fields = ["*"]
[[outputs.kafka]]
  brokers = ["{bootstrap}"]
  topic = "{topic}"
  required_acks = -1
  data_format = "json"
"""


def program():
    """Path of the built program, in the cache, made once; None where Go or its modules cannot be had."""
    digest = hashlib.sha256(b"".join((SOURCE / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))).hexdigest()[:12]
    home = kafka_broker.cache().parent / f"telegraf-peer-{digest}"
    built = home / "telegraf"
    if built.exists():
        return built
    if not shutil.which("go"):
        subprocess.run(["sh", "-c", f". {HERE.parents[1]}/deploy/packages.sh && install_packages golang-go"], check=False)
    print("== building Telegraf", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(SOURCE, home)
    modules = {**os.environ, "GOMODCACHE": str(home / "modules")}
    try:
        subprocess.run(["go", "build", "-mod=readonly", "-o", built, "."], cwd=home, env=modules, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"Telegraf is left out: {error}: {getattr(error, 'stderr', '')[-300:]}")
        return None
    finally:
        subprocess.run(["go", "clean", "-modcache"], cwd=home, env=modules, check=False, capture_output=True)
    return built


class Telegraf:
    """Runs it; what collector.py's wrk() wants of a server."""

    def __init__(self, built, bootstrap, directory, topic):
        self.name, self.bootstrap, self.topic, self.port = "telegraf", bootstrap, topic, kafka_broker.free_ports(1)[0]
        self.tool("TopicCommand", "--create", "--partitions", "4")
        config = pathlib.Path(directory) / "telegraf.conf"
        config.write_text(CONFIG.format(port=self.port, bootstrap=bootstrap, topic=topic))
        with open(pathlib.Path(directory) / "telegraf.log", "wb") as log:
            self.process = subprocess.Popen([built, config], stdin=subprocess.PIPE, stdout=log, stderr=log)
        while self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"Telegraf ended with {self.process.returncode}: {(pathlib.Path(directory) / 'telegraf.log').read_text()[-500:]}")

    def tool(self, name, *arguments):
        """One of Kafka's own commands about its topic."""
        return subprocess.run(kafka_broker.java(kafka_broker.install(), f"org.apache.kafka.tools.{name}", "--bootstrap-server", self.bootstrap,
                                                "--topic", self.topic, *arguments), check=True, capture_output=True, text=True).stdout

    def arrived(self):
        """Records of its topic."""
        return sum(int(line.rsplit(":", 1)[1]) for line in self.tool("GetOffsetShell").split())

    def kill(self):
        self.process.kill()
        self.process.wait()
