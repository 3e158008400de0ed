# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what lxc-info prints about a container.

Asked for several settings, it prints "KEY = VALUE" for each in the order of the arguments. A setting that is a list has
its next values in lines of their own. That of all limits, lxc.cgroup2, prints the whole name of each one again. The
settings are always those in the file, also of a container that was started with others (lxc 6.0.4,
src/lxc/tools/lxc_info.c; its help says otherwise).
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass

# The settings that decide about a checkpoint or a restore.
CONSOLE, TTYS = "lxc.console.path", "lxc.tty.max"
ROOTFS, IDMAP = "lxc.rootfs.path", "lxc.idmap"
APPARMOR, SELINUX = "lxc.apparmor.profile", "lxc.selinux.context"
NETWORKS, MOUNTS, LIMITS = "lxc.net", "lxc.mount.entry", "lxc.cgroup2"
HOOKS, EPHEMERAL = "lxc.hook.pre-start", "lxc.ephemeral"
KEYS = (
    CONSOLE,
    TTYS,
    ROOTFS,
    IDMAP,
    APPARMOR,
    SELINUX,
    NETWORKS,
    MOUNTS,
    LIMITS,
    HOOKS,
    EPHEMERAL,
)
_STATE = re.compile(r"State: +([A-Z]{1,20})")
_PID = re.compile(r"PID: +([0-9]{1,9})")
# A blank, a tab or a backslash in a path, as in fstab(5).
_ESCAPE = re.compile(r"\\([01][0-7]{2})")


@dataclass(frozen=True)
class Info:
    """What lxc-info says. ``pid`` is 0 if there is none; a setting that is not set is empty."""

    state: str
    pid: int
    settings: dict[str, str]


@dataclass(frozen=True)
class Entry:
    """A file or folder of the host that a setting mounts; ``target`` is as in the setting, often without a slash."""

    source: str
    target: str
    optional: bool


def parse_info(text: str) -> Info:
    """Returns what lxc-info printed for the state, the process and KEYS; a container that ends has no process.

    Raises:
        ValueError: there is no state.
    """
    state, pid = "", 0
    settings: dict[str, list[str]] = {key: [] for key in KEYS}
    key = ""
    for line in text.splitlines():
        name, found, value = line.partition(" =")
        if found and name in settings:
            key = name
            settings[key].append(value.strip())
        elif key:
            settings[key].append(line.strip())
        elif _STATE.match(line):
            state = _STATE.match(line)[1]  # type: ignore[index]
        elif _PID.match(line):
            pid = int(_PID.match(line)[1])  # type: ignore[index]
    if not state:
        raise ValueError("it has no state")
    texts = {name: "\n".join(one for one in values if one and one != "(null)") for name, values in settings.items()}
    return Info(state, pid, texts)


def parse_mounts(setting: str) -> tuple[Entry, ...]:
    """Returns the bind mounts in lxc.mount.entry, whose lines are those of fstab(5)."""
    found = []
    for line in setting.splitlines():
        fields = [_ESCAPE.sub(lambda match: chr(int(match[1], 8)), one) for one in line.split()]
        options = fields[3].split(",") if len(fields) > 3 else []
        if {"bind", "rbind"} & set(options):
            found.append(Entry(fields[0], fields[1], "optional" in options))
    return tuple(found)


def target_of(entry: Entry, rootfs: str) -> str:
    """Returns the absolute path at which a container sees a mount: a setting may name it below its root file system."""
    target = entry.target
    if target.startswith(f"{rootfs.rstrip('/')}/"):
        target = target[len(rootfs.rstrip("/")) :]
    return posixpath.normpath(f"/{target.lstrip('/')}")


def parse_limits(setting: str) -> tuple[tuple[str, str], ...]:
    """Returns the limits in lxc.cgroup2 as pairs of file and value, in their order."""
    pairs = (line.partition(" = ") for line in setting.splitlines())
    return tuple((name[len(LIMITS) + 1 :], value) for name, dummy, value in pairs if name.startswith(f"{LIMITS}."))
