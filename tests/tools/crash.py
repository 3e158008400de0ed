# SPDX-License-Identifier: GPL-3.0-or-later
"""Stop, kill and starve each task at each of its steps, with real podman and real CRIU, and check docs/promises.md.

crash.py                  all cases: more than 10,000, of one to two seconds each, on all cores
crash.py --sample         a sample with a fixed seed, about a minute: part of `make test`
crash.py PLAN...          all cases of these plans
crash.py CASE...          only these cases, as the report names them: PLAN:STEP:WHEN:WHAT

The tasks run on this machine's kernel, as root, in namespaces with the root file system of the lab's image. Nothing of
the machine is changed. On a kernel without checkpoints the cases are skipped, and the summary says so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

from common import BUILD, LAB, ROOT, Entry, Report, ToolError, main, say, venv_bin

sys.path.insert(0, str(LAB.parent))

from artifact import artifact_link
from image import SUITE, image_dir
from node import node_dir

HOST = ROOT / "tests/crash/host.sh"
INSIDE = "/crash/ansible_collections/criu/hosts/tests"
NAMESPACES = ("-m", "-p", "-f", "-i", "-u", "-n", "--kill-child")
SEED = 20261129
SAMPLE = 36
EVERY = 100


def ansible_package() -> Path:
    """Return the folder of the Python package ansible in .build/venv."""
    found = sorted(venv_bin().parent.glob("lib/python3*/site-packages/ansible"))
    if not found:
        raise ToolError("Cannot run tasks: ansible-core is not installed. Run `make venv`.")
    return found[0]


def host_argv(program: str, *words: str, number: int = 0, output: Path | None = None, suite: str = SUITE) -> list[str]:
    """Return the command that runs a program of tests on a test host of its own, below systemd if it has an output.

    The host has the root file system of the machines, or that of the node of another suite.
    """
    root = (image_dir() if suite == SUITE else node_dir(suite)) / "root"
    artifact = artifact_link(suite)
    for needed in (root, artifact):
        if not needed.exists():
            make = "image" if suite == SUITE else f"node SUITE={suite}"
            raise ToolError(f"Cannot make the test host: {needed.name} of the lab does not exist. Run `make {make}`.")
    if os.geteuid():
        raise ToolError("Cannot make the test host: it needs namespaces and mounts. Run this as root.")
    paths = [root, artifact, ROOT, ansible_package(), *([output] if output else [])]
    begin = own("boot" if output else "start", number)
    return ["unshare", *NAMESPACES, *begin, *(str(path.resolve()) for path in paths), f"{INSIDE}/{program}", *words]


def own(action: str, number: int) -> list[str]:
    """Return the beginning of a call of host.sh, with the names of a test host: its control group and its folder."""
    work = BUILD / f"crash/{number}"
    work.mkdir(parents=True, exist_ok=True)
    return ["sh", str(HOST), action, f"criu-crash-{os.getpid()}-{number}", str(work.resolve())]


def remove_host(number: int = 0) -> None:
    """Remove what a test host leaves on the machine when it has ended: its control groups."""
    subprocess.run(["unshare", "-m", *own("clean", number)], check=False)


def lines(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield what the program inside reports; other lines are printed."""
    assert process.stdout
    for line in process.stdout:
        try:
            entry = json.loads(line)
        except ValueError:
            say(f"   {line.rstrip()}")
            continue
        if isinstance(entry, dict):
            yield entry


@dataclass
class Figures:
    """The results of one plan. ``broken``: the promises that did not hold, by case."""

    steps: int = 0
    cases: int = 0
    seconds: float = 0.0
    broken: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Results:
    """The results of all shards."""

    plans: dict[str, Figures] = field(default_factory=dict)
    of: int = 0
    chosen: int = 0
    unusable: str = ""
    without: dict[str, str] = field(default_factory=dict)

    def add(self, entry: dict[str, Any]) -> None:
        """Take up one line of a shard."""
        if "unusable" in entry:
            self.unusable = entry["unusable"]
        elif "without" in entry:
            self.without[entry["without"]] = entry["command"]
        elif "plan" in entry:
            figures = self.plans.setdefault(entry["plan"], Figures())
            figures.steps = len(entry["steps"])
            say(f"   {entry['plan']}: {figures.steps} steps")
            if entry["problems"]:
                figures.broken[f"{entry['plan']}:undisturbed"] = entry["problems"]
        elif "case" in entry:
            figures = self.plans[entry["case"].split(":")[0]]
            figures.cases += 1
            if sum(one.cases for one in self.plans.values()) % EVERY == 0:
                say(f"   {sum(one.cases for one in self.plans.values())} of {self.chosen} cases")
            figures.seconds += entry["seconds"]
            if entry["problems"]:
                figures.broken[entry["case"]] = entry["problems"]
                say(f"   {entry['case']}: {entry['problems'][0]}")
        else:
            self.of, self.chosen = entry["of"], entry["chosen"]

    def report(self, report: Report) -> None:
        """Print a line for each plan, and each broken promise."""
        for name, found in self.plans.items():
            failed = len(found.broken)
            notes = [f"{case}: {problem}" for case, problems in found.broken.items() for problem in problems]
            text = f"{name}: {found.steps} steps, {found.cases} cases"
            passed = max(found.cases - failed, int(not failed))
            report.add(Entry(text, passed, failed, seconds=found.seconds, notes=notes))
        for name, command in self.without.items():
            report.add(Entry(name, skipped=1, notes=[f"{command!r} fails on the test host"]))


def run_shards(order: dict[str, Any], count: int) -> Results:
    """Run the cases on so many test hosts at once."""
    results = Results()

    def read(process: subprocess.Popen[str]) -> None:
        for entry in lines(process):
            results.add(entry)

    started = [
        subprocess.Popen(
            host_argv("crash/run.py", json.dumps({**order, "shard": [number, count]}), number=number),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(count)
    ]
    try:
        # All at once: a shard whose pipe is full would wait.
        with ThreadPoolExecutor(count) as readers:
            list(readers.map(read, started))
        for process in started:
            if process.wait():
                raise ToolError(f"The test host ended with exit status {process.returncode}. Its output is above.")
    finally:
        for number, process in enumerate(started):
            process.kill()
            process.wait()
            remove_host(number)
    return results


def work() -> int:
    """Run the cases; print the figures and a summary."""
    words = sys.argv[1:]
    small = "--sample" in words
    only = [word for word in words if ":" in word]
    plans = [word for word in words if ":" not in word and not word.startswith("-")]
    unknown = set(plans) - set(PLANS)
    order = {
        "plans": plans or (SAMPLED if small else PLANS),
        "only": only,
        "sample": SAMPLE if small else 0,
        "seed": SEED,
    }
    if unknown:
        raise ToolError(f"Cannot run {', '.join(sorted(unknown))}: no such plan. Choose from {', '.join(PLANS)}.")
    report = Report("crash")
    began = time.monotonic()
    results = run_shards(order, 1 if small or only else os.cpu_count() or 1)
    if results.unusable:
        report.add(Entry("crash", skipped=1, notes=[f"no checkpoints on this kernel: {results.unusable}"]))
        return report.finish()
    results.report(report)
    broken = sum(len(found.broken) for found in results.plans.values())
    ran = sum(found.cases for found in results.plans.values())
    how = f", seed {SEED}" if small else ""
    say(
        f"crash: {ran} of {results.of} cases{how}, {len(results.plans)} plans, {broken} with broken promises, "
        f"{time.monotonic() - began:.0f} s"
    )
    return report.finish()


PLANS = (
    "container_checkpoint_place",
    "container_checkpoint_archive",
    "container_checkpoint_rm",
    "container_checkpoint_leave",
    "container_restore_place",
    "container_restore_archive",
    "container_restore_new_name",
    "container_checkpoint_absent",
    "process_checkpoint",
    "process_checkpoint_leave",
    "process_restore",
    "container_checkpoint_store",
    "container_checkpoint_store_rm",
    "container_checkpoint_store_leave",
    "container_checkpoint_store_age",
    "container_checkpoint_store_age_rm",
    "container_checkpoint_store_clock",
    "container_checkpoint_store_removed",
    "container_checkpoint_store_pre",
    "container_checkpoint_store_with_previous",
    "container_restore_store",
    "container_restore_store_two_steps",
    "container_restore_store_age",
    "process_checkpoint_store",
    "process_checkpoint_store_leave",
    "process_restore_store",
    "process_restore_store_older",
    "process_checkpoint_store_signed",
    "process_checkpoint_store_swept",
    "process_checkpoint_store_parent",
    "process_restore_store_parent",
    "checkpoint_retention",
    "unit_stop",
    "unit_start",
)
# The plans of the sample. Two with a store stand for the same with an archive, whose steps they contain.
STANDS_FOR = {
    "container_checkpoint_archive": "container_checkpoint_store",
    "container_restore_archive": "container_restore_store",
}
SAMPLED = tuple(STANDS_FOR.get(name, name) for name in PLANS if "_store" not in name and name != "checkpoint_retention")

if __name__ == "__main__":
    main(work)
