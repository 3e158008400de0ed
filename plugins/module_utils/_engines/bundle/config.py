# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the OCI configuration of a bundle, which may belong to a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.oci import parse_binds
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind

CONFIG = "config.json"
# One with all the system calls of a profile of seccomp has 20 KiB.
LIMIT = 1 << 20
# Those that start containers by means of an OCI runtime with its default root, as their annotation names them, and as
# people know them. Docker and containerd have roots of their own.
MANAGERS = {"libpod": "podman", "cri-o": "CRI-O"}


def read_config(paths: Paths, bundle: str) -> dict[str, Any]:
    """Returns the configuration of a bundle; empty if it cannot be read."""
    try:
        return parse_object(read_below(paths.below(bundle), CONFIG, limit=LIMIT))
    except (OSError, ValueError):
        return {}


def text_in(config: dict[str, Any], *keys: str) -> str:
    """Returns the text at this place of a configuration; empty if there is none."""
    try:
        for key in keys[:-1]:
            config = inner(config, key)
        return word(config, keys[-1])
    except ValueError:
        return ""


def has_terminal(config: dict[str, Any]) -> bool:
    """Returns whether the first process has a terminal of its own."""
    process = config.get("process")
    return isinstance(process, dict) and process.get("terminal") is True


def binds_in(config: dict[str, Any]) -> tuple[Bind, ...]:
    """Returns what the container has mounted from the host; the runtime makes none of it itself."""
    return parse_binds(config, lambda source: False)


def owner_of(config: dict[str, Any]) -> str:
    """Returns what has started the container by means of the runtime; empty if a person has."""
    manager = text_in(config, "annotations", "io.container.manager")
    return MANAGERS.get(manager, manager)
