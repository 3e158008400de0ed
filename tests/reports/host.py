# SPDX-License-Identifier: GPL-3.0-or-later
"""Start programs as containers, processes and services on the test host, run tasks on them, and look at the results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import task
from task import Call, Result
from world import FOLDER, IMAGE, STATES

UNITS = Path("/run/systemd/system")
# So long a program may need to start, or a host to notice something, on a busy machine.
SECONDS = 60.0
# Counts in memory, and shows the count in the file that is its first argument.
COUNTER = """
import os, sys, time
n = 0
while True:
    n += 1
    with open(sys.argv[1] + ".new", "w") as file: file.write(str(n))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    time.sleep(0.02)
"""


@dataclass(frozen=True)
class Report:
    """Something that people reported elsewhere. ``run`` returns what is wrong here."""

    name: str
    sources: str
    run: Callable[[], list[str]]


REPORTS: list[Report] = []


class NotHereError(Exception):
    """This host has not what a report is about; the text says what is missing."""


def report(sources: str) -> Callable[[Callable[[], list[str]]], Callable[[], list[str]]]:
    """Add a function to the reports; its name says what holds."""

    def add(function: Callable[[], list[str]]) -> Callable[[], list[str]]:
        REPORTS.append(Report(function.__name__, sources, function))
        return function

    return add


def command(*argv: str, check: bool = True, stdin: str | None = None) -> str:
    """Run a command; return its output, with surrounding white space removed."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, input=stdin)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)[:120]}: exit status {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout.strip()


def until(what: str, condition: Callable[[], Any]) -> Any:
    """Wait until ``condition`` returns something true; return it."""
    last = time.monotonic() + SECONDS
    while time.monotonic() < last:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise RuntimeError(f"it never came: {what}")


def number_in(path: str | Path) -> int:
    """Return the count that a file shows, 0 if there is none. A program that is writing has emptied it for a moment."""
    last = time.monotonic() + 5
    while True:
        try:
            text = Path(path).read_text()
        except OSError:
            return 0
        if text or time.monotonic() > last:
            return int(text) if text.isdecimal() else 0
        time.sleep(0.001)


def clean() -> None:
    """Remove what a report has left on the host."""
    for unit in sorted(path.name for path in UNITS.glob("report-*")):
        command("systemctl", "stop", unit, check=False)
    for folder in ("/etc/systemd/system", str(UNITS), "/etc/criu-hosts/units"):
        for path in Path(folder).glob("report-*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    command("systemctl", "daemon-reload", check=False)
    command("systemctl", "reset-failed", check=False)
    for pid in processes("report-"):
        kill(pid)
    command("podman", "rm", "--all", "--force", "--time=0", check=False)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4]
        if place.startswith(f"{FOLDER}/"):
            command("umount", "-l", place, check=False)
    for path in (FOLDER, *STATES):
        shutil.rmtree(path, ignore_errors=True)
    FOLDER.mkdir(mode=0o700, parents=True)
    Path("/etc/criu/default.conf").unlink(missing_ok=True)
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\n")


def processes(mark: str) -> list[int]:
    """Return the processes one of whose arguments begins with ``mark``."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = Path(entry.path, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(word.startswith(mark.encode()) for word in words):
                found.append(int(entry.name))
    return sorted(found)


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def container(name: str, *options: str, program: str = COUNTER, network: str = "none") -> None:
    """Start a container; the counter shows its count in /n, other programs write "1" there when they are ready."""
    ties = () if network == "" else (f"--network={network}",)
    argv = ("podman", "run", "--detach", f"--name={name}", *ties, *options, IMAGE, "python3", "-IS", "-c", program)
    command(*argv, "/n", f"report-{name}")
    until(f"container {name}", lambda: count(name))


def inspect(name: str, template: str) -> str:
    return command("podman", "container", "inspect", "--format", template, name)


def pid_of(name: str) -> int:
    return int(inspect(name, "{{.State.Pid}}"))


def count(name: str) -> int:
    """Return the count of a container's program, 0 if it does not run."""
    pid = command("podman", "container", "inspect", "--format", "{{.State.Pid}}", name, check=False)
    return number_in(f"/proc/{pid}/root/n") if pid not in ("", "0") else 0


def daemon(name: str, program: str = COUNTER, *words: str) -> int:
    """Start a process in a session of its own; return its id when its file has a number."""
    file = str(FOLDER / name)
    argv = ["setsid", "--fork", "python3", "-IS", "-c", program, file, f"report-{name}", *words]
    null = subprocess.DEVNULL
    subprocess.run(argv, cwd="/", stdin=null, stdout=null, stderr=null, check=True)
    until(f"process {name}", lambda: number_in(file))
    return processes(f"report-{name}")[0]


def service(name: str, *settings: str, program: str = COUNTER, files: dict[str, str] | None = None) -> str:
    """Start a service of systemd; return its name."""
    unit, file = f"report-{name}.service", FOLDER / name
    script = FOLDER / f"{name}.py"
    script.write_text(program)
    lines = ["[Service]", f"ExecStart=/usr/bin/python3 -IS {script} {file} report-{name}", *settings]
    UNITS.mkdir(parents=True, exist_ok=True)
    for other, text in (files or {}).items():
        (UNITS / other).write_text(text)
    (UNITS / unit).write_text("\n".join([*lines, ""]))
    command("systemctl", "daemon-reload")
    return unit


def run_task(module: str, **args: Any) -> Result:
    return task.run(Call(module, args))


def predicted(module: str, **args: Any) -> tuple[Result, list[str]]:
    """Run a task in check mode, then really; return the real result, and how the prediction was wrong."""
    before, now = run_task(module, **args, _ansible_check_mode=True), run_task(module, **args)
    shown = [
        (one.failed, one.reason, *((one.data or {}).get(key) for key in ("changed", "commands")))
        for one in (before, now)
    ]
    return now, [] if shown[0] == shown[1] else [f"{module}: check mode predicts {shown[0]}, the run is {shown[1]}"]


def refused(module: str, reason: str, *words: str, **args: Any) -> list[str]:
    """Run a task that has to fail with this reason before it changes anything; return what is wrong."""
    result, found = predicted(module, **args)
    return found + failed(result, reason, *words)


def failed(result: Result, reason: str, *words: str) -> list[str]:
    """Return what is wrong with a failure that should have this reason, and these words in its line."""
    if not result.failed:
        return [f"{result.call.text} succeeded, and should have failed with {reason}"]
    line = str((result.data or {}).get("msg", ""))
    found = [] if result.reason == reason else [f"expected the reason {reason}: {result.line}"]
    found += [f"{word!r} is not in: {line}" for word in words if word not in line]
    return found + (["msg has several lines"] if "\n" in line else [])


def changed(module: str, **args: Any) -> list[str]:
    """Run a task that has to succeed with a change, and once more without one; return what is wrong."""
    result, found = predicted(module, **args)
    if result.failed:
        return [*found, f"failed: {result.line}"]
    if not (result.data or {}).get("changed"):
        found.append(f"{module} changed nothing")
    again = run_task(module, **args)
    if again.failed or (again.data or {}).get("changed"):
        found.append(f"{module} does not find its own result: {again.line if again.failed else 'changed'}")
    return found


def warned(result: Result, *words: str) -> list[str]:
    """Return what is wrong with a result that should have a warning with these words."""
    warnings = (result.data or {}).get("warnings") or []
    texts = [str(one) for one in warnings]
    return [] if any(all(word in text for word in words) for text in texts) else [f"no warning with {words}: {texts}"]


def alive(name: str, least: int = 1) -> list[str]:
    """Return what is wrong with a container that should run on from a count."""
    return goes_on(lambda: count(name), least, f"container {name}")


def goes_on(read: Callable[[], int], least: int, what: str) -> list[str]:
    first = read()
    if first < least:
        return [f"{what} shows {first}, and had come to {least}"]
    last = time.monotonic() + 10
    while time.monotonic() < last:
        if read() > first:
            return []
        time.sleep(0.05)
    return [f"{what} does not count"]
