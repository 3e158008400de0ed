# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which builds of CRIU are installed beside the distribution's, and which one callers use."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._criu_build.layout import BINARY, Layout
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.manifest import (
    MANIFEST,
    PROGRAM_LIMIT,
    TEXT_LIMIT,
    Manifest,
    parse_manifest,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below, read_text

# The artifact that a folder came from; written beside the manifest when the artifact is unpacked.
ORIGIN = "installed.json"
RIGHT, OURS, OTHER, NOTHING = "right", "ours", "other", "nothing"


@dataclass(frozen=True)
class Tree:
    """One unpacked build. ``intact``: each file has its checksum in the manifest."""

    manifest: Manifest
    artifact_sha256: str | None
    intact: bool


@dataclass(frozen=True)
class Installed:
    """The state of a host: builds by folder name, and the links that lead to them.

    ``local`` and ``packaged`` describe what is at those paths: RIGHT, OURS (a link of ours that leads elsewhere), OTHER
    or NOTHING. ``base`` is whether our folder exists.
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
        """Returns whether the active build and all links to it are as ``plan_present`` leaves them."""
        ways = self.local == RIGHT and (not divert or (self.packaged == RIGHT and self.diverted))
        return bool(self.active and self.active.intact and ways)

    def find(self, artifact_sha256: str) -> Tree | None:
        found = (tree for tree in self.trees.values() if tree.artifact_sha256 == artifact_sha256)
        return next(found, None)

    def find_first(self, ids: Iterable[str]) -> Tree | None:
        """Returns the intact build of the first of ``ids`` that is installed."""
        whole = {tree.manifest.id: tree for tree in self.trees.values() if tree.intact}
        return next((whole[one] for one in ids if one in whole), None)

    def find_version(self, version: str) -> list[str]:
        """Returns the names of the intact builds of ``version``, or with this name; only the active one if it fits."""
        found = [name for name, tree in self.trees.items() if tree.intact and version in (name, tree.manifest.version)]
        return [self.current] if self.current in found else sorted(found)


def parse_diversions(text: str, path: str) -> str | None:
    """Returns the target of the administrator's diversion of ``path`` in dpkg's list, which has three lines each."""
    lines = text.splitlines()
    for source, target, owner in zip(lines[0::3], lines[1::3], lines[2::3]):
        if source == path and owner == ":":
            return target
    return None


def read_installed(layout: Layout) -> Installed:
    """Reads what is installed, and verifies the checksums of all files."""
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
    return parse_diversions(read_text(layout.paths.below("/var/lib/dpkg/diversions")) or "", layout.packaged)


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
        manifest = parse_manifest(read_below(path, MANIFEST, limit=TEXT_LIMIT) or b"")
    except (OSError, ValueError):
        return None
    try:
        origin = parse_object(read_below(path, ORIGIN, limit=TEXT_LIMIT)).get("artifact_sha256")
    except (OSError, ValueError):
        origin = None
    origin = origin if isinstance(origin, str) else None
    return Tree(manifest, origin, origin is not None and _intact(path, manifest))


def _intact(path: str, manifest: Manifest) -> bool:
    try:
        return all(_sha256(path, name) == digest for name, digest in manifest.files.items()) and os.access(
            f"{path}/{BINARY}", os.X_OK
        )
    except OSError:
        return False


def _sha256(path: str, name: str) -> str:
    return hashlib.sha256(read_below(path, name, limit=PROGRAM_LIMIT) or b"").hexdigest()


def describe(tree: Tree | None, path: str | None) -> dict[str, Any] | None:
    """Returns what criu_build and criu_info return for an installed build."""
    if tree is None:
        return None
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(tree.manifest).items()},
        "artifact_sha256": tree.artifact_sha256,
        "path": path,
    }
