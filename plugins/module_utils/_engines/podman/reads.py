# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what podman has on a host, beside a container: its release, images, volumes, runtimes, other containers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import ImageInfo
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_image

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options

IMAGE_ID = r"[0-9a-f]{1,128}"


def run_podman(runner: Runner, argv: tuple[str, ...]) -> Completed:
    """Run a reading command of podman.

    Raises:
        CheckpointError: podman_missing.
    """
    try:
        return runner.run(argv)
    except CheckpointError as error:
        if error.reason != "tool_missing":
            raise
        raise missing_podman() from error


def missing_podman() -> CheckpointError:
    return CheckpointError("Cannot find podman in PATH. Install the package podman.", reason="podman_missing")


@dataclass(frozen=True)
class Reads:
    """The part of the engine podman that looks at the host."""

    paths: Paths = field(default_factory=Paths)
    uid: int = 0

    def version(self, ctx: Context) -> str:
        return parse_version(run_podman(ctx.runner, ("podman", "--version")).out) or ""

    def runtimes(self) -> dict[str, tuple[str, ...]]:
        # Only a restore from an archive needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.runtimes import read_runtimes

        return read_runtimes(self.paths)

    def has_image(self, ctx: Context, image_id: str) -> bool:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import has_image

        if not re.fullmatch(IMAGE_ID, image_id):
            return False
        if has_image(self.paths, image_id):
            return True
        # Another storage driver or folder: podman knows.
        return run_podman(ctx.runner, ("podman", "image", "exists", image_id)).rc == 0

    def image_digest(self, image_id: str) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import image_digest

        return image_digest(self.paths, image_id)

    def naming_command(self, image_id: str, name: str) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import has_lost_name

        return f"podman tag {image_id[:12]} {name}" if has_lost_name(self.paths, image_id, name) else ""

    def has_volume(self, name: str) -> bool:
        return "/" not in name and os.path.isdir(f"{self.paths.storage}/volumes/{name}")

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        # Only a restore from an archive needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.networks import require_networks

        require_networks(partial(run_podman, ctx.runner), networks, what, mine=mine)

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.networks import published

        return published(options.publish)

    def holder(self, container_id: str) -> str:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import containers

        try:
            found = [one for one in containers(self.paths) if one.id == container_id]
        except (OSError, ValueError):
            return ""
        return (found[0].names or (found[0].id,))[0] if found else ""

    def sharing(self, process_label: str) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import categories

        if not categories(process_label):
            return ()
        from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import sharing

        return sharing(self.paths, process_label)

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return run_podman(ctx.runner, argv)

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return ("podman", "exec", *(["--interactive"] if stdin else []), "--user", user, name, *argv)

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        completed = run_podman(ctx.runner, ("podman", "image", "inspect", name))
        return parse_image(completed.out) if completed.rc == 0 else None
