# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads what Docker has on a host, beside a container: its release, images, volumes, networks, other containers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, check
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._engines.docker import places
from ansible_collections.criu.hosts.plugins.module_utils._engines.missing import run_engine

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import ImageInfo, Options

PACKAGE = "docker.io"
IMAGE_ID = r"[0-9a-f]{64}"


def ask(ctx: Context, argv: tuple[str, ...], what: str) -> Completed:
    """Runs a reading command of docker.

    Raises:
        CheckpointError: engine_missing, engine_not_running.
    """
    completed = run_engine(ctx.runner, argv, PACKAGE)
    if completed.rc != 0 and "Cannot connect to the Docker daemon" in completed.err:
        raise CheckpointError(
            f"Cannot {what}: the daemon of Docker does not run. Start it (systemctl start docker).",
            reason="engine_not_running",
        )
    return completed


@dataclass(frozen=True)
class Reads:
    """The part of the engine docker that looks at the host."""

    paths: Paths = field(default_factory=Paths)
    uid: int = 0

    def version(self, ctx: Context) -> str:
        return parse_version(run_engine(ctx.runner, ("docker", "--version"), PACKAGE).out) or ""

    def require_ready(self, ctx: Context, what: str) -> None:
        # Only a checkpoint or restore needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.ready import require_ready

        completed = ask(ctx, ("docker", "info", "--format", "{{json .}}"), what)
        require_ready(self.paths, check(completed, what).out, what)

    def runtimes(self) -> dict[str, tuple[str, ...]]:
        known: dict[str, tuple[str, ...]] = {"runc": ("/usr/bin/runc", "/usr/sbin/runc", "/usr/local/sbin/runc")}
        listed = places.settings(self.paths).get("runtimes")
        for name, entry in listed.items() if isinstance(listed, dict) else ():
            path = entry.get("path") if isinstance(entry, dict) else None
            known[name] = (path,) if isinstance(path, str) else ()
        return known

    def has_image(self, ctx: Context, image_id: str) -> bool:
        if not re.fullmatch(IMAGE_ID, image_id):
            return False
        completed = ask(ctx, ("docker", "image", "inspect", image_id), f"look for the image {image_id[:12]!r}")
        return completed.rc == 0

    def image_digest(self, image_id: str) -> str:
        return ""  # Docker keeps the digest of a manifest only with the name by which it was pulled

    def naming_command(self, image_id: str, name: str) -> str:
        return ""  # an image is found by its id

    def has_volume(self, name: str) -> bool:
        return "/" not in name and os.path.isdir(f"{places.root(self.paths)}/volumes/{name}")

    def require_networks(self, ctx: Context, networks: Mapping[str, Any], what: str, *, mine: str) -> None:
        # Only a restore from an archive needs to compile this.
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.networks import require_networks

        require_networks(lambda argv: ask(ctx, argv, what), networks, what, mine=mine)

    def published(self, options: Options) -> tuple[dict[str, Any], ...]:
        return ()

    def holder(self, container_id: str) -> str:
        return ""  # a restored container gets a new id

    def sharing(self, process_label: str) -> tuple[str, ...]:
        from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import categories

        reaches = categories(process_label)
        if not reaches:
            return ()
        found = ((name, label, categories(label)) for name, label in places.labels_of(self.paths))
        return tuple(name for name, label, own in found if label == process_label or (own and own <= reaches))

    def ask(self, ctx: Context, argv: tuple[str, ...]) -> Completed:
        return ask(ctx, argv, f"run {' '.join(argv[:2])!r}")

    def exec_argv(self, name: str, user: str, argv: tuple[str, ...], *, stdin: bool = False) -> tuple[str, ...]:
        return ("docker", "exec", *(["--interactive"] if stdin else []), "--user", user, name, *argv)

    def find_image(self, ctx: Context, name: str) -> ImageInfo | None:
        from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.answers import parse_image

        completed = ask(ctx, ("docker", "image", "inspect", name), f"read the image {name!r}")
        return parse_image(completed.out) if completed.rc == 0 else None
