# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a folder of CRIU's images with our record in it, and checks that they are complete and belong together."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    ImageError,
    Inventory,
    Task,
    read_core,
    read_inventory,
    read_tasks,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault, others_write
from ansible_collections.criu.hosts.plugins.module_utils._host.names import RECORD
from ansible_collections.criu.hosts.plugins.module_utils._host.resources import folder_bytes
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord, parse_record
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import beside, unsafe

INVENTORY_LIMIT = 1 << 20


def old_path(path: str) -> str:
    """Returns the path of replaced images until they are removed."""
    return beside(path, "old")


def work_path(path: str) -> str:
    """Returns the folder of CRIU's logs and statistics: beside the images, so that the log of a failed dump stays."""
    return beside(path, "criu")


def begun_path(path: str) -> str:
    """Returns the path of the note of what has begun with the images."""
    return os.path.join(work_path(path), "begun.json")


def note_path(path: str) -> str:
    """Returns the path of the note about the process that was restored from the images."""
    return os.path.join(work_path(path), "restored.json")


def refuse_foreign(folder: str) -> None:
    """Refuses images that other users can change, although the folder belongs to root: copied with their owners, say.

    A link other than ``parent`` may lead to such a file.

    Raises:
        CheckpointError: images_invalid.
    """
    try:
        for entry in os.scandir(folder):
            status = entry.stat(follow_symlinks=False)
            link = stat.S_ISLNK(status.st_mode)
            if (link and entry.name != "parent") or (not link and others_write(status)):
                why = "is a symbolic link" if link else "can be changed by users other than root"
                advice = "Check where it comes from, and let all images belong to root, with the mode 0600."
                raise invalid(folder, f"its file {entry.name!r} {why}", advice)
    except OSError as error:
        raise invalid(folder, f"it cannot be read ({error.strerror})") from error


def inventory_hash(folder: str) -> str:
    """Returns the SHA-256 of inventory.img, a file of a few hundred bytes; empty if there is no such file.

    Raises:
        CheckpointError: images_invalid, it cannot be read.
    """
    try:
        data = read_own(os.path.join(folder, "inventory.img"), limit=INVENTORY_LIMIT)
    except ValueError as error:
        raise invalid(folder, f"its inventory.img cannot be read ({error})") from error
    return "" if data is None else hashlib.sha256(data).hexdigest()


def read_record(folder: str) -> ProcessRecord | None:
    """Returns our record in an images folder; None if there is none, as in images that CRIU alone has made.

    Raises:
        CheckpointError: images_invalid, there is one that cannot be used.
    """
    try:
        data = read_own(os.path.join(folder, RECORD))
        return None if data is None else parse_record(data)
    except ValueError as error:
        raise invalid(folder, f"its record {RECORD!r} cannot be used: {error}") from error


@dataclass(frozen=True)
class Images:
    """The content of an images folder. ``record`` is None if it is missing or not of these images.

    ``parents``: the folders that their memory is partly in, the nearest first, as the manifests of a store say; None
    if the links ``parent`` say it.
    """

    path: str
    inventory: Inventory
    tasks: tuple[Task, ...]
    digest: str
    record: ProcessRecord | None = None
    size_bytes: int = 0
    parents: tuple[str, ...] | None = None

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


def is_empty(path: str) -> bool:
    """Returns whether there is nothing at the path, or only an empty folder."""
    return not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path))


def read_images(path: str) -> Images | None:
    """Returns the content of the folder; None if it is empty or does not exist.

    Raises:
        CheckpointError: images_invalid, if the folder holds other files, or the images are damaged.
    """
    try:
        if is_empty(path):
            return None
    except OSError as error:
        raise invalid(path, f"it cannot be read ({error.strerror})") from error
    refuse_foreign(path)
    digest = inventory_hash(path)
    record = read_record(path)
    try:
        inventory = read_inventory(path)
        tasks = read_tasks(path) if os.path.lexists(os.path.join(path, "pstree.img")) else ()
    except (ImageError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise invalid(path, f"its inventory.img or pstree.img is missing or damaged ({why})") from error
    if record is not None and (record.inventory != digest or record.pre_dump is not (not tasks)):
        record = None
    return Images(path, inventory, tasks, digest, record, folder_bytes(path))


def invalid(
    path: str,
    why: str,
    advice: str = "Make the images again, copy all of them again, or give a folder that is empty or does not exist.",
) -> CheckpointError:
    return CheckpointError(
        f"Cannot use the images folder {path!r}: {why}. {advice}",
        reason="images_invalid",
        path=path,
    )


def read_labels(images: Images) -> tuple[Thread, ...]:
    """Returns the label of every thread, as CRIU read it while they were frozen; none without an LSM."""
    if images.inventory.lsm == "none":
        return ()
    found = []
    for task in images.tasks:
        for tid in task.threads:
            try:
                core = read_core(images.path, tid)
            except (ImageError, OSError) as error:
                raise invalid(images.path, f"its core-{tid}.img is missing or damaged ({error})") from error
            found.append(Thread(str(task.pid), str(tid), core.comm, core.label))
    return tuple(found)


def parents_of(images: Images) -> Iterator[str]:
    """Yields the paths of the images that these are based on, the nearest first; links may lead in a circle."""
    if images.parents is not None:
        yield from images.parents
        return
    path = images.path
    while os.path.lexists(os.path.join(path, "parent")):
        path = os.path.join(path, "parent")
        yield path
        path = os.path.realpath(path)


def check_parents(images: Images) -> None:
    """Looks at all that the images are based on: each must have the images that the folder was made on, and be as safe.

    Raises:
        CheckpointError: parent_changed, images_path_unsafe, images_invalid.
    """
    path, record, seen = images.path, images.record, set()
    for place in parents_of(images):
        fault = find_fault(place)
        if fault:
            raise unsafe(path, f"its link 'parent' is not safe: {fault}", "Make the images again.")
        parent = os.path.realpath(place)
        digest = inventory_hash(parent)
        if parent in seen or not digest or (record is not None and record.parent_inventory != digest):
            raise CheckpointError(
                f"Cannot use the images folder {images.path!r}: its memory is partly in the parent images "
                f"{parent!r}, which {'have changed since' if digest else 'are missing'}. Restore the parent images "
                "from a copy, or make the images again.",
                reason="parent_changed",
                path=parent,
            )
        refuse_foreign(parent)
        seen.add(parent)
        path, record = parent, read_record(parent)


def pid_file_path(paths: Paths, path: str) -> str:
    """Returns the path of the file in which CRIU passes the pid of the restored process to systemd."""
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{paths.run}/restore/{name}.pid"
