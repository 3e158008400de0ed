# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a container has mounted from the host, from its OCI configuration: config.json or spec.dump."""

from __future__ import annotations

import os
import posixpath
from typing import Any, Callable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind


def parse_binds(config: dict[str, Any], own: Callable[[str], bool]) -> tuple[Bind, ...]:
    """Returns the binds in a configuration; ``own`` says of a source whether the engine makes it itself.

    An entry that is no mount is skipped: the OCI runtime itself would refuse it.
    """
    listed = config.get("mounts")
    mounts = [mount for mount in listed if isinstance(mount, dict)] if isinstance(listed, list) else []
    # runc restores what is below a tmpfs after CRIU (isPathInPrefixList in libcontainer/container_linux.go).
    held = [_path(mount, "destination") for mount in mounts if mount.get("type") == "tmpfs"]
    return tuple(_binds(mounts, tuple(path for path in held if path), own))


def _binds(mounts: list[dict[str, Any]], held: tuple[str, ...], own: Callable[[str], bool]) -> Iterator[Bind]:
    for mount in mounts:
        source, target = _path(mount, "source"), _path(mount, "destination")
        if source and target and _is_bind(mount):
            sheltered = any(target.startswith(f"{path}/") for path in held)
            yield Bind(source, target, own=own(source), sheltered=sheltered)


def _is_bind(mount: dict[str, Any]) -> bool:
    options = mount.get("options")
    words = options if isinstance(options, list) else []
    return mount.get("type") == "bind" or "bind" in words or "rbind" in words


def _path(mount: dict[str, Any], key: str) -> str:
    """Returns an absolute path of a mount; empty if it is none that a file can have."""
    value = mount.get(key)
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        return ""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # half of a character, which JSON can hold
        return ""
    return f"/{posixpath.normpath(value).lstrip('/')}"
