# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Turns the options of container_unit into a description of the container, with options of podman. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.plugins.module_utils._unit.check import check_params

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._unit.volumes import Volume

HEALTH = ("interval", "timeout", "retries", "start_period", "on_failure")


@dataclass(frozen=True)
class Description:
    """One container as one service.

    ``options`` are podman's, the same for each kind of unit. ``environment`` may hold secrets: it goes into a file of
    its own and nowhere else. ``mounts`` are folders of the host, ``labelled`` those that get a label of containers.
    """

    name: str
    image: str
    description: str
    options: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    environment_files: tuple[str, ...]
    mounts: tuple[str, ...]
    labelled: tuple[str, ...]
    after: tuple[str, ...]
    requires: tuple[str, ...]
    wants: tuple[str, ...]
    restart: str
    restart_seconds: int
    stop_timeout: int
    runtime: str | None
    enabled: bool
    stateful: bool
    tcp_established: bool
    file_locks: bool
    on_restore_failure: str

    @property
    def unit(self) -> str:
        return f"{self.name}.service"

    @property
    def environment_text(self) -> str | None:
        """The content of the file with the values; None if there are none."""
        if not self.environment:
            return None
        lines = [f"{name}={self.environment[name]}\n" for name in sorted(self.environment)]
        return "".join([HEADER, "\n", *lines])


def description_of(params: Mapping[str, Any], paths: Paths | None = None) -> Description:
    """Checks the options of the module and turns them into podman's.

    With the ``paths`` of the host, links that are sources of a stateful container's volumes are followed.

    Raises:
        CheckpointError: name_invalid, image_needed, option_invalid, options_conflict.
    """
    check_params(params)
    volumes = _volumes(params, paths)
    folders = [volume for volume in volumes if volume.source.startswith("/")]
    kept: dict[str, Any] = {key: params[key] for key in KEPT}
    lists: dict[str, Any] = {key: tuple(params[key]) for key in KEPT_LISTS}
    return Description(
        options=tuple(podman_options(params, [volume.text for volume in volumes])),
        description=params["description"] or f"Container {params['name']}",
        environment={key: _text(value) for key, value in params["environment"].items()},
        mounts=tuple(volume.source for volume in folders),
        labelled=tuple(volume.source for volume in folders if volume.relabel != "none"),
        **lists,
        **kept,
    )


def _volumes(params: Mapping[str, Any], paths: Paths | None) -> tuple[Volume, ...]:
    if not params["volumes"]:
        return ()
    from ansible_collections.criu.hosts.plugins.module_utils._unit.volumes import volumes_of

    volumes = volumes_of(params["name"], params["volumes"])
    if not params["stateful"] or paths is None:
        return volumes
    from ansible_collections.criu.hosts.plugins.module_utils._unit.sources import follow

    return tuple(follow(paths, volume) for volume in volumes)


KEPT_LISTS = ("command", "environment_files", "after", "requires", "wants")
KEPT = (
    "name",
    "image",
    "restart",
    "restart_seconds",
    "stop_timeout",
    "runtime",
    "enabled",
    "stateful",
    "tcp_established",
    "file_locks",
    "on_restore_failure",
)


def _text(value: Any) -> str:
    """Returns a value of YAML as a program expects it in its environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def podman_options(params: Mapping[str, Any], volumes: Iterable[str]) -> Iterator[str]:
    """Yields options of ``podman create`` and ``podman run``, without those that depend on the kind of unit."""
    yield f"--pull={params['pull']}"
    yield f"--log-driver={params['log_driver']}"
    yield f"--network={params['network']}"
    yield f"--stop-timeout={params['stop_timeout']}"
    for option, name in (("ip", "ip"), ("hostname", "hostname"), ("user", "user"), ("memory", "memory")):
        if params[option]:
            yield f"--{name}={params[option]}"
    if params["cpus"] is not None:
        yield f"--cpus={params['cpus']:g}"
    if params["pids_limit"] is not None:
        yield f"--pids-limit={params['pids_limit']}"
    if params["read_only"]:
        yield "--read-only"
    if params["entrypoint"]:
        yield f"--entrypoint={json.dumps(params['entrypoint'])}"
    for option, name in LISTS:
        for value in params[option]:
            yield f"--{name}={value}"
    yield from (f"--volume={volume}" for volume in volumes)
    yield from (f"--secret={secret_text(secret)}" for secret in params["secrets"])
    for option, name in (("annotations", "annotation"), ("labels", "label")):
        for key in sorted(params[option]):
            yield f"--{name}={key}={_text(params[option][key])}"
    yield from health_options(params["health"])
    yield from params["extra_arguments"]


LISTS = (
    ("publish", "publish"),
    ("tmpfs", "tmpfs"),
    ("capabilities_add", "cap-add"),
    ("capabilities_drop", "cap-drop"),
    ("security_options", "security-opt"),
)


def secret_text(secret: Mapping[str, Any]) -> str:
    target = f",target={secret['target']}" if secret["target"] else ""
    return f"{secret['name']},type={secret['type']}{target}"


def health_options(health: Mapping[str, Any] | None) -> Iterator[str]:
    if not health:
        return
    command = list(health["command"])
    # Podman takes a JSON list as the words of the command; the word CMD before it would make it split them again.
    yield f"--health-cmd={json.dumps(command[1:] if command[0] == 'CMD' else command)}"
    for key in HEALTH:
        if health[key] is not None:
            yield f"--health-{key.replace('_', '-')}={health[key]}"
