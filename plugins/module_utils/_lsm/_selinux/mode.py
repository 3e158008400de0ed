# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the mode and the booleans of SELinux from the running kernel, and refuses a restore that they would block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.names import (
    DISTRIBUTION_BOOLEAN,
    DYNTRANS_BOOLEAN,
    RESTORE_BOOLEAN,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value, read_mode

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread


def may_take(paths: Paths, before: tuple[Thread, ...]) -> bool:
    """Returns whether the policy's constraints can allow us to take these labels: they require our user and role.

    They apply even if the boolean is on (Fedora), so a login shell cannot restore a system service.
    """
    if not before:
        return True
    own = (read_text(f"{paths.proc}/self/attr/current") or "").rstrip("\0\n").split(":")[:2]
    return all(thread.label.split(":")[:2] == own for thread in before)


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


def read_selinux(paths: Paths) -> Selinux:
    """Reads mode and booleans of the running kernel."""
    mode = read_mode(paths.selinuxfs)
    if mode == "disabled":
        return Selinux()
    names = (RESTORE_BOOLEAN, DISTRIBUTION_BOOLEAN, DYNTRANS_BOOLEAN)
    return Selinux(mode, *(boolean_value(paths.selinuxfs, name) for name in names))


def permissive_warning(selinux: Selinux, what: str) -> tuple[str, ...]:
    """Returns the warning that a checkpoint or restore (``what``) proves nothing, if SELinux is permissive."""
    if selinux.mode != "permissive":
        return ()
    return (f"SELinux is permissive, so this {what} does not prove that it works in enforcing mode.",)


def require_policy(selinux: Selinux, process_label: str) -> None:
    """Refuses a policy under which a restore fails, or waits forever (as several threads under runc do)."""
    if selinux.mode != "enforcing" or not process_label:
        return
    if selinux.restore is None and not selinux.all_caps:
        raise CheckpointError(
            f"Cannot checkpoint or restore a container with the label {process_label!r}: SELinux is enforcing, its "
            f"policy has no boolean {RESTORE_BOOLEAN!r}, and the boolean {DISTRIBUTION_BOOLEAN!r} is not on, so a "
            "restore fails or hangs. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
