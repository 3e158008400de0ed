# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports what ties a container to others: namespaces of a different container, a pod, and processes from outside.

A container that uses a namespace of a different one (--network container:X) has its path, /proc/PID/ns/net, in its OCI
configuration. A restore keeps that path, so it succeeds only while X runs on as the same process; podman exports no
such container. In a pod X is the infra container; podman exports that, but imports it only with --pod (podman 5.4.2,
runc 1.1.15: all tried).

CRIU dumps the tree of the container's first process. What podman exec has started is not in it, and ends with it.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import inner, objects, word, work_dir
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import containers
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import descends, namespace
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, comm_of

# So many processes are named in a warning.
NAMED = 5


def check_ties(paths: Paths, container: Container, archive_path: str | None) -> tuple[str, ...]:
    """Warns about ties that a restore in place needs, and refuses an archive that no restore could use.

    Raises:
        CheckpointError: in_pod, has_dependencies.
    """
    others = container.own.get("dependencies", "").split()
    if archive_path is not None and (container.own.get("pod") or others):
        raise _not_exported(paths, container, archive_path, others)
    if not others:
        return ()
    named = " and ".join(repr(one) for one in names_of(paths, others))
    return (
        f"Container {container.name!r} uses namespaces of container {named}: the checkpoint can be restored only while "
        "that one runs on, neither stopped nor restored meanwhile, and not after a boot.",
    )


def _not_exported(paths: Paths, container: Container, archive_path: str, others: list[str]) -> CheckpointError:
    what = f"Cannot checkpoint container {container.name!r} to {archive_path!r}"
    if container.own.get("pod"):
        return CheckpointError(
            f"{what}: it is in the pod {container.own['pod'][:12]!r}, and an archive of it could not be restored. "
            "Leave out archive_path, or make the container without the pod.",
            reason="in_pod",
        )
    return CheckpointError(
        f"{what}: it depends on container {names_of(paths, others)[0]!r}, and podman exports no container that depends "
        "on a different one. Leave out archive_path, or make the container with a network of its own.",
        reason="has_dependencies",
    )


def names_of(paths: Paths, ids: list[str]) -> list[str]:
    """Returns the names of containers; the short id of one that is not in podman's lists."""
    try:
        known = {one.id: one.names[0] for one in containers(paths) if one.names}
    except (OSError, ValueError):
        known = {}
    return [known.get(one, one[:12]) for one in ids]


def parse_shared_namespaces(text: str) -> list[int]:
    """Returns the processes whose namespaces a container uses, from the configuration of its OCI runtime.

    Raises:
        ValueError: it is no such configuration.
    """
    listed = objects(inner(parse_object(text), "linux").get("namespaces"), "namespaces")
    found = (re.match(r"/proc/([0-9]{1,9})/ns/[a-z_]{1,32}\Z", word(one, "path")) for one in listed)
    return sorted({int(one.group(1)) for one in found if one})


def require_namespaces(paths: Paths, container: Container, live: list[int]) -> None:
    """Refuses a restore in place if a namespace that the container uses is gone.

    ``live`` are the first processes of the containers that it depends on.

    Raises:
        CheckpointError: dependency_restarted.
    """
    try:
        wanted = parse_shared_namespaces(read_text(f"{work_dir(container)}/config.json", may_fail=True) or "{}")
    except ValueError:
        return
    if all(pid in live for pid in wanted):
        return
    names = names_of(paths, container.own.get("dependencies", "").split())
    raise CheckpointError(
        f"Cannot restore container {container.name!r}: it uses namespaces of container {names[0]!r}, which was stopped "
        "or restored after the checkpoint, so they are gone for good. Start it without its state (podman start).",
        reason="dependency_restarted",
    )


def _members(paths: Paths, container: Container) -> Iterator[int]:
    """Yields the processes in the container's cgroup, or else those in its pid namespace if that is not the host's."""
    cgroup = cgroup_of(paths, container.pid)
    head, found, dummy = cgroup.partition(container.id)
    if found:
        base = f"{head}{found}{'.scope' if dummy.startswith('.scope') else ''}"
        for path in glob.glob(f"{glob.escape(paths.cgroups + base)}/**/cgroup.procs", recursive=True):
            yield from (int(one) for one in (read_text(path, may_fail=True) or "").split() if one.isdigit())
        return
    space = namespace(paths, container.pid, "pid")
    if space and space != namespace(paths, "self", "pid"):
        yield from (
            int(one) for one in os.listdir(paths.proc) if one.isdigit() and namespace(paths, one, "pid") == space
        )


def warn_strays(paths: Paths, container: Container) -> tuple[str, ...]:
    """Warns about processes of a container that its checkpoint leaves out."""
    # Under runc a clone runs in the cgroup of the original, in a pid namespace of its own.
    space = namespace(paths, container.pid, "pid")
    inside = [pid for pid in sorted(set(_members(paths, container))) if namespace(paths, pid, "pid") in ("", space)]
    left = [pid for pid in inside if not descends(paths, pid, container.pid)]
    if not left:
        return ()
    named = [f"{pid} ({comm_of(paths, pid) or '?'!r})" for pid in left]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return (
        f"Container {container.name!r} has processes that do not descend from its first one, such as those of podman "
        f"exec: {', '.join(named[:NAMED])}{more}. The checkpoint leaves them out, so start them again after a restore.",
    )
