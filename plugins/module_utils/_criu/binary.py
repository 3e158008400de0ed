# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the CRIU of a root shell, and refuses one that is too old or that would lose labels."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
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


def read_criu(runner: Runner, minimum: Version, selinux: Selinux) -> Criu:
    """Finds criu, and refuses one that would fail or that would lose the labels.

    Raises:
        CheckpointError: criu_missing, criu_too_old, criu_without_selinux.
    """
    path = runner.which("criu")
    if path is None:
        raise CheckpointError(
            "Cannot find criu in PATH. Install CRIU, for example with the role criu.hosts.criu.", reason="criu_missing"
        )
    linked = links_selinux(path)
    if selinux.enabled and not linked:
        raise CheckpointError(
            f"Cannot use {path!r}: SELinux is {selinux.mode} and this CRIU is not linked with libselinux, "
            "so restored processes would lose their labels. Install a CRIU that is, with the role criu.hosts.criu.",
            reason="criu_without_selinux",
            path=path,
        )
    printed = check(runner.run((path, "--version")), f"ask {path!r} for its version").out
    version = version_tuple(parse_version(printed))
    if version < minimum:
        raise CheckpointError(
            f"Cannot use {path!r}: its version is {version_text(version) or 'unknown'}, and {version_text(minimum)} or "
            "newer is needed. Install a newer CRIU, for example with the role criu.hosts.criu.",
            reason="criu_too_old",
            path=path,
        )
    return Criu(path, version, linked)
