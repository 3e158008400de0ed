# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the criu of a root shell, reads its version and libraries, and refuses one that would lose labels."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.mode import Selinux


@dataclass(frozen=True)
class Criu:
    """The criu that a root shell, and so the OCI runtime, finds."""

    path: str
    version: tuple[int, ...]
    selinux: bool

    @property
    def text(self) -> str:
        return ".".join(str(number) for number in self.version)


def parse_criu_version(text: str) -> tuple[int, ...]:
    """``Version: 4.2.1`` as numbers; empty if there is no such line."""
    found = re.search(r"^Version:\s*([0-9.]+)", text, re.MULTILINE)
    return tuple(int(number) for number in found.group(1).split(".") if number) if found else ()


def read_criu(runner: Runner, minimum: tuple[int, ...], selinux: Selinux) -> Criu:
    """Find criu and refuse one that would fail, or that would lose the labels.

    Raises:
        CheckpointError: criu_missing, criu_too_old, criu_without_selinux.
    """
    path = runner.which("criu")
    if path is None:
        raise CheckpointError(
            "Cannot find criu in PATH. Install CRIU, with the role criu.hosts.criu for one.", reason="criu_missing"
        )
    linked = links_selinux(path)
    if selinux.enabled and not linked:
        raise CheckpointError(
            f"Refuse to use {path!r}: SELinux is {selinux.mode} and this CRIU is not linked with libselinux, "
            "so restored processes would lose their labels. Install one that is, with the role criu.hosts.criu.",
            reason="criu_without_selinux",
            path=path,
        )
    version = parse_criu_version(check(runner.run((path, "--version")), f"ask {path!r} for its version").out)
    if version < minimum:
        wanted = ".".join(str(number) for number in minimum)
        raise CheckpointError(
            f"Refuse to use {path!r}: its version is {'.'.join(map(str, version)) or 'unknown'} and the engine needs "
            f"{wanted} or newer. Install a newer CRIU, with the role criu.hosts.criu for one.",
            reason="criu_too_old",
            path=path,
        )
    return Criu(path, version, linked)


def links_selinux(path: str) -> bool:
    """Whether the ELF file is linked with libselinux."""
    # A task that finds nothing to do need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import ElfError, read_elf

    try:
        with open(path, "rb") as handle:
            return any(name.startswith("libselinux.so") for name in read_elf(handle).needed)
    except (OSError, ElfError):
        return False
