# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the process that pid, pid_file or unit name, and refuses one that cannot be dumped."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, read_process, stat_fields
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit, read_unit, unit_name
from ansible_collections.criu.hosts.plugins.module_utils._lsm.labels import host_labels
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import read_tree

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# PF_KTHREAD in the kernel's include/linux/sched.h, a flag in /proc/PID/stat.
_KERNEL_THREAD = 0x200000
# A pid file has one number.
_PID_FILE_LIMIT = 4096


@dataclass(frozen=True)
class Target:
    """What pid, pid_file or unit name. ``process`` is None if it is not running; ``pid`` is 0 if it is not known."""

    said: str
    process: Process | None
    unit: Unit | None = None
    pid: int = 0

    def again(self, paths: Paths) -> Target:
        """Returns the same process as it is now: a different task may have ended it before this one held it."""
        process = read_process(paths, self.process.pid) if self.process is not None else None
        same = process is not None and self.process is not None and process.identity == self.process.identity
        return replace(self, process=process if same else None)


def _refuse_links(path: str) -> None:
    """Refuses a folder that a link of another user may lead elsewhere."""
    folder = os.path.dirname(path)
    while folder not in ("", "/"):
        if os.path.islink(folder) and os.lstat(folder).st_uid not in (0, os.geteuid()):
            raise _invalid(path, f"the link {folder!r} belongs to another user, who may let it lead anywhere")
        folder = os.path.dirname(folder)


def _users_of(paths: Paths, pid: int) -> set[str]:
    """Returns the ids of the users that a process runs as: real, effective, saved, of files."""
    status = read_text(f"{paths.proc}/{pid}/status") or ""
    return {number for line in status.splitlines() if line.startswith("Uid:") for number in line.split()[1:]}


def read_pid_file(paths: Paths, path: str) -> int:
    """Reads a pid file; 0 if there is no such file. One that another user can write may only name that user's process.

    Raises:
        CheckpointError: pid_file_invalid.
    """
    _refuse_links(path)
    try:
        owner = os.lstat(path).st_uid
        data = read_below(os.path.dirname(path), os.path.basename(path), limit=_PID_FILE_LIMIT, owners=(owner,))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise _invalid(path, error.strerror or "it cannot be read") from error
    match = re.match(rb"\s*([1-9][0-9]{0,9})\s*\Z", data or b"")
    if data is not None and not match:
        raise _invalid(path, "it does not contain exactly one process id")
    pid = int(match.group(1)) if match else 0
    users = _users_of(paths, pid) if owner not in (0, os.geteuid()) and pid else set()
    if users - {str(owner)}:
        raise _invalid(path, f"it belongs to the user with the id {owner}, and process {pid} is not that user's")
    return pid


def _invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the pid file {path!r}: {why}. Set pid_file to the file that the process writes, or set pid.",
        reason="pid_file_invalid",
    )


def read_target(ctx: Context) -> Target:
    """Reads the process that the options pid, pid_file or unit name."""
    params = ctx.params
    if params.get("unit"):
        unit = read_unit(ctx.runner, unit_name(params["unit"]))
        if not unit.known and not unit.active:
            raise CheckpointError(
                f"Cannot find the unit {unit.name!r}: systemd does not know it. See 'systemctl list-units'.",
                reason="unit_missing",
            )
        return Target(f"unit {unit.name!r}", read_process(ctx.paths, unit.pid) if unit.pid else None, unit)
    if params.get("pid_file"):
        pid = read_pid_file(ctx.paths, params["pid_file"])
        return Target(f"the process of {params['pid_file']!r}", read_process(ctx.paths, pid) if pid else None, pid=pid)
    return Target(f"process {params['pid']}", read_process(ctx.paths, params["pid"]), pid=params["pid"])


def own_line(paths: Paths) -> tuple[int, ...]:
    """Returns this process and its ancestors: a dump of one of them would dump this task."""
    found, pid = [], os.getpid()
    while pid > 0 and pid not in found:
        found.append(pid)
        fields = stat_fields(paths, pid)
        pid = int(fields[1]) if len(fields) > 1 else 0
    return tuple(found)


def refuse(paths: Paths, target: Target) -> Process:
    """Returns the process if it can be dumped.

    Raises:
        CheckpointError: process_missing, process_refused.
    """
    process = target.process
    if process is None:
        raise CheckpointError(
            f"Cannot checkpoint {target.said}: it is not running. Start it first.", reason="process_missing"
        )
    why, advice = "", "Choose a different process."
    if process.pid == 1:
        why = "it is the system's first process"
    elif not process.exe:
        why, advice = _unreadable(paths, process.pid)
    elif process.pid in own_line(paths):
        why = "this task is one of its descendants"
    if why:
        raise CheckpointError(f"Cannot checkpoint {process.text}: {why}. {advice}", reason="process_refused")
    return process


def _unreadable(paths: Paths, pid: int) -> tuple[str, str]:
    """Returns why the program of a process cannot be read, and the advice."""
    fields = stat_fields(paths, pid)
    if len(fields) > 6 and fields[6].isdecimal() and int(fields[6]) & _KERNEL_THREAD:
        return "it is a kernel thread", "Choose a different process."
    users = "/".join(sorted(_users_of(paths, pid) - {str(os.geteuid())}))
    whose = f"it runs as the user with the id {users}" if users else "the kernel protects it from its own user"
    return f"{whose}, and this user may not read it", "Set become."


def strangers(paths: Paths, unit: Unit, process: Process) -> tuple[int, ...]:
    """Returns the processes in the unit's cgroup that are not dumped: they do not descend from its main process."""
    inside: set[int] = set()
    for folder, dummy_folders, dummy_files in os.walk(f"{paths.cgroups}{unit.cgroup}"):
        inside |= {int(one) for one in (read_text(f"{folder}/cgroup.procs") or "").split()}
    return tuple(sorted(inside - set(read_tree(paths, process.pid, host_labels(paths))))) if unit.cgroup else ()


def refuse_strangers(paths: Paths, unit: Unit, process: Process) -> None:
    """Refuses when systemd would end processes of the unit that are not in the images.

    Raises:
        CheckpointError: unit_has_more.
    """
    others = strangers(paths, unit, process)
    if others:
        raise CheckpointError(
            f"Cannot checkpoint the unit {unit.name!r}: {len(others)} of its processes, for example {others[0]}, do "
            f"not descend from its main process {process.pid}, so they would not be in the images, and systemd would "
            "end them. Set leave_running, or set pid to the process to checkpoint.",
            reason="unit_has_more",
        )


def journal_sockets(paths: Paths, process: Process) -> tuple[tuple[int, int], ...]:
    """Returns standard output and error if they are connected to the journal, as (file descriptor, inode)."""
    journal = _journal_peers(read_text(f"{paths.proc}/{process.pid}/net/unix") or "")
    found: dict[int, int] = {}
    for descriptor in (1, 2):
        try:
            link = os.readlink(f"{paths.proc}/{process.pid}/fd/{descriptor}")
        except OSError:
            continue
        match = re.match(r"socket:\[(\d+)\]\Z", link)
        if match and int(match.group(1)) in journal:
            found.setdefault(int(match.group(1)), descriptor)
    return tuple((descriptor, inode) for inode, descriptor in found.items())


def _journal_peers(text: str) -> set[int]:
    """Returns the connected Unix stream sockets without a name: for a service, those of its output."""
    found = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) == 7 and fields[4:6] == ["0001", "03"] and re.fullmatch("[0-9]{1,20}", fields[6]):
            found.add(int(fields[6]))
    return found
