# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Who a process is: pid, start and boot name one for ever. And what systemd says of a service."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._borrow import process_start
from ansible_collections.criu.hosts.plugins.module_utils._command import Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._places import PLACES, boot_id, cgroup_of, read_text

UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]+\Z")
UNIT_PROPERTIES = ("LoadState", "ActiveState", "MainPID", "ControlGroup", "FragmentPath")


@dataclass(frozen=True)
class Process:
    """A process of this host. ``start`` counts ticks since the boot ``boot``."""

    pid: int
    start: str
    boot: str
    comm: str
    exe: str
    cgroup: str

    @property
    def identity(self) -> tuple[int, str, str]:
        return self.pid, self.start, self.boot

    @property
    def text(self) -> str:
        return f"process {self.pid} ({self.comm!r})"


def is_alive(pid: int, start: str, boot: str) -> bool:
    """Whether the very process still lives; one that waits for its parent (a zombie) does not."""
    text = (read_text(f"{PLACES.proc}/{pid}/stat") or "").rpartition(")")[2].split()
    return bool(start) and boot == boot_id() and process_start(pid) == start and text[:1] not in (["Z"], ["X"])


def read_process(pid: int) -> Process | None:
    """The process with this id; None if there is none, or only a zombie."""
    base, start = f"{PLACES.proc}/{pid}", process_start(pid)
    if not start or not is_alive(pid, start, boot_id()):
        return None
    try:
        exe = os.readlink(f"{base}/exe")
    except OSError:
        exe = ""  # a thread of the kernel, or no right to look
    comm = (read_text(f"{base}/comm") or "").rstrip("\n")
    return Process(pid, start, boot_id(), comm, exe, cgroup_of(pid))


@dataclass(frozen=True)
class Unit:
    """A systemd service. ``known``: it has a unit file, or one that systemd keeps in memory."""

    name: str
    known: bool
    state: str
    pid: int
    cgroup: str

    @property
    def active(self) -> bool:
        return self.state not in ("inactive", "failed")


def unit_name(name: str) -> str:
    """The name with its type.

    Raises:
        CheckpointError: unit_invalid.
    """
    full = name if name.endswith(".service") else f"{name}.service"
    if not UNIT.match(full) or re.search(r"\.(socket|timer|target|scope|slice|mount|path)\.service\Z", full):
        raise CheckpointError(
            f"Refuse the unit {name!r}: it is not the name of a service. Give one like 'web.service'.",
            reason="unit_invalid",
        )
    return full


def parse_unit(name: str, text: str) -> Unit:
    """Read the output of ``systemctl show``."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    pid = found.get("MainPID", "0")
    return Unit(
        name,
        known=bool(found.get("FragmentPath")),
        state=found.get("ActiveState", "inactive"),
        pid=int(pid) if pid.isdigit() else 0,
        cgroup=found.get("ControlGroup", ""),
    )


def read_unit(runner: Runner, name: str) -> Unit:
    """Ask systemd for a service; one that it does not know is inactive."""
    argv = ("systemctl", "show", f"--property={','.join(UNIT_PROPERTIES)}", name)
    return parse_unit(name, check(runner.run(argv), f"ask systemd for the unit {name!r}").out)
