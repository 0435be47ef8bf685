"""libtabiji as small devices have it, without librdkafka: `-Dproducer-kafka=disabled` in a build directory of its own, within the build that
tests run in.

Only the library's own sources are compiled there. What it takes of the other rooms is the outer build's archives: the option changes
nothing of them.
"""
import os
import pathlib
import subprocess

ROOT = pathlib.Path(os.environ.get("TABIJI_SOURCE_ROOT") or pathlib.Path(__file__).resolve().parents[2])
SHARED = "ingest/producer/libtabiji.so.0.1.0"
ARCHIVE = "ingest/producer/libtabiji.a"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.returncode}\n{done.stdout[-3000:]}")
    return done.stdout


def link(directory, outer, target):
    """Makes a target by the command that its own build would use, of the outer build's other archives."""
    command = run("ninja", "-C", directory, "-t", "commands", target).splitlines()[-1]
    for room in ("ingest", "schemas"):
        archive = f" {room}/lib{room}.a"
        assert archive in command, command
        command = command.replace(archive, f" {outer}/{room}/lib{room}.a")
    run("sh", "-c", command, cwd=directory)
    return directory / target


def build(outer):
    """(shared library, archive, .pc file); what is there is made again only where sources have changed."""
    outer = pathlib.Path(outer).resolve()
    directory = outer / "producer-without-kafka"
    if not (directory / "build.ninja").exists():
        run("meson", "setup", directory, ROOT, "--native-file", ROOT / "tests/release.ini", "-Dproducer-kafka=disabled", "-Dtests=false")
    run("ninja", "-j2", "-C", directory, "ingest/producer/libproducer.a")
    return link(directory, outer, SHARED), link(directory, outer, ARCHIVE), directory / "meson-private/tabiji.pc"
