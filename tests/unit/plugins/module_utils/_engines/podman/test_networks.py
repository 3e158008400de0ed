# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which ports and addresses a container has, and what a different one has of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import (
    inspected_networks,
    inspected_ports,
    parse_inspect,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.networks import (
    dumped_networks,
    dumped_ports,
    parse_holders,
    published,
    require_networks,
)

FIXTURES = Path(__file__).parents[4] / "fixtures/podman"
PORT = {"ip": "", "port": 16379, "count": 1, "protocol": "tcp"}


def recorded(name: str) -> str:
    return (FIXTURES / f"5.4.2-{name}").read_text(encoding="utf-8")


def test_an_inspection_and_an_archive_say_the_same() -> None:
    """Those of one container; its config.dump is without the key spec, which is most of it."""
    container = parse_inspect(recorded("inspect-published.json"))
    config, status = (json.loads(recorded(f"published-{name}.json")) for name in ("config.dump", "network.status"))
    assert container.ports == dumped_ports(config) == (PORT,)
    assert container.networks == dumped_networks(config, status) == {"podman": ["10.88.0.3"]}


def test_a_container_without_a_network_has_none() -> None:
    container = parse_inspect(recorded("inspect-running.json"))
    assert (container.ports, container.networks) == ((), {})
    assert (dumped_ports({}), dumped_networks({}, {})) == ((), {})


@pytest.mark.parametrize(
    ("bindings", "found"),
    [
        ({"53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}]}, ("127.0.0.1", 53, "udp")),
        ({"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}, ("::1", 8080, "tcp")),
    ],
)
def test_other_ports(bindings: dict[str, Any], found: tuple[str, int, str]) -> None:
    (one,) = inspected_ports(bindings)
    assert (one["ip"], one["port"], one["protocol"]) == found


@pytest.mark.parametrize("bindings", [{"80/tcp": None}, {"80/tcp": [{"HostPort": ""}]}, {"80/x": [{"HostPort": "80"}]}])
def test_no_port_of_the_host(bindings: dict[str, Any]) -> None:
    assert inspected_ports(bindings) == ()


def test_other_addresses() -> None:
    entry = {"IPAddress": "10.0.0.2", "GlobalIPv6Address": "fd00::2"}
    assert inspected_networks({"a": entry, "host": {}}) == {"a": ["10.0.0.2", "fd00::2"]}


def test_what_a_task_publishes() -> None:
    found = published(("80", "8080:80", "127.0.0.1:53:53/udp", "9000-9002:1-3"))
    assert [(one["ip"], one["port"], one["count"], one["protocol"]) for one in found] == [
        *(("", 8080, 1, "tcp"), ("127.0.0.1", 53, 1, "udp"), ("", 9000, 3, "tcp"))
    ]


def answer(rc: int, out: str) -> Any:
    """Stands for podman, which is asked for one network."""

    def ask(argv: Any) -> Completed:
        assert argv == ("podman", "network", "inspect", "podman")
        return Completed(argv, rc, out, "")

    return ask


def test_who_has_an_address() -> None:
    text = recorded("network-inspect.json")
    assert parse_holders(text) == {"10.88.0.2": "web", "10.88.0.3": "redis"}
    ask = answer(0, text)
    require_networks(ask, {"podman": ["10.88.0.3", "10.88.0.9"]}, "restore it", mine="redis")
    require_networks(ask, {"podman": []}, "restore it", mine="other")
    with pytest.raises(CheckpointError) as caught:
        require_networks(ask, {"podman": ["10.88.0.3"]}, "restore it", mine="web")
    assert caught.value.reason == "address_in_use"
    assert "container 'redis' has its address 10.88.0.3" in caught.value.message


def test_a_network_that_is_not_there() -> None:
    with pytest.raises(CheckpointError) as caught:
        require_networks(answer(125, "[]"), {"podman": []}, "restore it", mine="web")
    assert caught.value.reason == "network_missing"


def test_an_answer_without_containers() -> None:
    assert parse_holders('[{"name": "podman"}]') == {}
    require_networks(answer(0, "no JSON"), {"podman": ["10.88.0.3"]}, "restore it", mine="web")
