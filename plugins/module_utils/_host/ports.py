# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds out whether a port of the host is taken, by a try to bind it."""

from __future__ import annotations

import errno
import ipaddress
import socket

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


def is_bound(address: str, port: int, protocol: str) -> bool:
    """Returns whether a program has the port, at this address or at all of IPv4 if it is empty.

    False for a protocol that is not tried, and for an address that the host does not have.
    """
    kind = KINDS.get(protocol)
    if kind is None:
        return False
    family = socket.AF_INET6 if address and ipaddress.ip_address(address).version == 6 else socket.AF_INET
    try:
        with socket.socket(family, kind) as tried:
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if kind == socket.SOCK_STREAM:
                # Without it, a connection that has ended in the last minute would count.
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address, port))  # empty: all of IPv4
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False
