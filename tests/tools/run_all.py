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

from common import BUILD, COLOR, LAB, RESULTS, ROOT, ToolError, environment, machines_of, main, say, venv_bin

LOGS = BUILD / "logs"
SETUP = ("deps", "venv", "floor", "collections")
# The disk of the machines, and after it the CRIU for them
DISK, IMAGE = "disk", "image"
# The scenarios absent_host, domains and services_long take too long for this program; run them with make molecule
# SCENARIO=NAME.
SCENARIOS = ("checkpoint_host", "processes", "services", "apparmor_host", "virgin_host")
# A sample of the cases of `make crash`; the public reports with the podman of Debian 13, and a sample with Debian 12's.
# They need the root file system of the image.
CRASH, REPORTS, REPORTS_12 = "crash", "reports", "reports_bookworm"
ON_IMAGE = (*SCENARIOS, REPORTS, REPORTS_12, CRASH)
# A scenario on hosts in namespaces, which need no image
PLAIN = "plain_hosts"
# The scenario of `make power`
POWER = "power_loss"
# A sample of the checks on a fresh Debian, of the suite that this machine is not on
FRESH = "fresh"
SAMPLES = (CRASH, "fuzz", FRESH)
# What `make test` never runs: the command, and why
NEVER = {
    "make crash": "all cases of the crash tests take three hours",
    "make fuzz": "more than 100,000 inputs take 10 minutes",
    "make reports SUITE=bookworm": "all reports run with Debian 13's podman",
    "make fresh SUITE=trixie": "all checks on a fresh Debian take half an hour, and SUITE=bookworm as long",
    'make unit T="-m long tests/unit"': "plays of minutes",
    "make hosts": "Debian 12 and 13 with each security module: six more machines take an hour",
    "make builds": "all versions of CRIU take 15 minutes",
    "make rules": "all rules of the policy take an hour",
    "make soak": "a thousand checkpoints take an hour",
    "make power": "it boots a machine nine times",
    "make demo": "it shows to a person what the scenarios check",
    "make bench": "it measures, which needs a quiet machine",
}
# Of these a sample is run, in the step
SAMPLED = {
    "make crash": CRASH,
    "make fuzz": "fuzz",
    "make reports SUITE=bookworm": REPORTS_12,
    "make fresh SUITE=trixie": FRESH,
}
# Each of two workers takes the first step that can start (needs). The longest come first, and before them what is never
# left out.
STEPS = (
    *("deps", DISK, "venv", "floor", "collections"),
    *(IMAGE, "unit", "lint", "docs", "build", "checkpoint_host", "sanity", "processes", "services", "apparmor_host"),
    *("virgin_host", PLAIN, REPORTS, REPORTS_12, CRASH, "fuzz", FRESH),
)
WORKERS = 2
# CI gives 90 minutes. On a slow machine a step that has not started so many seconds after the start would not end in
# time; it is left out, and the summary says so.
LATEST = {
    "processes": 50 * 60,
    "services": 45 * 60,
    "apparmor_host": 45 * 60,
    "virgin_host": 52 * 60,
    REPORTS: 72 * 60,
    REPORTS_12: 70 * 60,
    CRASH: 74 * 60,
    "fuzz": 80 * 60,
    FRESH: 75 * 60,
    PLAIN: 68 * 60,
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
        return [REPORTS, "SUITE=bookworm", "NAME=--sample"]
    return ["molecule", f"SCENARIO={name}"] if name in (*SCENARIOS, PLAIN) else [name]


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
            if name not in (*SCENARIOS, PLAIN, POWER, "default")
        ]
        ran = {step.name for step in steps if not step.why_not}
        lines += [
            f"{command}: {why}{': a sample was run' if SAMPLED.get(command) in ran else ''}"
            for command, why in NEVER.items()
        ]
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


def needs(name: str) -> tuple[str, ...]:
    """Return the steps that must have succeeded before this one starts. The disk is made beside the tools."""
    if name in ("deps", DISK, "venv"):
        return () if name == "deps" else ("deps",)
    if name in SETUP:
        return ("venv",)
    return ("floor", "collections", *((DISK,) if name == IMAGE else (IMAGE,) if name in ON_IMAGE else ()))


@dataclass
class Queue:
    """The steps that no worker has taken yet, and the result of each step that has ended: whether it succeeded.

    A step that is not wanted counts as a success.
    """

    waiting: list[str]
    ended: dict[str, bool] = field(default_factory=dict)
    change: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.ended.update(dict.fromkeys(set(STEPS) - set(self.waiting), True))

    def take(self) -> str | None:
        """Return the first step whose needs have ended; wait for them if there is none. None: no more."""
        with self.change:
            while self.waiting and not STOPPING.is_set():
                for name in self.waiting:
                    if set(needs(name)) <= set(self.ended):
                        self.waiting.remove(name)
                        return name
                self.change.wait(1)
            return None

    def end(self, name: str, good: bool) -> None:
        """Record that a step has ended."""
        with self.change:
            self.ended[name] = good
            self.change.notify_all()


def run_next(name: str, queue: Queue) -> Step:
    """Run a step, unless one that it needs has failed, or it would not end in CI's time."""
    late = time.monotonic() - STARTED
    missing = [one for one in needs(name) if not queue.ended[one]]
    if missing:
        return Step(name, why_not=f"no {missing[0]}")
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
        queue.end(name, steps[-1].rc == 0)
    return steps


def run_parallel(wanted: list[str]) -> list[Step]:
    """Run the wanted steps with all workers; stop them if this program is interrupted."""
    queue = Queue([name for name in STEPS if name in wanted])
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
            machines = [one for name in (*SCENARIOS, PLAIN) if name in wanted for one in machines_of(name)]
            subprocess.run([sys.executable, str(LAB), "down", *machines], env=environment(), check=False)
            raise


def work() -> int:
    """Run the wanted steps, and those that they need."""
    wanted = sys.argv[1:] or list(STEPS)
    unknown = set(wanted) - set(STEPS)
    if unknown:
        names = ", ".join(sorted(unknown))
        raise ToolError(f"Cannot run {names}: no such step. Choose from {', '.join(STEPS)}.")
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    asked = set(wanted)
    for name in reversed(STEPS):
        if name in wanted:
            wanted += needs(name)
    if not asked & {"deps", PLAIN} and DISK not in wanted:
        wanted.remove("deps")  # the packages of the lab, for which root is needed
    return summarize(run_parallel(wanted))


if __name__ == "__main__":
    main(work)
