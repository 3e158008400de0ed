# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads from /proc what processes have open and mapped. A process, or a file of it, that ends meanwhile is left out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.process import comm_of, stat_fields

# What is beyond these limits is not looked at: a look must stay short, and CRIU sees everything afterwards.
PROCESSES, DESCRIPTORS, MAPPINGS = 512, 2048, 16384
DELETED = " (deleted)"
# Names of memory that is no file, although it is shown as a deleted one: shmem_kernel_file_setup in the kernel.
MEMORY = ("/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage", "/drm mm object", "/i915", "/secretmem", "/[aio]")
# What a look at a file itself may find: a device, or the size of a deleted file. Others may be on a dead server.
LOOKED_AT = ("/dev/",)


@dataclass(frozen=True)
class File:
    """An open file, or one that is mapped (``descriptor`` -1).

    Args:
        mode: 0 if the file itself was not looked at.
        device: the number of a device.
        links: how many names the file has.
        size: its size or what it takes on the disk, whichever is less.
        protocol: that of a socket.
        peer: the process of a pidfd; 0 for others, and if it has ended.
    """

    descriptor: int
    link: str
    mode: int = 0
    device: int = 0
    links: int = 1
    size: int = 0
    protocol: str = ""
    peer: int = 0

    @property
    def where(self) -> str:
        return f"open as file descriptor {self.descriptor}" if self.descriptor >= 0 else "mapped"


@dataclass(frozen=True)
class Sight:
    """A process as /proc shows it. ``users`` and ``groups`` are the real, effective and saved ids."""

    pid: int
    comm: str
    tracer: int
    users: tuple[int, ...]
    groups: tuple[int, ...]
    files: tuple[File, ...]

    @property
    def text(self) -> str:
        return f"process {self.pid} ({shown(self.comm)})"


def parse_status(text: str) -> dict[str, tuple[int, ...]]:
    """Returns the numbers of a status or fdinfo file by their names; a mask of capabilities is read as hexadecimal."""
    found: dict[str, tuple[int, ...]] = {}
    for line in text.split("\n"):
        name, dummy_colon, rest = line.partition(":")
        base = 16 if name.startswith("Cap") else 10
        try:
            found.setdefault(name, tuple(int(word, base) for word in rest.split()))
        except ValueError:
            continue
    return found


def parse_maps(text: str) -> Iterator[tuple[str, str]]:
    """Yields the range (as in map_files) and the name of each mapping of a file, the first for each name."""
    seen: set[str] = set()
    for line in text.split("\n")[:MAPPINGS]:
        fields = line.split(None, 5)
        name = fields[5] if len(fields) == 6 else ""
        if not name.startswith(("/", "anon_inode:")) or name in seen:
            continue
        seen.add(name)
        start, dummy_dash, end = fields[0].partition("-")
        # The kernel writes leading zeros here, and none in map_files.
        yield f"{start.lstrip('0') or '0'}-{end.lstrip('0') or '0'}", name


def is_deleted(link: str) -> bool:
    """Returns whether a file without a name has this link."""
    return link.startswith("/") and link.endswith(DELETED) and not link.startswith(MEMORY)


def _file(path: str, descriptor: int, link: str) -> File:
    """Returns the file behind a link of /proc, and looks at it if its name says that this is of use."""
    if link.startswith("socket:"):
        return File(descriptor, link, protocol=_protocol(path))
    if link == "anon_inode:[pidfd]" or link.startswith("pidfd:"):
        return File(descriptor, link, peer=_peer(path))
    if not is_deleted(link) and not link.startswith(LOOKED_AT):
        return File(descriptor, link)
    try:
        found = os.stat(path)
    except OSError:
        return File(descriptor, link)
    size = min(found.st_size, found.st_blocks * 512)
    return File(descriptor, link, found.st_mode, found.st_rdev, found.st_nlink, size)


def _protocol(path: str) -> str:
    """Returns the protocol of a socket, which the kernel gives as an attribute (sockfs_xattr_get)."""
    try:
        return os.getxattr(path, "system.sockprotoname").rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return ""


def _peer(path: str) -> int:
    folder, dummy_slash, number = path.rpartition("/")
    found = parse_status(read_text(f"{folder}info/{number}", may_fail=True) or "").get("Pid", ())
    return found[0] if found and found[0] > 0 else 0


def _open_files(base: str) -> Iterator[File]:
    for name in _names(f"{base}/fd")[:DESCRIPTORS]:
        path = f"{base}/fd/{name}"
        try:
            yield _file(path, int(name), os.readlink(path))
        except (OSError, ValueError):
            continue


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _mapped_files(base: str) -> Iterator[File]:
    for place, name in parse_maps(read_text(f"{base}/maps", may_fail=True) or ""):
        yield _file(f"{base}/map_files/{place}", -1, name)


def descends(paths: Paths, pid: int, root: int) -> bool:
    """Returns whether a process descends from ``root``; also if it has ended, as nothing is known about it then."""
    for dummy_step in range(PROCESSES):
        fields = stat_fields(paths, pid, may_fail=True)
        if pid == root or len(fields) < 2 or not fields[1].isdigit():
            return True
        pid = int(fields[1])
        if pid == 0:
            return False
    return True


def read_sight(paths: Paths, pid: int) -> Sight | None:
    """Looks at one process; None if it has ended."""
    base = f"{paths.proc}/{pid}"
    status = read_text(f"{base}/status", may_fail=True)
    if status is None:
        return None
    numbers = parse_status(status)
    files = (*_open_files(base), *_mapped_files(base))
    tracer = numbers.get("TracerPid", (0,))[:1] or (0,)
    return Sight(pid, comm_of(paths, pid), tracer[0], numbers.get("Uid", ())[:3], numbers.get("Gid", ())[:3], files)


def namespace(paths: Paths, pid: int | str, kind: str) -> str:
    """Returns what identifies a namespace of a process; empty if it cannot be read."""
    try:
        return os.readlink(f"{paths.proc}/{pid}/ns/{kind}")
    except OSError:
        return ""


def shares(paths: Paths, pid: int, kind: str) -> bool:
    """Returns whether a process is in the namespace of the task, which is CRIU's; False if that is not known."""
    own = namespace(paths, "self", kind)
    return own != "" and own == namespace(paths, pid, kind)
