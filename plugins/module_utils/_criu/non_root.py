# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans who may run CRIU without root: the file capabilities of the binary, its group and its mode."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import dataclass
from typing import Any, Iterable, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan, Step
from ansible_collections.criu.hosts.plugins.module_utils._criu.program import read_capability_attribute
from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities
from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import read_kernel

NOBODY_ELSE, EVERYBODY = 0o750, 0o755


@dataclass(frozen=True)
class Kernel:
    """Whether the kernel has CAP_CHECKPOINT_RESTORE (5.9 or newer), and Yama's limit of ptrace (0 without Yama)."""

    checkpoint_restore: bool
    ptrace_scope: int


@dataclass(frozen=True)
class Access:
    """The group and the mode of the binary, and its capabilities, which are both permitted and effective."""

    group: str
    mode: int
    capabilities: tuple[str, ...]

    def view(self, path: str) -> dict[str, Any]:
        return {
            "path": path,
            "group": self.group,
            "mode": f"{self.mode:04o}",
            "capabilities": list(self.capabilities),
        }


class Source(Protocol):
    """The source of the state; the tests have their own."""

    def access(self, path: str) -> Access:
        """Reads group, mode and capabilities of the file."""

    def kernel(self) -> Kernel:
        """Reads the properties of the running kernel."""

    def has_group(self, name: str) -> bool:
        """Returns whether the host has the group."""


@dataclass(frozen=True)
class RealSource:
    """The real host."""

    paths: Paths

    def access(self, path: str) -> Access:
        status = os.stat(path)
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        return Access(group, stat.S_IMODE(status.st_mode), parse_effective(read_capability_attribute(path)))

    def kernel(self) -> Kernel:
        found = read_kernel(self.paths)
        return Kernel(found["checkpoint_restore"] is not False, found["ptrace_scope"] or 0)

    def has_group(self, name: str) -> bool:
        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True


def parse_effective(attribute: bytes) -> tuple[str, ...]:
    """Returns the capabilities in security.capability, plus an extra word if this module would set them differently."""
    found = parse_capabilities(attribute)
    if found is None:
        return ("unknown",) if attribute else ()
    names = tuple(sorted(found["permitted"]))
    usual = found["effective"] and sorted(found["inheritable"]) == list(names)
    return names if usual else (*names, "not_effective")


def choose_capabilities(kernel: Kernel, extra: Iterable[str], *, allow_sys_admin: bool) -> tuple[str, ...]:
    """Returns the fewest capabilities that CRIU needs on this kernel, and the ``extra`` ones.

    Raises:
        CheckpointError: kernel_too_old, ptrace_forbidden.
    """
    if kernel.ptrace_scope >= 3:
        raise CheckpointError(
            "Cannot let users run CRIU: kernel.yama.ptrace_scope is 3, which forbids tracing until the next boot. "
            "Set it to 0, 1 or 2 and reboot the host.",
            reason="ptrace_forbidden",
        )
    chosen = {f"cap_{name}" for name in extra}
    if kernel.checkpoint_restore:
        chosen.add("cap_checkpoint_restore")
    elif allow_sys_admin:
        chosen.add("cap_sys_admin")
    else:
        raise CheckpointError(
            "Cannot let users run CRIU: this kernel is older than 5.9 and has no CAP_CHECKPOINT_RESTORE, so CRIU needs "
            "CAP_SYS_ADMIN, which makes the group's members root. Use a newer kernel, or set allow_sys_admin.",
            reason="kernel_too_old",
        )
    if kernel.ptrace_scope in (1, 2):
        chosen.add("cap_sys_ptrace")
    return tuple(sorted(chosen))


def plan_access(path: str, current: Access, wanted: Access) -> Plan:
    """Plans the steps from ``current`` to ``wanted``; at no time can more users run the file with capabilities."""
    steps: list[Step] = []
    capabilities = current.capabilities
    if capabilities and capabilities != wanted.capabilities:
        steps.append(Command(("setcap", "-r", path), why=f"remove the capabilities of {path!r}"))
        capabilities = ()
    if current.group != wanted.group:
        steps.append(Command(("chgrp", wanted.group, path), why=f"set the group of {path!r}"))
        capabilities = ()  # the kernel removes them when the owner or the group changes
    if current.mode != wanted.mode:
        steps.append(Command(("chmod", f"{wanted.mode:04o}", path), why=f"set the mode of {path!r}"))
    if wanted.capabilities and capabilities != wanted.capabilities:
        text = f"{','.join(wanted.capabilities)}=eip"
        steps.append(Command(("setcap", text, path), why=f"set the capabilities of {path!r}"))
    return Plan(before=current.view(path), after=wanted.view(path), steps=tuple(steps))


def binary_path(path: str | None) -> str | None:
    """Returns the file that ``path`` and its links lead to; None if there is none."""
    return os.path.realpath(path) if path and os.path.isfile(path) else None


def criu_missing(path: str | None) -> CheckpointError:
    where = repr(path) if path else "criu in PATH"
    return CheckpointError(
        f"Cannot find {where}. Install CRIU, for example with the role criu.hosts.criu.", reason="criu_missing"
    )


def group_missing(name: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot let the group {name!r} run CRIU: this host has no such group. "
        "Create it with ansible.builtin.group, or use the role criu.hosts.criu with criu_non_root.",
        reason="group_missing",
    )
