# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which OCI runtimes podman knows by name, and where it looks for each."""

from __future__ import annotations

import os
import re

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# Those that podman knows without any configuration, and where.
NAMES = ("crun", "runc", "youki", "krun", "kata", "runsc")
FOLDERS = (
    *("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/sbin", "/bin"),
    *("/run/current-system/sw/bin", "/usr/lib/cri-o-runc/sbin"),
)
FILES = ("/usr/share/containers/containers.conf", "/etc/containers/containers.conf")
FOLDER = "/etc/containers/containers.conf.d"
_STRING = r"\"([^\"\n]*)\"|'([^'\n]*)'"
_ENTRY = re.compile(r"^[ \t]*[\"']?([A-Za-z0-9_.-]+)[\"']?[ \t]*=[ \t]*\[([^\[\]]*)\]", re.MULTILINE)
_DEFAULT = re.compile(rf"^[ \t]*runtime[ \t]*=[ \t]*(?:{_STRING})", re.MULTILINE)


def parse_runtimes(text: str) -> dict[str, tuple[str, ...]]:
    """Returns the runtimes in a containers.conf: those of [engine.runtimes], and a path that is the default."""
    found: dict[str, tuple[str, ...]] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in lines:
        header = re.match(r"[ \t]*\[([A-Za-z._ \t]+)\][ \t]*(#.*)?\Z", line)
        if header:
            current = sections.setdefault(re.sub(r"[ \t]", "", header.group(1)), [])
        else:
            current.append(line)
    for name, listed in _ENTRY.findall("\n".join(sections.get("engine.runtimes", ()))):
        found[name] = tuple(one or other for one, other in re.findall(_STRING, listed))
    default = _DEFAULT.search("\n".join(sections.get("engine", ())))
    path = (default.group(1) or default.group(2) or "") if default else ""
    if path.startswith("/"):
        found[path] = (path,)
    return found


def read_runtimes(paths: Paths) -> dict[str, tuple[str, ...]]:
    """Returns where podman may find each runtime; a later file replaces the paths of an earlier one."""
    known = {name: tuple(f"{folder}/{name}" for folder in FOLDERS) for name in NAMES}
    folder = paths.below(FOLDER)
    more = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    files = [*map(paths.below, FILES), *(f"{folder}/{name}" for name in more if name.endswith(".conf"))]
    for path in files:
        known.update(parse_runtimes(read_text(path, may_fail=True) or ""))
    return known
