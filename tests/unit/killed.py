# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills a task after each of its steps in turn, and runs the next one, which finds what it has left."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply

# A module and its parameters.
Task = tuple[str, "dict[str, Any]"]
# What check mode has to predict.
PREDICTED = ("changed", "commands", "diff")


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, and no step runs after it."""


@dataclass(frozen=True)
class Scene:
    """A simulated host in a folder, the task that is killed on it, and the task that comes next.

    ``made``: what else a test knows of the host.
    """

    folder: Path
    host: Any
    task: Task
    next_task: Task
    made: Any = None


def kill_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    """Lets the next task die when it has done so many steps, over all its plans."""
    real, done = apply.apply_step, itertools.count(1)

    def step(runner: Any, one: Any, applied: Any) -> None:
        if steps == 0:
            raise Killed
        real(runner, one, applied)
        if next(done) >= steps:
            raise Killed

    patch.setattr(apply, "apply_step", step)


def give_markers_away(folder: Path) -> None:
    """Names the markers of a killed task after a process that is gone: its own was that of the tests."""
    for path in sorted((folder / "run/criu-hosts").glob("borrowed/*")):
        boolean, dummy_pid, number = path.name.rsplit(".", 2)
        path.rename(path.with_name(f"{boolean}.999999.{number}"))


def is_killed(module: Any, scene: Scene, steps: int) -> bool:
    """Runs the task until it has done so many steps; returns False if it has fewer."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            module(scene.task[0], scene.task[1], host=scene.host)
    except Killed:
        give_markers_away(scene.folder)
        return True
    return False


def each_kill(module: Any, folder: Path, start: Callable[[Path], Scene]) -> Iterator[tuple[int, Scene]]:
    """Yields each number of steps after which the task dies, from none to all, with what it has left on a new host."""
    for steps in itertools.count():
        place = folder / str(steps)
        place.mkdir()
        scene = start(place)
        if not is_killed(module, scene, steps):
            return
        yield steps, scene


def run_next(module: Any, scene: Scene) -> dict[str, Any]:
    """Runs the next task, which check mode predicts and which then has nothing more to do; returns its result."""
    name, arguments = scene.next_task
    predicted = module(name, arguments, host=scene.host, check=True).result
    result: dict[str, Any] = module(name, arguments, host=scene.host).result
    where = f"in {scene.folder}: {result}"
    assert not result.get("failed"), where
    assert not predicted.get("failed"), predicted
    for key in PREDICTED:
        assert predicted[key] == result[key], f"{key}, {where}"
    again = module(name, arguments, host=scene.host).result
    assert (again["changed"], again["commands"]) == (False, []), where
    return result
