# SPDX-License-Identifier: GPL-3.0-or-later
"""Run cases on the test host: disturb a task, run the next ones, and check what was promised.

run.py ORDER   with ORDER, an object of JSON: plans, sample (a number; 0: all cases), seed, shard [number, of], only
(names of cases). Each line of the output is an object: {"plan": ...}, {"of": ...}, {"case": ...}, {"unusable": ...}, or
{"without": a plan, "program": that it needs}.
"""

from __future__ import annotations

import errno
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import task
from cases import AWAY, ERRORS, SECOND, Case, cases_of, parse_case, sample
from plans import PLANS, TRACKING, Plan
from task import Call, Result, Task
from world import FOLDER, IMAGE, NAME, World, at_most_one, leftovers, not_whole, podman

MODULES = Path(__file__).parents[2] / "plugins/modules"
WORKLOAD = "/var/lib/lab/workload.tar"


def say(**entry: Any) -> None:
    print(json.dumps(entry), flush=True)


def documented(call: Call, reason: str) -> bool:
    """Return whether RETURN of the module has the reason."""
    text = (MODULES / f"{call.module}.py").read_text(encoding="utf-8").partition("RETURN = ")[2]
    return re.search(rf"\b{re.escape(reason)}\b", text) is not None


def form(result: Result, killed: bool) -> list[str]:
    """Return what is wrong with the form of a result: JSON, one line, a documented reason, no traceback."""
    name = result.call.text
    if "Traceback" in result.out + result.err:
        return [f"{name}: traceback: {' '.join(result.err.split())[-400:]}"]
    if killed:
        return []
    if result.rc < 0:
        how = "after it had printed its result" if result.data is not None else "without a result"
        return [f"{name}: ended by signal {-result.rc}, {how}"]
    if result.call.words:
        return [] if not result.failed or result.err.strip() else [f"{name}: failed without a line"]
    if result.data is None:
        return [f"{name}: its output is not one object of JSON: {result.out[:200]!r}"]
    if not result.failed:
        return []
    found = [f"{name}: msg has several lines"] if "\n" in str(result.data.get("msg", "")) else []
    if not result.reason or not documented(result.call, result.reason):
        found.append(f"{name}: the reason is not documented: {result.line}")
    return found


def disturb(case: Case, call: Call, opposite: Call, seconds: float) -> tuple[Result, list[str]]:
    """Run the task with the disturbance; return its result and what is wrong so far."""
    if case.what == "full disk":
        result = task.run(call)
        found = [] if result.failed else ["the task succeeded on a full disk"]
        return result, found + form(result, killed=False)
    if case.what in ERRORS:
        result = task.run(call, fail=(case.step, getattr(errno, case.what), case.when))
        return result, form(result, killed=False)
    found = []
    where = (case.step, "before" if case.when == "during" else case.when)
    running = Task(call, **({} if case.when == "during" else {"pause": where}))
    if not running.reached(*where):
        result = running.finish()
        return result, [f"the task did not come to the step: {result.line}"]
    if case.what in SECOND:
        second = task.run(call if case.what == "same" else opposite, hold=0.2)
        found += form(second, killed=False)
        if second.failed and second.reason != "busy" and not second.call.words:
            found.append(f"the second task did not get busy: {second.line}")
    else:
        if case.when == "during":
            time.sleep(seconds / 2)
        if case.what in AWAY:
            (World.protect if case.what == "read-only" else World.take_away)()
        else:
            running.send(getattr(signal, f"SIG{case.what}"))
            time.sleep(0.05)
    running.go()
    result = running.finish()
    if case.what in SECOND and result.failed:
        found.append(f"the first task failed beside the second: {result.line}")
    return result, found + form(result, killed=case.what == "KILL")


def run_case(case: Case, plan: Plan, seconds: float) -> list[str]:
    """Run one case from a clean host; return the promises that were broken."""
    world = World()
    world.clean()
    try:
        if case.what == "full disk":
            world.fill()
        elif case.what in AWAY:
            world.separate()
        call, opposite = plan.prepare(world)
        world.look()
        if case.what == "full disk" and call.module.startswith("process"):
            (FOLDER / "filler").write_bytes(bytes(40 << 10))
        result, found = disturb(case, call, opposite, seconds)
        found += at_most_one("after the disturbed task")
        world.give_back()
        found += not_whole("after the disturbed task")
        found += plan.settle(world, call, result)
        return found + at_most_one("at the end") + not_whole("at the end", settled=True) + leftovers()
    except (RuntimeError, OSError) as error:
        return [f"the harness failed: {error}"]


def record(plan: Plan) -> tuple[list[str], dict[int, float], list[str]]:
    """Run a plan undisturbed; return the kinds of its steps, their seconds, and what is wrong."""
    world = World()
    world.clean()
    call, dummy_opposite = plan.prepare(world)
    world.look()
    result = task.run(call)
    texts: list[str] = []
    began: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for one in result.steps:
        if one["when"] == "before":
            texts.append(one["text"])
            began[one["step"]] = one["time"]
        else:
            seconds[one["step"]] = one["time"] - began[one["step"]]
    found = form(result, killed=False) + ([f"undisturbed: {result.line}"] if result.failed else [])
    found += plan.settle(world, call, result) + not_whole("at the end", settled=True) + leftovers()
    return texts, seconds, found


def lacks(plan: Plan) -> str:
    """Return the program, or the feature of the kernel, that a plan needs and that is not here; empty if none is."""
    for program in plan.needs:
        argv = ["criu", "check", "--feature", program] if program == TRACKING else [program, "--version"]
        try:
            subprocess.run(argv, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return program
    return ""


def usable() -> str:
    """Return why podman and CRIU alone cannot checkpoint and restore on this kernel; empty if they can."""
    done = subprocess.run(["criu", "check"], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"criu check: {' '.join((done.stdout + done.stderr).split())[-200:]}"
    try:
        podman("import", "--quiet", WORKLOAD, IMAGE)
        World.clean()
        World().start_container()
        for action in ("checkpoint", "restore"):
            podman("container", action, NAME)
    except RuntimeError as error:
        return str(error)
    return ""


def main() -> int:
    """Carry out the order."""
    order = json.loads(sys.argv[1])
    why_not = usable()
    if why_not:
        say(unusable=why_not)
        return 0
    only = [parse_case(name) for name in order["only"]]
    names = [name for name in PLANS if name in order["plans"]]
    names = [name for name in names if not only or any(case.plan == name for case in only)]
    cases: list[Case] = []
    durations: dict[str, dict[int, float]] = {}
    for name in names:
        missing = lacks(PLANS[name])
        if missing:
            say(without=name, program=missing)
            continue
        try:
            texts, durations[name], problems = record(PLANS[name])
        except (RuntimeError, OSError) as error:
            texts, durations[name], problems = [], {}, [f"the harness failed: {error}"]
        say(plan=name, steps=texts, problems=problems)
        cases += cases_of(name, [text.split()[0] for text in texts], **PLANS[name].more)
    only = [case for case in only if case.plan in durations]
    chosen = only if order["only"] else cases
    if order["sample"]:
        chosen = sample(cases, order["sample"], order["seed"])
    number, of = order["shard"]
    say(of=len(cases), chosen=len(chosen))
    for index, case in enumerate(chosen):
        if index % of == number:
            began = time.monotonic()
            problems = run_case(case, PLANS[case.plan], durations[case.plan].get(case.step, 0.0))
            say(case=case.name, problems=problems, seconds=round(time.monotonic() - began, 2))
    World().clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
