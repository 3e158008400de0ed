# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the CRIU of a root shell, and refuses one that is too old or that would lose labels."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner, check
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


def _refuse_config(runner: Runner, printed: Completed) -> None:
    """Refuses a CRIU that answers only without its configuration files: one wrong word there breaks every call."""
    path = printed.argv[0]
    if not parse_version(runner.run((path, "--no-default-config", "--version")).out):
        return
    said = next((line.strip() for line in printed.err.split("\n") if line.strip()), "it does not print its version")
    raise CheckpointError(
        f"Cannot use {path!r}: its configuration file /etc/criu/default.conf or ~/.criu/default.conf breaks every call "
        f"({said[:200]}). Correct that file; criu_config_info shows what is wrong in it.",
        reason="config_broken",
        path=path,
    )


def read_criu(runner: Runner, minimum: Version, selinux: Selinux) -> Criu:
    """Finds criu, and refuses one that would fail or that would lose the labels.

    Raises:
        CheckpointError: criu_missing, criu_too_old, criu_without_selinux, config_broken.
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
    printed = runner.run((path, "--version"))
    version = version_tuple(parse_version(printed.out)) if printed.rc == 0 else ()
    if not version:
        _refuse_config(runner, printed)
        check(printed, f"ask {path!r} for its version")
    if version < minimum:
        raise CheckpointError(
            f"Cannot use {path!r}: its version is {version_text(version) or 'unknown'}, and {version_text(minimum)} or "
            "newer is needed. Install a newer CRIU, for example with the role criu.hosts.criu.",
            reason="criu_too_old",
            path=path,
        )
    return Criu(path, version, linked)
