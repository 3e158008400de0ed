# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that a restore publishes: what podman takes, and what it would refuse."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.ports import check_ports, parse_port

PARSED = [
    pytest.param("80", ("", 0, 80, 1, "tcp"), id="podman-chooses"),
    pytest.param(":80", ("", 0, 80, 1, "tcp"), id="podman-chooses-with-colon"),
    pytest.param("8080:80", ("", 8080, 80, 1, "tcp"), id="host-and-container"),
    pytest.param("8080:80/UDP", ("", 8080, 80, 1, "udp"), id="protocol"),
    pytest.param("127.0.0.1:8080:80/tcp", ("127.0.0.1", 8080, 80, 1, "tcp"), id="address"),
    pytest.param("127.0.0.1::80", ("127.0.0.1", 0, 80, 1, "tcp"), id="address-and-podman-chooses"),
    pytest.param("[::1]:8080:80", ("::1", 8080, 80, 1, "tcp"), id="ipv6"),
    pytest.param("8000-8009:9000-9009", ("", 8000, 9000, 10, "tcp"), id="range"),
]


@pytest.mark.parametrize(("text", "expected"), PARSED)
def test_port(text: str, expected: tuple[str, int, int, int, str]) -> None:
    found = parse_port(text)
    assert (found.ip, found.host, found.inner, found.count, found.protocol) == expected
    check_ports([text])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "look like", id="empty"),
        pytest.param("http", "look like", id="name"),
        pytest.param("8080:80,8443:443", "look like", id="two-in-one"),
        pytest.param("8080:80/tcp/udp", "look like", id="protocol-twice"),
        pytest.param("8080:80/", "look like", id="protocol-empty"),
        pytest.param("[::1]:80", "look like", id="ipv6-without-host-port"),
        pytest.param("1.2.3.4:80", "look like", id="address-without-host-port"),
        pytest.param("a:8080:80", "look like", id="address-is-a-name"),
        pytest.param("8080:80\n", "look like", id="line-feed"),
        pytest.param("--all", "look like", id="flag"),
        pytest.param("8080:80/icmp", "tcp, udp, sctp", id="protocol-unknown"),
        pytest.param("0:80", "from 1 to 65535", id="port-zero"),
        pytest.param("8080:65536", "from 1 to 65535", id="port-too-large"),
        pytest.param("8010-8000:80", "from 1 to 65535", id="range-backwards"),
        pytest.param("8000-8000:80-80", "from 1 to 65535", id="range-of-one"),
        pytest.param("8000-8002:80", "different lengths", id="lengths"),
        pytest.param("300.0.0.1:8080:80", "IPv4", id="address-invalid"),
        pytest.param("[127.0.0.1]:8080:80", "in brackets", id="ipv4-in-brackets"),
    ],
)
def test_port_that_podman_would_refuse(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="publish has") as error:
        check_ports([text])
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("ports", "clash"),
    [
        pytest.param(("8080:80", "8081:80"), False, id="two-for-one"),
        pytest.param(("8080:80", "8080:80"), False, id="same-twice-is-merged"),
        pytest.param(("8080:80/tcp", "8080:80/udp"), False, id="protocols"),
        pytest.param(("8000-8009:8000-8009", "8005:8005"), False, id="part-of-a-range"),
        pytest.param(("127.0.0.1:8080:80", "127.0.0.2:8080:81"), False, id="addresses"),
        pytest.param(("80", "80"), False, id="podman-chooses"),
        pytest.param(("8080:80", "[::]:8080:80"), False, id="families"),
        pytest.param(("8080:80", "8080:81"), True, id="one-for-two"),
        pytest.param(("8000-8009:8000-8009", "8005:80"), True, id="inside-a-range"),
        pytest.param(("8080:80", "127.0.0.1:8080:80"), True, id="all-addresses-and-one"),
        pytest.param(("[::1]:8080:80", "[::]:8080:80"), True, id="all-ipv6-addresses-and-one"),
    ],
)
def test_ports_given_twice(ports: tuple[str, ...], clash: bool) -> None:
    if clash:
        with pytest.raises(ValueError, match="need the same port of the host"):
            check_ports(ports)
    else:
        check_ports(ports)


def test_a_note_has_room_for_all_ports() -> None:
    with pytest.raises(ValueError, match="more than 512; give ranges"):
        check_ports([f"{port}:80" for port in range(1, 514)])
