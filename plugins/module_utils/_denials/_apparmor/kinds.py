# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists which profiles of AppArmor belong to containers, engines and CRIU."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.records import CHANGES
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import (
    COMMANDS,
    ENGINE_SOCKET,
    PLACES,
    is_command,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import Record

UNCONFINED = "unconfined"
# CRIU's socket for its parasite has an abstract name.
CRIU_SOCKET = re.compile(r"@?/crtools-pr-")
# The profiles that engines make for containers: containers-common, moby, containerd, CRI-O, nerdctl, BuildKit, and for
# each container LXC, LXD and Incus, which also make a namespace of profiles.
_CONTAINER = re.compile(
    r"(?:containers-default-|docker-default\Z|cri-containerd\.apparmor\.d\Z|crio-default\Z|nerdctl-default\Z"
    r"|buildkit-default\Z|ctr-default\Z|lxc-container-default|(?:lxc|lxd|incus)-[^/]{1,200}_<)"
)
# Profiles of the programs, by name or by path, and those of the snap of Docker.
_ENGINE = re.compile(
    r"(?:/(?:\w{1,20}/){1,4})?(?:podman|runc|crun|youki|buildah|conmon|containerd|containerd-shim\S{0,20}|docker|dockerd|crio"
    r"|kubelet|lxc-start|lxd|incusd|criu|passt|pasta|slirp4netns|netavark)\Z|snap\.(?:docker|lxd)\."
)


def _parts(label: str) -> list[str]:
    """Returns the profiles of a stack, of which each hat or child has the name of its parent first."""
    return [part.partition("//")[0] for part in label.split("//&")]


def is_container(label: str) -> bool:
    """Returns whether an engine made the profile for a container."""
    return any(_CONTAINER.match(part) for part in _parts(label))


def is_engine(label: str) -> bool:
    """Returns whether the profile is that of an engine, a runtime or CRIU."""
    return any(_ENGINE.match(part) for part in _parts(label))


def wanted_profile(record: Record) -> str:
    """Returns the profile that a process was to change to; empty for another operation."""
    if record.op not in CHANGES:
        return ""
    return record.fields.get("target") or record.fields.get("name") or ""


def object_path(record: Record) -> str:
    """Returns the path of the file or socket."""
    addresses = (record.fields.get(key, "") for key in ("name", "peer_addr", "addr"))
    return next((one for one in addresses if one not in ("", "none")), "")


def by_criu(record: Record) -> bool:
    """Returns whether a process of CRIU's did what was refused."""
    return is_command(record.comm, "criu")


def related(record: Record) -> bool:
    """Returns whether CRIU, a container or an engine is involved."""
    namespace = record.fields.get("namespace", "").rpartition("//")[2]
    labels = (record.source, record.target, wanted_profile(record), namespace)
    path = object_path(record)
    return (
        any(is_container(label) or is_engine(label) for label in labels if label)
        or any(is_command(record.comm, known) for known in COMMANDS)
        or CRIU_SOCKET.match(path) is not None
        or PLACES.search(path) is not None
        or re.search(ENGINE_SOCKET, path) is not None
    )
