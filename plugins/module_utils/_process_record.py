# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A folder of CRIU's images with our record in it: safe paths, whose images they are, whether they are whole."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._images import (
    ImageError,
    Inventory,
    Task,
    read_core,
    read_inventory,
    read_tasks,
)
from ansible_collections.criu.hosts.plugins.module_utils._labels import Thread
from ansible_collections.criu.hosts.plugins.module_utils._local import PLACES, read_text
from ansible_collections.criu.hosts.plugins.module_utils._process import is_alive

SCHEMA = 1
RECORD = "criu-hosts.json"


@dataclass(frozen=True)
class ProcessRecord:
    """What was known of a process when it was checkpointed; ``inventory`` ties the record to its images."""

    pid: int
    start: str
    boot: str
    comm: str
    exe: str
    cgroup: str
    inventory: str = ""
    unit: str = ""
    inherit: Any = ()
    leave_running: bool = False
    pre_dump: bool = False
    shell_job: bool = False
    parent: str = ""
    parent_inventory: str = ""
    checkpointed_at: str = ""
    criu: str = ""
    selinux: str = ""
    external: Any = ()

    @property
    def text(self) -> str:
        return f"process {self.pid} ({self.comm!r})"

    @property
    def alive(self) -> bool:
        return is_alive(self.pid, self.start, self.boot)


def render_record(record: ProcessRecord) -> str:
    return json.dumps({"schema": SCHEMA, **record.__dict__}, indent=1, sort_keys=True) + "\n"


def parse_record(text: str | None) -> ProcessRecord | None:
    """The record of a file; None if there is none that this release understands."""
    try:
        entries = json.loads(text or "")
        if entries.pop("schema") != SCHEMA:
            return None
        return ProcessRecord(**{**entries, "pid": int(entries["pid"])})
    except (ValueError, AttributeError, KeyError, TypeError):
        return None


def partial_path(path: str) -> str:
    """Where the images are while they are made."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.partial")


def old_path(path: str) -> str:
    """Where replaced images wait for their end."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.old")


def work_path(path: str) -> str:
    """Where CRIU puts its logs and statistics: beside the images, so that a failed dump leaves its log."""
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.criu")


def note_path(path: str) -> str:
    """What was restored from the images."""
    return os.path.join(work_path(path), "restored.json")


def inventory_hash(folder: str) -> str:
    """The SHA-256 of inventory.img, a file of some hundred bytes; empty if it is not there."""
    try:
        with open(os.path.join(folder, "inventory.img"), "rb") as handle:
            return hashlib.sha256(handle.read(1 << 16)).hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def unsafe(path: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(
        f"Refuse to use the images folder {path!r}: {why}. {advice}", reason="images_path_unsafe", path=path
    )


def check_images_path(path: str) -> None:
    """Refuse a path where others could read memory out of the images, or put others in their place."""
    if not os.path.isabs(path) or os.path.normpath(path) != path or os.path.dirname(path) == path:
        raise unsafe(path, "the path is not the absolute path of a folder of its own", "Give one, without '..'.")
    for folder, what in ((os.path.dirname(path), "the folder above it"), (path, "it")):
        if not os.path.lexists(folder):
            continue
        status = os.lstat(folder) if folder == path else os.stat(folder)
        if not stat.S_ISDIR(status.st_mode):
            raise unsafe(path, f"{what} is not a folder", "Give another path.")
        if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
            raise unsafe(path, f"others may write to {what}", "Use a folder of your own, mode 0700.")


@dataclass(frozen=True)
class Images:
    """What lies in an images folder. ``record`` is None when it is not of these images."""

    path: str
    inventory: Inventory
    tasks: tuple[Task, ...]
    digest: str
    record: ProcessRecord | None = None
    size_bytes: int = 0
    problems: tuple[str, ...] = field(default=())

    @property
    def pre_dump(self) -> bool:
        return not self.tasks

    @property
    def root(self) -> Task | None:
        return self.tasks[0] if self.tasks else None

    @property
    def text(self) -> str:
        if self.record is not None:
            return self.record.text
        return f"process {self.tasks[0].pid}" if self.tasks else "a pre-dump"


def size_of(folder: str) -> int:
    """The bytes of all files in the folder."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(folder) if entry.is_file(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return 0


def is_empty(path: str) -> bool:
    """Whether nothing is there, or only an empty folder."""
    return not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path))


def read_images(path: str) -> Images | None:
    """What the folder holds; None if it is empty or not there.

    Raises:
        CheckpointError: images_invalid, something else is in it, or the images are damaged.
    """
    if is_empty(path):
        return None
    digest = inventory_hash(path)
    record = parse_record(read_text(os.path.join(path, RECORD)))
    try:
        inventory = read_inventory(path)
        tasks = read_tasks(path) if os.path.lexists(os.path.join(path, "pstree.img")) else ()
    except (ImageError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise invalid(path, f"its inventory.img or pstree.img is not whole ({why})") from error
    if record is not None and (record.inventory != digest or record.pre_dump is not (not tasks)):
        record = None
    return Images(path, inventory, tasks, digest, record, size_of(path))


def invalid(path: str, why: str) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the images folder {path!r}: {why}. Make the images again, copy all of them again, or give a "
        "folder that is empty or not there.",
        reason="images_invalid",
        path=path,
    )


def read_labels(images: Images) -> tuple[Thread, ...]:
    """The label of every thread, as CRIU found it while they stood still; empty without SELinux."""
    if images.inventory.lsm != "selinux":
        return ()
    found = []
    for task in images.tasks:
        for tid in task.threads:
            try:
                core = read_core(images.path, tid)
            except (ImageError, OSError) as error:
                raise invalid(images.path, f"its core-{tid}.img is missing or not whole ({error})") from error
            found.append(Thread(str(task.pid), str(tid), core.comm, core.label))
    return tuple(found)


def check_parents(images: Images) -> None:
    """Follow the link ``parent``: each folder must be the one that its child was made on.

    Raises:
        CheckpointError: parent_changed.
    """
    path, record, seen = images.path, images.record, set()
    while os.path.lexists(os.path.join(path, "parent")):
        parent = os.path.realpath(os.path.join(path, "parent"))
        digest = inventory_hash(parent)
        if parent in seen or not digest or (record is not None and record.parent_inventory != digest):
            raise CheckpointError(
                f"Cannot use the images folder {images.path!r}: its memory is partly in the parent images "
                f"{parent!r}, which {'are not those it was made on' if digest else 'are not there'}. Bring them back, "
                "or make the images again.",
                reason="parent_changed",
                path=parent,
            )
        seen.add(parent)
        path, record = parent, parse_record(read_text(os.path.join(parent, RECORD)))


def pid_file_path(path: str) -> str:
    """Where CRIU and systemd agree on the pid of what was restored from the images."""
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{PLACES.run}/restore/{name}.pid"
