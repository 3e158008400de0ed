# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the record of a process checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.process import is_alive
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import SERVICE
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    SHA256,
    TIME,
    Rule,
    is_bool,
    is_free_text,
    is_number,
    is_text,
    list_of,
    matches,
    parse_fields,
)


@dataclass(frozen=True)
class ProcessRecord:
    """The state of a process when it was checkpointed; ``inventory`` ties the record to its images.

    ``program``: the SHA-256 of its command line and working folder. ``profiles``: those of AppArmor that its threads
    had, each with its mode; which thread had which is in the images. Older releases did not write the last four fields.
    """

    pid: int
    start: str
    boot: str
    comm: str
    exe: str
    cgroup: str
    inventory: str = ""
    unit: str = ""
    inherit: Any = ()
    leave_running: bool = False
    pre_dump: bool = False
    shell_job: bool = False
    parent: str = ""
    parent_inventory: str = ""
    checkpointed_at: str = ""
    criu: str = ""
    selinux: str = ""
    external: Any = ()
    tcp_established: bool = False
    file_locks: bool = False
    program: str = ""
    profiles: Any = ()

    @property
    def text(self) -> str:
        return f"process {self.pid} ({self.comm!r})"

    def is_alive(self, paths: Paths) -> bool:
        return is_alive(paths, self.pid, self.start, self.boot)


def _is_inherited(value: Any) -> bool:
    """Returns whether the value is a file descriptor with the inode of its socket."""
    return list_of(is_number, 2)(value) and len(value) == 2 and is_number(value[0], below=1 << 20)


def _is_cgroup(value: Any) -> bool:
    return value == "" or (matches(r"/.*")(value) and ".." not in value.split("/"))


# A pid of Linux; the kernel's own limit is 1 << 22.
PID_LIMIT = (1 << 22) + 1
RULES: dict[str, Rule] = {
    "pid": lambda value: is_number(value, 1, PID_LIMIT),
    "start": matches(r"[0-9]{0,20}"),
    "boot": matches(r"[0-9a-f-]{0,36}"),
    # A process chooses its name, and its user that of the program; external is only compared.
    **dict.fromkeys(("comm", "exe"), is_free_text),
    "cgroup": _is_cgroup,
    **dict.fromkeys(("inventory", "parent_inventory", "program"), matches(SHA256)),
    "unit": lambda value: value == "" or matches(SERVICE)(value),
    "inherit": list_of(_is_inherited, 64),
    **dict.fromkeys(("leave_running", "pre_dump", "shell_job", "tcp_established", "file_locks"), is_bool),
    "parent": matches(r"(/.*)?"),
    "checkpointed_at": matches(TIME),
    **dict.fromkeys(("criu", "selinux"), is_text),
    "external": list_of(is_free_text, 4096),
    "profiles": list_of(is_text, 4096),
}


def parse_record(text: str | bytes | None) -> ProcessRecord:
    """Returns the record in a file.

    Raises:
        ValueError: with the reason, if a field is missing, of another type, or has a value that no checkpoint has.
    """
    return ProcessRecord(**parse_fields(text, ProcessRecord, RULES))
