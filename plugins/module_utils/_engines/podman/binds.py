# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what a container has mounted from the host, from the configuration that podman gives to the OCI runtime.

Podman keeps it as config.json beside the container and restores with it; an archive has it as spec.dump.
"""

from __future__ import annotations

import os
import posixpath
import re
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, Container
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# Podman's own files of a container, such as its /etc/hosts and its secrets, whatever the storage driver.
_OWN = re.compile(r"/[a-z0-9]{1,32}-containers/[0-9a-f]{64}/userdata(?:/|\Z)")


def read_binds(container: Container) -> tuple[Bind, ...]:
    """Returns the binds of a container that podman has started once; none if the configuration cannot be read."""
    folder = container.own["work_dir"]
    text = read_text(f"{folder}/config.json", may_fail=True) if folder else None
    try:
        return parse_binds(parse_object(text))
    except ValueError:
        return ()


def parse_binds(config: dict[str, Any]) -> tuple[Bind, ...]:
    """Returns the binds in a configuration. An entry that is no mount is skipped: podman itself would refuse it."""
    listed = config.get("mounts")
    mounts = [mount for mount in listed if isinstance(mount, dict)] if isinstance(listed, list) else []
    # runc restores what is below a tmpfs after CRIU (isPathInPrefixList in libcontainer/container_linux.go).
    held = [_path(mount, "destination") for mount in mounts if mount.get("type") == "tmpfs"]
    return tuple(_binds(mounts, tuple(path for path in held if path)))


def _binds(mounts: list[dict[str, Any]], held: tuple[str, ...]) -> Iterator[Bind]:
    for mount in mounts:
        source, target = _path(mount, "source"), _path(mount, "destination")
        if source and target and _is_bind(mount):
            sheltered = any(target.startswith(f"{path}/") for path in held)
            yield Bind(source, target, own=bool(_OWN.search(source)), sheltered=sheltered)


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
