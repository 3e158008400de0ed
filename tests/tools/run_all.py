# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check (`make test`), two steps at a time, since a machine uses one processor, and print a summary.

run_all.py [STEP...]    run only these steps
"""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from common import BUILD, COLOR, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin

LOGS = BUILD / "logs"
SETUP = ("deps", "venv", "floor", "collections")
IMAGE = "image"
# The scenarios absent_host, domains and services_long take too long for this program; run them with make molecule
# SCENARIO=NAME.
SCENARIOS = ("checkpoint_host", "processes", "services", "apparmor_host", "virgin_host")
# A sample of the cases of `make crash`, and the public reports, with the podman of Debian 13 and of Debian 12.
# They need the root file system of the image.
CRASH, REPORTS, REPORTS_12 = "crash", "reports", "reports_bookworm"
ON_IMAGE = (*SCENARIOS, REPORTS, REPORTS_12, CRASH)
# A sample of the checks on a fresh Debian, of the suite that this machine is not on
FRESH = "fresh"
SAMPLES = (CRASH, "fuzz", FRESH)
# What `make test` never runs: the command, and why
NEVER = {
    "make crash": "all cases of the crash tests take an hour: a sample was run",
    "make fuzz": "more than 100,000 inputs take 10 minutes: a sample was run",
    'make unit T="-m long tests/unit"': "plays of minutes",
    "make builds": "all versions of CRIU take 15 minutes",
    "make rules": "each rule of the policy takes an hour",
    "make soak": "a thousand checkpoints take an hour",
}
# Each of two workers takes the first step that can start: scenarios need the image, and the longest come first.
STEPS = (IMAGE, *ON_IMAGE, "lint", "unit", "fuzz", "docs", "build", "sanity", FRESH)
WORKERS = 2
# CI gives 90 minutes. On a slow machine a step that has not started so many seconds after the start would not end in
# time; it is left out, and the summary says so.
LATEST = {
    "processes": 50 * 60,
    "services": 45 * 60,
    "apparmor_host": 55 * 60,
    "virgin_host": 60 * 60,
    REPORTS: 72 * 60,
    REPORTS_12: 70 * 60,
    CRASH: 74 * 60,
    "fuzz": 80 * 60,
    FRESH: 78 * 60,
}
# The newest ansible-core in requirements/test.txt needs this Python.
NEWEST_PYTHON = (3, 12)
STARTED = time.monotonic()
# Lines of the log of a failed step that the summary repeats, and names of failed checks at its end
TAIL_LINES = 60
NAMED = 20
# The running steps, to be stopped if this program is interrupted
RUNNING: list[subprocess.Popen[str]] = []
STOPPING = threading.Event()


@dataclass
class Step:
    """One step and its result."""

    name: str
    rc: int = -1
    seconds: float = 0.0
    why_not: str = ""
    excused: bool = False
    failures: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"passed": 0, "failed": 0, "skipped": 0})
    left_out: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        if self.why_not:
            return "not run"
        return "ok" if self.rc == 0 else "FAILED"


def stamp() -> str:
    """Return the time since the start, as the prefix of a line."""
    return f"[{time.monotonic() - STARTED:6.0f} s]"


def target(name: str) -> list[str]:
    """Return the arguments of make for a step."""
    if name in SAMPLES:
        return [f"{name}-sample"]
    if name == REPORTS_12:
        return [REPORTS, "SUITE=bookworm"]
    return ["molecule", f"SCENARIO={name}"] if name in SCENARIOS else [name]


def run_step(name: str) -> Step:
    """Run a make target; write each line to the log and print it with the name of the step before it."""
    step = Step(name)
    results = RESULTS / f"{name}.json"
    results.unlink(missing_ok=True)
    say(f"{stamp()} {name}: started")
    began = time.monotonic()
    with (
        (LOGS / f"{name}.log").open("w", encoding="utf-8") as log,
        subprocess.Popen(
            ["make", "--no-print-directory", f"PYTHON={sys.executable}", *target(name)],
            cwd=ROOT,
            env=without_make(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process,
    ):
        RUNNING.append(process)
        assert process.stdout
        for line in process.stdout:
            log.write(COLOR.sub("", line))
            log.flush()
            print(f"{name} | {line}", end="", flush=True)
    RUNNING.remove(process)
    step.rc = process.returncode
    step.seconds = time.monotonic() - began
    read_counts(step, results)
    say(f"{stamp()} {name}: {step.word}, {step.seconds:.0f} s")
    return step


def without_make() -> dict[str, str]:
    """Return the environment without the variables of the make that started this program."""
    return {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def read_counts(step: Step, results: Path) -> None:
    """Add up the results that the step recorded; a step that fails without a recorded failure counts as one."""
    if results.exists():
        for entry in json.loads(results.read_text(encoding="utf-8")):
            for key in step.counts:
                step.counts[key] += entry[key]
            if entry["failed"]:
                step.failures.append(f"{entry['name']}: {'; '.join(entry['notes'])}"[:1000])
            step.left_out += [f"{step.name}, {entry['name']}: {note}" for note in entry["notes"] if entry["skipped"]]
    if step.rc and not step.counts["failed"]:
        step.counts["failed"] = 1


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a step and its child processes; give it 30 seconds to clean up."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def about() -> list[str]:
    """Return lines with the tested commit, the system and the versions of the tools."""

    def first(argv: list[str]) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)
        except OSError:
            return "not installed"
        return (done.stdout.splitlines() or ["unknown"])[0].strip()

    def version(program: str, venv: str = "venv") -> str:
        found = re.search(r"\d+(\.\d+)+", first([str(venv_bin(venv) / program), "--version"]))
        return found.group() if found else "not installed"

    release = Path("/etc/os-release").read_text(encoding="utf-8") if Path("/etc/os-release").exists() else ""
    system = re.search(r'^PRETTY_NAME="?([^"\n]+)', release, re.MULTILINE)
    commit = first(["git", "describe", "--always", "--dirty"])
    return [
        f"commit {commit} on {system.group(1) if system else platform.system()}, kernel {platform.release()}, "
        f"{os.cpu_count()} processors, Python {platform.python_version()}",
        f"ansible-core {version('ansible')} (oldest: {version('ansible', 'venv-floor')}), ansible-lint "
        f"{version('ansible-lint')}, molecule {version('molecule')}, ruff {version('ruff')}, mypy {version('mypy')}",
    ]


def not_run(steps: list[Step]) -> list[str]:
    """Return a line for each thing that did not run, with the reason: in these steps, and in every run of all."""
    lines = [f"{step.name}: {step.why_not}" for step in steps if step.why_not]
    lines += [line for step in steps for line in step.left_out]
    if {step.name for step in steps} >= set(STEPS):
        others = sorted(path.parent.name for path in ROOT.glob("extensions/molecule/*/molecule.yml"))
        lines += [
            f"make molecule SCENARIO={name}: it takes too long"
            for name in others
            if name not in (*SCENARIOS, "default")
        ]
        lines += [f"{command}: {why}" for command, why in NEVER.items()]
    if sys.version_info < NEWEST_PYTHON and {"unit", "sanity"} & {step.name for step in steps}:
        lines.append("unit and sanity on the newest ansible-core: no Python for it here. Run make fresh SUITE=trixie")
    return lines


def summarize(steps: list[Step]) -> int:
    """Print the ends of failed logs, the table of steps and the closing line; return the exit status."""
    say("")
    for step in steps:
        log = LOGS / f"{step.name}.log"
        if step.rc > 0 and log.exists():
            say(f"==== end of .build/logs/{step.name}.log ====")
            for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]:
                say(f"  {line}")
    say("==== summary ====")
    for line in about():
        say(line)
    say(f"{'step':<16}{'result':<9}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for step in steps:
        counts = "".join(
            f"{step.counts[key]:>{width}}" for key, width in (("passed", 8), ("failed", 8), ("skipped", 9))
        )
        say(f"{step.name:<16}{step.word:<9}{step.seconds:>8.0f}{counts}{'  ' + step.why_not if step.why_not else ''}")
    say(f"{'all':<16}{'':<9}{time.monotonic() - STARTED:>8.0f}")
    for line in not_run(steps):
        say(f"not run: {line}")
    # The closing lines alone must name the checks that failed: the rest is often cut off.
    named = [f"failed in {step.name}: {text}" for step in steps for text in step.failures]
    for text in named[:NAMED]:
        say(text)
    passed, failed = (sum(step.counts[key] for step in steps) for key in ("passed", "failed"))
    bad = (
        bool(failed)
        or any(step.rc for step in steps if not step.why_not)
        or any(step.why_not and not step.excused for step in steps)
    )
    left_out = sum(step.excused for step in steps)
    say(f"{passed} passed, {failed} failed{f', {left_out} skipped' if left_out else ''}")
    return int(bad or not passed)


def stopped(number: int, dummy_frame: object) -> None:
    """Turn a signal into an exception, so that everything is cleaned up."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@dataclass
class Queue:
    """The steps that no worker has taken yet. ``image``: whether it is there, None while that is open."""

    waiting: list[str]
    image: bool | None
    change: threading.Condition = field(default_factory=threading.Condition)

    def take(self) -> str | None:
        """Return the first step that can start; wait for the image if all others have been taken. None: no more."""
        with self.change:
            while self.waiting and not STOPPING.is_set():
                for name in self.waiting:
                    if name not in ON_IMAGE or self.image is not None:
                        self.waiting.remove(name)
                        return name
                self.change.wait(1)
            return None

    def set_image(self, image: bool) -> None:
        """Record whether the image is there."""
        with self.change:
            self.image = image
            self.change.notify_all()


def run_next(name: str, queue: Queue) -> Step:
    """Run a step, unless it has no image, or would not end in CI's time."""
    late = time.monotonic() - STARTED
    if name in ON_IMAGE and not queue.image:
        return Step(name, why_not="no image")
    if late > LATEST.get(name, late):
        why = f"slow machine: {late / 60:.0f} minutes have passed. Run make {' '.join(target(name))}"
        say(f"{stamp()} {name}: not run, {why}")
        return Step(name, rc=0, why_not=why, excused=True)
    return run_step(name)


def run_worker(queue: Queue) -> list[Step]:
    """Run one step after the other until none is left."""
    steps: list[Step] = []
    while (name := queue.take()) is not None:
        steps.append(run_next(name, queue))
        if name == IMAGE:
            queue.set_image(steps[-1].rc == 0)
    return steps


def run_parallel(wanted: list[str]) -> list[Step]:
    """Run the wanted steps with all workers; stop them if this program is interrupted."""
    queue = Queue([name for name in STEPS if name in wanted], None if IMAGE in wanted else False)
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            futures = [pool.submit(run_worker, queue) for dummy in range(WORKERS)]
            steps = [step for future in futures for step in future.result()]
            return sorted(steps, key=lambda step: STEPS.index(step.name))
        except BaseException:
            STOPPING.set()
            for process in list(RUNNING):
                stop(process)
            # A scenario that was killed could not remove its machine.
            machines = [name.replace("_", "-") for name in SCENARIOS if name in wanted]
            subprocess.run([sys.executable, str(LAB), "down", *machines], env=environment(), check=False)
            raise


def work() -> int:
    """Run the setup, then the wanted steps."""
    wanted = sys.argv[1:] or list(STEPS)
    unknown = set(wanted) - set(STEPS)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ToolError(f"Cannot run {names}: no such step. Choose from {', '.join(STEPS)}.")
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    needs_machines = bool(set(wanted) & {IMAGE, *ON_IMAGE})
    if needs_machines:
        wanted.append(IMAGE)
    steps: list[Step] = []
    for name in SETUP:
        if name == "deps" and not needs_machines:
            continue
        step = run_step(name)
        if step.rc:
            return summarize([*steps, step])
        steps.append(step)
    return summarize(steps + run_parallel(wanted))


if __name__ == "__main__":
    main(work)
