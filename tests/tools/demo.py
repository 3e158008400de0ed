# SPDX-License-Identifier: GPL-3.0-or-later
"""Show the collection at work on one disposable machine: why it fails, the mending, real dumps and restores, a table.

The machine is removed at the end, whatever happens. The cases are those of tests/testinfra/matrix.
"""

from __future__ import annotations

import json
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

# What a virgin host says. Containers of units have to be imported and started by units: the first caller of podman
# decides about labels.
UNIT = ["systemd-run", "--quiet", "--service-type=oneshot", "--remain-after-exit"]
START = ["podman", "--runtime", "runc", "run", "-d", "--network=none"]
PROGRAM = ["lab-virgin", "python3", "/app/threads.py"]
PREPARE = [
    ["modprobe", "overlay"],
    ["chcon", "--type", "container_file_t", "/var/lib/lab/workload.tar"],
    [*UNIT, "podman", "import", "/var/lib/lab/workload.tar", "lab-virgin"],
]
VIRGIN = [
    ("a systemd unit starts a container", [*UNIT, "--unit=start-a", *START, "--name=a", *PROGRAM], []),
    (
        "... and dumps it",
        [*UNIT, "--unit=dump-a", "podman", "container", "checkpoint", "a"],
        ["journalctl", "--no-pager", "--output=cat", "--unit=dump-a", "--grep=Error|denied"],
    ),
    ("a root shell starts a container", [*START, "--name=b", *PROGRAM], []),
    (
        "... and dumps it",
        ["podman", "container", "checkpoint", "b"],
        ["sh", "-c", "grep -h Error /var/lib/containers/storage/overlay-containers/*/userdata/dump.log"],
    ),
]


def heading(text: str) -> None:
    """Print what comes next, with the time since the start."""
    minutes, seconds = divmod(int(time.monotonic() - STARTED), 60)
    say(f"\n=== [{minutes:02d}:{seconds:02d}] {text}")


def lab(*arguments: str, capture: bool = False) -> str:
    """Call the lab; its progress lines are shown."""
    done = subprocess.run(
        [sys.executable, str(LAB), *arguments], stdout=subprocess.PIPE if capture else None, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"the lab could not do {' '.join(arguments)!r}; see the lines above")
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
        raise ToolError(f"ansible-playbook {' '.join(arguments)} failed; see the lines above")


def show_the_virgin_host() -> None:
    """Print what a container and its dump say on a host that nobody has prepared."""
    say("SELinux is " + on_machine(["getenforce"]).stdout.strip() + "; CRIU is the distribution's own:")
    say(
        "  "
        + on_machine(["sh", "-c", "criu --version | head -n1; ldd $(command -v criu) | grep -c libselinux"])
        .stdout.strip()
        .replace("\n", ", lines about libselinux: ")
    )
    for argv in PREPARE:
        on_machine(argv)
    for what, argv, why in VIRGIN:
        done = on_machine(argv)
        say(f"  {what}: {'done' if done.returncode == 0 else f'exit status {done.returncode}'}")
        if done.returncode and why:
            for line in on_machine(why).stdout.splitlines()[:2]:
                say(f"      {line[:150]}")
    on_machine(["podman", "rm", "--force", "--all", "--time", "0"])
    on_machine(["podman", "rmi", "--force", "lab-virgin"])


def seconds(result: dict[str, Any]) -> str:
    """What podman says that a dump or restore took; a dash where a unit did it."""
    microseconds = (result.get("statistics") or {}).get("engine_microseconds")
    return f"{microseconds / 1e6:.1f} s" if microseconds else "-"


def labels(seen: dict[str, Any]) -> str:
    """The distinct labels of a container's threads."""
    return " ".join(sorted({thread["label"] for thread in seen.get("threads", [])})) or "(none)"


def state(seen: dict[str, Any]) -> str:
    """The counters of the threads, or the client's last line."""
    if "client" in seen:
        return str(seen["client"])
    return "counters " + " ".join(str(value) for dummy, value in sorted(seen.get("counters", {}).items()))


def print_table(report: dict[str, Any]) -> bool:
    """Print one block a case; return whether each kept its labels."""
    good = True
    for entry in report["cases"]:
        before, after = entry["before"], entry["after"]
        same = before["threads"] == after["threads"]
        good = good and same
        say(f"\n  container      {entry['case']} ({before['runtime']})")
        say(f"  threads        {len(before['threads'])} before, {len(after['threads'])} after")
        say(f"  label before   {labels(before)}")
        say(f"  label after    {labels(after)}   {'the same for every thread' if same else 'CHANGED'}")
        say(f"  state before   {state(before)}")
        say(f"  state after    {state(after)}")
        say(f"  dump, restore  {seconds(entry['dumped'])}, {seconds(entry['restored'])}")
        if entry["after_import"]:
            say(f"  from archive   {labels(entry['after_import'])}, {state(entry['after_import'])}")
    say(f"\n  denials of SELinux meanwhile: {len(report['denials'])}")
    for line in report["denials"]:
        say(f"    {line[:160]}")
    return good and not report["denials"]


def show() -> int:
    """The whole demonstration; 0 when everything held."""
    heading("Boot a disposable Debian 13 machine, SELinux enforcing (made from packages the first time, minutes)")
    artifact = lab("artifact", capture=True).splitlines()[-1]
    lab("up", MACHINE)
    heading("The virgin host: why it cannot checkpoint")
    show_the_virgin_host()
    heading("One play: criu.hosts.enable_host")
    playbook("criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
    heading("Real containers: dumped, restored, dumped to archives, removed, restored from there")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    playbook(
        str(ROOT / "tests/testinfra/matrix/matrix.yml"), "-e", f"matrix_report={REPORT}", "-e", f"matrix_only={CASES}"
    )
    heading("What was seen")
    good = print_table(json.loads(REPORT.read_text(encoding="utf-8")))
    say("")
    if good:
        say("The host is checkpoint-enabled: every thread has the label it had, no state was lost, nothing was denied.")
    else:
        say("Something did not hold: see the lines above.")
    return 0 if good else 1


def work() -> int:
    """Show it, and remove the machine on every path."""
    if not Path(venv_bin()).exists():
        raise ToolError("the tools are not installed; run `make demo`")
    try:
        return show()
    finally:
        heading("Remove the machine")
        lab("down", MACHINE)


if __name__ == "__main__":
    main(work)
