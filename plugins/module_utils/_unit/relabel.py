# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Volumes with a label of their own: what podman, started by systemd, may not relabel itself.

Debian's policy lets podman (podman_t) change labels among containers' types only. So a folder of another type gets
the containers' type from the task; podman then gives it the categories of its container.
"""

from __future__ import annotations

import os
from typing import Any, Iterable, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES

TYPE = "container_file_t"
ATTRIBUTE = "security.selinux"


def selinux_type(path: str) -> str | None:
    """The type of a file; None if it is not there, or has no label."""
    try:
        label = os.getxattr(path, ATTRIBUTE).rstrip(b"\0").decode("utf-8", "replace")
    except OSError:
        return None
    parts = label.split(":")
    return parts[2] if len(parts) > 2 else None


def to_relabel(volumes: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """The paths on the host that the containers' type is asked for, and that have another one."""
    if not os.path.exists(f"{PLACES.selinuxfs}/enforce"):
        return ()
    asked = [volume["source"] for volume in volumes if volume["relabel"] != "none" and volume["source"].startswith("/")]
    # A file that has no label, or is not there, is podman's to judge.
    types = {path: selinux_type(path) or TYPE for path in asked}
    return tuple(path for path, found in types.items() if not found.startswith("container_"))


def relabel_steps(paths: Iterable[str]) -> Iterator[Command]:
    """Give those paths, and all below them, the containers' type."""
    for path in paths:
        argv = ("chcon", "--recursive", f"--type={TYPE}", "--", path)
        yield Command(argv, why=f"give {path!r} the containers' type")
