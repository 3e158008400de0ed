# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the mode and the booleans of SELinux from the running kernel, and says what they mean for a restore."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.names import (
    DISTRIBUTION_BOOLEAN,
    DYNTRANS_BOOLEAN,
    RESTORE_BOOLEAN,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value, read_mode
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread


def may_take(paths: Paths, before: tuple[Thread, ...]) -> bool:
    """Whether the policy's constraints may let us take these labels: they ask for the same user and role.

    They bind whatever the boolean says (Fedora), so that a login shell cannot restore a system service.
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
    """Returns the warning that a checkpoint or restore (``what``) is no proof; none unless SELinux is permissive."""
    if selinux.mode != "permissive":
        return ()
    return (f"SELinux is permissive: a {what} does not prove that one works in enforcing mode.",)


def require_policy(selinux: Selinux, process_label: str) -> None:
    """Refuse when the policy would stop a restore, or make it wait for ever (several threads under runc do)."""
    if selinux.mode != "enforcing" or not process_label:
        return
    if selinux.restore is None and not selinux.all_caps:
        raise CheckpointError(
            f"Refuse to work on a container with the label {process_label!r}: SELinux is enforcing, and its policy "
            f"has neither the boolean {RESTORE_BOOLEAN!r} nor {DISTRIBUTION_BOOLEAN!r} switched on, so that a restore "
            "fails or hangs. Apply the role criu.hosts.criu_selinux.",
            reason="policy_missing",
        )
