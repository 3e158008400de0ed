# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which containers without network lose their loopback."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import losses
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.losses import (
    parse_address,
    parse_local_addresses,
    parse_secret_mounts,
    uses_loopback,
)

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TAIL = "00000000:00000000 00:00000000 00000000     0        0 113482 1 00000000ad6ef2ff 100 0 0 10 0\n"
ANY6, ONE6, MAPPED = "0" * 32, "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"
LINK6 = "000080FE000000000000000001000000"


def line(local: str, remote: str = "00000000:0000", state: str = "0A") -> str:
    return f"   0: {local} {remote} {state} {TAIL}"


@pytest.fixture(autouse=True)
def little_endian(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded lines are from x86_64."""
    monkeypatch.setattr(losses.sys, "byteorder", "little")


@pytest.mark.parametrize(
    ("digits", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("0" * 8, str(IPv4Address(0))),
        ("0200A8C0", "192.168.0.2"),
        (ANY6, "::"),
        (ONE6, "::1"),
        (MAPPED, "127.0.0.1"),
        (LINK6, "fe80::1"),
    ],
)
def test_addresses(digits: str, address: str) -> None:
    assert str(parse_address(digits)) == address


def test_addresses_of_a_big_endian_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses.sys, "byteorder", "big")
    assert str(parse_address("7F000001")) == "127.0.0.1"


def test_each_line_but_the_head_is_a_socket() -> None:
    assert parse_local_addresses(HEAD) == []
    text = HEAD + line("0100007F:1F90") + " 7007: 0200A8C0:8D4B 00000000:0000 07 " + TAIL
    assert [str(one) for one in parse_local_addresses(text)] == ["127.0.0.1", "192.168.0.2"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "0:", "0: x x x", "0: :1 a b", "0: 0100007F a b", "0: 0100007:1 a b", "0: 0100007F0:1 a b"),
        *(
            "\u00b2: 0100007F:1 a b\n\u0661: -100007F:1 a b",
            "0: 0x00007F:1 a b",
            "0: \u06610000000:1 a b",
            "\0",
            "0: " * 99,
        ),
    ],
)
def test_what_is_no_list_of_sockets(text: str) -> None:
    assert parse_local_addresses(text) in ([], [parse_address("0100007F")])


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", "5", "[" * 100_000, '{"mounts": 5}', '{"mounts": [5]}', '{"mounts": {"a": 1}}'),
        *(
            '{"mounts": [{"destination": []}]}',
            '{"mounts": [{"destination": "/run/secrets/a\\n"}]}',
            '{"mounts": null}',
        ),
        '{"mounts": [{"destination": NaN}]}',
    ],
)
def test_what_is_no_configuration(text: str) -> None:
    assert parse_secret_mounts(text) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"tcp": HEAD, "tcp6": HEAD, "udp": HEAD, "udp6": HEAD}, False),
        ({"tcp": HEAD}, False),
        ({"tcp": HEAD + line("0100007F:1F90")}, True),
        ({"tcp": HEAD + line("00000000:1F90")}, True),
        ({"tcp": HEAD + line("0100007F:8D4A", "0100007F:1F90", "01")}, True),
        ({"tcp": HEAD + line("0200A8C0:1F90")}, False),
        ({"tcp": HEAD, "tcp6": HEAD + line(f"{ONE6}:1F90", f"{ANY6}:0000")}, True),
        ({"tcp": HEAD, "tcp6": HEAD + line(f"{ANY6}:1F90", f"{ANY6}:0000")}, True),
        ({"tcp": HEAD, "tcp6": HEAD + line(f"{MAPPED}:1F90", f"{ANY6}:0000")}, True),
        ({"tcp": HEAD, "tcp6": HEAD + line(f"{LINK6}:1F90", f"{ANY6}:0000")}, False),
        ({"tcp": HEAD, "udp": HEAD + line("0100007F:0035", state="07")}, True),
        ({"tcp": HEAD, "udp6": HEAD + line(f"{ONE6}:0035", f"{ANY6}:0000", "07")}, True),
        ({}, True),
    ],
    ids=[
        "no socket",
        "no IPv6",
        "tcp on loopback",
        "tcp on all addresses",
        "tcp connection",
        "other address",
        "tcp6 on loopback",
        "tcp6 on all addresses",
        "mapped address",
        "link-local address",
        "udp",
        "udp6",
        "unreadable",
    ],
)
def test_sockets_on_loopback(tmp_path: Path, files: dict[str, str], expected: bool) -> None:
    net = tmp_path / "7/net"
    net.mkdir(parents=True)
    for name, text in files.items():
        (net / name).write_text(text)
    assert uses_loopback(7, str(tmp_path)) is expected
