# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which OCI runtimes podman knows by name, and where it looks for each."""

from __future__ import annotations

import os
import re
from typing import Callable

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


def _sections(text: str) -> dict[str, str]:
    """Returns the lines of each table of a containers.conf, without comments."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        header = re.match(r"[ \t]*\[([A-Za-z._ \t]+)\][ \t]*(#.*)?\Z", line)
        if header:
            current = sections.setdefault(re.sub(r"[ \t]", "", header.group(1)), [])
        else:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in sections.items()}


def parse_runtimes(text: str) -> dict[str, tuple[str, ...]]:
    """Returns the runtimes in a containers.conf: those of [engine.runtimes], and a path that is the default."""
    found: dict[str, tuple[str, ...]] = {}
    for name, listed in _ENTRY.findall(_sections(text).get("engine.runtimes", "")):
        found[name] = tuple(one or other for one, other in re.findall(_STRING, listed))
    path = parse_default(text)
    if path.startswith("/"):
        found[path] = (path,)
    return found


def parse_default(text: str) -> str:
    """Returns the name or path of the default runtime in a containers.conf; empty if it sets none."""
    default = _DEFAULT.search(_sections(text).get("engine", ""))
    return (default.group(1) or default.group(2) or "") if default else ""


def read_runtimes(paths: Paths) -> dict[str, tuple[str, ...]]:
    """Returns where podman may find each runtime; a later file replaces the paths of an earlier one."""
    known = {name: tuple(f"{folder}/{name}" for folder in FOLDERS) for name in NAMES}
    for text in _configuration(paths):
        known.update(parse_runtimes(text))
    return known


def _configuration(paths: Paths) -> list[str]:
    """Returns the texts of containers.conf, the one that counts most last."""
    folder = paths.below(FOLDER)
    more = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    files = [*map(paths.below, FILES), *(f"{folder}/{name}" for name in more if name.endswith(".conf"))]
    return [read_text(path, may_fail=True) or "" for path in files]


def default_runtime(paths: Paths, which: Callable[[str], str | None]) -> str:
    """Returns the name of the runtime of a container that names none: the configured one, or the first installed."""
    for text in reversed(_configuration(paths)):
        found = parse_default(text)
        if found:
            return os.path.basename(found)
    return next((name for name in NAMES if which(name)), "")
