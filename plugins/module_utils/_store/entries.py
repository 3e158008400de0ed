# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes the entries of checkpoint_info: the same keys for an archive, a folder of images and a stored checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Union

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import escaped
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

# What is known without the contents.
ABOUT = (
    *("kind", "checkpoint", "name", "made_at", "size_bytes", "reason", "message", "record", "record_fault", "sha256"),
    *("verified", "damaged_parts", "signed", "pinned", "encrypted", "why", "who", "pre_checkpoint", "parent", "host"),
    *("restorable", "reasons"),
)
# The keys of the contents; all of them are None where these cannot be read, or were not asked for.
KEYS = (
    *("container", "id", "image", "runtime", "created", "checkpointed", "engine", "ip", "mac", "checkpoint_size"),
    *("lsm", "labels", "process_count", "thread_count", "lock_count", "processes", "open_files", "locks", "sockets"),
    *("tcp_connections", "memory", "mounts", "statistics"),
)
_RECORDED = ("checkpointed_at", "criu", "options", "selinux", "process_label", "apparmor_profile", "ran_on", "sha256")
_PROCESS = (
    *("checkpointed_at", "criu", "selinux", "pid", "comm", "exe", "unit", "cgroup", "leave_running", "pre_dump"),
    *("shell_job", "tcp_established", "file_locks"),
)
AnyRecord = Union[Record, ProcessRecord]


@dataclass
class Checkpoint:
    """One checkpoint: its entry, and what else a look at the host needs. ``path`` is the archive or the images.

    ``parents``: the images in a store that these are based on; None without a store, where links say it.
    """

    path: str
    entry: dict[str, Any]
    record: AnyRecord | None = None
    host: Host = field(default_factory=Host)
    options: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] | None = None


def entry_of(path: str, **found: Any) -> dict[str, Any]:
    """Returns an entry with all keys."""
    return {"path": escaped(path), **dict.fromkeys((*ABOUT, *KEYS)), **found}


def failed(path: str, error: CheckpointError, **found: Any) -> Checkpoint:
    """Returns the entry of a checkpoint that cannot be read."""
    return Checkpoint(path, entry_of(path, reason=error.reason, message=escaped(error.message), **found))


def shown_record(record: AnyRecord | None) -> dict[str, Any] | None:
    """Returns what an entry shows of a record; a process has chosen its name, and its user that of the program."""
    if record is None:
        return None
    keys = _RECORDED if isinstance(record, Record) else _PROCESS
    found = {key: getattr(record, key) for key in keys}
    return {key: escaped(value) if isinstance(value, str) else value for key, value in found.items()}


def summary_of(record: Record) -> dict[str, Any]:
    """Returns the keys of the contents that the record of a container has, too."""
    return {
        "container": record.name,
        "id": record.id,
        "image": record.image,
        "runtime": record.runtime,
        "engine": record.engine.capitalize(),
    }


def judge(one: Checkpoint, blockers: Callable[[Checkpoint], list[CheckpointError]]) -> None:
    """Puts into an entry whether the checkpoint can be restored on this host, and all that is in the way."""
    from ansible_collections.criu.hosts.plugins.module_utils._store.preflight import reasons_of, with_remedy

    entry = one.entry
    if entry["reason"]:
        entry["reasons"] = [with_remedy(entry["reason"], entry["message"])]
    else:
        changed = [_changed(one)] if entry["verified"] is False else []
        entry["reasons"] = reasons_of([*changed, *blockers(one)])
    entry["restorable"] = not entry["reasons"]


def _changed(one: Checkpoint) -> CheckpointError:
    named = f" of {', '.join(map(repr, one.entry['damaged_parts'][:5]))}" if one.entry["damaged_parts"] else ""
    return CheckpointError(
        f"Cannot restore from {one.path!r}: its SHA-256{named} is not the recorded one. Copy the checkpoint again, or "
        "make it again.",
        reason="archive_invalid",
    )
