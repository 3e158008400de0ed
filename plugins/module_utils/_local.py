# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What this host says in its files about SELinux, CRIU and who runs us: no command, nothing written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._elf import ElfError, read_elf
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._places import PLACES, read_text

BOOLEAN = "criu_container_restore"
# Lets a root shell give a process the label that it had: Fedora's policy has it, ours where the host's has not.
DYNTRANS_BOOLEAN = "unconfined_dyntrans_all"
# container-selinux (Fedora, RHEL) leaves the capabilities of containers to the container's own set with this one.
DISTRIBUTION_BOOLEAN = "virt_sandbox_use_all_caps"


@dataclass(frozen=True)
class Selinux:
    """The mode (enforcing, permissive, disabled) and the booleans that a restore may need; None: no such boolean."""

    mode: str = "disabled"
    restore: bool | None = None
    all_caps: bool | None = None
    dyntrans: bool | None = None

    @property
    def enabled(self) -> bool:
        return self.mode != "disabled"


@dataclass(frozen=True)
class Criu:
    """The criu that a root shell, and so the OCI runtime, finds."""

    path: str
    version: tuple[int, ...]
    selinux: bool

    @property
    def text(self) -> str:
        return ".".join(str(number) for number in self.version)


def boolean_value(name: str) -> bool | None:
    """The value of a boolean in the running kernel; None: the policy has no such boolean."""
    text = read_text(f"{PLACES.selinuxfs}/booleans/{name}")
    return None if text is None else text.split()[:1] == ["1"]


def read_selinux() -> Selinux:
    """Mode and booleans of the running kernel."""
    enforce = read_text(f"{PLACES.selinuxfs}/enforce")
    if enforce is None:
        return Selinux()
    mode = "enforcing" if enforce.strip() == "1" else "permissive"
    names = (BOOLEAN, DISTRIBUTION_BOOLEAN, DYNTRANS_BOOLEAN)
    return Selinux(mode, *(boolean_value(name) for name in names))


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
    try:
        with open(path, "rb") as handle:
            return any(name.startswith("libselinux.so") for name in read_elf(handle).needed)
    except (OSError, ElfError):
        return False


def require_policy(selinux: Selinux, process_label: str) -> None:
    """Refuse when the policy would stop a restore, or make it wait for ever (several threads under runc do)."""
    if selinux.mode != "enforcing" or not process_label:
        return
    if selinux.restore is None and not selinux.all_caps:
        raise CheckpointError(
            f"Refuse to work on a container with the label {process_label!r}: SELinux is enforcing, and its policy "
            f"has neither the boolean {BOOLEAN!r} nor {DISTRIBUTION_BOOLEAN!r} switched on, so that a restore fails "
            "or hangs. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
