# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure in the lab: the modules against plain commands and hand-written tasks, an unchanged play, info modules.

bench.py [ROUNDS]    print medians over ROUNDS (default 5) alternating rounds, and ratios within the same run
bench.py archives    only archives, which need the image of the machines, and no machine
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from common import BUILD, LAB, RESULTS, ROOT, ToolError, environment, main, say, venv_bin
from crash import host_argv, remove_host

MACHINE = "bench"
# A machine with the services image, which has the containers of the applications
SERVICES_MACHINE, SERVICES_ROUNDS = "services", 3
SECONDS = RESULTS / "task-seconds.jsonl"
# Upper limits of the ratios, set before the first measurement
GOALS = {"dump against bare": 1.3, "restore against bare": 1.3, "dump against hand": 0.6, "restore against hand": 0.6}
UNCHANGED_TASKS, UNCHANGED_RATIO = 15, 3.0
INFO_RATIO = 1.5
LOG_RATIO, LOG_ROUNDS, LOG_PEAK_KIB = 1.0, 3, 65536
# Archives of containers with so many MiB of memory; a store with so many checkpoints
ARCHIVE_MIB, ARCHIVE_ROUNDS, ENTRIES = (64, 1024), 3, 1000
ARCHIVE_GOALS = {"write": 0.9, "restore": 1.3}
VERIFY_RATIO, LIST_SECONDS, LIST_KIB = 1.3, 2.0, 100 << 10
# The memory of a task with the largest archive, compared with that of the smallest
MEMORY_RATIO = 1.1


def lab(*arguments: str) -> str:
    """Run lab.py; return its output."""
    done = subprocess.run([sys.executable, str(LAB), *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ToolError(f"lab.py {' '.join(arguments)} failed. See the output above.")
    return done.stdout.strip()


def ansible(program: str, *arguments: str, machine: str = MACHINE) -> list[dict[str, Any]]:
    """Run a program of Ansible on the machine; return its tasks with their seconds."""
    SECONDS.unlink(missing_ok=True)
    env = {
        **environment(),
        "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/bench/callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "task_seconds",
        "TASK_SECONDS": str(SECONDS),
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
    }
    argv = [f"{venv_bin()}/{program}", "-i", str(BUILD / "lab/inventory.yml"), "-l", machine, *arguments]
    done = subprocess.run(
        argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"{' '.join(arguments)} failed:\n{done.stdout[-3000:]}")
    return [json.loads(line) for line in SECONDS.read_text(encoding="utf-8").splitlines()]


def rounds(tasks: list[dict[str, Any]], way: str) -> list[float]:
    """Return the seconds of each round of a way: the sum of its tasks from each start of its first task to the next."""
    own = [task for task in tasks if task["name"].startswith(f"{way} |") and task["outcome"] != "skipped"]
    first = own[0]["name"]
    sums: list[float] = []
    for task in own:
        if task["name"] == first:
            sums.append(0.0)
        sums[-1] += task["seconds"]
    return sums


def single(tasks: list[dict[str, Any]], name: str) -> list[float]:
    """Return the seconds of each run of one task."""
    return [task["seconds"] for task in tasks if task["name"] == name]


def compare(name: str, ours: list[float], other: list[float], goal: float) -> dict[str, Any]:
    """Print the medians and the ratio; return them with the raw values."""
    ratio = statistics.median(a / b for a, b in zip(ours, other))
    reached = "reached" if ratio <= goal else "MISSED"
    say(
        f"  {name:28} {statistics.median(ours):6.2f} s / {statistics.median(other):6.2f} s = {ratio:4.2f}"
        f"   goal {goal:.1f}: {reached}"
    )
    return {"name": name, "ours": ours, "other": other, "ratio": ratio, "goal": goal, "reached": ratio <= goal}


def unchanged_play(artifact: str, count: int) -> list[dict[str, Any]]:
    """Compare a run of the whole play that changes nothing with a run of the setup module alone."""
    found = []
    plays, setups, counts = [], [], []
    for dummy in range(count):
        tasks = ansible("ansible-playbook", "criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
        changed = [task["name"] for task in tasks if task["changed"]]
        if changed:
            raise ToolError(f"Cannot measure an unchanged play: these tasks changed something: {changed}.")
        ran = [task for task in tasks if task["outcome"] != "skipped"]
        plays.append(sum(task["seconds"] for task in ran))
        counts.append(len(ran))
        setups.append(sum(task["seconds"] for task in ansible("ansible", "all", "-m", "ansible.builtin.setup")))
    found.append(compare("unchanged play / setup", plays, setups, UNCHANGED_RATIO))
    tasks_ran = max(counts)
    reached = tasks_ran <= UNCHANGED_TASKS
    word = "reached" if reached else "MISSED"
    say(f"  {'tasks of the unchanged play':28} {tasks_ran}   goal {UNCHANGED_TASKS}: {word}")
    found.append(
        {"name": "tasks of the unchanged play", "ours": tasks_ran, "goal": UNCHANGED_TASKS, "reached": reached}
    )
    return found


def info(count: int) -> list[dict[str, Any]]:
    """Compare criu_info on a ready host with the tools that it must call.

    The goal applies to run(), the work of the module itself. The time of a whole task, which includes Ansible's
    overhead, is printed as well.
    """
    plugins, result = RESULTS / "plugins.tar.gz", RESULTS / "criu_info-seconds.json"
    with tarfile.open(plugins, "w:gz") as archive:
        archive.add(ROOT / "plugins", "plugins", filter=lambda one: None if "__pycache__" in one.name else one)
    variables = {"bench_rounds": count, "bench_plugins": str(plugins), "bench_result": str(result)}
    tasks = ansible("ansible-playbook", str(ROOT / "tests/bench/criu_info.yml"), "-e", json.dumps(variables))
    calls = json.loads(result.read_text(encoding="utf-8"))
    if "container" not in calls[-1]["ready"]:
        raise ToolError(f"Cannot measure criu_info: the host is ready only for {calls[-1]['ready']}.")
    tools = [call["tools"] for call in calls]
    found = compare("criu_info's run() / its tools", [call["run"] for call in calls], tools, INFO_RATIO)
    # The seconds of the task are the sum of all rounds of its loop.
    whole = sum(single(tasks, "Ours | info")) / count
    usual = statistics.median(tools)
    say(f"  {'the whole task / its tools':28} {whole:6.2f} s / {usual:6.2f} s = {whole / usual:4.2f}   no goal")
    say(f"  {'processes of criu_info':28} {calls[-1]['processes']}")
    return [{**found, "whole_task": whole, "processes": calls[-1]["processes"]}]


def denial_log() -> list[dict[str, Any]]:
    """Compare denial_info with ausearch on 1 GiB of audit log, on this machine, if ausearch is installed."""
    if shutil.which("ausearch") is None:
        say("  denial_info / ausearch: not measured, install auditd (Debian) or audit (Red Hat family)")
        return []
    argv = [sys.executable, str(ROOT / "tests/bench/denial_log.py"), str(BUILD), str(RESULTS / "logs"), str(LOG_ROUNDS)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ToolError("tests/bench/denial_log.py failed. See the output above.")
    found = []
    for name, one in json.loads(done.stdout).items():
        entry = compare(f"1 GiB audit log, {name}", one["ours"], one["ausearch"], LOG_RATIO)
        reached = entry["reached"] and one["peak_kib"] <= LOG_PEAK_KIB
        say(
            f"  {'':28} {one['records']} denials of {one['kinds']} kinds, at most {one['peak_kib'] >> 10} MiB of memory"
        )
        found.append({**entry, **one, "reached": reached})
    return found


def services(artifact: str, count: int) -> list[dict[str, Any]]:
    """Compare stateful with plain units of the same containers: seconds of a start and a restart until they answer."""
    result = RESULTS / "services-seconds.json"
    variables = {"bench_rounds": count, "bench_result": str(result)}
    try:
        lab("up", SERVICES_MACHINE)
        enable = ("criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
        ansible("ansible-playbook", *enable, machine=SERVICES_MACHINE)
        play = (str(ROOT / "tests/bench/services.yml"), "-e", json.dumps(variables))
        ansible("ansible-playbook", *play, machine=SERVICES_MACHINE)
    finally:
        lab("down", SERVICES_MACHINE)
    return [
        line
        for name, seen in json.loads(result.read_text(encoding="utf-8")).items()
        for line in service_lines(name, seen)
    ]


def service_lines(name: str, seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Print the medians of a service and their ratios, which have no goal; return them."""
    if set(seen["actions"]) != {"restored"}:
        raise ToolError(f"Cannot measure {name}: not every start was a restore: {seen['actions']}.")
    found = []
    for what, ours, other in (
        ("restore / cold start", seen["restore"], seen["cold_start"]),
        ("restart, stateful / plain", seen["stateful_restart"], seen["plain_restart"]),
    ):
        ratio = statistics.median(a / b for a, b in zip(ours, other))
        line = f"{statistics.median(ours):6.2f} s / {statistics.median(other):6.2f} s = {ratio:4.2f}   no goal"
        say(f"  {name + ' ' + what:38} {line}")
        found.append({"name": f"{name} {what}", "ours": ours, "other": other, "ratio": ratio, "reached": True})
    say(f"  {name + ' checkpoint':38} {statistics.median(seen['bytes']) / (1 << 20):6.1f} MiB")
    return found


def archives() -> list[dict[str, Any]]:
    """Compare archives with bare podman and sha256sum, on a host out of namespaces (see crash.py)."""
    words = [str(number) for number in (ARCHIVE_ROUNDS, ENTRIES, *ARCHIVE_MIB)]
    argv = host_argv("bench/archive_seconds.py", *words)
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    finally:
        remove_host()
    if done.returncode:
        raise ToolError(f"tests/bench/archive_seconds.py failed:\n{done.stdout[-3000:]}")
    seen = json.loads(done.stdout.splitlines()[-1])
    return [line for size, one in seen["sizes"].items() for line in archive_lines(size, one)] + [
        *memory_lines(seen["sizes"]),
        list_line(seen["list"]),
    ]


def archive_lines(size: str, seen: dict[str, Any]) -> list[dict[str, Any]]:
    """Print and return the ratios of archives of one size."""
    found = []
    for compression, both in seen.items():
        ours, bare = both["ours"], both["bare"]
        for verb, goal in ARCHIVE_GOALS.items():
            values = ([one[verb] for one in ours], [one[verb] for one in bare])
            found.append(compare(f"{verb} {size} MiB, {compression}", *values, goal))
        values = ([one["verify"] for one in ours], [one["sha256sum"] for one in ours])
        found.append(compare(f"verify {size} MiB, {compression}", *values, VERIFY_RATIO))
    return found


def memory_lines(sizes: dict[str, Any]) -> list[dict[str, Any]]:
    """Print and return how much more memory a task needs for the largest archive than for the smallest."""
    smallest, largest = (sizes[str(size)] for size in (min(ARCHIVE_MIB), max(ARCHIVE_MIB)))
    found = []
    for task in ("write", "verify", "restore"):
        for compression in smallest:
            small, large = (
                max(one[f"{task}_kib"] for one in seen[compression]["ours"]) for seen in (smallest, largest)
            )
            name, ratio = f"memory, {task}, {compression}", large / small
            word = "reached" if ratio <= MEMORY_RATIO else "MISSED"
            text = f"{large / 1024:6.1f} MiB / {small / 1024:6.1f} MiB = {ratio:4.2f}   goal {MEMORY_RATIO}: {word}"
            say(f"  {name:28} {text}")
            found.append({"name": name, "ours": large, "other": small, "ratio": ratio, "reached": word == "reached"})
    return found


def list_line(seen: dict[str, Any]) -> dict[str, Any]:
    """Print and return the seconds and the memory of the list of a store."""
    seconds, peak = statistics.median(seen["seconds"]), seen["peak_kib"]
    reached = seconds <= LIST_SECONDS and peak <= LIST_KIB
    goals = f"goal {LIST_SECONDS:.0f} s, {LIST_KIB >> 10} MiB: {'reached' if reached else 'MISSED'}"
    say(f"  {'list of ' + str(seen['entries']) + ' checkpoints':28} {seconds:6.2f} s, {peak / 1024:.1f} MiB   {goals}")
    return {"name": "list of checkpoints", **seen, "reached": reached}


def measure(count: int) -> int:
    """Run all measurements; a missed goal is printed and is not an error."""
    artifact = lab("artifact").splitlines()[-1]
    lab("up", MACHINE)
    say("Enabling checkpoint and restore on the machine (not measured)")
    ansible("ansible-playbook", "criu.hosts.enable_host", "-e", f"criu_artifact={artifact}")
    say(f"Measuring {count} alternating rounds")
    tasks = ansible("ansible-playbook", str(ROOT / "tests/bench/bench.yml"), "-e", f"bench_rounds={count}")
    where = f"{platform.machine()}, {os.cpu_count()} cores"
    say(f"\nWhole tasks including Ansible's overhead, medians of {count} rounds, {where}:")
    found = []
    for verb in ("dump", "restore"):
        ours = single(tasks, f"Ours | {verb}")
        found.append(
            compare(f"{verb} against bare", ours, single(tasks, f"Bare | {verb}"), GOALS[f"{verb} against bare"])
        )
        found.append(
            compare(f"{verb} against hand", ours, rounds(tasks, f"Hand {verb}"), GOALS[f"{verb} against hand"])
        )
    found += info(count)
    found += unchanged_play(artifact, count)
    found += denial_log()
    say(f"\nArchives, the work of the modules without Ansible's share, medians of {ARCHIVE_ROUNDS} rounds:")
    found += archives()
    say(f"\nServices, from the call of systemctl to the first good answer, medians of {SERVICES_ROUNDS} rounds:")
    found += services(artifact, SERVICES_ROUNDS)
    (RESULTS / "bench.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    missed = [one["name"] for one in found if not one["reached"]]
    say("\nAll goals were reached." if not missed else f"\nGoals missed: {', '.join(missed)}.")
    return 0


def work() -> int:
    """Run the measurements; remove the machine in any case."""
    if not Path(venv_bin()).exists():
        raise ToolError("Cannot measure: the tools are not installed. Run `make bench`.")
    RESULTS.mkdir(parents=True, exist_ok=True)
    if sys.argv[1:] == ["archives"]:
        return int(not archives())
    try:
        return measure(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    finally:
        lab("down", MACHINE)


if __name__ == "__main__":
    main(work)
