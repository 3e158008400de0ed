# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reports before a dump what a restore by ctr will not bring back. All of it was seen with containerd 1.7.24.

OCI runtime: crun removes its state when it has dumped a container, and then the shim of runc cannot delete the task any
more ("cannot open directory /run/containerd/runc/...").
Network: runc lets CRIU restore an empty network namespace (--empty-ns), where loopback is down.
Output: ctr restores a container with pipes for its output, and nobody reads them. It waits when they are full.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.reads import CTR
from ansible_collections.criu.hosts.plugins.module_utils._engines.strays import warn_strays
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

# The first line of each is a heading.
SOCKETS = ("tcp", "tcp6", "udp", "udp6")


def check_losses(paths: Paths, container: Container) -> tuple[str, ...]:
    """Warns about what a restore does not bring back.

    Raises:
        CheckpointError: runtime_cannot_checkpoint, console_needed, image_missing; no restore could succeed.
    """
    what = f"Cannot checkpoint container {container.name!r}"
    if container.runtime != "runc":
        raise CheckpointError(
            f"{what}: its OCI runtime is {container.runtime!r}, and only with runc can containerd end a task that was "
            "checkpointed. Make the container with runc.",
            reason="runtime_cannot_checkpoint",
        )
    if container.own["terminal"]:
        raise CheckpointError(
            f"{what}: it has a terminal, and a restore needs a program that takes its other end. Make it without "
            "--tty.",
            reason="console_needed",
        )
    if not container.image_id:
        named = f"its image {container.image!r} is no longer on this host" if container.image else "it has no image"
        raise CheckpointError(
            f"{what}: {named}, and ctr restores only onto an image. Pull or load that very image first.",
            reason="image_missing",
        )
    return (
        *_network(paths, container),
        *_output(paths, container),
        *warn_strays(paths, container, "ctr tasks exec"),
    )


def _interfaces(paths: Paths, pid: int) -> list[str]:
    """Returns the network interfaces of a process, without loopback."""
    lines = (read_text(f"{paths.proc}/{pid}/net/dev", may_fail=True) or "").split("\n")
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    return [name for name in names if name != "lo"]


def _has_sockets(paths: Paths, pid: int) -> bool:
    """Returns whether the network namespace of a process has internet sockets; True if that cannot be read."""
    texts = [read_text(f"{paths.proc}/{pid}/net/{name}", may_fail=True) for name in SOCKETS]
    return texts[0] is None or any((text or "").count("\n") > 1 for text in texts)


def _network(paths: Paths, container: Container) -> Iterator[str]:
    if container.own["network"] != "private":
        return
    found = _interfaces(paths, container.pid)
    if not found and not _has_sockets(paths, container.pid):
        return
    lost = f"has the network interface {found[0]!r}" if found else "has no network and uses loopback"
    then = "which no restore by runc brings back" if found else "which will be down after a restore by runc"
    yield (
        f"Container {container.name!r} {lost}, {then}. Give it a network namespace that stays (--with-ns "
        "network:PATH), or that of the host (--net-host)."
    )


def _output(paths: Paths, container: Container) -> Iterator[str]:
    for number in (1, 2):
        try:
            target = os.readlink(f"{paths.proc}/{container.pid}/fd/{number}")
        except OSError:
            continue
        if target.startswith("pipe:"):
            yield (
                f"Container {container.name!r} writes its output to a pipe. After a restore nobody reads it, and the "
                "container waits when the pipe is full: then read it "
                f"('{' '.join(CTR)} tasks attach {container.name}'), or make the container with --null-io."
            )
            return
