# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares what a container has mounted from the host with the host: before a dump, and before a restore.

A dump is refused if no restore of it can succeed, and a restore if it would fail or harm the host.

Replaced: CRIU mounts the source again and then creates the removed file again, which fails because the source is there
("Can't re-create deleted file"). If the source is gone, the OCI runtime fails first.

Mounts below: runc binds each source into the root file system for a moment, with all mounts below it, and unmounts that
from the host's namespace (prepareCriuRestoreMounts, opencontainers/runc#2798). Seen with runc 1.1.15.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Iterator, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Bind, Container, from_record
from ansible_collections.criu.hosts.plugins.module_utils._host.mounts import (
    DELETED,
    Mount,
    exposed,
    location,
    read_mounts,
    resolve,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._container.restore import Restore
    from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine

AT_RISK_ADVICE = "Unmount it first, or make the container with crun, or mount the folders one by one as volumes"
LINK_ADVICE = (
    "Make the container with the path that the link leads to; or set mntns-compat-mode for the restore (criu_config, "
    "with allow), and remove it afterwards, since no dump works with it"
)


@dataclass(frozen=True)
class Risk:
    """Why a restore of a checkpoint would be refused, or would fail, as the host is now."""

    reason: str
    message: str


def check_dump(paths: Paths, engine: Engine, container: Container) -> tuple[Risk, ...]:
    """Returns what keeps a restore from succeeding that can be put right until then.

    Raises:
        CheckpointError: mount_replaced, mount_source_missing; no restore of a dump could succeed.
    """
    binds = engine.binds(container)
    if not binds:
        return ()
    gone = [bind for bind in binds if not _is_there(paths, bind)]
    inside, host = read_mounts(paths, container.pid), read_mounts(paths)
    for bind in binds:
        what = f"its mount {bind.target!r}"
        if _is_replaced(paths, bind, inside, host, bind in gone):
            raise CheckpointError(
                f"Cannot checkpoint container {container.name!r}: {bind.source!r}, the source of {what}, was replaced "
                "on the host, so no restore could succeed. Restart the container; mount the folder of a file that is "
                "replaced again and again.",
                reason="mount_replaced",
                path=bind.source,
            )
        if bind in gone and not bind.own:
            raise CheckpointError(
                f"Cannot checkpoint container {container.name!r}: {bind.source!r}, the source of {what}, is gone from "
                "the host, so no restore could succeed. Put it back, or restart the container.",
                reason="mount_source_missing",
                path=bind.source,
            )
    return (*_links(paths, container, binds), *_at_risk(paths, container, binds, host))


def _is_there(paths: Paths, bind: Bind) -> bool:
    return os.path.exists(paths.below(resolve(paths, bind.source)))


def _is_replaced(paths: Paths, bind: Bind, inside: Sequence[Mount], host: Sequence[Mount], gone: bool) -> bool:
    """Returns whether the container has mounted something else than what the path of the source leads to now."""
    place = location(host, resolve(paths, bind.source))
    mounted = [one for one in inside if one.point == bind.target]
    if not mounted and place is not None:
        # The target may lead over links of the image. Then only what is mounted shows it.
        mounted = [one for one in inside if (one.device, one.root) in (place, (place[0], f"{place[1]}{DELETED}"))]
    if any(one.is_deleted for one in mounted):
        return True
    if bind.own or gone or place is None:
        return False
    return bool(mounted) and all((one.device, one.root) != place for one in mounted)


def _links(paths: Paths, container: Container, binds: Sequence[Bind]) -> Iterator[Risk]:
    """Yields the sources that are links themselves: a link on the way to a source does no harm."""
    for bind in binds:
        if not bind.own and os.path.islink(paths.below(bind.source)):
            yield Risk(
                "mount_source_link",
                f"CRIU 3.17 and newer cannot restore container {container.name!r}: {bind.source!r}, the source of its "
                f"mount {bind.target!r}, is a symbolic link. {LINK_ADVICE}.",
            )


def _at_risk(paths: Paths, container: Container, binds: Sequence[Bind], host: Sequence[Mount]) -> Iterator[Risk]:
    for bind, mount in endangered(paths, container.runtime, binds, host):
        yield Risk(
            "host_mounts_at_risk",
            f"A restore of container {container.name!r} is refused while {mount.point!r} is mounted below "
            f"{bind.source!r}, the source of its mount {bind.target!r}: runc would unmount it from the host. "
            f"{AT_RISK_ADVICE}.",
        )


def endangered(
    paths: Paths, runtime: str, binds: Sequence[Bind], host: Sequence[Mount]
) -> Iterator[tuple[Bind, Mount]]:
    """Yields for each bind the first mount of the host that a restore by this OCI runtime would unmount."""
    if os.path.basename(runtime) != "runc":
        return
    for bind in binds:
        found = () if bind.sheltered else exposed(host, resolve(paths, bind.source))
        for mount in found:
            yield bind, mount
            break


def require_binds(work: Restore) -> None:
    """Refuses a restore whose mounts would fail, or would harm the host.

    Raises:
        CheckpointError: mount_source_missing, host_mounts_at_risk.
    """
    paths, situation = work.ctx.paths, work.situation
    record, container = situation.record, situation.container
    volumes: tuple[str, ...] = ()
    if work.source == "container" and container is not None:
        binds, runtime = work.engine.binds(container), container.runtime
    elif work.imports and record is not None:
        binds, runtime = from_record(record.binds), record.runtime
        # The import makes them.
        volumes = tuple(f"/volumes/{name}/_data" for name in record.volumes)
    else:
        return
    for bind in binds:
        if not bind.own and not bind.source.endswith(volumes) and not _is_there(paths, bind):
            raise CheckpointError(
                f"Cannot {work.what}: {bind.source!r}, the source of its mount {bind.target!r}, is not on this host. "
                "Put it there first.",
                reason="mount_source_missing",
                path=bind.source,
            )
    for bind, mount in endangered(paths, runtime, binds, read_mounts(paths)):
        raise CheckpointError(
            f"Cannot {work.what}: {mount.point!r} is mounted below {bind.source!r}, the source of its mount "
            f"{bind.target!r}, and runc would unmount it from the host. {AT_RISK_ADVICE}.",
            reason="host_mounts_at_risk",
            path=mount.point,
        )
