# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Who lives already, and who we are: there are never two of a process, and not everybody may give it its label."""

from __future__ import annotations

import json

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, is_alive, read_process
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, note_path


def read_note(images: Images) -> Process | None:
    """The process that was restored from these images and still lives."""
    try:
        entry = json.loads(read_text(note_path(images.path)) or "{}")
        known = entry["inventory"] == images.digest and is_alive(int(entry["pid"]), entry["start"], entry["boot"])
        return read_process(int(entry["pid"])) if known else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def holder(pid: int) -> str:
    """Who has this process or thread id; empty if nobody."""
    base = f"{PLACES.proc}/{pid}"
    status = read_text(f"{base}/status")
    if status is None:
        return ""
    comm = (read_text(f"{base}/comm") or "").rstrip("\n")
    group = [line.split()[1] for line in status.splitlines() if line.startswith("Tgid:")]
    return f"{comm!r}" if group in ([], [str(pid)]) else f"{comm!r}, a thread of process {group[0]}"


def refuse_second_copy(images: Images) -> None:
    """Refuse when the process, or anybody with one of its ids, lives.

    Raises:
        CheckpointError: process_running, pid_in_use.
    """
    record = images.record
    if record is not None and record.alive:
        raise CheckpointError(
            f"Refuse to restore {record.text} from {images.path!r}: the process that was checkpointed still lives, "
            "and there must not be two of it. Stop it first.",
            reason="process_running",
            pid=record.pid,
        )
    if images.tasks[0].pid == 1:
        return  # the processes bring a pid namespace of their own
    for task in images.tasks:
        for pid in task.threads:
            name = holder(pid)
            if name:
                raise CheckpointError(
                    f"Refuse to restore {images.text} from {images.path!r}: its id {pid} is taken by {name}. Wait "
                    "until that has ended, stop it, or restore after a reboot.",
                    reason="pid_in_use",
                    pid=pid,
                )
