# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore without its networks, or with addresses that other containers have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Mapping, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import first, inner, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.inspection import address_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed


def parse_holders(text: str) -> dict[str, str]:
    """Returns the names of the containers by their addresses, from ``docker network inspect``.

    Raises:
        ValueError: it is not what docker prints.
    """
    containers = inner(first(text), "Containers")
    found: dict[str, str] = {}
    for identity in containers:
        one = inner(containers, identity)
        for key in ("IPv4Address", "IPv6Address"):
            found[address_of(word(one, key))] = word(one, "Name")
    return {address: name for address, name in found.items() if address}


def require_networks(
    ask: Callable[[tuple[str, ...]], Completed], networks: Mapping[str, Sequence[str]], what: str, *, mine: str
) -> None:
    """Refuses a restore without one of the networks, or with an address that another container than ``mine`` has.

    ``ask`` runs a reading command of docker.

    Raises:
        CheckpointError: network_missing, address_in_use.
    """
    for name, addresses in networks.items():
        completed = ask(("docker", "network", "inspect", "--", name))
        if completed.rc != 0:
            raise CheckpointError(
                f"Cannot {what}: its network {name!r} is not on this host. Create it as it was, see 'docker network "
                "create'.",
                reason="network_missing",
            )
        try:
            holders = parse_holders(completed.out)
        except ValueError:  # then Docker itself will say it
            continue
        for address in addresses:
            if holders.get(address, mine) != mine:
                raise CheckpointError(
                    f"Cannot {what}: container {holders[address]!r} has its address {address}. Stop that one, or set "
                    "ignore_static_ip.",
                    reason="address_in_use",
                )
