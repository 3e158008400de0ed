# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans how to install a build of CRIU, to make every caller use it, and to remove it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
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
from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import library_packages
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.compatibility import artifact_unusable
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.installed import (
    ORIGIN,
    OTHER,
    OURS,
    RIGHT,
    Installed,
    Layout,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.layout import BINARY
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import PLUGIN_FOLDER
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.needs import LOG_TAIL, explain_build


def state_of(layout: Layout, installed: Installed, *, divert: bool) -> dict[str, Any]:
    """Returns the state of a host as the diff shows it."""
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
    """The build that ``present`` installs: its folder, the archive to unpack there, and properties of the host.

    ``build`` has the steps that make the archive first, ``clean`` those that clean up after it. ``content`` is what was
    read from an archive that was there: it is unpacked from a copy, since others may be able to change the archive.
    With ``check``, the build becomes active only if its ``criu check`` succeeds.
    """

    tree: str
    archive: str
    divert: bool
    restorecon: bool
    check: bool = True
    build: tuple[Step, ...] = ()
    clean: tuple[Step, ...] = ()
    content: bytes | None = field(default=None, repr=False)


def plan_present(layout: Layout, installed: Installed, target: Target) -> Plan:
    """Plans the steps from ``installed`` to ``target``."""
    if installed.local == OTHER:
        raise CheckpointError(
            f"Cannot replace {layout.local!r}: it is not this module's link. Move it away.", reason="path_taken"
        )
    tree = installed.trees.get(target.tree)
    unpack = tree is None or not tree.intact
    steps = (
        *(target.build if unpack else ()),
        *(_unpack_steps(layout, target) if unpack else ()),
        *(_trial_steps(layout.tree(target.tree), target) if not unpack and installed.current != target.tree else ()),
        *_link_steps(layout, installed, target),
    )
    if steps:
        steps += (Remove(layout.cache, why="remove CRIU's cache of the kernel", always=True),)
    if unpack:
        steps += (Remove(f"{layout.base}/{target.tree}.new", always=True), *target.clean)
    if unpack and target.content is not None:
        steps += (Remove(copy_path(layout), why="remove the copy of the artifact", always=True),)
    return Plan(
        before=state_of(layout, installed, divert=target.divert),
        after=wanted_state(layout, target.tree, divert=target.divert),
        steps=steps,
        lock=layout.state,
    )


def start_argv(folder: str) -> tuple[str, ...]:
    """Returns the command that shows whether the binary below ``folder`` starts."""
    return (f"{folder}/{BINARY}", "--no-default-config", "--version")


def check_argv(folder: str) -> tuple[str, ...]:
    """Returns the command that runs ``criu check`` of the CRIU below ``folder``, with its own plugins."""
    return (f"{folder}/{BINARY}", "--no-default-config", "--libdir", f"{folder}/{PLUGIN_FOLDER}", "check")


def _trial_steps(folder: str, target: Target) -> tuple[Step, ...]:
    start = Command(start_argv(folder), why="start the new CRIU")
    return (start, Command(check_argv(folder), why="check the kernel with it")) if target.check else (start,)


def explain(completed: Completed, target: Target | None, layout: Layout, family: str) -> CheckpointError | None:
    """Returns the error for a failed compiler or trial run; None for every other command."""
    if completed.argv[0] in ("make", "patch"):
        return explain_build(completed, family)
    if target is None:
        return None
    folder = layout.tree(target.tree)
    if completed.argv in (start_argv(f"{folder}.new"), start_argv(folder)):
        gone = re.findall(r"(\S+\.so[.\d]*): ", completed.err)
        packages = library_packages(gone, family)
        advice = f"Install {' '.join(packages)}" if packages else "Build it on this distribution"
        why = f"it does not start ({completed.last_line})"
        return artifact_unusable(target.archive or folder, why, advice, packages=packages)
    if completed.argv in (check_argv(f"{folder}.new"), check_argv(folder)):
        lines = [line.strip() for line in f"{completed.out}\n{completed.err}".splitlines() if line.strip()]
        # The first errors may come from helper programs. CRIU's own verdict is the last one.
        verdict = next((line for line in reversed(lines) if line.startswith("Error")), completed.last_line)
        return CheckpointError(
            f"Cannot activate CRIU {target.tree!r}: its own check of this host fails"
            f" ({verdict.rstrip('.')}). See log_tail, or set check to false.",
            reason="check_failed",
            log_tail=lines[-LOG_TAIL:],
        )
    return None


def copy_path(layout: Layout) -> str:
    """Returns the path of the copy of an artifact, in a folder that only root can write to."""
    return f"{layout.state}/.artifact.tar.gz"


def _unpack_steps(layout: Layout, target: Target) -> tuple[Step, ...]:
    final, content = layout.tree(target.tree), target.content
    new, archive = f"{final}.new", target.archive
    copy: tuple[Step, ...] = ()
    if content is not None:
        archive = copy_path(layout)
        copy = (WriteFile(archive, lambda: content, why="copy the artifact"),)

    def origin() -> str:
        return json.dumps({"artifact_sha256": file_sha256(archive)}) + "\n"

    label: tuple[Step, ...] = ()
    if target.restorecon:
        label = (Command(("restorecon", "-R", layout.base), why="label the files"),)
    return (
        MakeDir(layout.base, 0o755, why="make the folder"),
        Remove(new, why="remove the remains of an interrupted run"),
        *copy,
        Unpack(archive, new, why="unpack the artifact"),
        WriteFile(f"{new}/{ORIGIN}", origin, 0o644, why="record the artifact"),
        *label,
        *_trial_steps(new, target),
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
            steps.append(Remove(layout.packaged, why="remove the link that would be diverted"))
        elif installed.packaged == OTHER:
            steps.append(Remove(layout.diverted, why="remove the leftover of a lost diversion"))
        steps.append(Command(divert_argv(layout, "--add"), why="divert the distribution's criu"))
    if target.divert and not (installed.packaged == RIGHT and installed.diverted):
        steps.append(Link(layout.packaged, layout.active, why="link the distribution's path"))
    return tuple(steps)


def divert_argv(layout: Layout, action: str) -> tuple[str, ...]:
    return ("dpkg-divert", "--local", "--rename", "--divert", layout.diverted, action, layout.packaged)


def plan_absent(layout: Layout, installed: Installed, *, divert: bool) -> Plan:
    """Plans to remove everything that ``present`` made, which brings the distribution's criu back."""
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


def plan_forget(layout: Layout, installed: Installed, trees: list[str], *, divert: bool) -> Plan:
    """Plans to remove the builds ``trees``, none of which may be active."""
    if installed.current in trees:
        raise CheckpointError(
            f"Cannot remove CRIU {installed.current!r}: it is the active build."
            " Activate a different build first, or leave out 'version' to remove all builds.",
            reason="build_active",
        )
    state = state_of(layout, installed, divert=divert)
    return Plan(
        before={**state, "builds": sorted(installed.trees)},
        after={**state, "builds": sorted({*installed.trees} - {*trees})},
        steps=tuple(Remove(layout.tree(name), why="remove the build") for name in trees),
    )
