# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Puts a checkpoint that cannot be used aside, so that nothing is lost wherever it is cut off."""

from __future__ import annotations

import calendar
import os
import re
import time
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Rename, Step
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import aside_dir
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import Unit

# Checkpoints that could not be used fill the disk, so only the newest are kept.
KEPT_ASIDE = 3
FORMAT = "%Y-%m-%dT%H%M%SZ"
# Earlier releases added the id of the process.
NAME = r"(\d{4}-\d\d-\d\dT\d{6}Z)(-\d+)?"
# A folder has this ending until it holds everything.
PARTIAL = ".partial"
# Where a checkpoint waits while a new one is made in its place.
BEFORE = ".before"
# The end of the year 2099: a clock beyond it is wrong, and years of five digits would not sort.
LAST_SECOND = 4102444799


def next_name(names: Iterable[str], now: float) -> str:
    """Returns a name for a folder that sorts after all others, also if the clock has jumped back. Pure."""
    second = int(min(max(now, 0), LAST_SECOND))
    heads = [found.group(1) for found in (re.match(NAME, name) for name in names) if found]
    for head in heads:
        try:
            second = max(second, calendar.timegm(time.strptime(head, FORMAT)) + 1)
        except ValueError:
            continue  # no time: not one of ours
    return time.strftime(FORMAT, time.gmtime(second))


def names_in(base: str) -> list[str]:
    """Returns the folders of this kind, complete or not, the oldest first. Others are not ours."""
    found = os.listdir(base) if os.path.isdir(base) else []
    return sorted(name for name in found if re.match(rf"{NAME}({re.escape(PARTIAL)})?\Z", name))


def put_aside(unit: Unit, container: Container) -> str:
    """Moves the checkpoint out of the container's folder, and returns where it is.

    Raises:
        CheckpointError: disk_full, file_failed, tool_failed. Then the checkpoint is still there, in one of both places.
    """
    base = aside_dir(unit.ctx.paths, unit.name)
    final = f"{base}/{next_name(names_in(base), time.time())}"
    partial = f"{final}{PARTIAL}"
    unit.apply(MakeDir(partial, 0o700, why="make the folder"))
    _move(unit, there(unit, container), partial, final)
    old = [name for name in names_in(base) if not name.endswith(PARTIAL)][:-KEPT_ASIDE]
    unit.tries("remove old checkpoints", *(Remove(f"{base}/{name}", why="remove an old checkpoint") for name in old))
    return final


def there(unit: Unit, container: Container) -> list[str]:
    """Returns the files of the checkpoint in place that exist, and what a stop has left of an earlier one."""
    files = unit.engine.checkpoint_files(container)
    return [path for path in (*files, *(f"{file}{BEFORE}" for file in files)) if os.path.lexists(path)]


def _move(unit: Unit, paths: list[str], partial: str, final: str) -> None:
    """Renames the files. To a different file system it copies them, and removes them when the copy is complete."""
    moves = [Rename(path, _inside(partial, path), why="put aside") for path in paths]
    dummy, error = attempt("put the checkpoint aside", lambda: unit.apply(*moves))
    if error is None:
        unit.apply(Rename(partial, final, why="complete the folder"))
        return
    if error.reason == "interrupted":
        raise error
    left = [path for path in paths if os.path.lexists(path)]
    undo = tuple(Remove(_inside(partial, path), why="remove the incomplete copy") for path in left)
    unit.apply(
        Command(
            ("cp", "--archive", "--", *left, partial), why=f"copy the checkpoint of {unit.name!r} aside", undo=undo
        ),
        Command(("sync", "--file-system", partial), why="write the copy to the disk", undo=undo),
        Rename(partial, final, why="complete the folder"),
        *(Remove(path, why="remove what is copied") for path in left),
    )


def _inside(folder: str, path: str) -> str:
    return f"{folder}/{os.path.basename(path)}"


def recover(unit: Unit, container: Container | None) -> None:
    """Completes what an earlier call was putting aside when it was killed. What is in both places is a half copy."""
    base = aside_dir(unit.ctx.paths, unit.name)
    known = unit.engine.checkpoint_files(container) if container is not None else ()
    sources = {os.path.basename(path): path for file in known for path in (file, f"{file}{BEFORE}")}
    for name in names_in(base):
        if not name.endswith(PARTIAL):
            continue
        partial, final = f"{base}/{name}", f"{base}/{name[: -len(PARTIAL)]}"
        inside = os.listdir(partial)
        doubled = [one for one in inside if os.path.lexists(sources.get(one, ""))]
        if set(inside) <= set(doubled):
            unit.tries("remove the incomplete copy", Remove(partial, why="remove the incomplete copy"))
            continue
        steps: list[Step] = [Remove(f"{partial}/{one}", why="remove the incomplete copy") for one in doubled]
        if not doubled:  # the images were renamed, and what belongs to them was not yet
            rest = [path for one, path in sources.items() if one not in inside and os.path.lexists(path)]
            steps = [Rename(path, _inside(partial, path), why="put aside") for path in rest]
        if unit.tries("complete a folder", *steps, Rename(partial, final, why="complete the folder")):
            unit.say("warning", f"A checkpoint that an interrupted start was putting aside is kept in {final!r}.")


def step_back(unit: Unit, container: Container) -> bool:
    """Renames a checkpoint in place, so that one that is made now leaves it whole. Returns whether it succeeded."""
    files = [path for path in unit.engine.checkpoint_files(container) if os.path.lexists(path)]
    return unit.tries(
        "keep the checkpoint in place", *(Rename(path, f"{path}{BEFORE}", why="keep the checkpoint") for path in files)
    )


def bring_forward(unit: Unit, container: Container) -> None:
    """Gives a checkpoint that waits its name again, instead of what a failed dump has left there."""
    for path in unit.engine.checkpoint_files(container):
        if os.path.lexists(f"{path}{BEFORE}"):
            unit.tries(
                "bring the checkpoint back",
                Remove(path, why="remove the images of the failed dump"),
                Rename(f"{path}{BEFORE}", path, why="bring the checkpoint back"),
            )


def drop(unit: Unit, container: Container) -> None:
    """Removes a checkpoint that waits, when a newer one is complete."""
    files = [f"{path}{BEFORE}" for path in unit.engine.checkpoint_files(container)]
    unit.tries(
        "remove the used checkpoint",
        *(Remove(path, why="remove the used checkpoint") for path in files if os.path.lexists(path)),
    )
