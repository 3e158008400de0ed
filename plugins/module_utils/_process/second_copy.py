# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore while the process is running or one of its ids is taken."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import comm_of
from ansible_collections.criu.hosts.plugins.module_utils._process.copies import Copy
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._process.zombies import wait_for_parent
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images


def holder(paths: Paths, pid: int) -> str:
    """Returns a description of the process or thread that has this id; empty if the id is free."""
    status = read_text(f"{paths.proc}/{pid}/status")
    if status is None:
        return ""
    comm = comm_of(paths, pid)
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
    for pid in (pid for task in images.tasks for pid in task.threads):
        parent = wait_for_parent(paths, pid)
        name = holder(paths, pid)
        if name and parent:
            whose = f"its parent, process {parent} ({comm_of(paths, parent)!r}),"
            raise CheckpointError(
                f"Cannot restore {images.text} from {images.path!r}: process {pid} ({name}) has ended, but {whose} "
                "has not collected its exit status, so the id is still taken. End or restart the parent.",
                reason="pid_in_use",
                pid=pid,
            )
        if name:
            raise CheckpointError(
                f"Cannot restore {images.text} from {images.path!r}: its id {pid} is taken by {name}. Wait until "
                "that has ended, stop it, or restore after a reboot.",
                reason="pid_in_use",
                pid=pid,
            )


def refuse_other_copy(copy: Copy | None, images: Images, options: ProcessOptions) -> None:
    """Refuses when a process that was restored from a copy of these images is running, or may run unproved.

    Raises:
        CheckpointError: process_running.
    """
    if copy is None or (copy.proved and os.path.realpath(copy.path) == os.path.realpath(options.images_path)):
        return
    raise CheckpointError(
        f"Cannot restore {images.text} from {options.images_path!r}: {copy.process.text} was restored from the same "
        f"images in {copy.path!r} and is running, and two copies must not run at once. Stop it first.",
        reason="process_running",
        pid=copy.process.pid,
    )
