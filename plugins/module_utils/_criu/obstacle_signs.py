# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The signs in /proc of what CRIU is certain to refuse. What is uncertain stays CRIU's decision.

Each function names the place in CRIU's source (commit 2cf8f13ca, after 4.2), or in the kernel, that refuses it, and
yields what is wrong with a process as the rest of a sentence.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import Version
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import (
    DELETED,
    File,
    Sight,
    descends,
    is_deleted,
    namespace,
    parse_status,
    shares,
)
from ansible_collections.criu.hosts.plugins.module_utils._host.process import comm_of

# DEFAULT_GHOST_LIMIT in criu/include/cr_options.h.
GHOST_LIMIT = 1 << 20
SYS_RESOURCE = 1 << 24
# dump_one_file in criu/files.c; CRIU before 4.1 does not know pidfd, one without libbpf does not know bpf-map.
ANONYMOUS = ("eventfd", "eventpoll", "inotify", "fanotify", "signalfd", "timerfd", "pidfd", "bpf-map")
# dump_chrdev there, and get_tty_driver in criu/tty.c: memory, terminals, serial lines; tun and autofs.
MAJORS = (1, 4, 5, *range(128, 144), 188, 204)
TUN, AUTOFS = (10, 200), (10, 235)
# CRIU's own plugins dump those.
GRAPHICS = ("/dev/nvidia", "/dev/dri/", "/dev/kfd", "drm", "sync_file", "nvidia", "amdgpu")
# dump_socket in criu/sockets.c knows AF_UNIX, AF_INET, AF_INET6, AF_PACKET and AF_NETLINK.
PROTOCOLS = {"AF_VSOCK": "a vsock socket", "ALG": "a socket of the kernel's cryptography (AF_ALG)"}


@dataclass(frozen=True)
class Around:
    """What the judgement of a process depends on, beside the process.

    Args:
        ghost_limit: the largest deleted file in bytes that CRIU dumps.
        link_remap: whether CRIU may give a deleted file with more names a new one.
        external_files: whether files are declared as external.
        plugins: whether CRIU has plugins that this collection does not know.
        mounts: whether CRIU has to dump the mount namespace, with no mount declared as external.
        pre_dump: whether it is for a pre-dump, which does not look at open files.
    """

    paths: Paths
    root: int
    pids: tuple[int, ...]
    criu: Version
    ghost_limit: int = GHOST_LIMIT
    link_remap: bool = False
    external_files: bool = False
    plugins: bool = False
    mounts: bool = False
    pre_dump: bool = False


def traced(sight: Sight, around: Around) -> Iterator[str]:
    """ptrace(PTRACE_SEIZE) fails in compel/src/lib/infect.c: a process has one tracer."""
    if sight.tracer:
        comm = comm_of(around.paths, sight.tracer)
        yield f"is traced by process {sight.tracer} ({shown(comm)}), and CRIU has to trace it"


def _is_io_uring(file: File) -> bool:
    return file.link == "anon_inode:[io_uring]"


def io_uring(sight: Sight, dummy_around: Around) -> Iterator[str]:
    """dump_one_file in criu/files.c; vma_get_mapfile in criu/proc_parse.c."""
    yield from (f"uses io_uring ({file.where}), which CRIU cannot dump" for file in sight.files if _is_io_uring(file))


def devices(sight: Sight, around: Around) -> Iterator[str]:
    """dump_one_file, dump_chrdev, dump_socket and dump_tunfile; for mappings handle_vma in criu/proc_parse.c."""
    for file in sight.files:
        what = "" if around.plugins else _device(file)
        if (os.major(file.device), os.minor(file.device)) == TUN and shares(around.paths, around.root, "net"):
            yield f"has {shown(file.link)} {file.where}, but no network namespace of its own, which CRIU needs for it"
        elif what:
            yield f"has {what} {file.where}, which CRIU cannot dump"
        elif file.peer and file.peer not in around.pids and not descends(around.paths, file.peer, around.root):
            yield f"has a pidfd of process {file.peer} {file.where}, which is not one of the processes to dump"


def _device(file: File) -> str:
    """Returns what the file is if CRIU cannot dump it; empty if it can, or may be able to."""
    if any(word in file.link for word in GRAPHICS):
        return ""
    if file.link.startswith("anon_inode:"):
        name = file.link[len("anon_inode:") :].strip("[]")
        return "" if name in ANONYMOUS or _is_io_uring(file) else shown(file.link)
    if file.protocol in PROTOCOLS:
        return PROTOCOLS[file.protocol]
    if stat.S_ISBLK(file.mode):
        return f"the block device {shown(file.link)}"
    if not stat.S_ISCHR(file.mode):
        return ""
    major, minor = os.major(file.device), os.minor(file.device)
    if file.descriptor < 0:
        return "" if (major, minor) == (1, 5) else f"the device {shown(file.link)}"
    known = major in MAJORS or (major, minor) in (TUN, AUTOFS)
    return "" if known else f"the device {shown(file.link)}"


def sysv_memory(sight: Sight, around: Around) -> Iterator[str]:
    """check_sysvipc_map_dump in criu/cr-dump.c: it lets pass a root that is not in CRIU's own IPC namespace."""
    names = [file.link for file in sight.files if file.descriptor < 0 and file.link.startswith("/SYSV")]
    for name in names if shares(around.paths, around.root, "ipc") else ():
        if name.endswith(DELETED) and len(name) == len("/SYSV00000000") + len(DELETED):
            yield f"uses System V shared memory ({shown(name)}), but has no IPC namespace of its own"


def ghosts(sight: Sight, around: Around) -> Iterator[str]:
    """dump_ghost_remap in criu/files-reg.c; before commit fbded7978 it compared the size."""
    for file in _deleted(sight, around):
        if file.links == 0 and file.size > around.ghost_limit:
            yield (
                f"has the deleted file {shown(file.link[: -len(DELETED)])} with {file.size} bytes {file.where}, and "
                f"CRIU's ghost-limit is {around.ghost_limit} bytes"
            )


def renamed(sight: Sight, around: Around) -> Iterator[str]:
    """create_link_remap in criu/files-reg.c."""
    for file in _deleted(sight, around):
        if file.links > 0 and not around.link_remap:
            name = shown(file.link[: -len(DELETED)])
            yield f"has the deleted file {name}, which has a further name, {file.where}"


def _deleted(sight: Sight, around: Around) -> Iterator[File]:
    """Yields deleted files on a file system with names; the other ones below /dev are huge pages."""
    for file in sight.files if not around.external_files else ():
        place = file.link.split("/")
        if stat.S_ISREG(file.mode) and is_deleted(file.link) and (place[1] != "dev" or place[2] == "shm"):
            yield file


def limits(sight: Sight, around: Around) -> Iterator[str]:
    """dump_task_rlimits in criu/cr-dump.c, and check_prlimit_permission in the kernel."""
    own = parse_status(read_text(f"{around.paths.proc}/self/status", may_fail=True) or "")
    bounds, inherited = own.get("CapBnd", ()), own.get("CapInh", ())
    if own.get("Uid", (1,))[:1] != (0,) or not bounds or (bounds[0] | (inherited or (0,))[0]) & SYS_RESOURCE:
        return
    here, there = (namespace(around.paths, pid, "user") for pid in ("self", sight.pid))
    ours = {*own.get("Gid", ())[:1]}
    same = {*sight.users} == {0} and {*sight.groups} == ours
    if here and here == there and sight.users and sight.groups and not same:
        yield (
            f"runs as the user {sight.users[0]} and the group {sight.groups[0]}, and root has no CAP_SYS_RESOURCE, so "
            "CRIU cannot read its resource limits"
        )
