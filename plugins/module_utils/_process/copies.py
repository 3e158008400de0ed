# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the process that was restored from images, also if the task that restored it was cut off.

CRIU writes the pid file before it lets the processes run. So if a restore has begun and there is no pid file, the
program has not run, or somebody has removed the file. For root, both notes are also kept by the digest of the images,
in /run, so that copies of the images find them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError, read_core
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import (
    Process,
    boot_id,
    is_alive,
    read_process,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import inner_pid
from ansible_collections.criu.hosts.plugins.module_utils._store import own_file
from ansible_collections.criu.hosts.plugins.module_utils._store.begun import Begun, read_begun
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import (
    Images,
    begun_path,
    invalid,
    note_path,
    work_path,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import PID_LIMIT, RULES
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import Rule, check_fields, is_number

_LIMIT = 64 << 10
NOTE_RULES: dict[str, Rule] = {
    **{key: RULES[key] for key in ("start", "boot", "inventory")},
    # 0 stands for a process that is not known.
    "pid": lambda value: is_number(value, 0, PID_LIMIT),
}


@dataclass(frozen=True)
class Copy:
    """The running process. ``proved``: its labels were compared; ``path``: the images that it was restored from."""

    process: Process
    proved: bool
    path: str


def begun_paths(paths: Paths, path: str, digest: str, *, root: bool) -> tuple[str, ...]:
    """Returns all paths of the note that a restore has begun."""
    return (begun_path(path), *((f"{paths.run}/restored/{digest}.begun.json",) if root and digest.isalnum() else ()))


def note_paths(paths: Paths, path: str, digest: str, *, root: bool) -> tuple[str, ...]:
    """Returns all paths of the note about the process that was restored."""
    return (note_path(path), *((f"{paths.run}/restored/{digest}.json",) if root else ()))


def ticks(paths: Paths) -> int:
    """Returns the clock ticks since the boot, in which a start time is counted; 0 if they are not known."""
    try:
        return int(float((read_text(f"{paths.proc}/uptime") or "0").split()[0]) * os.sysconf("SC_CLK_TCK"))
    except (ValueError, IndexError):
        return 0


def read_own(path: str) -> bytes | None:
    """Returns a note or pid file that belongs to root or the caller; None if there is none, or it cannot be one."""
    try:
        return read_below(os.path.dirname(path), os.path.basename(path), limit=_LIMIT, owners=(0, os.geteuid()))
    except OSError:
        return None


def read_pid(path: str) -> int:
    """Returns the pid that CRIU wrote; 0 if it is not there."""
    text = (read_own(path) or b"").strip()
    return int(text) if text.isdigit() and len(text) < 11 else 0


def _noted(paths: Paths, images: Images, path: str) -> Copy | None:
    """Returns the process of a note, if it is running.

    Raises:
        CheckpointError: images_invalid, there is a note that cannot be used, so that a copy may be running.
    """
    try:
        data = own_file.read_own(path, limit=_LIMIT)
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
    alive = entry["inventory"] == images.digest and is_alive(paths, pid, entry["start"], entry["boot"])
    process = read_process(paths, pid) if alive else None
    return Copy(process, True, str(entry.get("images", images.path))) if process is not None else None


def note_text(process: Process | None, images: Images, path: str) -> str:
    """Returns the text of the note that identifies the process as restored from these images."""
    pid, start, boot = process.identity if process is not None else (0, "", "")
    entry = {"pid": pid, "start": start, "boot": boot, "inventory": images.digest, "images": path}
    return json.dumps(entry) + "\n"


def _inside(paths: Paths, pid: int) -> str:
    return inner_pid(read_text(f"{paths.proc}/{pid}/status") or "").rpartition("/")[2]


def _is_like(process: Process, images: Images) -> bool:
    """Returns whether a process has the program or the name that the images have; it may have changed one of them."""
    record, root = images.record, images.tasks[0].pid
    try:
        comm = read_core(images.path, root).comm
    except (ImageError, OSError):
        comm = record.comm if record is not None else ""
    return process.comm == comm or (record is not None and bool(record.exe) and process.exe == record.exe)


def _unclear(images: Images, begun: Begun, process: Process) -> CheckpointError:
    return CheckpointError(
        f"Cannot restore {images.text} from {images.path!r}: an earlier restore was cut off, and {process.text} may be "
        "what it restored: two copies must not run at once. End that process; if it is a different one, remove the "
        f"folder {work_path(begun.thing)!r}.",
        reason="restore_unclear",
        pid=process.pid,
    )


def _search(paths: Paths, images: Images, begun: Begun, since: int) -> None:
    """Refuses if a process with a pid namespace of its own may be a copy. Other copies have the ids in the images."""
    if images.tasks[0].pid != 1:
        return
    succeeded = os.path.exists(begun.facts.get("statistics", ""))
    for name in sorted(os.listdir(paths.proc)):
        if not name.isdigit() or name == "1" or _inside(paths, int(name)) != "1":
            continue
        process = read_process(paths, int(name))
        if process is not None and int(process.start) >= since and (succeeded or _is_like(process, images)):
            raise _unclear(images, begun, process)


def restored_by(paths: Paths, begun: Begun | None, images: Images) -> Process | None:
    """Returns the process that the restore which has begun has restored, if it is running.

    Raises:
        CheckpointError: restore_unclear, a process may be it.
    """
    if begun is None or begun.action != "restoring" or begun.boot != boot_id(paths) or not images.tasks:
        return None
    facts = begun.facts
    if facts.get("inventory") != images.digest:
        return None
    since = int(facts["ticks"]) if facts.get("ticks", "").isdigit() else 0
    pid = read_pid(facts.get("pid_file", ""))
    if pid == 0:
        _search(paths, images, begun, since)
        return None
    process = read_process(paths, pid)
    if process is None or int(process.start) < since or _inside(paths, pid) != str(images.tasks[0].pid):
        return None
    if not _is_like(process, images):
        raise _unclear(images, begun, process)
    return process


def find_copy(paths: Paths, images: Images, *, root: bool) -> Copy | None:
    """Returns the process that was restored from these images or from a copy of them, if it is running.

    Raises:
        CheckpointError: restore_unclear.
    """
    for path in note_paths(paths, images.path, images.digest, root=root):
        copy = _noted(paths, images, path)
        if copy is not None:
            return copy
    for path in begun_paths(paths, images.path, images.digest, root=root):
        begun = read_begun(path)
        process = restored_by(paths, begun, images)
        if process is not None and begun is not None:
            return Copy(process, False, begun.thing)
    return None
