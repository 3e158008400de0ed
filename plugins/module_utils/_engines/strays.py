# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Warns about processes that the checkpoint of a container leaves out.

CRIU dumps the tree of the container's first process. What an engine's exec has started is not in it, and ends with it.
"""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import descends, namespace
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, comm_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

# So many processes are named in a warning.
NAMED = 5


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


def warn_strays(paths: Paths, container: Container, exec_command: str) -> tuple[str, ...]:
    """Warns about processes that a checkpoint leaves out; ``exec_command`` is what starts such, such as podman exec."""
    # Under runc a clone runs in the cgroup of the original, in a pid namespace of its own.
    space = namespace(paths, container.pid, "pid")
    inside = [pid for pid in sorted(set(_members(paths, container))) if namespace(paths, pid, "pid") in ("", space)]
    left = [pid for pid in inside if not descends(paths, pid, container.pid)]
    if not left:
        return ()
    named = [f"{pid} ({comm_of(paths, pid) or '?'!r})" for pid in left]
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    return (
        f"Container {container.name!r} has processes that do not descend from its first one, such as those of "
        f"{exec_command}: {', '.join(named[:NAMED])}{more}. The checkpoint leaves them out, so start them again "
        "after a restore.",
    )
