# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes the options of a restore by what the record and the images say."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import (
    has_locks,
    has_terminal,
    is_session_leader,
)
from ansible_collections.criu.hosts.plugins.module_utils._process.options import ProcessOptions
from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images, invalid


def as_recorded(images: Images, options: ProcessOptions) -> ProcessOptions:
    """Returns the options with those of the checkpoint, where the task does not set them.

    Raises:
        CheckpointError: shell_job_needed, terminal_missing, images_invalid.
    """
    record = images.record
    try:
        leads, terminal, locks = is_session_leader(images.path), has_terminal(images.path), has_locks(images.path)
    except (ImageError, OSError) as error:
        raise invalid(images.path, f"its pstree.img, tty-info.img or filelocks.img is damaged ({error})") from error
    needed = {
        "shell_job": terminal or not leads or (record is not None and record.shell_job),
        "tcp_established": record is not None and record.tcp_established,
        "file_locks": locks or (record is not None and record.file_locks),
    }
    wanted = {name for name, value in needed.items() if getattr(options, name) or (value and name not in options.off)}
    if (terminal or not leads) and "shell_job" not in wanted:
        raise CheckpointError(
            f"Cannot restore {images.text} from {images.path!r} without shell_job: it is a job of a shell, whose "
            "session is not in the images. Leave shell_job out, or set it.",
            reason="shell_job_needed",
        )
    if terminal and not options.terminal:
        raise CheckpointError(
            f"Cannot restore {images.text} from {images.path!r}: it had a terminal of which the images hold one end "
            "only, and a task has none. Set terminal, for example to /dev/pts/3, or start the process without a "
            "terminal before the checkpoint.",
            reason="terminal_missing",
        )
    external = (*options.external, *(record.external if record is not None else ()))
    return replace(
        options,
        shell_job="shell_job" in wanted,
        tcp_established="tcp_established" in wanted,
        file_locks="file_locks" in wanted,
        unix_sockets=any(one.startswith("unix[") for one in external),
    )


def lost_locks(images: Images, options: ProcessOptions) -> tuple[str, ...]:
    """Returns a warning if the task does not want the locks that the process held."""
    held = has_locks(images.path) or (images.record is not None and images.record.file_locks)
    if options.file_locks or not held:
        return ()
    return (
        f"{images.text} is restored without its file locks, since file_locks is false: another process can lock the "
        "same files. Leave file_locks out to restore them.",
    )
