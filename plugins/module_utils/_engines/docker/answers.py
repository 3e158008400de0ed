# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses what docker prints. Names, labels and images in it come from others: a wrong type is refused.

Docker notes neither that a container has been checkpointed nor when it was restored (26.1.5: after a checkpoint its
Status is exited, with ExitCode 137, and a restore sets StartedAt like any start).
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, Container, ImageInfo
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import (
    first,
    inner,
    objects,
    whole,
    word,
    words,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.inspection import (
    address_of,
    inspected_ports,
    path_in,
    pid_in,
    time_in,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object

# Files that Docker makes in the container's own folder; which of them an inspection names depends on the options.
_OWN_FILES = ("HostnamePath", "HostsPath", "ResolvConfPath", "LogPath")
# Labels by which others know the containers that they have made by means of Docker.
_OWNERS = {"com.docker.swarm.service.name": "swarm", "io.kubernetes.pod.name": "the kubelet"}
# By the default of Docker and the name of containerd's shim, it is runc.
_RUNC = ("", "runc", "io.containerd.runc.v2", "io.containerd.runc.v1", "io.containerd.runtime.v1.linux")
_NO_POLICY = ("", "no")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


def parse_inspect(text: str) -> Container:
    """Returns the first container of ``docker container inspect``.

    Raises:
        CheckpointError: engine_mismatch, it is podman that has answered; tool_failed, the text is not what docker
            prints.
    """
    try:
        entry = first(text)
        if "OCIRuntime" in entry:
            raise CheckpointError(
                "Cannot use docker: the command docker is podman's (Debian's package podman-docker). Give engine: "
                "podman.",
                reason="engine_mismatch",
            )
        return _container(entry)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the answer of 'docker container inspect': {error}. Run the command manually.",
            reason="tool_failed",
        ) from error


def _container(entry: dict[str, Any]) -> Container:
    state, host, config = inner(entry, "State"), inner(entry, "HostConfig"), inner(entry, "Config")
    mounts = objects(entry.get("Mounts"), "Mounts")
    identity = word(entry, "Id", default=None)
    status = word(state, "Status", default=None)
    labels = {key: value for key, value in inner(config, "Labels").items() if isinstance(value, str)}
    profile = word(entry, "AppArmorProfile")
    data = inner(inner(entry, "GraphDriver"), "Data")
    return Container(
        id=identity,
        name=word(entry, "Name", default=None)[1:],
        status=status,
        pid=pid_in({**state, "Status": status}),
        image=word(config, "Image"),
        image_id=image_id_of(word(entry, "Image")),
        runtime=runtime_of(word(host, "Runtime")),
        process_label=word(entry, "ProcessLabel"),
        started_at=time_in(state, "StartedAt"),
        created_at=time_in(entry, "Created"),
        criu_config=word(inner(host, "Annotations"), "org.criu.config"),
        auto_remove=host.get("AutoRemove") is True,
        own={
            "folder": _folder(entry, identity),
            "upper": path_in(data, "UpperDir") if word(inner(entry, "GraphDriver"), "Name") == "overlay2" else "",
            "apparmor": "" if profile == "unconfined" else profile,
            "cgroup_parent": word(host, "CgroupParent"),
            "init": "yes" if host.get("Init") is True else "",
            "inspected": json.dumps(entry),
        },
        labels=labels,
        volumes=tuple(word(mount, "Name") for mount in mounts if mount.get("Type") == "volume" and word(mount, "Name")),
        ports=inspected_ports(inner(host, "PortBindings")),
        networks=networks_of(inner(inner(entry, "NetworkSettings"), "Networks")),
        owner=next((owner for label, owner in _OWNERS.items() if label in labels), ""),
        restart=restart_of(inner(host, "RestartPolicy")),
    )


def image_id_of(digest: str) -> str:
    """Returns the id of an image without the name of its algorithm; raises ValueError if it is none."""
    found = _DIGEST.fullmatch(digest)
    if digest and found is None:
        raise ValueError("Image is no digest")
    return found[1] if found else ""


def runtime_of(name: str) -> str:
    """Returns the name of an OCI runtime; Docker has several for runc."""
    return "runc" if name in _RUNC else name


def restart_of(policy: Mapping[str, Any]) -> str:
    """Returns a restart policy as ``docker update --restart`` takes it; empty for none."""
    name, most = word(dict(policy), "Name"), whole(dict(policy), "MaximumRetryCount")
    if name in _NO_POLICY:
        return ""
    return f"{name}:{most}" if most else name


def networks_of(networks: dict[str, Any]) -> dict[str, list[str]]:
    """Returns the addresses that a person has chosen, by network: a restore asks Docker for no others."""
    found = {name: inner(inner(networks, name), "IPAMConfig") for name in networks if name not in ("none", "host")}
    keys = ("IPv4Address", "IPv6Address")
    return {name: [text for key in keys if (text := address_of(word(one, key)))] for name, one in found.items()}


def _folder(entry: dict[str, Any], identity: str) -> str:
    """Returns the folder of the container's own files; empty if the inspection names none of them.

    A container that has joined the network of a different one has the names of that one's files.
    """
    folders = [os.path.dirname(path_in(entry, key)) for key in _OWN_FILES]
    return next((one for one in folders if os.path.basename(one) == identity), "")


def entry_of(container: Container) -> dict[str, Any]:
    """Returns the whole inspection of a container."""
    return parse_object(container.own["inspected"])


def binds_of(entry: dict[str, Any]) -> tuple[Bind, ...]:
    """Returns what an inspected container has mounted from the host.

    Raises:
        ValueError: it is not what docker prints.
    """
    mounts = objects(entry.get("Mounts"), "Mounts")
    host = inner(entry, "HostConfig")
    held = [*inner(host, "Tmpfs"), *(word(one, "Destination") for one in mounts if one.get("Type") == "tmpfs")]
    return tuple(
        Bind(source, target, sheltered=any(target.startswith(f"{path.rstrip('/')}/") for path in held))
        for source, target in (
            (path_in(one, "Source"), path_in(one, "Destination")) for one in mounts if one.get("Type") == "bind"
        )
        if source and target
    )


def parse_image(text: str) -> ImageInfo:
    """Returns the first image of ``docker image inspect``.

    Raises:
        CheckpointError: answer_invalid.
    """
    try:
        entry = first(text)
        return ImageInfo(image_id_of(word(entry, "Id", default=None)), words(inner(entry, "Config"), "Env"))
    except ValueError as error:
        raise CheckpointError(
            f"Cannot read the output of 'docker image inspect': {error}. Run the command manually.",
            reason="answer_invalid",
        ) from error
