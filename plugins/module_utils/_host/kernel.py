# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What the kernel's files say that decides about CRIU: release, capabilities, ptrace, and CRIU's own cache."""

from __future__ import annotations

import os
import re
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT

CAP_CHECKPOINT_RESTORE = 40


def _read(path: str) -> str | None:
    """The beginning of a small file; None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read(4096).strip()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def parse_release(release: str, version: str) -> tuple[int, ...]:
    """The kernel's version as numbers.

    Debian's releases before 13 hide the stable update ("6.1.0-40-amd64"); uname's version tells ("Debian 6.1.153-1").
    """
    told = re.search(r"\bDebian (\d+(?:\.\d+)+)", version)
    found = told or re.match(r"(\d+(?:\.\d+)+)", release)
    return tuple(int(number) for number in found.group(1).split(".")) if found else ()


def read_kernel(root: str) -> dict[str, Any]:
    """Release, numbers, whether it knows CAP_CHECKPOINT_RESTORE, and Yama's limit of ptrace (None without Yama)."""
    sysctl = f"{root}/proc/sys/kernel"
    release = _read(f"{sysctl}/osrelease")
    last = _number(_read(f"{sysctl}/cap_last_cap"))
    return {
        "release": release,
        "version": list(parse_release(release or "", _read(f"{sysctl}/version") or "")),
        "checkpoint_restore": None if last is None else last >= CAP_CHECKPOINT_RESTORE,
        "ptrace_scope": _number(_read(f"{sysctl}/yama/ptrace_scope")),
    }


def _time(path: str) -> float | None:
    """When the file, or the link itself, was last written."""
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return None


def _names(folder: str) -> list[str]:
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def read_boot_time(root: str) -> float | None:
    """When the host came up: the kernel's word, or the oldest file in /run if that is older.

    A clock that was set after the boot moves the kernel's word, but not the files.
    """
    told = re.search(r"^btime (\d+)$", _read_stat(root), re.MULTILINE)
    if told is None:
        return None
    others = [_time(f"{root}/run/{name}") for name in _names(f"{root}/run") if name != os.path.basename(KDAT)]
    return min([float(told.group(1)), *(time for time in others if time is not None)])


def _read_stat(root: str) -> str:
    # The line of interrupts before btime is long.
    try:
        with open(f"{root}/proc/stat", encoding="ascii", errors="replace") as handle:
            return "\n".join(line.strip() for line in handle if line.startswith("btime "))
    except OSError:
        return ""
