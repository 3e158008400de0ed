# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads results of checkpoint_info, of one host or several, and sorts their checkpoints by container."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.criu.hosts.plugins.plugin_utils._report.text import parse_store_id, parse_time

Entry = Mapping[str, Any]
# Stands for the name of a container whose archive does not say it.
UNREADABLE = "not readable"


@dataclass
class Checkpoint:
    """A checkpoint and the answers of each host about it; ``entry`` is the answer that says most."""

    container: str
    name: str
    made: datetime | None
    entry: Entry
    answers: dict[str, Entry] = field(default_factory=dict)

    @property
    def damaged(self) -> bool:
        return bool(self.entry["reason"])


def hosts_of(value: Any) -> dict[str, Sequence[Entry]]:
    """Returns the checkpoints of each host.

    Args:
        value: the list checkpoints, the whole result of the module, or one of these for each host, by its name. The
            list of a single host has the name "".
    """
    if isinstance(value, Mapping) and "checkpoints" not in value:
        return {str(host): hosts_of(one)[""] for host, one in value.items()}
    found = value["checkpoints"] if isinstance(value, Mapping) else value
    if isinstance(found, (str, bytes)) or not isinstance(found, Sequence):
        raise TypeError("it has no list of checkpoints")
    for entry in found:
        if not isinstance(entry, Mapping) or not isinstance(entry["path"], str) or "reason" not in entry:
            raise TypeError("its checkpoints are not those of checkpoint_info")
    return {"": found}


def name_of(entry: Entry) -> tuple[str, str]:
    """Returns the name of the container or process, and that of its checkpoint: of a file, or an id in a store."""
    folder, base = os.path.split(str(entry["path"]).rstrip("/"))
    for path in (str(entry["path"]).rstrip("/"), folder):
        above, last = os.path.split(path)
        if parse_store_id(last):
            return str(entry.get("name") or entry.get("container") or os.path.basename(above)), last
    return str(entry.get("name") or entry.get("container") or UNREADABLE), base


def made_at(entry: Entry, name: str) -> datetime | None:
    """Returns the time of a checkpoint: that of its record, of its engine, or in its id."""
    record = entry.get("record") or {}
    known = (record.get("checkpointed_at"), entry.get("made_at"), entry.get("checkpointed"))
    return next(filter(None, map(parse_time, known)), None) or parse_store_id(name)


def sorted_checkpoints(hosts: Mapping[str, Sequence[Entry]]) -> list[Checkpoint]:
    """Returns the checkpoints by container, the newest first; the same one on several hosts is one."""
    found: dict[tuple[Any, ...], Checkpoint] = {}
    for host, entries in hosts.items():
        for entry in entries:
            container, name = name_of(entry)
            key = (name,) if parse_store_id(name) else (container, name, entry.get("id"))
            one = found.setdefault(key, Checkpoint(container, name, made_at(entry, name), entry))
            one.answers[host] = entry
            if one.damaged and not entry["reason"]:
                one.entry = entry
    newest = sorted(found.values(), key=lambda one: (one.made is not None, one.made or 0, one.name), reverse=True)
    return sorted(newest, key=lambda one: (one.container == UNREADABLE, one.container))


@dataclass(frozen=True)
class Blocker:
    """Something that makes a restore fail."""

    reason: str
    message: str
    remedy: str


def blockers_of(entry: Entry) -> list[Blocker] | None:
    """Returns what makes a restore on this host fail; None if the host was not asked."""
    if entry["reason"]:
        return [Blocker(str(entry["reason"]), str(entry.get("message") or ""), "")]
    reasons = entry.get("reasons")
    if reasons is None or entry.get("restorable") is None:
        return None
    return [Blocker(str(one["reason"]), str(one.get("message") or ""), str(one.get("remedy") or "")) for one in reasons]
