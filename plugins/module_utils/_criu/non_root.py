# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""CRIU for users who are not root: file capabilities of the binary, and the group that may run it."""

from __future__ import annotations

import grp
import os
import stat
from dataclasses import dataclass
from typing import Any, Iterable, Protocol

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Plan, Step
from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities

# Its number in linux/capability.h, and so the least cap_last_cap of a kernel that has it (5.9).
CHECKPOINT_RESTORE = 40
NOBODY_ELSE, EVERYBODY = 0o750, 0o755


@dataclass(frozen=True)
class Kernel:
    """What the kernel asks of a CRIU that is not root's; ``ptrace_scope`` is 0 without Yama."""

    last_capability: int
    ptrace_scope: int


@dataclass(frozen=True)
class Access:
    """Who may run the binary, and what it may do then. ``capabilities`` are both permitted and effective."""

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
    """Where the state is read; the tests have one of their own."""

    def access(self, path: str) -> Access:
        """Group, mode and capabilities of the file."""

    def kernel(self) -> Kernel:
        """What the running kernel asks."""

    def has_group(self, name: str) -> bool:
        """Whether the host knows the group."""


class RealSource:
    """The host itself."""

    def access(self, path: str) -> Access:
        status = os.stat(path)
        try:
            group = grp.getgrgid(status.st_gid).gr_name
        except KeyError:
            group = str(status.st_gid)
        try:
            attribute = os.getxattr(path, "security.capability")
        except OSError:
            attribute = b""
        return Access(group, stat.S_IMODE(status.st_mode), parse_effective(attribute))

    def kernel(self) -> Kernel:
        return Kernel(
            _number("/proc/sys/kernel/cap_last_cap", CHECKPOINT_RESTORE),
            _number("/proc/sys/kernel/yama/ptrace_scope", 0),
        )

    def has_group(self, name: str) -> bool:
        try:
            grp.getgrnam(name)
        except KeyError:
            return False
        return True


# The unit tests put another one here.
HOST: list[Source] = [RealSource()]


def _number(path: str, otherwise: int) -> int:
    try:
        with open(path, encoding="ascii") as handle:
            return int(handle.read())
    except FileNotFoundError:
        return otherwise


def parse_effective(attribute: bytes) -> tuple[str, ...]:
    """The capabilities in security.capability. One that we would not write is told by an extra word, so it differs."""
    found = parse_capabilities(attribute)
    if found is None:
        return ("unknown",) if attribute else ()
    names = tuple(sorted(found["permitted"]))
    usual = found["effective"] and sorted(found["inheritable"]) == list(names)
    return names if usual else (*names, "not_effective")


def choose_capabilities(kernel: Kernel, extra: Iterable[str], *, allow_sys_admin: bool) -> tuple[str, ...]:
    """The least that CRIU needs on this kernel, and what was asked for beyond it.

    Raises:
        CheckpointError: kernel_too_old, ptrace_forbidden.
    """
    if kernel.ptrace_scope >= 3:
        raise CheckpointError(
            "Cannot let users run CRIU: kernel.yama.ptrace_scope is 3, so that nobody may trace a process until the "
            "next boot. Set it to 0, 1 or 2 and boot the host.",
            reason="ptrace_forbidden",
        )
    chosen = {f"cap_{name}" for name in extra}
    if kernel.last_capability >= CHECKPOINT_RESTORE:
        chosen.add("cap_checkpoint_restore")
    elif allow_sys_admin:
        chosen.add("cap_sys_admin")
    else:
        raise CheckpointError(
            "Refuse to let users run CRIU: this kernel is older than 5.9 and has no CAP_CHECKPOINT_RESTORE, so CRIU "
            "needs CAP_SYS_ADMIN, which makes the group's members root. Use a newer kernel, or set allow_sys_admin.",
            reason="kernel_too_old",
        )
    if kernel.ptrace_scope in (1, 2):
        chosen.add("cap_sys_ptrace")
    return tuple(sorted(chosen))


def plan_access(path: str, current: Access, wanted: Access) -> Plan:
    """Bring the file from ``current`` to ``wanted``: never more people than before may run it with capabilities."""
    steps: list[Step] = []
    capabilities = current.capabilities
    if capabilities and capabilities != wanted.capabilities:
        steps.append(Command(("setcap", "-r", path), why=f"take the capabilities from {path!r}"))
        capabilities = ()
    if current.group != wanted.group:
        steps.append(Command(("chgrp", wanted.group, path), why=f"give {path!r} its group"))
        capabilities = ()  # the kernel takes them when the owner or the group changes
    if current.mode != wanted.mode:
        steps.append(Command(("chmod", f"{wanted.mode:04o}", path), why=f"set the mode of {path!r}"))
    if wanted.capabilities and capabilities != wanted.capabilities:
        text = f"{','.join(wanted.capabilities)}=eip"
        steps.append(Command(("setcap", text, path), why=f"give {path!r} its capabilities"))
    return Plan(before=current.view(path), after=wanted.view(path), steps=tuple(steps))


def binary_path(path: str | None) -> str | None:
    """The file behind ``path`` and its links; None if it is not there."""
    return os.path.realpath(path) if path and os.path.isfile(path) else None


def criu_missing(path: str | None) -> CheckpointError:
    where = repr(path) if path else "CRIU in the folders of programs"
    return CheckpointError(
        f"Cannot find {where}. Install CRIU, with the role criu.hosts.criu for one.", reason="criu_missing"
    )


def group_missing(name: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot let the group {name!r} run CRIU: this host has no such group. "
        "Create it with ansible.builtin.group, or use the role criu.hosts.criu with criu_non_root.",
        reason="group_missing",
    )
