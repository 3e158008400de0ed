# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint and restore the same programs again and again, with a signal at a random moment in half of the cycles.

soak.py ORDER   with ORDER, an object of JSON: cycles, seed. Each line of the output is an object: {"cycle": ...}.
"""

from __future__ import annotations

import json
import random
import signal
import sys
import time
from dataclasses import dataclass
from typing import Callable

from cases import SIGNALS
from plans import ARCHIVED, PLACE, checkpoint, must, process_checkpoint, process_restore, restore
from run import form, say, usable
from task import Call, Task
from world import World, at_most_one, copies, leftovers, podman

KINDS = ("place", "archive", "process")


@dataclass(frozen=True)
class Kill:
    """A signal that a task gets: when, as a part of the seconds that such a task took the last time."""

    what: str
    task: int
    part: float


def plan_kill(order: random.Random) -> Kill | None:
    """Return the kill of a cycle, None in half of them. The same numbers are drawn either way."""
    wanted, what, number, part = order.random(), order.choice(SIGNALS), order.randrange(2), order.random()
    return Kill(what, number, part) if wanted < 0.5 else None


def calls(kind: str) -> tuple[Callable[[], Call], Call]:
    """Return how to make the checkpoint of a kind, and its restore."""
    if kind == "place":
        return lambda: checkpoint(**PLACE), restore(**PLACE)
    if kind == "archive":
        return lambda: checkpoint(**ARCHIVED), restore(**ARCHIVED)
    return lambda: process_checkpoint(pid=copies()[0]), process_restore()


class Soak:
    """The programs that live through the cycles, and the seconds that each task took the last time."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, int], float] = {}

    def start(self, kind: str) -> World:
        """Start the program of a kind on a clean host; the other kinds start again, too, when it is their turn."""
        world = World()
        world.clean()
        if kind == "process":
            world.start_process()
        else:
            world.start_container()
        return world

    def disturbed(self, kind: str, number: int, call: Call, kill: Kill) -> list[str]:
        """Run a task, and send it the signal at its moment."""
        running = Task(call)
        time.sleep(kill.part * self.seconds.get((kind, number), 1.0))
        running.send(getattr(signal, f"SIG{kill.what}"))
        result = running.finish()
        # Before Python has set its handlers, each signal ends a process without a word.
        early = not result.steps and result.rc < 0
        return form(result, killed=kill.what == "KILL" or early) + at_most_one(f"after {kill.what}")

    def half(self, kind: str, number: int, call: Call, kill: Kill | None) -> list[str]:
        """Run the checkpoint or the restore of a cycle; after a kill the next run completes it."""
        found = self.disturbed(kind, number, call, kill) if kill is not None and kill.task == number else []
        began = time.monotonic()
        found += must(call)
        if kill is None:
            self.seconds[kind, number] = time.monotonic() - began
        return found

    def cycle(self, world: World, kind: str, kill: Kill | None) -> list[str]:
        """Run one cycle; return the promises that were broken."""
        world.look()
        make, back = calls(kind)
        found = self.half(kind, 0, make(), kill)
        if copies():
            found.append("after the checkpoint: it reports success, and the program runs")
        if kind == "archive":
            podman("rm", "--force", "--time=0", "--ignore", PLACE["name"])
        found += self.half(kind, 1, back, kill)
        return found + world.alive("after the restore") + leftovers()


def main() -> int:
    """Carry out the order: runs of ten cycles of each kind in turn, each with one program that lives through them."""
    order = json.loads(sys.argv[1])
    why_not = usable()
    if why_not:
        say(unusable=why_not)
        return 0
    draws, soak = random.Random(order["seed"]), Soak()
    world, last = World(), ""
    for number in range(order["cycles"]):
        kind = KINDS[number // 10 % len(KINDS)]
        kill = plan_kill(draws)
        began = time.monotonic()
        try:
            world = world if kind == last else soak.start(kind)
            problems = soak.cycle(world, kind, kill)
        except (RuntimeError, OSError, IndexError) as error:
            problems = [f"the harness failed: {error}"]
        last = kind if not problems else ""
        entry = {"kind": kind, "kill": kill.what if kill else None, "task": kill.task if kill else None}
        say(cycle=number, **entry, problems=problems, seconds=round(time.monotonic() - began, 2))
    world.clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
