# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a dump of a connection to a Unix socket without a name in a process that is not dumped.

CRIU connects to the name of the other end again (criu/sk-unix.c). Such a connection has none if the process is the
server, or has one half of a socketpair: CRIU 4.2.1 dumps it as external, and a restore ends with SIGSEGV.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass
from typing import Iterable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import shares
from ansible_collections.criu.hosts.plugins.module_utils._host.process import Process, comm_of
from ansible_collections.criu.hosts.plugins.module_utils._process.descriptors import (
    Descriptor,
    read_descriptors,
)

# linux/sock_diag.h, linux/unix_diag.h, linux/netlink.h.
_SOCK_DIAG, _BY_FAMILY, _REQUEST_DUMP = 4, 20, 0x301
_SHOW_NAME_AND_PEER, _NAME, _PEER = 0x5, 0, 2
_ESTABLISHED = 1
_CONNECTED_TYPES = (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)


@dataclass(frozen=True)
class UnixSocket:
    """A Unix socket: its type and state, the inode of the other end (0 for none), and whether it has a name."""

    kind: int
    state: int
    peer: int
    named: bool


def parse_sockets(data: bytes) -> tuple[dict[int, UnixSocket], bool]:
    """Returns the sockets in messages of the kernel, by inode, and whether more follow."""
    found: dict[int, UnixSocket] = {}
    place = 0
    while place + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, place)
        if kind != _BY_FAMILY or size < 32 or place + size > len(data):
            return found, False  # the end, or an error
        dummy_family, sort, state, inode = struct.unpack_from("=BBBxI", data, place + 16)
        attributes = _attributes(data[place + 32 : place + size])
        peer = attributes.get(_PEER, b"")
        number = struct.unpack("=I", peer[:4])[0] if len(peer) >= 4 else 0
        found[inode] = UnixSocket(sort, state, number, bool(attributes.get(_NAME)))
        place += (size + 3) & ~3
    return found, bool(found)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    place = 0
    while place + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, place)
        if size < 4:
            break
        found[kind] = data[place + 4 : place + size]
        place += (size + 3) & ~3
    return found


def ask_sockets() -> dict[int, UnixSocket]:
    """Returns the Unix sockets of this network namespace, as the kernel lists them; empty if it does not."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, _SHOW_NAME_AND_PEER, 0, 0)
    head = struct.pack("=IHHII", 16 + len(request), _BY_FAMILY, _REQUEST_DUMP, 1, 0)
    found: dict[int, UnixSocket] = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
            kernel.settimeout(5)
            kernel.send(head + request)
            more = True
            while more:
                some, more = parse_sockets(kernel.recv(1 << 18))
                found.update(some)
    except OSError:
        return {}
    return found


def lost_connections(sockets: Mapping[int, UnixSocket], inside: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Returns the connections of ``inside`` to sockets without a name that are not in it: (inode, that of the peer)."""
    known = set(inside)
    found = []
    for inode in sorted(known & set(sockets)):
        one = sockets[inode]
        peer = sockets.get(one.peer) if one.state == _ESTABLISHED and one.kind in _CONNECTED_TYPES else None
        if peer is not None and one.peer not in known and not peer.named:
            found.append((inode, one.peer))
    return tuple(found)


def refuse_outside_sockets(paths: Paths, process: Process, descriptors: Iterable[Descriptor]) -> None:
    """Refuses when a connection cannot be made again, as the other end is outside and has no name.

    Raises:
        CheckpointError: socket_outside.
    """
    ours = {one.inode: one for one in descriptors if one.kind == "socket"}
    if not ours or not shares(paths, process.pid, "net"):
        return
    for inode, peer in lost_connections(ask_sockets(), ours):
        one = ours[inode]
        numbers = (int(name) for name in sorted(os.listdir(paths.proc)) if name.isdigit())
        holders = (pid for pid in numbers if any(x.inode == peer for x in read_descriptors(paths, pid)))
        pid = next(holders, 0)
        whose = "its" if one.pid == process.pid else f"the descendant {one.pid}'s"
        other = f"process {pid} ({comm_of(paths, pid)!r})" if pid else "a process that cannot be seen from here"
        raise CheckpointError(
            f"Cannot checkpoint {process.text}: {whose} file descriptor {one.number} is a Unix socket connected to "
            f"{other}, whose end has no name, so the connection could not be restored. End the connection first, or "
            "checkpoint a process that both descend from.",
            reason="socket_outside",
            pid=pid or None,
        )
