# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what the inspections of podman and of Docker have in common: times, ports and networks."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, objects, whole, word

# The largest number of the system; no process has a larger one.
PID_LIMIT = 1 << 22
# Those that are no networks of an engine, although an inspection lists them.
_NONE = ("none", "host")
_LAST_PORT = 65535
_PROTOCOLS = ("tcp", "udp", "sctp")


def address_of(text: str) -> str:
    """Returns an address without the length of its network; empty if it is none."""
    try:
        return str(ipaddress.ip_interface(text).ip) if text else ""
    except ValueError:
        return ""


def port_entries(ip: str, port: int, count: int, protocol: str) -> Iterator[dict[str, Any]]:
    """Yields ports of the host, as a record keeps them; none without a number, as the engine then chooses it."""
    everywhere = ip in ("", str(ipaddress.IPv4Address(0)))
    if 0 < port <= _LAST_PORT and 0 < count <= _LAST_PORT and protocol in _PROTOCOLS and (everywhere or address_of(ip)):
        yield {"ip": "" if everywhere else address_of(ip), "port": port, "count": count, "protocol": protocol}


def inspected_ports(bindings: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Returns the ports in HostConfig.PortBindings of an inspection: {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}.

    Raises:
        ValueError: it is not what the engine prints.
    """
    found: list[dict[str, Any]] = []
    for name in bindings:
        for one in objects(bindings[name], "PortBindings"):
            number = word(one, "HostPort")
            if re.fullmatch("[0-9]{1,5}", number):
                found += port_entries(word(one, "HostIp"), int(number), 1, name.partition("/")[2] or "tcp")
    return tuple(found)


def inspected_networks(networks: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the addresses by network in NetworkSettings.Networks of an inspection.

    Raises:
        ValueError: it is not what the engine prints.
    """
    names = [name for name in networks if name not in _NONE]
    found = {name: inner(networks, name) for name in names}
    keys = ("IPAddress", "GlobalIPv6Address")
    return {name: [text for key in keys if (text := address_of(word(one, key)))] for name, one in found.items()}


def path_in(entry: dict[str, Any], key: str) -> str:
    """Returns an absolute path; empty if it is missing.

    Raises:
        ValueError: it is no such path.
    """
    path = word(entry, key)
    if path and (not os.path.isabs(path) or ".." in path.split("/")):
        raise ValueError(f"{key} is no absolute path")
    return path


def time_in(state: dict[str, Any], key: str) -> str:
    """Returns the engine's text of a time; empty for never, which it prints as the year 1."""
    text = word(state, key)
    return "" if text.startswith("0001-") else text


def pid_in(state: dict[str, Any]) -> int:
    """Returns the first process in the object State; 0 if the container does not run.

    Raises:
        ValueError: it is no process id.
    """
    pid = whole(state, "Pid") if state["Status"] in ("running", "paused") else 0
    if pid > PID_LIMIT:
        raise ValueError("Pid is no process id")
    return pid
