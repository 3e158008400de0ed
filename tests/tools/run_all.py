# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every check: `make test`. Cheap ones first, the machine's image made meanwhile, a summary at the end.

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
import time
from dataclasses import dataclass, field
from pathlib import Path

from common import BUILD, COLOR, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin

LOGS = BUILD / "logs"
SETUP = ("deps", "venv", "floor", "collections")
CHEAP = ("lint", "unit", "docs", "build", "sanity")
STEPS = (*CHEAP, "molecule")
STARTED = time.monotonic()
# What a step's log shows again at the end when the step failed.
TAIL_LINES = 60


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
            ["make", "--no-print-directory", f"PYTHON={sys.executable}", name],
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
        try:
            assert process.stdout
            for line in process.stdout:
                log.write(COLOR.sub("", line))
                log.flush()
                print(f"{name} | {line}", end="", flush=True)
        except BaseException:
            stop(process)
            raise
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


def start_image() -> subprocess.Popen[str]:
    """Let the lab make its image and CRIU's build while the cheap checks run."""
    say(f"{stamp()} image: the lab makes its image meanwhile, see .build/logs/image.log")
    script = f'"{sys.executable}" "{LAB}" image && "{sys.executable}" "{LAB}" artifact'
    log = (LOGS / "image.log").open("w", encoding="utf-8")
    with log:
        return subprocess.Popen(
            ["nice", "sh", "-c", script],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
            start_new_session=True,
        )


def await_image(image: subprocess.Popen[str]) -> Step:
    """Wait for the image; every half minute its last progress line is shown."""
    began = time.monotonic()
    while True:
        try:
            rc = image.wait(timeout=30)
            break
        except subprocess.TimeoutExpired:
            lines = (LOGS / "image.log").read_text(encoding="utf-8", errors="replace").splitlines()
            say(f"{stamp()} image: {lines[-1] if lines else 'at work'}")
    step = Step("image", rc=rc, seconds=time.monotonic() - began)
    if rc:
        step.counts["failed"] = 1
    say(f"{stamp()} image: {step.word}")
    return step


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
    say(f"{'step':<12}{'result':<9}{'seconds':>8}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for step in steps:
        counts = "".join(
            f"{step.counts[key]:>{width}}" for key, width in (("passed", 8), ("failed", 8), ("skipped", 9))
        )
        say(f"{step.name:<12}{step.word:<9}{step.seconds:>8.0f}{counts}{'  ' + step.why_not if step.why_not else ''}")
    say(f"{'all':<12}{'':<9}{time.monotonic() - STARTED:>8.0f}")
    passed, failed = (sum(step.counts[key] for step in steps) for key in ("passed", "failed"))
    bad = bool(failed) or any(step.rc for step in steps if not step.why_not) or any(step.why_not for step in steps)
    say(f"{passed} passed, {failed} failed")
    return int(bad or not passed)


def stopped(number: int, dummy_frame: object) -> None:
    """Turn a signal into the way out that tidies up."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def work() -> int:
    """Set up, run the cheap steps, then the machines if all of them passed."""
    wanted = sys.argv[1:] or list(STEPS)
    unknown = set(wanted) - set(STEPS)
    if unknown:
        raise ToolError(f"no such step: {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, stopped)
    LOGS.mkdir(parents=True, exist_ok=True)
    steps: list[Step] = []
    for name in SETUP:
        if name == "deps" and "molecule" not in wanted:
            continue
        step = run_step(name)
        if step.rc:
            return summarize([*steps, step])
        steps.append(step)
    image = start_image() if "molecule" in wanted else None
    try:
        steps += [run_step(name) for name in CHEAP if name in wanted]
        if image:
            steps += machines(image, [step.name for step in steps if step.rc])
    finally:
        if image and image.poll() is None:
            stop(image)
    return summarize(steps)


def machines(image: subprocess.Popen[str], failed: list[str]) -> list[Step]:
    """Run the scenarios; not when a cheap check failed: that is to be mended first."""
    if failed:
        return [Step("molecule", why_not=f"because of {', '.join(failed)}")]
    made = await_image(image)
    if made.rc:
        return [made, Step("molecule", why_not="because there is no image")]
    return [made, run_step("molecule")]


if __name__ == "__main__":
    main(work)
