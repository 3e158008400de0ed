# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""The options of container_checkpoint and container_restore as one value."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Options

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
FLAGS = ("tcp_established", "file_locks", "ignore_rootfs", "ignore_volumes", "keep")


@dataclass(frozen=True)
class Desired:
    """What is wanted of the container ``name``. Without an archive: in place."""

    name: str
    archive_path: str | None
    options: Options
    state: str = "present"
    new_name: str | None = None
    on_label_mismatch: str = "stop"
    shared_categories: str = "refuse"

    @property
    def target(self) -> str:
        """The container that runs after a restore."""
        return self.new_name or self.name


def desired_of(params: Mapping[str, Any]) -> Desired:
    """Check what an argument spec cannot."""
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
