# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the collection at work on a disposable machine: the failure without it, the fix, real checkpoints and restores.

The machine is removed at the end in any case. The containers are cases of tests/testinfra/matrix.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Sequence

from common import BUILD, LAB, ROOT, ToolError, environment, main, say, venv_bin

MACHINE = "demo"
CASES = "threads-runc|redis-crun|unit-runc"
REPORT = BUILD / "results" / "demo.json"
STARTED = time.monotonic()
GOOD = """\
The demonstration succeeded. With SELinux enforcing, each container was checkpointed and restored:
  * every thread runs with the SELinux label that it had before,
  * the counters and the TCP connection of the Redis client continue where they were,
  * SELinux denied nothing.
On your own hosts, start with the section "Quick start" of README.md."""
BAD = """\
The demonstration failed: a thread has a different SELinux label (CHANGED above), state was not kept (LOST above), or
SELinux denied something (the denials are listed above)."""
CLIENT = re.compile(r"count (?P<count>\d+) port (?P<port>\d+)")

# Commands for the pristine host. The first caller of podman determines the labels, so a unit must import the image
# before a unit starts a container from it.
UNIT = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit"]
START = ["podman", "--runtime", "runc", "run", "-d", "--network=none"]
PROGRAM = ["lab-virgin", "python3", "/app/threads.py"]
PREPARE = [
    ["modprobe", "overlay"],
    ["chcon", "--type", "container_file_t", "/var/lib/lab/workload.tar"],
    [*UNIT, "podman", "import", "/var/lib/lab/workload.tar", "lab-virgin"],
]
BEFORE = [
    ("a systemd unit starts a container", [*UNIT, "--unit=start-a", *START, "--name=a", *PROGRAM], []),
    (
        "a systemd unit checkpoints it",
        [*UNIT, "--unit=dump-a", "podman", "container", "checkpoint", "a"],
        ["journalctl", "--no-pager", "--output=cat", "--unit=dump-a", "--grep=Error|denied"],
    ),
    ("a root shell starts a container", [*START, "--name=b", *PROGRAM], []),
    (
        "a root shell checkpoints it",
        ["podman", "container", "checkpoint", "b"],
        ["sh", "-c", "grep -h Error /var/lib/containers/storage/overlay-containers/*/userdata/dump.log"],
    ),
]


def heading(text: str) -> None:
    """Print the title of the next part, with the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - STARTED), 60)
    say(f"\n=== [{minutes:02d}:{seconds:02d}] {text}")


def lab(*arguments: str, capture: bool = False) -> str:
    """Run lab.py with its progress shown; return its output if ``capture``."""
    done = subprocess.run(
        [sys.executable, str(LAB), *arguments], stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"lab.py {' '.join(arguments)} failed. See the output above.")
    return (done.stdout or "").strip()


def on_machine(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command on the machine over ssh."""
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in argv)
    return subprocess.run(
        ["ssh", "-F", str(BUILD / "lab/ssh_config"), MACHINE, quoted], capture_output=True, text=True, check=False
    )


def playbook(*arguments: str) -> None:
    """Run a playbook on the machine with its output shown."""
    env = {**environment(), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0"}
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / "lab/inventory.yml"), "-l", MACHINE, *arguments]
    if subprocess.run(argv, env=env, cwd=ROOT, check=False).returncode:
        raise ToolError(f"ansible-playbook {' '.join(arguments)} failed. See the output above.")


def show_pristine_host() -> None:
    """Try to checkpoint containers on a host without the collection, and print the errors."""
    say(f"SELinux: {on_machine(['getenforce']).stdout.strip()}")
    version = on_machine(["sh", "-c", "criu --version | head -n1"]).stdout.strip().removeprefix("Version: ")
    linked = on_machine(["sh", "-c", "ldd $(command -v criu) | grep -q libselinux"]).returncode == 0
    say(f"CRIU: {version}, the package of Debian, linked {'with' if linked else 'without'} libselinux")
    say("Each checkpoint fails and prints why:")
    for argv in PREPARE:
        on_machine(argv)
    for what, argv, why in BEFORE:
        done = on_machine(argv)
        say(f"  {what}: {'ok' if done.returncode == 0 else f'failed with exit status {done.returncode}'}")
        if done.returncode and why:
            for line in on_machine(why).stdout.splitlines()[:2]:
                say(f"      {line[:150]}")
    on_machine(["podman", "rm", "--force", "--all", "--time", "0"])
    on_machine(["podman", "rmi", "--force", "lab-virgin"])


def seconds(result: dict[str, Any]) -> str:
    """Return the duration that podman reports for a dump or restore; a dash if it reports none."""
    microseconds = (result.get("statistics") or {}).get("engine_microseconds")
    return f"{microseconds / 1e6:.1f} s" if microseconds else "-"


def labels(seen: dict[str, Any]) -> str:
    """Return the distinct labels of a container's threads."""
    return " ".join(sorted({thread["label"] for thread in seen.get("threads", [])})) or "(none)"


def state(seen: dict[str, Any]) -> str:
    """Return the counters of the threads, or the last line of the Redis client."""
    if "client" in seen:
        return f"Redis client: {seen['client']}"
    return "counters " + " ".join(str(value) for dummy, value in sorted(seen.get("counters", {}).items()))


def continues(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return whether the counters, or the client's count on the same TCP port, go on from their values before."""
    if "client" in before:
        was, now = (CLIENT.fullmatch(seen["client"]) for seen in (before, after))
        return bool(was and now and was["port"] == now["port"] and int(now["count"]) >= int(was["count"]))
    return all(after["counters"].get(number, -1) >= count for number, count in before["counters"].items())


def print_table(report: dict[str, Any]) -> bool:
    """Print one block per case; return whether labels and state were kept and SELinux denied nothing."""
    good = True
    for entry in report["cases"]:
        before, after, imported = entry["before"], entry["after"], entry["after_import"]
        same, goes_on = before["threads"] == after["threads"], continues(before, after)
        good = good and same and goes_on
        say(f"\n  container {entry['case']}, OCI runtime {before['runtime']}")
        say(f"    threads       {len(before['threads'])} before, {len(after['threads'])} after")
        say(f"    label before  {labels(before)}")
        say(f"    label after   {labels(after)}   {'same label on every thread' if same else 'CHANGED'}")
        say(f"    state before  {state(before)}")
        say(f"    state after   {state(after)}   {'continues' if goes_on else 'LOST'}")
        say(f"    duration      dump {seconds(entry['dumped'])}, restore {seconds(entry['restored'])}")
        if imported:
            same, goes_on = before["threads"] == imported["threads"], continues(before, imported)
            good = good and same and goes_on
            say("    then checkpointed to an archive, removed, and restored from the archive:")
            say(f"    label         {labels(imported)}   {'same label on every thread' if same else 'CHANGED'}")
            say(f"    state         {state(imported)}   {'continues' if goes_on else 'LOST'}")
    say(f"\n  SELinux denials during the checkpoints and restores: {len(report['denials'])}")
    for line in report["denials"]:
        say(f"    {line[:160]}")
    return good and not report["denials"]


def show() -> bool:
    """Run the demonstration; return whether labels and state were kept and SELinux denied nothing."""
    heading(
        "Boot a disposable Debian 13 machine with SELinux enforcing (the first time, its image is made: some minutes)"
    )
    artifact = lab("artifact", capture=True).splitlines()[-1]
    lab("up", MACHINE)
    heading("Before: checkpoints fail on the pristine host")
    show_pristine_host()
    heading("Fix: the playbook criu.hosts.enable_host installs CRIU and the SELinux policy, and tests both")
    playbook("criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
    heading("After: checkpoint and restore real containers, in place and from archives")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    playbook(
        str(ROOT / "tests/testinfra/matrix/matrix.yml"), "-e", f"matrix_report={REPORT}", "-e", f"matrix_only={CASES}"
    )
    heading("Result")
    return print_table(json.loads(REPORT.read_text(encoding="utf-8")))


def work() -> int:
    """Run the demonstration; remove the machine in any case."""
    if not Path(venv_bin()).exists():
        raise ToolError("Cannot run the demonstration: the tools are not installed. Run `make demo`.")
    try:
        good = show()
    finally:
        heading("Remove the disposable machine")
        lab("down", MACHINE)
    say(f"\n{GOOD if good else BAD}")
    return 0 if good else 1


if __name__ == "__main__":
    main(work)
