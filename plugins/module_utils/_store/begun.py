# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Notes what a task is about to do to a thing, so that the next task completes or undoes it after any kind of end.

The note is written before the first step that cannot be taken back, and removed after the last. A task that finds one
knows, since it holds the lock of the thing, that nobody works on it any more.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

ACTIONS = ("dumping", "restoring", "removing")
_LIMIT = 64 << 10


@dataclass(frozen=True)
class Begun:
    """What has begun. ``thing`` is what the task works on; ``boot`` the boot in which it began.

    ``facts`` are whatever identifies the copies: ids, stamps, pids, paths.
    """

    action: str
    thing: str
    boot: str
    began: str = field(default_factory=lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    facts: dict[str, str] = field(default_factory=dict)


def begun_path(paths: Paths, kind: str, name: str) -> str:
    """Returns the path of the note for a thing of root's with a plain name, for example a container."""
    return f"{paths.state}/begun/{kind}-{name}.json"


def begin_steps(path: str, begun: Begun) -> tuple[Step, ...]:
    """Returns the steps that write the note."""
    text = json.dumps(asdict(begun), indent=1, sort_keys=True) + "\n"
    return (
        MakeDir(os.path.dirname(path), why="make the folder"),
        WriteFile(path, text, why="note what begins in"),
    )


def end_step(path: str) -> Remove:
    """Returns the step that removes the note, after the last step that belongs to it."""
    return Remove(path, why="remove the note of what had begun")


def read_begun(path: str) -> Begun | None:
    """Returns the note; None if nothing has begun, or the note is torn: it is written before anything else happens."""
    try:
        data = read_below(os.path.dirname(path), os.path.basename(path), limit=_LIMIT, owners=(0, os.geteuid()))
        entries = parse_object(data)
    except (OSError, ValueError):
        return None
    action, thing, boot, began = (entries.get(key) for key in ("action", "thing", "boot", "began"))
    facts = entries.get("facts")
    if action not in ACTIONS or not isinstance(facts, dict):
        return None
    return Begun(action, str(thing), str(boot), str(began), {str(key): str(value) for key, value in facts.items()})
