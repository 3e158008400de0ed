# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore while the process is running or one of its ids is taken."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, is_alive, read_process
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, invalid, note_path
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import PID_LIMIT, RULES
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import Rule, check_fields, is_number

NOTE_LIMIT = 64 << 10
NOTE_RULES: dict[str, Rule] = {
    **{key: RULES[key] for key in ("start", "boot", "inventory")},
    # 0 stands for a process that is not known.
    "pid": lambda value: is_number(value, 0, PID_LIMIT),
}


def read_note(paths: Paths, images: Images) -> Process | None:
    """Returns the process that was restored from these images, if it is still running.

    Raises:
        CheckpointError: images_invalid, there is a note that cannot be used, so that a copy may be running.
    """
    path = note_path(images.path)
    try:
        data = read_own(path, limit=NOTE_LIMIT)
        if data is None:
            return None
        entry = parse_object(data)
        check_fields({key: entry.get(key) for key in NOTE_RULES}, NOTE_RULES)
    except ValueError as error:
        raise invalid(
            images.path,
            f"the note {path!r} on the process that was restored from it cannot be used: {error}",
            "Make sure that this process does not run, and remove the note.",
        ) from error
    pid = entry["pid"]
    known = entry["inventory"] == images.digest and is_alive(paths, pid, entry["start"], entry["boot"])
    return read_process(paths, pid) if known else None


def holder(paths: Paths, pid: int) -> str:
    """Returns a description of the process or thread that has this id; empty if the id is free."""
    base = f"{paths.proc}/{pid}"
    status = read_text(f"{base}/status")
    if status is None:
        return ""
    comm = (read_text(f"{base}/comm") or "").rstrip("\n")
    group = [line.split()[1] for line in status.splitlines() if line.startswith("Tgid:")]
    return f"{comm!r}" if group in ([], [str(pid)]) else f"{comm!r}, a thread of process {group[0]}"


def refuse_second_copy(paths: Paths, images: Images) -> None:
    """Refuses when the process is running, or one of its ids is taken.

    Raises:
        CheckpointError: process_running, pid_in_use.
    """
    record = images.record
    if record is not None and record.is_alive(paths):
        raise CheckpointError(
            f"Cannot restore {record.text} from {images.path!r}: the original process is still running, and two copies "
            "must not run at once. Stop it first.",
            reason="process_running",
            pid=record.pid,
        )
    if images.tasks[0].pid == 1:
        return  # the processes have a pid namespace of their own
    for task in images.tasks:
        for pid in task.threads:
            name = holder(paths, pid)
            if name:
                raise CheckpointError(
                    f"Cannot restore {images.text} from {images.path!r}: its id {pid} is taken by {name}. Wait until "
                    "that has ended, stop it, or restore after a reboot.",
                    reason="pid_in_use",
                    pid=pid,
                )
