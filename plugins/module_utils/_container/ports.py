# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses a restore that publishes a port which is taken."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Iterable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._host.ports import is_bound

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore

# A container may publish all ports of the host, and each is tried.
MOST = 1024


def _each(ports: Iterable[dict[str, Any]]) -> Iterator[tuple[str, int, str]]:
    for one in ports:
        for port in range(one["port"], min(one["port"] + one["count"], 1 << 16)):
            yield one["ip"], port, one["protocol"]


def require_ports(work: Restore) -> None:
    """Refuses a restore with a published port that a program of this host has.

    Raises:
        CheckpointError: port_in_use.
    """
    record, container = work.situation.record, work.situation.container
    if container is not None and container.alive:
        return  # its name is in the way, and the port may be its own
    ports = work.engine.published(work.desired.options) or (record.ports if record is not None else ())
    taken = [one for one in islice(_each(ports), MOST) if is_bound(*one)]
    if taken:
        address, port, protocol = taken[0]
        more = f" and {len(taken) - 1} more of its ports are" if len(taken) > 1 else " is"
        option = "t" if protocol == "tcp" else "u"
        raise CheckpointError(
            f"Cannot {work.what}: port {port}/{protocol}{f' of {address}' if address else ''}{more} taken on this "
            f"host. End what has it ('ss -l{option}np sport = :{port}' names it), or publish others (publish).",
            reason="port_in_use",
        )
