# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests with real sockets whether a port is taken."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host.ports import is_bound


@pytest.mark.parametrize(
    ("family", "address", "kind", "protocol"),
    [
        (socket.AF_INET, "127.0.0.1", socket.SOCK_STREAM, "tcp"),
        (socket.AF_INET, "127.0.0.1", socket.SOCK_DGRAM, "udp"),
        (socket.AF_INET6, "::1", socket.SOCK_STREAM, "tcp"),
    ],
)
def test_a_port_that_a_program_has(family: int, address: str, kind: int, protocol: str) -> None:
    with socket.socket(family, kind) as taken:
        taken.bind((address, 0))
        port = taken.getsockname()[1]
        if kind == socket.SOCK_STREAM:
            taken.listen()
        assert is_bound(address, port, protocol)
        assert is_bound("", port, protocol) is (family == socket.AF_INET)
        assert not is_bound(address, port, "sctp")
    assert not is_bound(address, port, protocol)


def test_an_address_that_the_host_does_not_have() -> None:
    assert not is_bound("203.0.113.1", 1, "tcp")
