# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the value of an option. CRIU itself reads numbers with atoi, which accepts any text."""

from __future__ import annotations

import re
from typing import Callable, Optional

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import Option

MAX_SIZE = 2**63 - 1
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
# user:role:type:level. Without the third colon, CRIU rejects the label at the restore.
CONTEXT = r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+:[A-Za-z0-9_.,:-]+"
EXTERNAL = (
    r"mnt\[\](:[ms]*)?|mnt\[[^\]]+\]:.+|dev\[\d+/\d+\]:.+|dev\[[^\]/]+\]:/.+|file\[[0-9a-f]+:[0-9a-f]+\]"
    r"|tty\[[0-9a-f]+:[0-9a-f]+\]|unix\[\d+\]|net\[\d+\]:.+|pid\[\d+\]:.+|veth\[[^\]]+\]:.+|macvlan\[[^\]]+\]:.+"
)
# type -> (pattern, description of a correct value)
PATTERNS = {
    "path": (r"/\S*", "a path that begins with /"),
    "file": (r"\S+", "the name of a file"),
    "word": (r"[^\s\"',]+(,[^\s\"',]+)*", "a word, or words joined by commas"),
    "text": (r".+", "text"),
    "command": (r"/\S+", "the path of a program, beginning with /"),
    "context": (CONTEXT, "a context like system_u:object_r:container_file_t:s0"),
    "lsm_profile": (
        rf"selinux:{CONTEXT}|apparmor:\S+|none:\S*",
        "selinux:USER:ROLE:TYPE:LEVEL, apparmor:PROFILE or none:",
    ),
    "cpu_cap": (
        r"\^?(fpu|all|none|cpu|ins)(,\^?(fpu|all|none|cpu|ins))*",
        "fpu, all, none, cpu, ins, joined by commas",
    ),
    "cgroup_root": (r"([^:\s]+:)?/\S*", "[CONTROLLER:]/PATH"),
    "ext_mount": (r"auto|[^:\s]+:\S+", "KEY:VALUE or auto"),
    "external": (EXTERNAL, "TYPE[ID]:VALUE, such as mnt[/path]:name or file[mount:inode]"),
    "inherit_fd": (r"fd\[\d+\]:\S+", "fd[NUMBER]:RESOURCE"),
    "join_ns": (r"(net|uts|time|ipc|user|mnt):(\d+|/[^\s,]+)(,\S+)?", "TYPE:PID or TYPE:/PATH; pid is not supported"),
    "plugin_option": (r"[^\s.=]+\.[^\s=]+(=\S*)?", "PLUGIN.NAME or PLUGIN.NAME=VALUE"),
    "veth_pair": (r"[^=\s]+=\S+", "INSIDE=OUTSIDE"),
}


def value_problem(option: Option, text: str, version: Version) -> Optional[str]:
    """Returns what ``text`` should be instead, or None if it is correct."""
    kind, *arguments = option.value.split()
    if kind in PATTERNS:
        pattern, wanted = PATTERNS[kind]
        return None if re.fullmatch(pattern, text) else wanted
    return CHECKS[kind](option, text, version, arguments)


def _number(dummy_option: Option, text: str, dummy_version: Version, limits: list[str]) -> Optional[str]:
    low, high = (int(limit) for limit in limits or ("0", "2147483647"))
    if re.fullmatch(r"\d{1,19}", text) and low <= int(text) <= high:
        return None
    return f"a whole number from {low} to {high}"


def _size(option: Option, text: str, dummy_version: Version, dummy_arguments: list[str]) -> Optional[str]:
    found = re.fullmatch(r"(\d{1,19})([KMG]?)", text)
    size = int(found.group(1)) * UNITS[found.group(2)] if found else -1
    if option.name == "compress-block":
        right = 0 < size <= 4 * UNITS["M"] and size % 4096 == 0
        return None if right else "a multiple of the page size, at most 4M"
    return None if 0 <= size <= MAX_SIZE else "a whole number, optionally followed by K, M or G"


def _choice(dummy_option: Option, text: str, dummy_version: Version, words: list[str]) -> Optional[str]:
    return None if text in words else f"{', '.join(words[:-1])} or {words[-1]}" if words[1:] else words[0]


def _network_lock(option: Option, text: str, version: Version, dummy_arguments: list[str]) -> Optional[str]:
    words = ["iptables", "nftables"] + (["skip", "none"] if version >= (3, 19) else [])
    return _choice(option, text, version, words)


CHECKS: dict[str, Callable[[Option, str, Version, list[str]], Optional[str]]] = {
    "number": _number,
    "size": _size,
    "choice": _choice,
    "network_lock": _network_lock,
}
