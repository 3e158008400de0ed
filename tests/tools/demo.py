# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the collection at work on a disposable machine: the failure without it, the fix, real checkpoints and restores.

The machine is removed at the end in any case. The containers are cases of tests/testinfra/matrix.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Sequence

from common import BUILD, LAB, ROOT, ToolError, environment, main, say, venv_bin

MACHINE = "demo"
# enable_host has proved containers with threads for both runtimes, in place: here one of them comes from an archive,
# and the other runtime keeps a TCP connection.
CASES, ARCHIVES = "threads-runc|redis-crun", "threads"
REPORT = BUILD / "results" / "demo.json"
STARTED = time.monotonic()
# The title and the start of each part
PARTS: list[tuple[str, float]] = []
# The aim, from a fresh clone; a second run, which has the image and CRIU, needs half of it.
MINUTES = {"kvm": 3, "tcg": 8}
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
MARK = "== status"
UNIT = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit"]
START = ["podman", "--runtime", "runc", "run", "-d", "--network=none"]
PROGRAM = ["lab-virgin", "python3", "/app/threads.py"]
LOOK = [
    ["getenforce"],
    ["sh", "-c", "criu --version | head -n1"],
    ["sh", "-c", "ldd $(command -v criu) | grep -q libselinux"],
]
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


def clock(seconds: float) -> str:
    """Return minutes and seconds."""
    return "{:02d}:{:02d}".format(*divmod(int(seconds), 60))


def heading(text: str) -> None:
    """Print the title of the next part, with the time since the start."""
    PARTS.append((text, time.monotonic()))
    say(f"\n=== [{clock(time.monotonic() - STARTED)}] {text}")


def times(parts: Sequence[tuple[str, float]], end: float) -> list[str]:
    """Return a line with the duration of each part, and of all."""
    ends = [*(began for dummy, began in parts[1:]), end]
    lines = [f"  {clock(until - began)}  {title}" for (title, began), until in zip(parts, ends)]
    return [*lines, f"  {clock(end - parts[0][1])}  all"]


def expected() -> str:
    """Return how long it takes, as far as it is known before there is a kernel to try KVM with."""
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        return (
            f"This takes about {MINUTES['kvm']} minutes if a kernel boots with KVM here, which is tried as soon as "
            f"there is one, and about {MINUTES['tcg']} minutes with emulation."
        )
    why = "may not be used" if Path("/dev/kvm").exists() else "does not exist"
    return f"There is no KVM: /dev/kvm {why}. The machine is emulated, which takes about {MINUTES['tcg']} minutes."


def lab(*arguments: str) -> list[str]:
    """Run lab.py with its progress shown, after the name of the command; return the lines of its output."""
    argv = [sys.executable, str(LAB), *arguments]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        for line in process.stderr:
            say(f"{arguments[0]:<8} | {line.rstrip()}")
        # One or two lines, which fit into the pipe until the progress has ended.
        printed = process.stdout.read().splitlines()
    if process.returncode:
        raise ToolError(f"lab.py {' '.join(arguments)} failed. See the output above.")
    return printed


def accelerator() -> str:
    """Return a sentence about the machine that runs: with KVM or emulated."""
    (line,) = [line for line in lab("status") if line.split()[0] == MACHINE]
    accel = "kvm" if " kvm " in line else "tcg"
    how = "runs with KVM" if accel == "kvm" else "is emulated, since no kernel boots with KVM here"
    return f"The machine {how}: about {MINUTES[accel]} minutes in all, or half of that if the image was there."


def script(commands: Sequence[Sequence[str]]) -> str:
    """Return a shell script that runs commands one after the other, and prints the exit status of each."""
    return "".join(f"{{ {shlex.join(argv)}; }} 2>&1; printf '\\n{MARK} %s\\n' $?\n" for argv in commands)


def answers(text: str) -> list[tuple[int, str]]:
    """Return the exit status and the output of each command of such a script."""
    parts = re.split(rf"\n{MARK} (\d+)\n", text)
    return [(int(status), output.strip()) for output, status in zip(parts[0::2], parts[1::2])]


def on_machine(*commands: Sequence[str]) -> list[tuple[int, str]]:
    """Run commands on the machine over one connection; return the exit status and the output of each."""
    argv = ["ssh", "-F", str(BUILD / "lab/ssh_config"), MACHINE, script(commands)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = answers(done.stdout)
    if len(found) < len(commands):
        raise ToolError(f"The machine did not answer: {done.stderr.strip() or 'ssh ended'}. Run `make demo` again.")
    return found


def playbook(*arguments: str) -> None:
    """Run a playbook on the machine with its output shown."""
    env = {**environment(), "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "0"}
    argv = [f"{venv_bin()}/ansible-playbook", "-i", str(BUILD / "lab/inventory.yml"), "-l", MACHINE, *arguments]
    if subprocess.run(argv, env=env, cwd=ROOT, check=False).returncode:
        raise ToolError(f"ansible-playbook {' '.join(arguments)} failed. See the output above.")


def show_pristine_host() -> None:
    """Try to checkpoint containers on a host without the collection, and print the errors."""
    (dummy, mode), (dummy, version), (unlinked, dummy_output), *dummy_prepared = on_machine(*LOOK, *PREPARE)
    say(f"SELinux: {mode}")
    linked = "without" if unlinked else "with"
    say(f"CRIU: {version.removeprefix('Version: ')}, the package of Debian, linked {linked} libselinux")
    say("Each checkpoint fails and prints why:")
    for start, dump in zip(BEFORE[0::2], BEFORE[1::2]):
        *statuses, (dummy, why) = on_machine(start[1], dump[1], dump[2])
        for (what, *dummy_commands), (status, dummy_output) in zip((start, dump), statuses):
            say(f"  {what}: {f'failed with exit status {status}' if status else 'ok'}")
        for line in why.splitlines()[:2] if statuses[-1][0] else ():
            say(f"      {line[:150]}")
    on_machine(["podman", "rm", "--force", "--all", "--time", "0"], ["podman", "rmi", "--force", "lab-virgin"])


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
    heading("Boot a disposable Debian 13 machine with SELinux enforcing, and build CRIU beside it")
    say(expected())
    with ThreadPoolExecutor(1) as pool:
        # CRIU is needed last, so the machine does not wait for it.
        building = pool.submit(lab, "artifact")
        lab("up", MACHINE)
        say(accelerator())
        heading("Before: checkpoints fail on the pristine host")
        show_pristine_host()
        if not building.done():
            heading("Wait for CRIU, which is still being built")
        artifact = building.result()[-1]
    heading("Fix: the playbook criu.hosts.enable_host installs CRIU and the SELinux policy, and tests both")
    playbook("criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
    heading("After: checkpoint and restore real containers, in place and from an archive")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    given = {"matrix_report": str(REPORT), "matrix_only": CASES, "matrix_archives": ARCHIVES, "matrix_again": False}
    playbook(str(ROOT / "tests/testinfra/matrix/matrix.yml"), "-e", json.dumps(given))
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
    heading("Times, in minutes and seconds")
    for line in times(PARTS[:-1], PARTS[-1][1]):
        say(line)
    say(f"\n{GOOD if good else BAD}")
    return 0 if good else 1


if __name__ == "__main__":
    main(work)
