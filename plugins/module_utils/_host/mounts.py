# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads /proc/PID/mountinfo: what is mounted where, what a path leads to, and which mounts pass an unmount on."""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass
from typing import Iterator, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# The kernel appends this to the root of a mount whose file or folder was removed. No path has two slashes.
DELETED = "//deleted"
# proc_pid_mountinfo(5): blanks, tabs, newlines and backslashes in names.
_ESCAPE = re.compile(r"\\([01][0-7]{2})")
_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_PEERS = re.compile(r"shared:[0-9]{1,10}\Z")
# id, parent, device, root, mount point, options; then optional fields up to a dash; then type, source, options.
_LEAST = 6


@dataclass(frozen=True)
class Mount:
    """A mount. ``root`` is the folder or file of its file system that is seen at ``point``.

    ``kind``: the type of the file system, for some with a subtype: fuse.sshfs.
    ``shared``: a mount or unmount below it happens at its peers, too.
    """

    id: int
    parent: int
    device: str
    root: str
    point: str
    kind: str
    shared: bool = False

    @property
    def is_deleted(self) -> bool:
        return self.root.endswith(DELETED)


def parse_mounts(text: str) -> list[Mount]:
    """Returns the mounts, in the order of the kernel: of two at one mount point, the later one is on top."""
    found = (_parse_line(line) for line in text.split("\n"))
    return [mount for mount in found if mount is not None]


def _parse_line(line: str) -> Mount | None:
    fields = line.split(" ")
    if len(fields) <= _LEAST or not _NUMBER.match(fields[0]) or not _NUMBER.match(fields[1]):
        return None
    dash = fields.index("-", _LEAST) if "-" in fields[_LEAST:] else len(fields)
    root, point = _plain(fields[3]), _plain(fields[4])
    if len(fields) < dash + 2 or not point.startswith("/"):
        return None
    shared = any(map(_PEERS.match, fields[_LEAST:dash]))
    # A user who mounts chooses the subtype. Its escapes stay, so it is one word in a message.
    return Mount(int(fields[0]), int(fields[1]), fields[2], root, point, fields[dash + 1], shared)


def _plain(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found.group(1), 8)), text)


def is_below(path: str, folder: str) -> bool:
    """Returns whether an absolute path is below a folder, and is not the folder itself."""
    return path != folder and path.startswith(folder if folder.endswith("/") else f"{folder}/")


def _leads_to(mount: Mount, path: str) -> bool:
    return mount.point == path or is_below(path, mount.point)


def _by_parent(mounts: Sequence[Mount]) -> dict[int, list[Mount]]:
    found: dict[int, list[Mount]] = {}
    for mount in mounts:
        found.setdefault(mount.parent, []).append(mount)
    return found


def covering(mounts: Sequence[Mount], path: str) -> Mount | None:
    """Returns the mount that an absolute path without links is on; None if the text of the mounts was incomplete."""
    known = {mount.id for mount in mounts}
    tops = [mount for mount in mounts if mount.point == "/" and (mount.parent not in known or mount.parent == mount.id)]
    if not tops:
        return None
    way, current, below = {tops[-1].id}, tops[-1], _by_parent(mounts)
    while True:
        on_it = [one for one in below.get(current.id, ()) if one.id not in way and _leads_to(one, path)]
        if not on_it:
            return current
        # The kernel walks from the left: the first mount point on the way hides those behind it.
        current = min(on_it, key=lambda mount: len(mount.point))
        way.add(current.id)


def location(mounts: Sequence[Mount], path: str) -> tuple[str, str] | None:
    """Returns the device of a path and the path in its file system, as the mount of a bind shows them."""
    cover = covering(mounts, path)
    if cover is None:
        return None
    inside = posixpath.relpath(path, cover.point)
    return cover.device, cover.root if inside == "." else posixpath.join(cover.root, inside)


def exposed(mounts: Sequence[Mount], folder: str) -> Iterator[Mount]:
    """Yields the mounts below a folder that end when a recursive bind of the folder is unmounted.

    The bind copies the mounts below the folder. Each copy of a shared mount is its peer, so an unmount on the copy also
    happens on the original (mount_namespaces(7)).
    """
    cover = covering(mounts, folder)
    rest = [cover] if cover is not None else []
    seen, below = {mount.id for mount in rest}, _by_parent(mounts)
    while rest:
        parent = rest.pop(0)
        for one in below.get(parent.id, ()):
            if one.id not in seen and is_below(one.point, folder):
                seen.add(one.id)
                rest.append(one)
                if parent.shared:
                    yield one


def read_mounts(paths: Paths, pid: int | str = "self") -> list[Mount]:
    """Reads the mounts of a process; none if it has ended."""
    return parse_mounts(read_text(f"{paths.proc}/{pid}/mountinfo", may_fail=True) or "")


def resolve(paths: Paths, path: str) -> str:
    """Returns an absolute path of the host without links; what does not exist stays as it is."""
    real = os.path.realpath(paths.below(path))
    root = os.path.realpath(paths.root) if paths.root else ""
    return real[len(root) :] if root and real.startswith(f"{root}/") else real
