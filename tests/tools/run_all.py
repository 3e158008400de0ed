# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check: `make test`. Two lanes side by side, since a machine uses one processor; a summary at the end.

run_all.py [STEP...]    only these steps
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
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from common import BUILD, COLOR, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin

LOGS = BUILD / "logs"
SETUP = ("deps", "venv", "floor", "collections")
IMAGE = "image"
# The longest scenario begins at once; one lane takes about as long as the other. Not here, since they take too long:
# absent_host, domains, services_long (make molecule SCENARIO=NAME).
LANES = (
    (IMAGE, "checkpoint_host", "virgin_host", "sanity"),
    ("lint", "unit", "docs", "build", "processes", "services"),
)
SCENARIOS = ("checkpoint_host", "virgin_host", "processes", "services")
STEPS = tuple(name for lane in LANES for name in lane)
STARTED = time.monotonic()
# What a step's log shows again at the end when the step failed.
TAIL_LINES = 60
# What runs now, to be stopped when we are.
RUNNING: list[subprocess.Popen[str]] = []
STOPPING = threading.Event()


@dataclass
class Step:
    """One step and what came of it."""

    name: str
    rc: int = -1
    seconds: float = 0.0
    why_not: str = ""
    counts: dict[str, int] = field(default_factory=lambda: {"passed": 0, "failed": 0, "skipped": 0})

    @property
    def word(self) -> str:
        if self.why_not:
            return "not run"
        return "ok" if self.rc == 0 else "FAILED"


def stamp() -> str:
    """Return the time since the start, for the head of a line."""
    return f"[{time.monotonic() - STARTED:6.0f} s]"


def target(name: str) -> list[str]:
    """Return what make is asked for."""
    return ["molecule", f"SCENARIO={name}"] if name in SCENARIOS else [name]


def run_step(name: str) -> Step:
    """Run a make target; each line goes to the log and, with the step's name before it, to the screen."""
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
    """Return the environment without what the make above us put into it."""
    return {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def read_counts(step: Step, results: Path) -> None:
    """Add up what the step recorded; a step that fails without a record counts as one failure."""
    if results.exists():
        for entry in json.loads(results.read_text(encoding="utf-8")):
            for key in step.counts:
                step.counts[key] += entry[key]
    if step.rc and not step.counts["failed"]:
        step.counts["failed"] = 1


def stop(process: subprocess.Popen[str]) -> None:
    """End a step and what it started; it gets the time to tidy up."""
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def about() -> list[str]:
    """Return lines that say what was tested, where and with what."""

    def first(argv: list[str]) -> str:
        try:
            done = subprocess.run(argv, capture_output=True, text=True, env=environment(), cwd=ROOT, check=False)
        except OSError:
            return "not there"
        return (done.stdout.splitlines() or ["not there"])[0].strip()

    def version(program: str, venv: str = "venv") -> str:
        found = re.search(r"\d+(\.\d+)+", first([str(venv_bin(venv) / program), "--version"]))
        return found.group() if found else "not there"

    release = Path("/etc/os-release").read_text(encoding="utf-8") if Path("/etc/os-release").exists() else ""
    system = re.search(r'^PRETTY_NAME="?([^"\n]+)', release, re.MULTILINE)
    commit = first(["git", "describe", "--always", "--dirty"])
    return [
        f"commit {commit} on {system.group(1) if system else platform.system()}, kernel {platform.release()}, "
        f"{os.cpu_count()} processors, Python {platform.python_version()}",
        f"ansible-core {version('ansible')} (oldest: {version('ansible', 'venv-floor')}), ansible-lint "
        f"{version('ansible-lint')}, molecule {version('molecule')}, ruff {version('ruff')}, mypy {version('mypy')}",
    ]


def summarize(steps: list[Step]) -> int:
    """Print what ran, what failed, and the closing line; return the exit status."""
    say("")
    for step in steps:
        log = LOGS / f"{step.name}.log"
        if step.rc > 0 and log.exists():
            say(f"==== the end of .build/logs/{step.name}.log ====")
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
    passed, failed = (sum(step.counts[key] for step in steps) for key in ("passed", "failed"))
    bad = bool(failed) or any(step.rc for step in steps if not step.why_not) or any(step.why_not for step in steps)
    say(f"{passed} passed, {failed} failed")
    return int(bad or not passed)


def stopped(number: int, dummy_frame: object) -> None:
    """Turn a signal into the way out that tidies up."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def run_lane(names: list[str], image: Future[bool]) -> list[Step]:
    """Run the steps of a lane one after the other; a scenario waits for the image."""
    steps: list[Step] = []
    for name in names:
        if STOPPING.is_set():
            break
        if name in SCENARIOS and not image.result():
            steps.append(Step(name, why_not="because there is no image"))
            continue
        steps.append(run_step(name))
        if name == IMAGE:
            image.set_result(steps[-1].rc == 0)
    return steps


def run_lanes(wanted: list[str]) -> list[Step]:
    """Run the wanted steps of all lanes side by side; whatever ends us ends them."""
    image: Future[bool] = Future()
    if IMAGE not in wanted:
        image.set_result(False)
    lanes = [[name for name in lane if name in wanted] for lane in LANES]
    with ThreadPoolExecutor(len(lanes)) as pool:
        try:
            return [step for lane in [pool.submit(run_lane, lane, image) for lane in lanes] for step in lane.result()]
        except BaseException:
            STOPPING.set()
            for process in list(RUNNING):
                stop(process)
            if not image.done():
                image.set_result(False)
            # A scenario that did not end in time had no chance to remove its machine.
            machines = [name.replace("_", "-") for name in SCENARIOS if name in wanted]
            subprocess.run([sys.executable, str(LAB), "down", *machines], env=environment(), check=False)
            raise


def work() -> int:
    """Set up, then run what is wanted."""
    wanted = sys.argv[1:] or list(STEPS)
    unknown = set(wanted) - set(STEPS)
    if unknown:
        raise ToolError(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    needs_machines = bool(set(wanted) & {IMAGE, *SCENARIOS})
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
    return summarize(steps + run_lanes(wanted))


if __name__ == "__main__":
    main(work)
