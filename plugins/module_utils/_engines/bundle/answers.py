# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what runc and crun print about a container, and our own note about it. A wrong type is refused.

Both print the state that the OCI runtime specification defines (runtime.md), and the time ``created`` beside it. A
restore changes that time and the process id, and nothing else shows that a container was restored.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, whole, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

# The largest number of the system; no process has a larger one.
PID_LIMIT = 1 << 22


@dataclass(frozen=True)
class State:
    """What the runtime says about a container."""

    name: str
    status: str
    pid: int
    bundle: str
    created: str
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Known:
    """What we have noted about a container when it was checkpointed last, or restored from an archive.

    ``created`` and ``restored`` are times of the runtime; ``restored`` is empty if it was never restored. ``systemd``:
    its cgroup is made by systemd. ``ends``: the checkpoint was to end it.
    """

    id: str
    created: str
    restored: str
    bundle: str
    systemd: bool
    ends: bool


def _path(entry: dict[str, Any], key: str) -> str:
    path = word(entry, key, default=None)
    if not os.path.isabs(path) or ".." in path.split("/"):
        raise ValueError(f"{key} is no absolute path")
    return path


def parse_state(text: str) -> State:
    """Returns what ``runc state`` or ``crun state`` printed.

    Raises:
        ValueError: it is nothing of the kind.
    """
    entry = parse_object(text)
    pid, status = whole(entry, "pid"), word(entry, "status", default=None)
    if pid > PID_LIMIT:
        raise ValueError("pid is no process id")
    notes = inner(entry, "annotations")
    return State(
        name=word(entry, "id", default=None),
        status=status,
        pid=pid if status in ("running", "paused") else 0,
        bundle=_path(entry, "bundle"),
        created=word(entry, "created"),
        annotations={key: word(notes, key) for key in notes if isinstance(notes[key], str)},
    )


def parse_known(data: str | bytes | None) -> Known:
    """Returns our note; raises ValueError if it is none of this release."""
    entry = parse_object(data)
    flags = {key: entry.get(key) for key in ("systemd", "ends")}
    if not all(isinstance(one, bool) for one in flags.values()):
        raise ValueError("it has no flags")
    texts = {key: word(entry, key, default=None) for key in ("id", "created", "restored")}
    return Known(**texts, bundle=_path(entry, "bundle"), systemd=bool(flags["systemd"]), ends=bool(flags["ends"]))


def render_known(known: Known) -> str:
    return json.dumps(asdict(known), indent=1, sort_keys=True) + "\n"
