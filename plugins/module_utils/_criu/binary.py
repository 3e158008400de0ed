# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the CRIU of a root shell, and refuses one that is too old or that would lose labels."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import (
    Version,
    parse_version,
    version_text,
    version_tuple,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux


@dataclass(frozen=True)
class Criu:
    """The CRIU that a root shell, and so the OCI runtime, finds."""

    path: str
    version: Version
    selinux: bool

    @property
    def text(self) -> str:
        return version_text(self.version)


def links_selinux(path: str) -> bool:
    """Returns whether the program is linked with libselinux."""
    # A task that finds nothing to do need not compile these.
    from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import linked_features
    from ansible_collections.criu.hosts.plugins.module_utils._criu.program import read_program

    elf = read_program(path)
    return elf is not None and "selinux" in linked_features(elf.needed)


def may_run(path: str) -> bool:
    """Returns whether the user of this task may run a program that others may run."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return True
    return not mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH) or os.access(path, os.X_OK)


def _version_of(runner: Runner, path: str, paths: Paths) -> Version:
    """Asks CRIU for its version.

    Raises:
        CheckpointError: config_broken, tool_failed.
    """
    completed: Completed = runner.run((path, "--version"))
    version = version_tuple(parse_version(completed.out)) if completed.rc == 0 else ()
    if not version:
        # A task that succeeds need not compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._criu.config_error import explain_version

        error = explain_version(paths, runner, completed)
        if error is not None:
            raise error
    check(completed, f"ask {path!r} for its version")
    return version


def read_criu(runner: Runner, minimum: Version, selinux: Selinux, paths: Paths) -> Criu:
    """Finds criu, and refuses one that would fail or that would lose the labels.

    Raises:
        CheckpointError: criu_missing, criu_too_old, criu_without_selinux, criu_not_permitted, config_broken.
    """
    path = runner.which("criu")
    if path is None:
        raise CheckpointError(
            "Cannot find criu in PATH. Install CRIU, for example with the role criu.hosts.criu.", reason="criu_missing"
        )
    if not may_run(path):
        raise CheckpointError(
            f"Cannot use {path!r}: it is installed, but this user may not run it. Add the user to the group of the "
            "file, which criu_non_root sets, and start a new session, or set become.",
            reason="criu_not_permitted",
            path=path,
        )
    linked = links_selinux(path)
    if selinux.enabled and not linked:
        raise CheckpointError(
            f"Cannot use {path!r}: SELinux is {selinux.mode} and this CRIU is not linked with libselinux, "
            "so restored processes would lose their labels. Install a CRIU that is, with the role criu.hosts.criu.",
            reason="criu_without_selinux",
            path=path,
        )
    version = _version_of(runner, path, paths)
    if version < minimum:
        raise CheckpointError(
            f"Cannot use {path!r}: its version is {version_text(version) or 'unknown'}, and {version_text(minimum)} or "
            "newer is needed. Install a newer CRIU, for example with the role criu.hosts.criu.",
            reason="criu_too_old",
            path=path,
        )
    return Criu(path, version, linked)
