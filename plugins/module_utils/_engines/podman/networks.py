# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads which ports, networks and addresses a container has, and whether those networks and addresses are to be had.

A restore from an archive asks for the addresses in network.status again, but not under a new name, and not with
--ignore-static-ip.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import (
    address_of,
    inner,
    objects,
    port_entries,
    whole,
    word,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.ports import parse_port
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json


def published(texts: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Returns the ports of the host that a task publishes, without those that podman chooses."""
    found = (parse_port(one) for one in texts)
    return tuple(entry for one in found for entry in port_entries(one.ip, one.host, one.count, one.protocol))


def dumped_ports(config: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Returns the ports in config.dump.

    Raises:
        ValueError: it is not what podman writes.
    """
    found: list[dict[str, Any]] = []
    for one in objects(config.get("newPortMappings"), "newPortMappings"):
        numbers = (whole(one, "host_port"), whole(one, "range") or 1)
        found += port_entries(word(one, "host_ip"), *numbers, word(one, "protocol"))
    return tuple(found)


def dumped_networks(config: dict[str, Any], status: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the networks in config.dump with the addresses in network.status.

    Raises:
        ValueError: they are not what podman writes.
    """
    return {name: _of_status(inner(status, name)) for name in inner(config, "newNetworks")}


def _of_status(one: dict[str, Any]) -> list[str]:
    found = []
    for interface in inner(one, "interfaces").values():
        subnets = interface.get("subnets") if isinstance(interface, dict) else None
        found += [address_of(word(each, "ipnet")) for each in objects(subnets, "subnets")]
    return [text for text in found if text]


def parse_holders(text: str) -> dict[str, str]:
    """Returns the names of the containers by their addresses, from ``podman network inspect``; podman 4.3 names none.

    Raises:
        ValueError: it is not what podman prints.
    """
    found: dict[str, str] = {}
    for network in objects(parse_json(text), "the output"):
        containers = inner(network, "containers")
        for identity in containers:
            one = inner(containers, identity)
            found.update(dict.fromkeys(_of_status(one), word(one, "name")))
    return found


def require_networks(
    ask: Callable[[tuple[str, ...]], Completed], networks: Mapping[str, Sequence[str]], what: str, *, mine: str
) -> None:
    """Refuses a restore without one of the networks, or with an address that another container than ``mine`` has.

    ``ask`` runs a reading command of podman.

    Raises:
        CheckpointError: network_missing, address_in_use.
    """
    for name, addresses in networks.items():
        completed = ask(("podman", "network", "inspect", name))
        if completed.rc != 0:
            raise CheckpointError(
                f"Cannot {what}: its network {name!r} is not on this host. Create it as it was, see 'podman network "
                "create'.",
                reason="network_missing",
            )
        try:
            holders = parse_holders(completed.out)
        except ValueError:  # then podman itself will say it
            continue
        for address in addresses:
            if holders.get(address, mine) != mine:
                raise CheckpointError(
                    f"Cannot {what}: container {holders[address]!r} has its address {address}. Stop that one, or set "
                    "ignore_static_ip.",
                    reason="address_in_use",
                )
