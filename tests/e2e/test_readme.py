#!/usr/bin/env python3
"""The commands of README.md, "Use it", as they are written there: each runs, and says what the README says that it does."""
import datetime
import os
import pathlib
import re
import subprocess

from harness import PROGRAM, ROOT, Workspace, free_port, stop, wait_until

MONDAYS = [datetime.date(2026, 3, 2) + datetime.timedelta(weeks=n) for n in range(12)]
TOUCHES = "customer_id,time,interaction,conversion,conversion_value,channel\n" + "".join(
    f"{channel}-{n},{day}T03:00:00Z,click,{n % 4 != 3:d},{200 * (n + 1) ** 0.5:.2f},{channel}\n"
    for n, day in enumerate(MONDAYS) for channel in ("LINE", "Paid Search"))
SPEND = "channel,campaign,day,cost,currency\n" + "".join(
    f"{channel},,{day},{100 * (n + 1)},USD\n" for n, day in enumerate(MONDAYS) for channel in ("LINE", "Paid Search"))
PATHS = """path,total_conversions,total_conversion_value,total_null
LINE > Paid Search,3,360,7
LINE,1,100,20
Paid Search,2,150,9
"""


def commands():
    """The lines of the section's blocks but for Kafka's, without their comments."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("## Use it"):text.index("The same configuration through Kafka")]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.S)
    return [re.sub(r"\s+# .*", "", line) for block in blocks for line in block.splitlines()]


def run(space, line, port):
    line = line.replace("build/deploy/tabiji", str(pathlib.Path(PROGRAM).resolve())).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    for folder in ("mappings", "config"):
        line = line.replace(f"deploy/{folder}", str(ROOT.resolve() / "deploy" / folder))
    environment = {**os.environ, "TABIJI_COLLECTOR_LISTEN": f"127.0.0.1:{port}"}
    if "keys retire" in line:  # the shop of the blocks before has no key file
        line = line.replace("--data shop", "--data keyed")
        load = [PROGRAM, "import", "--data", "keyed", "--set", "identity.key_file=tenant.key", "--mapping",
                ROOT.resolve() / "deploy" / "mappings" / "touch-log.ini", "touches.csv"]
        subprocess.run([pathlib.Path(load[0]).resolve(), *load[1:]], cwd=space.path, env=environment, check=True, capture_output=True)
    if " run " in line:
        process = subprocess.Popen(line.split(), cwd=space.path, env=environment)
        space.processes.append(process)
        wait_until(lambda: subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/readyz"], capture_output=True).returncode == 0,
                   "the collector")
        return process

    def once():
        return subprocess.run(line, shell=True, cwd=space.path, env=environment, capture_output=True, text=True, timeout=120)

    done = once()
    if "--data shop" in line or "shop/tabiji.db" in line:  # the tables follow within moments
        seen = []
        wait_until(lambda: seen.append(once()) or (seen[-1].returncode == 0 and seen[-1].stdout), line)
        done = seen[-1]
    assert done.returncode == 0 and (done.stdout or done.stderr), (line, done.returncode, done.stdout, done.stderr)
    return done.stdout


def main():
    with Workspace() as space:
        for name, text in (("touches.csv", TOUCHES), ("spend.csv", SPEND), ("paths.csv", PATHS)):
            (space.path / name).write_text(text)
        port, process, said = free_port(), None, {}
        lines = commands()
        assert len(lines) > 12 and "run" in lines[0], lines
        for line in lines:
            if " run " in line:
                process = run(space, line, port)
            else:
                said[line] = run(space, line, port)
        assert stop(process) == 0

        def of(part):
            return next(text for line, text in said.items() if part in line)

        rows = [row.split("|") for row in of("v_channel_attribution").splitlines()[1:]]
        assert len({row[0] for row in rows}) == 8 and all(row[3] == "12980" for row in rows), rows
        assert '"accepted":1' in of('"id":"a-1"') and '"accepted":1' in of('"id":"a-2"')
        assert "u-1" in of("lookup") and "order_completed" in of("timeline") and "W-1" in of("explain --data shop credit")
        assert "LINE" in of("budget") and "LINE" in of("attribute paths.csv")
        print(f"{len(lines)} commands of the README do as it says")


if __name__ == "__main__":
    main()
