# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Looks at the sources of a stateful container's volumes on the host: links, and mounts below them.

CRIU 3.17 and newer cannot restore a mount whose source is a link. The task follows the link, so the container keeps
the folder that the link leads to now; when that changes, the next task sees a changed container and restarts it.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.runtimes import default_runtime
from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import exposed, read_mounts, resolve
from ansible_collections.criu.hosts.plugins.module_utils._unit.volumes import Volume, checked

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
    from ansible_collections.criu.hosts.plugins.module_utils._unit.description import Description


def follow(paths: Paths, volume: Volume) -> Volume:
    """Returns the volume with the path that its source leads to, if that is a link.

    Raises:
        CheckpointError: option_invalid, the path is none that a volume may have.
    """
    source = volume.source.rstrip("/")
    if not source.startswith("/") or not os.path.islink(paths.below(source)):
        return volume
    return checked(replace(volume, source=resolve(paths, source)))


def at_risk(ctx: Context, wanted: Description) -> Iterator[str]:
    """Yields a warning for each folder with a mount below it that a restore by runc would unmount from the host."""
    mounts = read_mounts(ctx.paths)
    found = [(source, one) for source in wanted.mounts for one in [*exposed(mounts, resolve(ctx.paths, source))][:1]]
    if not found or (wanted.runtime or default_runtime(ctx.paths, ctx.runner.which)) != "runc":
        return
    for source, mount in found:
        yield (
            f"Container {wanted.name!r} will start without its state while {mount.point!r} is mounted below "
            f"{source!r}: a restore by runc would unmount it from the host, and is refused. Set runtime to crun, or "
            "mount the folders one by one as volumes."
        )
