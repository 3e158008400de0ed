# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint and restore in cycles, with a signal at a random moment in half of them; print a report for the docs.

soak.py [CYCLES [SEED]]   1000 cycles, and a seed that is drawn and printed; the same seed repeats the same disturbances

Containers in place, containers through an archive, and plain processes take turns. After each cycle the promises of
docs/promises.md are checked: one copy lives, with its state, and nothing is left over. See crash.py for the test host.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from typing import Any

from common import Entry, Report, ToolError, main, say
from crash import host_argv, lines, remove_host

EVERY = 50


def commit() -> str:
    """Return the tested commit."""
    argv = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def render(cycles: list[dict[str, Any]], seed: int, minutes: float, about: str) -> list[str]:
    """Return the report as Markdown."""
    kills = Counter(one["kill"] for one in cycles if one["kill"])
    broken = [one for one in cycles if one["problems"]]
    text = ", ".join(f"{number} SIG{name}" for name, number in sorted(kills.items()))
    report = [
        f"`make soak CYCLES={len(cycles)} SEED={seed}` ran on {time.strftime('%Y-%m-%d')} in {minutes:.0f} minutes: "
        f"{about}.",
        f"{sum(kills.values())} of {len(cycles)} cycles were disturbed ({text or 'none'}); "
        f"{len(broken)} cycles broke a promise.",
        "",
        "| What | Cycles | Disturbed at the checkpoint | at the restore | Broken promises | Seconds, median |",
        "|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(one["kind"] for one in cycles):
        some = [one for one in cycles if one["kind"] == kind]
        at = [sum(1 for one in some if one["kill"] and one["task"] == number) for number in (0, 1)]
        bad = sum(1 for one in some if one["problems"])
        middle = statistics.median(one["seconds"] for one in some)
        report.append(f"| {kind} | {len(some)} | {at[0]} | {at[1]} | {bad} | {middle:.1f} |")
    return report


def work() -> int:
    """Run the cycles; print the report."""
    words = sys.argv[1:]
    if not all(word.isdigit() for word in words) or len(words) > 2 or "0" in words[:1]:
        raise ToolError("Cannot run the cycles: expected at most two numbers, CYCLES and SEED.")
    wanted = int(words[0]) if words else 1000
    seed = int(words[1]) if len(words) > 1 else random.SystemRandom().randrange(1 << 31)
    say(f"soak: {wanted} cycles, seed {seed}")
    began, cycles, report = time.monotonic(), list[dict[str, Any]](), Report("soak")
    argv = host_argv("crash/soak.py", json.dumps({"cycles": wanted, "seed": seed}))
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        for entry in lines(process):
            if "unusable" in entry:
                report.add(Entry("soak", skipped=1, notes=[f"no checkpoints on this kernel: {entry['unusable']}"]))
                return report.finish()
            cycles.append(entry)
            for problem in entry["problems"]:
                say(f"   cycle {entry['cycle']} ({entry['kind']}, {entry['kill'] or 'no signal'}): {problem}")
            if len(cycles) % EVERY == 0:
                say(f"   {len(cycles)} of {wanted} cycles, {time.monotonic() - began:.0f} s")
    remove_host()
    broken = sum(1 for one in cycles if one["problems"])
    if len(cycles) < wanted:
        say(f"   the test host ended after {len(cycles)} cycles, exit status {process.returncode}")
        broken += 1
    report.add(Entry("cycles", len(cycles) - min(broken, len(cycles)), broken, seconds=time.monotonic() - began))
    about = f"commit {commit()}, kernel {platform.release()}, without SELinux"
    if cycles:
        say("\n".join(["", *render(cycles, seed, (time.monotonic() - began) / 60, about)]))
    return report.finish()


if __name__ == "__main__":
    main(work)
