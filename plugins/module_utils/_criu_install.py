# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Installs an artifact beside the distribution's CRIU and makes every caller use it; reads back what is installed."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu_build import (
    BINARY,
    MANIFEST,
    Artifact,
    Manifest,
    file_sha256,
    parse_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._elf import MACHINES
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

# Which artifact a folder came from; written beside the manifest when it is unpacked.
ORIGIN = "installed.json"

RIGHT, OURS, OTHER, NOTHING = "right", "ours", "other", "nothing"

# library: Debian's package, Fedora's package
LIBRARIES = {
    "libbsd": ("libbsd0", "libbsd"),
    "libgnutls": ("libgnutls30t64", "gnutls"),
    "libnet": ("libnet1", "libnet"),
    "libnftables": ("libnftables1", "nftables-libs"),
    "libnl-3": ("libnl-3-200", "libnl3"),
    "libprotobuf-c": ("libprotobuf-c1", "protobuf-c"),
    "libselinux": ("libselinux1", "libselinux"),
    "libuuid": ("libuuid1", "libuuid"),
}


@dataclass(frozen=True)
class Layout:
    """Where things lie on a host. ``root`` is empty but in tests."""

    root: str = ""

    @property
    def base(self) -> str:
        return f"{self.root}/opt/criu-hosts"

    @property
    def current(self) -> str:
        return f"{self.base}/current"

    @property
    def active(self) -> str:
        """The path of the binary that does not change with the version."""
        return f"{self.current}/{BINARY}"

    @property
    def local(self) -> str:
        return f"{self.root}/usr/local/sbin/criu"

    @property
    def packaged(self) -> str:
        """The path of the distribution's binary."""
        return f"{self.root}/usr/sbin/criu"

    @property
    def diverted(self) -> str:
        return f"{self.packaged}.distrib"

    @property
    def cache(self) -> str:
        """What CRIU remembers of the kernel; wrong after a change of CRIU."""
        return f"{self.root}/run/criu.kdat"


@dataclass(frozen=True)
class Tree:
    """One unpacked build. ``intact``: each file has the checksum of the manifest."""

    manifest: Manifest
    artifact_sha256: str | None
    intact: bool


@dataclass(frozen=True)
class Installed:
    """What a host has: builds by folder name, and the ways to them.

    ``local`` and ``packaged`` say what lies at those paths: RIGHT, OURS (a link of ours that leads elsewhere), OTHER
    or NOTHING. ``base`` says whether our folder exists.
    """

    trees: dict[str, Tree]
    current: str | None
    local: str
    packaged: str
    diverted: bool
    base: bool

    @property
    def active(self) -> Tree | None:
        return self.trees.get(self.current or "")

    def right(self, *, divert: bool) -> bool:
        """Whether the active build and all ways to it are as ``plan_present`` leaves them."""
        ways = self.local == RIGHT and (not divert or (self.packaged == RIGHT and self.diverted))
        return bool(self.active and self.active.intact and ways)

    def find(self, artifact_sha256: str) -> Tree | None:
        found = (tree for tree in self.trees.values() if tree.artifact_sha256 == artifact_sha256)
        return next(found, None)

    def find_id(self, build_id: str) -> Tree | None:
        return next((tree for tree in self.trees.values() if tree.manifest.id == build_id), None)


def parse_diversions(text: str, path: str) -> str | None:
    """Where dpkg's list of diversions (three lines each) leads ``path`` to on the administrator's order."""
    lines = text.splitlines()
    for source, target, owner in zip(lines[0::3], lines[1::3], lines[2::3]):
        if source == path and owner == ":":
            return target
    return None


def read_installed(layout: Layout) -> Installed:
    """Read what is installed; checksums of all its files included."""
    trees = {}
    for name in os.listdir(layout.base) if os.path.isdir(layout.base) else ():
        tree = _read_tree(f"{layout.base}/{name}")
        if tree is not None and tree.manifest.tree == name:
            trees[name] = tree
    return Installed(
        trees=trees,
        current=_readlink(layout.current),
        local=_what_lies_at(layout, layout.local),
        packaged=_what_lies_at(layout, layout.packaged),
        diverted=read_diversion(layout) == layout.diverted,
        base=os.path.lexists(layout.base),
    )


def read_diversion(layout: Layout) -> str | None:
    try:
        with open(f"{layout.root}/var/lib/dpkg/diversions", encoding="utf-8") as handle:
            return parse_diversions(handle.read(), layout.packaged)
    except FileNotFoundError:
        return None


def _readlink(path: str) -> str | None:
    return os.readlink(path) if os.path.islink(path) else None


def _what_lies_at(layout: Layout, path: str) -> str:
    target = _readlink(path) or ""
    if target == layout.active:
        return RIGHT
    if target.startswith(f"{layout.base}/"):
        return OURS
    return OTHER if os.path.lexists(path) else NOTHING


def _read_tree(path: str) -> Tree | None:
    if os.path.islink(path) or path.endswith(".new"):
        return None
    try:
        with open(f"{path}/{MANIFEST}", encoding="utf-8") as handle:
            manifest = parse_manifest(handle.read())
    except (OSError, ValueError):
        return None
    try:
        with open(f"{path}/{ORIGIN}", encoding="utf-8") as handle:
            origin = json.load(handle).get("artifact_sha256")
    except (OSError, ValueError, AttributeError):
        origin = None
    return Tree(manifest, origin, origin is not None and _intact(path, manifest))


def _intact(path: str, manifest: Manifest) -> bool:
    try:
        return all(file_sha256(f"{path}/{name}") == digest for name, digest in manifest.files.items()) and os.access(
            f"{path}/{BINARY}", os.X_OK
        )
    except OSError:
        return False


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


def describe(tree: Tree | None, path: str | None) -> dict[str, Any] | None:
    """The noun that criu_build and criu_info return for an installed build."""
    if tree is None:
        return None
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(tree.manifest).items()},
        "artifact_sha256": tree.artifact_sha256,
        "path": path,
    }


def parse_ldconfig(text: str) -> set[str]:
    """The library names that ``ldconfig -p`` lists."""
    return set(re.findall(r"^\s+(\S+) \(", text, re.MULTILINE))


def check_artifact(path: str, artifact: Artifact, machine: str, libraries: set[str], family: str) -> None:
    """Raise artifact_unusable when this host cannot run the artifact; ``libraries`` empty: not known."""
    machine = re.sub(r"^arm.*", "arm", re.sub(r"^i[3-6]86$", "i386", machine))
    if artifact.elf.machine != machine and machine in MACHINES.values():
        raise artifact_unusable(
            path, f"it is for {artifact.elf.machine}, this host is {machine}", "Build it for this host"
        )
    gone = [name for name in artifact.elf.needed if name not in libraries and not name.startswith("ld-linux")]
    if libraries and gone:
        packages = library_packages(gone, family)
        advice = f"Install {' '.join(packages)}" if packages else "Build it on this distribution"
        raise artifact_unusable(path, f"this host lacks {', '.join(gone)}", advice, packages=packages)


def artifact_unusable(path: str, why: str, advice: str, **facts: Any) -> CheckpointError:
    return CheckpointError(f"Cannot install CRIU from {path!r}: {why}. {advice}.", reason="artifact_unusable", **facts)


def library_packages(names: Iterable[str], family: str) -> list[str]:
    """The packages that ship the libraries ``names``, as far as they are known."""
    column = {"debian": 0, "redhat": 1}.get(family)
    if column is None:
        return []
    return [LIBRARIES[name.split(".so", 1)[0]][column] for name in names if name.split(".so", 1)[0] in LIBRARIES]
