# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says about Unix sockets: recorded from Linux 6.18, a server with one client."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.criu.hosts.plugins.module_utils._process.unix_peers import (
    UnixSocket,
    lost_connections,
    parse_sockets,
)
from ansible_collections.criu.hosts.tests.unit.processes import IMAGES

ANSWERS = IMAGES.parents[1] / "sock_diag"
SERVER, LISTENS, CLIENT = 675963, 675962, 676010


def answer(name: str) -> bytes:
    return (Path(ANSWERS) / f"linux-6.18-{name}.bin").read_bytes()


def test_sockets_have_their_peer_and_whether_they_have_a_name() -> None:
    found, more = parse_sockets(answer("unix"))
    assert more
    assert found == {
        SERVER: UnixSocket(1, 1, CLIENT, True),
        CLIENT: UnixSocket(1, 1, SERVER, False),
        LISTENS: UnixSocket(1, 10, 0, True),
    }
    assert parse_sockets(answer("end")) == ({}, False)


def test_only_the_end_without_a_name_is_lost() -> None:
    found, dummy_more = parse_sockets(answer("unix"))
    assert lost_connections(found, (SERVER, LISTENS)) == ((SERVER, CLIENT),)
    assert lost_connections(found, (CLIENT,)) == ()
    assert lost_connections(found, (SERVER, CLIENT)) == ()
