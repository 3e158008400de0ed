# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Refuses containers of runc and crun that no dump or restore would do good to, before anything is touched.

Seen with runc 1.1.15, crun 1.21 and CRIU 4.2.1:

- A terminal: both dump it. runc restores it only with a program that takes its other end (--console-socket), and crun
  restores it so that nobody holds the other end.
- Standard streams that are pipes: both give the restored container the streams of the task that restores it.
- A container without a cgroup of its own: CRIU freezes a cgroup to stop the processes. After crun had dumped such a
  rootless container as root, the node answered no more.
- Rootless containers: crun refuses a user. With runc CRIU fails, since a user may not enter the container's user
  namespace. For root, what the user writes (state, configuration with hooks) would say what root runs.
"""

from __future__ import annotations

import glob
import os
import pwd
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import CONFIG, has_terminal
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import in_user_namespace, read_text
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import descends, namespace
from ansible_collections.criu.hosts.plugins.module_utils._host.process import cgroup_of, comm_of

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

STREAMS = {0: "input", 1: "output", 2: "errors"}
INSTEAD = (
    "Start it as root's container. Without root, checkpoint a plain process (criu_non_root of the role "
    "criu.hosts.criu, then process_checkpoint), or run CRIU inside the container (role "
    "criu.hosts.unprivileged_container)"
)


def unsupported(what: str, why: str) -> CheckpointError:
    return CheckpointError(f"Cannot {what}: {why}. {INSTEAD}.", reason="rootless_unsupported")


def require_root(paths: Paths, uid: int, runtime: str, root: str, what: str) -> None:
    """Refuses a caller who is not the host's root, and containers whose state others may write.

    Raises:
        CheckpointError: rootless_unsupported.
    """
    if uid != 0:
        raise unsupported(what, f"{runtime} needs root for it, and this task runs with the user id {uid}")
    if in_user_namespace(paths):
        raise unsupported(what, f"{runtime} needs the root of the host, and this task is root in a user namespace")
    fault = find_fault(paths.below(root))
    if fault:
        raise unsupported(what, f"root must not run what others may have written into {root!r} ({fault})")


def refuse_users_container(paths: Paths, runtime: str, root: str, name: str, what: str) -> None:
    """Refuses a container that root's runtime does not list, because it is in the folder of a login.

    Raises:
        CheckpointError: rootless_unsupported, container_missing.
    """
    for place in sorted(glob.glob(f"{glob.escape(paths.below('/run/user'))}/*/{runtime}/{glob.escape(name)}")):
        folder = os.path.dirname(place)[len(paths.root) :]
        uid = folder.split("/")[-2]
        if folder == root or not uid.isdigit():
            continue
        if uid == "0":
            raise CheckpointError(
                f"Cannot {what}: {runtime} keeps it in {folder!r}, since XDG_RUNTIME_DIR was set when it was started. "
                f"Give engine_root: {folder}.",
                reason="container_missing",
            )
        try:
            user = pwd.getpwuid(int(uid)).pw_name
        except KeyError:
            user = uid
        raise unsupported(what, f"it is a rootless container of the user {user!r}")


def require_bundle(paths: Paths, bundle: str, what: str) -> None:
    """Refuses a restore with a configuration that is missing, or that others may have written: it may have hooks.

    Raises:
        CheckpointError: bundle_missing, bundle_unsafe.
    """
    path = f"{bundle}/{CONFIG}"
    if not os.path.isabs(bundle) or not os.path.isfile(paths.below(path)):
        raise CheckpointError(
            f"Cannot {what}: there is no {path!r} on this host, and no archive has the files of a container. Bring the "
            "bundle, with its root file system as it was at the checkpoint.",
            reason="bundle_missing",
            path=path,
        )
    fault = find_fault(paths.below(path))
    if fault:
        raise CheckpointError(
            f"Cannot {what} with {path!r}, which may let root run programs: {fault}. Let the bundle and its folders "
            "belong to root alone.",
            reason="bundle_unsafe",
            path=path,
        )


def refuse_lost(paths: Paths, container: Container, config: dict[str, Any]) -> None:
    """Refuses a dump that no task could restore, or that would stop more than the container.

    Raises:
        CheckpointError: console_needed, streams_are_pipes, cgroup_shared.
    """
    what = f"Cannot checkpoint container {container.name!r}"
    if has_terminal(config):
        raise CheckpointError(
            f"{what}: it has a terminal, and a restore needs a program that takes its other end (--console-socket). "
            "Make it without (process.terminal in config.json).",
            reason="console_needed",
        )
    for number, stream in STREAMS.items():
        if _link(paths, container.pid, number).startswith("pipe:"):
            raise CheckpointError(
                f"{what}: its standard {stream} is a pipe to a different process, which a restore cannot connect "
                "again. Start it with /dev/null as standard streams, and let it write to files of its own.",
                reason="streams_are_pipes",
            )
    shared = _stranger(paths, container.pid)
    if shared:
        raise CheckpointError(
            f"{what}: it has no cgroup of its own, so CRIU would freeze {shared} too. Make it with one (cgroupsPath in "
            "config.json, no --cgroup-manager=disabled).",
            reason="cgroup_shared",
        )


def _link(paths: Paths, pid: int, number: int) -> str:
    try:
        return os.readlink(f"{paths.proc}/{pid}/fd/{number}")
    except OSError:
        return ""


def _stranger(paths: Paths, pid: int) -> str:
    """Returns a process in the container's cgroup that is none of the container; empty if there is none."""
    listed = read_text(f"{paths.cgroups}{cgroup_of(paths, pid)}/cgroup.procs", may_fail=True) or ""
    space = namespace(paths, pid, "pid")
    for one in (int(word) for word in listed.split() if word.isdigit() and int(word)):
        if not descends(paths, one, pid) and namespace(paths, one, "pid") not in ("", space):
            return f"process {one} ({comm_of(paths, one)!r})"
    return ""
