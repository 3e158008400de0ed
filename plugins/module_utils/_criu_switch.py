# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans that bring a build of CRIU onto a host, make every caller use it, and take it away again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._criu_install import (
    ORIGIN,
    OTHER,
    OURS,
    RIGHT,
    Installed,
    Layout,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_manifest import BINARY, file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._plan import (
    Command,
    Link,
    MakeDir,
    Plan,
    Remove,
    Rename,
    Step,
    Unpack,
    WriteFile,
)


def state_of(layout: Layout, installed: Installed, *, divert: bool) -> dict[str, Any]:
    """The diff's view of a host."""
    active = installed.active
    state: dict[str, Any] = {
        "build": installed.current,
        "intact": bool(active and active.intact),
        layout.local: layout.active if installed.local == RIGHT else None,
    }
    if divert:
        state[layout.packaged] = layout.active if installed.packaged == RIGHT else None
        state["diversion"] = layout.diverted if installed.diverted else None
    return state


def wanted_state(layout: Layout, tree: str | None, *, divert: bool) -> dict[str, Any]:
    link = layout.active if tree else None
    state: dict[str, Any] = {"build": tree, "intact": tree is not None, layout.local: link}
    if divert:
        state[layout.packaged] = link
        state["diversion"] = layout.diverted if tree else None
    return state


@dataclass(frozen=True)
class Target:
    """What ``present`` wants: the folder's name, the archive to fill it from, and what the host is like.

    ``build`` are the steps that make the archive first, ``clean`` those that clean up after it.
    """

    tree: str
    archive: str
    divert: bool
    restorecon: bool
    build: tuple[Step, ...] = ()
    clean: tuple[Step, ...] = ()


def plan_present(layout: Layout, installed: Installed, target: Target) -> Plan:
    """Bring the host from ``installed`` to ``target``."""
    if installed.local == OTHER:
        raise CheckpointError(
            f"Refuse to replace {layout.local!r}: it is not this module's link. Move it away.", reason="path_taken"
        )
    tree = installed.trees.get(target.tree)
    unpack = tree is None or not tree.intact
    steps = (
        *(target.build if unpack else ()),
        *(_unpack_steps(layout, target) if unpack else ()),
        *_link_steps(layout, installed, target),
    )
    if steps:
        steps += (Remove(layout.cache, why="remove CRIU's cache of the kernel"),)
    if unpack:
        steps += (Remove(f"{layout.base}/{target.tree}.new", always=True), *target.clean)
    return Plan(
        before=state_of(layout, installed, divert=target.divert),
        after=wanted_state(layout, target.tree, divert=target.divert),
        steps=steps,
    )


def trial_argv(layout: Layout, tree: str) -> tuple[str, ...]:
    """The run that proves an unpacked binary before it becomes the active one."""
    return (f"{layout.base}/{tree}.new/{BINARY}", "--no-default-config", "--version")


def _unpack_steps(layout: Layout, target: Target) -> tuple[Step, ...]:
    final = f"{layout.base}/{target.tree}"
    new = f"{final}.new"

    def origin() -> str:
        return json.dumps({"artifact_sha256": file_sha256(target.archive)}) + "\n"

    label: tuple[Step, ...] = ()
    if target.restorecon:
        label = (Command(("restorecon", "-R", layout.base), why="label the files"),)
    return (
        MakeDir(layout.base, 0o755, why="make the folder"),
        Remove(new, why="remove the rest of an interrupted run"),
        Unpack(target.archive, new, why="unpack the artifact"),
        WriteFile(f"{new}/{ORIGIN}", origin, 0o644, why="note the artifact"),
        *label,
        Command(trial_argv(layout, target.tree), why="try the unpacked CRIU"),
        Remove(final, why="remove the damaged build"),
        Rename(new, final, why="store the build"),
    )


def _link_steps(layout: Layout, installed: Installed, target: Target) -> tuple[Step, ...]:
    steps: list[Step] = []
    if installed.current != target.tree:
        steps.append(Link(layout.current, target.tree, why="activate the build"))
    if installed.local != RIGHT:
        steps.append(MakeDir(os.path.dirname(layout.local), 0o755))
        steps.append(Link(layout.local, layout.active, why="make the link"))
    if target.divert and not installed.diverted:
        if installed.packaged in (RIGHT, OURS):
            steps.append(Remove(layout.packaged, why="take away the link that would be diverted"))
        elif installed.packaged == OTHER:
            steps.append(Remove(layout.diverted, why="remove what a lost diversion left"))
        steps.append(Command(divert_argv(layout, "--add"), why="divert the distribution's criu"))
    if target.divert and not (installed.packaged == RIGHT and installed.diverted):
        steps.append(Link(layout.packaged, layout.active, why="link the distribution's path"))
    return tuple(steps)


def divert_argv(layout: Layout, action: str) -> tuple[str, ...]:
    return ("dpkg-divert", "--local", "--rename", "--divert", layout.diverted, action, layout.packaged)


def plan_absent(layout: Layout, installed: Installed, *, divert: bool) -> Plan:
    """Take away everything that ``present`` made; the distribution's criu comes back."""
    steps: list[Step] = []
    if installed.packaged in (RIGHT, OURS):
        steps.append(Remove(layout.packaged, why="remove the link"))
    if divert and installed.diverted:
        steps.append(Command(divert_argv(layout, "--remove"), why="give the distribution's criu its name back"))
    if installed.local in (RIGHT, OURS):
        steps.append(Remove(layout.local, why="remove the link"))
    if installed.base:
        steps.append(Remove(layout.base, why="remove the builds"))
    if steps:
        steps.append(Remove(layout.cache, why="remove CRIU's cache of the kernel"))
    return Plan(
        before=state_of(layout, installed, divert=divert),
        after=wanted_state(layout, None, divert=divert),
        steps=tuple(steps),
    )
