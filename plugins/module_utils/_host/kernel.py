# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the properties of the kernel that CRIU depends on (release, capabilities, ptrace), and the time of the boot."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version, version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

CAP_CHECKPOINT_RESTORE = 40
# The values of the sysctl kernel.io_uring_disabled, since Linux 6.6.
IO_URING = {"0": "allowed", "1": "group", "2": "disabled"}


def _read(path: str) -> str:
    return (read_text(path, may_fail=True) or "").strip()


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else None


def parse_release(release: str, version: str) -> Version:
    """Returns the kernel's version as numbers.

    Debian's releases before 13 hide the stable update ("6.1.0-40-amd64"); uname's version has it ("Debian 6.1.153-1").
    """
    debian = re.search(r"\bDebian (\d+(?:\.\d+)+)", version)
    found = debian or re.match(r"(\d+(?:\.\d+)+)", release)
    return version_tuple(found.group(1)) if found else ()


def read_kernel(paths: Paths) -> dict[str, Any]:
    """Reads release, version, architecture, whether it has CAP_CHECKPOINT_RESTORE, and two limits.

    These are Yama's limit of ptrace (None without Yama) and who may use io_uring (None before Linux 6.6).
    """
    sysctl = f"{paths.proc}/sys/kernel"
    release = _read(f"{sysctl}/osrelease") or None
    last = _number(_read(f"{sysctl}/cap_last_cap"))
    return {
        "release": release,
        "version": list(parse_release(release or "", _read(f"{sysctl}/version"))),
        # Linux 6.1 and newer have it as a sysctl.
        "architecture": _read(f"{sysctl}/arch") or os.uname().machine,
        "checkpoint_restore": None if last is None else last >= CAP_CHECKPOINT_RESTORE,
        "ptrace_scope": _number(_read(f"{sysctl}/yama/ptrace_scope")),
        "io_uring": IO_URING.get(_read(f"{sysctl}/io_uring_disabled")),
    }


def written_at(path: str) -> float | None:
    """Returns when the file, or the link itself, was last written."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None


def names_in(folder: str) -> list[str]:
    """Returns the names in a folder; none if there is no such folder."""
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def boot_clock(paths: Paths) -> float | None:
    """Returns the boot time in terms of the current clock; None if /proc/stat does not name it."""
    found = re.search(r"^btime (\d+)$", read_text(f"{paths.proc}/stat", may_fail=True) or "", re.MULTILINE)
    return float(found.group(1)) if found else None


def read_boot_time(paths: Paths) -> float | None:
    """Returns when the host booted: the boot time of the kernel, or that of the oldest file in /run if that is older.

    Setting the clock after the boot changes the kernel's boot time, but not the times of the files.
    """
    boot = boot_clock(paths)
    if boot is None:
        return None
    folder = paths.below("/run")
    others = [written_at(f"{folder}/{name}") for name in names_in(folder) if name != os.path.basename(KDAT)]
    return min([boot, *(time for time in others if time is not None)])
