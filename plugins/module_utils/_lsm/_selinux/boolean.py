# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads an SELinux boolean and plans its change: its value in the running kernel and after the next boot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan
from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import policy_default
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import SelinuxHost, disk_policy, refusal
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value


@dataclass(frozen=True)
class Boolean:
    """A boolean: its value in the running kernel, and at the next boot (None: that policy does not have it)."""

    name: str
    runtime: bool
    persistent: bool | None

    def view(self) -> dict[str, Any]:
        return {"name": self.name, "runtime": self.runtime, "persistent": self.persistent}


def predict_boolean(current: Boolean, value: bool, *, persistent: bool) -> Boolean:
    """Returns the boolean after the plan."""
    return replace(current, runtime=value, persistent=value if persistent else current.persistent)


def plan_boolean(current: Boolean, wanted: Boolean) -> Plan:
    """Plans the change. Only a persistent change writes the policy (setsebool -P, which takes seconds)."""
    if wanted == current:
        return Plan(before=current.view(), after=current.view())
    # Without -V setsebool does not print why it failed.
    option = ["-P", "-V"] if wanted.persistent != current.persistent else []
    argv = ("setsebool", *option, current.name, "on" if wanted.runtime else "off")
    step = Command(argv, why=f"set the SELinux boolean {current.name!r}")
    return Plan(before=current.view(), after=wanted.view(), steps=(step,))


def setsebool_error(completed: Completed, name: str) -> CheckpointError:
    """Returns the error for a failed setsebool."""
    return refusal(
        completed,
        f"set the SELinux boolean {name!r}",
        reason="tool_failed",
        advice="Check that the policy on disk is the one that is loaded (load_policy).",
    )


def check_boolean_result(after: Boolean, wanted: Boolean) -> None:
    """Refuses a boolean that is not as wanted although setsebool succeeded.

    Raises:
        CheckpointError: reason change_lost.
    """
    if after != wanted:
        raise CheckpointError(
            f"Cannot set the SELinux boolean {wanted.name!r}: setsebool succeeded, but the value is {after.runtime} "
            f"now and {after.persistent} at the next boot. Look for a different process that sets it.",
            reason="change_lost",
        )


def read_boolean(host: SelinuxHost, name: str) -> Boolean:
    """Reads the boolean ``name`` from two files.

    Raises:
        CheckpointError: reasons selinux_disabled, boolean_missing.
    """
    if host.mode == "disabled":
        raise CheckpointError(
            f"Cannot set the SELinux boolean {name!r}: SELinux is disabled on this host. "
            f"Boot it with SELinux enabled, or skip the task.",
            reason="selinux_disabled",
        )
    runtime = boolean_value(host.paths.selinuxfs, name)
    if runtime is None:
        raise CheckpointError(
            f"Cannot set the SELinux boolean {name!r}: the loaded policy {host.policy_type!r} has no such boolean. "
            f"{way_out(name)}",
            reason="boolean_missing",
        )
    return Boolean(name, runtime, policy_default(disk_policy(host), name))


def way_out(name: str) -> str:
    """Returns the advice for a missing boolean."""
    if name in (DYNTRANS_BOOLEAN, RESTORE_BOOLEAN):
        return "Apply the role criu.hosts.criu_selinux: its policy module declares it."
    return "List the booleans with getsebool -a, and install the policy module that declares it."
