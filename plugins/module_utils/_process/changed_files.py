# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore for which a file of the host has changed, or a port is taken, so that CRIU is certain to fail."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import stat
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import (
    Listener,
    SavedFile,
    read_listeners,
    read_saved_files,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import ImageError
from ansible_collections.criu.hosts.plugins.module_utils._host.names import DEFAULT_CONFIG, user_config

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._store.image_folder import Images

# With these options in a configuration file, CRIU opens other files.
ELSEWHERE = ("root", "inherit-fd", "external")
PERMISSIONS = "skip-file-rwx-check"


def difference(paths: Paths, saved: SavedFile, *, permissions: bool) -> str:
    """Returns how a file differs from the one in the images so that CRIU refuses it; empty if it does not.

    open_path and validate_file in criu/files-reg.c compare the size and the mode.
    """
    kind = stat.S_IFMT(saved.mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR) or saved.name.startswith("/proc/") or "\0" in saved.name:
        return ""
    try:
        now = os.stat(paths.below(saved.name))
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist any more"
    except OSError:
        return ""
    if saved.size is not None and kind == stat.S_IFREG and now.st_size != saved.size:
        return f"has {now.st_size} bytes, and had {saved.size} at the checkpoint"
    ignored = 0 if permissions else 0o777
    if now.st_mode & ~ignored != saved.mode & ~ignored:
        return f"has the mode {now.st_mode:o}, and had {saved.mode:o} at the checkpoint"
    return ""


def changed_files(paths: Paths, folder: str) -> list[tuple[SavedFile, str]]:
    """Returns the files of the images that have changed, with what has; none if the images cannot be read."""
    try:
        saved = read_saved_files(folder)
    except (ImageError, OSError):
        return []
    found = [(one, difference(paths, one, permissions=True)) for one in saved]
    found = [(one, what) for one, what in found if what]
    if not found:
        return []
    # Only now: nearly every restore finds its files unchanged, and need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._criu_config.before_dump import read_files

    lines = read_files(paths, (DEFAULT_CONFIG, user_config()))
    names = {line.name for line in lines} if lines is not None else {*ELSEWHERE}
    if names & {*ELSEWHERE}:
        return []
    found = [(one, difference(paths, one, permissions=PERMISSIONS not in names)) for one, dummy_what in found]
    return [(one, what) for one, what in found if what]


def refuse_changed_files(paths: Paths, images: Images) -> None:
    """Refuses a restore for which a file is missing or has another size or mode.

    Raises:
        CheckpointError: files_changed.
    """
    found = changed_files(paths, images.path)
    if not found:
        return
    (saved, what), others = found[0], len({one.name for one, dummy in found}) - 1
    more = f" {others} further files have changed." if others else ""
    raise CheckpointError(
        f"Cannot restore {images.text}: the file {shown(saved.name)} {what}.{more} Put back the file that it had, "
        "for a program or library from the same version of its package.",
        reason="files_changed",
        path=saved.name.encode("utf-8", "backslashreplace").decode("utf-8"),
    )


def is_taken(one: Listener) -> bool:
    """Returns whether a socket cannot have its port, by a try with the options that CRIU sets (criu/sk-inet.c)."""
    family = socket.AF_INET if len(one.address) == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            if one.only_six:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            tried.bind((socket.inet_ntop(family, one.address), one.port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def refuse_taken_ports(images: Images) -> None:
    """Refuses a restore that listens on a port on which another socket listens.

    Raises:
        CheckpointError: port_in_use.
    """
    try:
        listeners = read_listeners(images.path)
    except (ImageError, OSError):
        return
    for one in listeners:
        if is_taken(one):
            raise CheckpointError(
                f"Cannot restore {images.text}: it listens on {ipaddress.ip_address(one.address)} port {one.port}, "
                f"which a different process has. End that; 'ss -tlnp sport = :{one.port}' names it.",
                reason="port_in_use",
            )
