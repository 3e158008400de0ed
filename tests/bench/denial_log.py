# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure how fast denial_info and ausearch read a large audit log, in turn; print the seconds as JSON.

denial_log.py FOLDER LOG_FOLDER ROUNDS [MIB]    FOLDER contains ansible_collections/criu/hosts
denial_log.py --look FOLDER LOG                 read the log once, in a process of its own

Two logs are made from recorded events: a typical one with one denial in a hundred events, and one with denials only.
ausearch prints the records in raw form, which is its fastest mode.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

FIXTURES = Path(__file__).parents[1] / "unit/fixtures/audit"
LOOK = "ansible_collections.criu.hosts.plugins.module_utils._denials.report"
OTHER = (
    "type=SERVICE_START msg=audit(@): pid=1 uid=0 auid=4294967295 ses=4294967295 subj=system_u:system_r:init_t:s0 "
    'msg=\'unit=sysstat-collect comm="systemd" exe="/usr/lib/systemd/systemd" hostname=? addr=? terminal=? '
    'res=success\'\x1dUID="root" AUID="unset"\n'
)
SYSCALL = (
    "type=SYSCALL msg=audit(@): arch=c000003e syscall=189 success=no exit=-13 a0=556223ca27b0 a1=7f5941f328be "
    "a2=556223ca27e0 a3=26 items=0 ppid=2044 pid=2046 auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 "
    'tty=(none) ses=2 comm="semodule" exe="/usr/sbin/semodule" '
    "subj=unconfined_u:unconfined_r:semanage_t:s0-s0:c0.c1023 "
    'key=(null)\x1dARCH=x86_64 SYSCALL=lsetxattr AUID="root" UID="root" GID="root" EUID="root" SUID="root"\n'
    "type=PROCTITLE msg=audit(@): proctitle=73656D6F64756C65002D5800353030002D69002F726F6F742F6835742E63696C\n"
)


def denials() -> list[str]:
    """Return recorded denials as auditd wrote them, each with the other records of its event."""
    found = []
    for path in sorted(FIXTURES.glob("debian13-*.txt")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("type=AVC "):
                start, dummy, rest = line.partition("audit(")
                found.append(f"{start}audit(@){rest[rest.find(')') + 1 :]}\n{SYSCALL}")
    return found


def make_log(path: Path, size: int, every: int) -> int:
    """Write ``size`` bytes of events, of which one in ``every`` is a denial; return the number of denials."""
    events, made, serial = denials(), 0, 0
    with path.open("w", encoding="utf-8") as handle:
        while handle.tell() < size:
            block = []
            for dummy in range(2000):
                serial += 1
                denied = serial % every == 0
                made += denied
                event = events[made % len(events)] if denied else OTHER
                block.append(event.replace("@", f"{1795000000 + serial // 50}.{serial % 50 * 20:03d}:{serial}"))
            handle.write("".join(block))
    return made


def look(folder: str, log: str) -> None:
    """Read the log once; print the counts and the peak of the memory."""
    sys.path.insert(0, folder)
    module = importlib.import_module(LOOK)
    value = module.look(module.Host(module.Paths()), None, source="audit", audit_path=log, since=0.0, criu_logs=[])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"records": value["records"], "kinds": len(value["denials"]), "peak_kib": peak}))


def timed(argv: list[str]) -> tuple[float, str]:
    """Return the seconds of a command and its output."""
    began = time.monotonic()
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True)
    return time.monotonic() - began, done.stdout.decode("utf-8", "replace")


def searched(log: Path) -> float:
    """Return the seconds of ausearch, whose output is discarded."""
    argv = ["ausearch", "--input", str(log), "--message", "AVC,USER_AVC,SELINUX_ERR", "--raw"]
    began = time.monotonic()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def compare(folder: str, log: Path, made: int, rounds: int) -> dict[str, object]:
    """Measure both programs in turn, on a log that is in the page cache for both."""
    ours, other = [], []
    found: dict[str, int] = {}
    for dummy in range(rounds):
        seconds, text = timed([sys.executable, __file__, "--look", folder, str(log)])
        ours.append(seconds)
        found = json.loads(text)
        other.append(searched(log))
    if found["records"] != made:
        raise SystemExit(f"denial_info found only {found['records']} of {made} denials")
    return {"bytes": log.stat().st_size, "ours": ours, "ausearch": other, **found}


def main() -> None:
    if sys.argv[1] == "--look":
        look(sys.argv[2], sys.argv[3])
        return
    folder, logs, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    size = int(sys.argv[4] if len(sys.argv) > 4 else 1024) << 20
    logs.mkdir(parents=True, exist_ok=True)
    log, result = logs / "audit.log", {}
    try:
        for name, every in (("one denial in a hundred events", 100), ("denials only", 1)):
            made = make_log(log, size, every)
            os.sync()
            result[name] = compare(folder, log, made, rounds)
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
