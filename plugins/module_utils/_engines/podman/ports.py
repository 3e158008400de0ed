# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks ports that a restore publishes, by podman's rules: [[IP:][PORT[-PORT]]:]PORT[-PORT][/PROTOCOL].

Podman reads them when it has begun to import (pkg/specgenutil/util.go and pkg/specgen/generate/ports.go). It merges the
same mapping given twice; one host port for two ports of the container it refuses, or notices when it binds them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Iterator, Sequence

PROTOCOLS = ("tcp", "udp", "sctp")
LAST_PORT = 65535
# A note of an unfinished restore has room for these; a range is one.
MOST = 512
FORM = "'8080:80', '127.0.0.1:8080:80/tcp', '[::1]:8080:80' or '8000-8009:8000-8009'"
_RANGE = r"[0-9]{1,5}(?:-[0-9]{1,5})?"
_MAPPING = re.compile(
    rf"(?:(?:(?P<ip>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<host>{_RANGE}|):)?(?P<inner>{_RANGE})(?:/(?P<protocol>[A-Za-z]+))?"
)


@dataclass(frozen=True)
class Port:
    """Ports of the host and of the container, ``count`` in a row; without ``host``, podman chooses one.

    ``ip`` is empty for all IPv4 addresses of the host.
    """

    text: str
    ip: str
    host: int
    inner: int
    count: int
    protocol: str

    @property
    def last(self) -> int:
        return self.host + self.count - 1

    @property
    def everywhere(self) -> bool:
        return not self.ip or ipaddress.ip_address(self.ip).is_unspecified

    @property
    def family(self) -> int:
        return ipaddress.ip_address(self.ip).version if self.ip else 4


def _range(text: str) -> tuple[int, int]:
    """Returns the first port and the number of ports; raises ValueError."""
    first, dash, last = text.partition("-")
    start, end = int(first), int(last or first)
    if not 1 <= start <= end <= LAST_PORT or (dash and start == end):
        raise ValueError("ports are from 1 to 65535, and a range ends above its first")
    return start, end - start + 1


def parse_port(text: str) -> Port:
    """Returns one mapping.

    Raises:
        ValueError: podman would refuse it; the reason is a sentence without its end.
    """
    found = _MAPPING.fullmatch(text)
    if found is None:
        raise ValueError(f"publish has {text[:100]!r}, and it has to be in quotes and look like {FORM}")
    try:
        ip = (found["ip"] or "").strip("[]")
        if ip:
            wrong = (ipaddress.ip_address(ip).version == 6) is not found["ip"].startswith("[")
            ip = "" if wrong else str(ipaddress.ip_address(ip))
            if wrong:
                raise ValueError("an IPv6 address, and no other, is in brackets")
        inner, count = _range(found["inner"])
        host, hosts = _range(found["host"]) if found["host"] else (0, count)
        if count != hosts:
            raise ValueError("the ranges of host and container have different lengths")
        protocol = (found["protocol"] or "tcp").lower()
        if protocol not in PROTOCOLS:
            raise ValueError(f"the protocol is one of {', '.join(PROTOCOLS)}")
    except ValueError as error:
        raise ValueError(f"publish has {text[:100]!r}: {error}") from error
    return Port(text, ip, host, inner, count, protocol)


def _clashes(one: Port, other: Port) -> bool:
    """Returns whether two mappings need the same port of the host, and are not parts of one mapping."""
    if one.protocol != other.protocol or one.family != other.family or not (one.host and other.host):
        return False
    if one.host > other.last or other.host > one.last:
        return False
    if one.ip == other.ip:
        return one.host - one.inner != other.host - other.inner
    return one.everywhere or other.everywhere


def find_clash(ports: Sequence[Port]) -> tuple[Port, Port] | None:
    """Returns the first two mappings that cannot be published both."""
    return next(_pairs(ports), None)


def _pairs(ports: Sequence[Port]) -> Iterator[tuple[Port, Port]]:
    for number, second in enumerate(ports):
        for first in ports[:number]:
            if _clashes(first, second):
                yield first, second


def check_ports(entries: Sequence[str]) -> None:
    """Checks all ports that are published.

    Raises:
        ValueError: podman would refuse them; the reason is a sentence without its end.
    """
    if len(entries) > MOST:
        raise ValueError(f"publish has {len(entries)} entries, more than {MOST}; give ranges")
    clash = find_clash([parse_port(text) for text in entries])
    if clash is not None:
        raise ValueError(f"publish has {clash[0].text!r} and {clash[1].text!r}, which need the same port of the host")
