# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Checks the options of container_checkpoint and container_restore, and holds them as one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
# What container_checkpoint and container_restore have both.
SHARED_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "archive_path": {"type": "path"},
    "engine": {"type": "str", "choices": ["podman"], "default": "podman"},
    "tcp_established": {"type": "bool", "default": False},
    "file_locks": {"type": "bool", "default": False},
    "ignore_rootfs": {"type": "bool", "default": False},
    "ignore_volumes": {"type": "bool", "default": False},
    "keep": {"type": "bool", "default": False},
}
FLAGS = ("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes", "keep")


@dataclass(frozen=True)
class Desired:
    """The options of a task on the container ``name``. Without ``archive_path`` it works in place."""

    name: str
    archive_path: str | None
    options: Options
    state: str = "present"
    new_name: str | None = None
    on_label_mismatch: str = "stop"
    shared_categories: str = "refuse"

    @property
    def target(self) -> str:
        """The name of the container that runs after a restore."""
        return self.new_name or self.name


def desired_of(params: Mapping[str, Any]) -> Desired:
    """Checks the rules that an argument spec cannot express."""
    for option in ("name", "new_name"):
        value = params.get(option)
        if value is not None and not NAME.match(value):
            raise CheckpointError(
                f"Refuse {option} {value!r}: a container's name has letters, digits, '_', '.' and '-', and starts "
                "with a letter or digit. Give such a name.",
                reason="name_invalid",
            )
    if params.get("new_name") and params["tcp_established"]:
        raise CheckpointError(
            f"Cannot restore container {params['name']!r} as {params['new_name']!r} with tcp_established: established "
            "connections belong to the one container. Leave out new_name or tcp_established.",
            reason="new_name_with_tcp",
        )
    options = Options(
        **{flag: params[flag] for flag in FLAGS},
        leave_running=params.get("leave_running", False),
        compression=params.get("compression", "zstd"),
    )
    words = {key: params[key] for key in ("state", "on_label_mismatch", "shared_categories") if key in params}
    return Desired(params["name"], params["archive_path"], options, new_name=params.get("new_name"), **words)


def require_abilities(engine: Engine, desired: Desired) -> None:
    """Refuses what the engine cannot do, before anything is touched.

    Raises:
        CheckpointError: ability_missing.
    """
    abilities, options = engine.abilities, desired.options
    wanted = (
        ("archive_path", desired.archive_path is not None, abilities.archive),
        ("a checkpoint in place", desired.archive_path is None, abilities.in_place),
        ("new_name", desired.new_name is not None, abilities.new_name),
        ("leave_running", options.leave_running, abilities.leave_running),
        ("tcp_established", options.tcp_established, abilities.tcp_established),
        ("file_locks", options.file_locks, abilities.file_locks),
    )
    missing = [name for name, asked, able in wanted if asked and not able]
    if missing:
        raise CheckpointError(
            f"Cannot use {missing[0]} for container {desired.name!r}: the engine {engine.name!r} does not have it. "
            f"{'Give archive_path.' if missing[0].startswith('a ') else 'Leave it out.'}",
            reason="ability_missing",
        )
