# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Removes what a failed restore leaves beside podman, which would make the next one fail, or a start.

Seen with podman 5.4.2: the state of the OCI runtime (runc 1.1.15: "container with given ID already exists"), and
systemd's scope of the container (crun 1.21: "Unit libpod-ID.scope was already loaded or has a fragment file"), in which
CRIU or its processes may still be. Conmon, in a scope of its own, waits for them.
"""

from __future__ import annotations

import os
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command
from ansible_collections.criu.hosts.plugins.module_utils._host.names import is_id
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text

# The runtimes that keep the state of root's containers in /run/NAME/ID.
RUNTIMES = ("crun", "runc")
SLICE = "machine.slice"


def runtime_argv(runtime: str) -> tuple[str, ...]:
    """Returns the command of an OCI runtime for root's containers, with the root that it has under podman.

    Podman passes no --root, but an empty XDG_RUNTIME_DIR (UnpauseContainer of libpod/oci_conmon_common.go). crun takes
    that variable for its root, and root's login sets it, so the root is named here. Other runtimes keep their default.
    """
    kind = os.path.basename(runtime)
    return (runtime, f"--root=/run/{kind}") if kind in RUNTIMES else (runtime,)


def _populated(paths: Paths, scope: str) -> bool:
    events = read_text(f"{paths.cgroups}/{SLICE}/{scope}/cgroup.events", may_fail=True) or ""
    return "populated 1" in events.splitlines()


def _ignore(dummy_error: CheckpointError) -> None:
    pass


def leftover_steps(paths: Paths, container_id: str, runtime: str, alive: Callable[[], bool]) -> tuple[Command, ...]:
    """Plans to remove all of it; ``unless`` of each command is true if there is nothing for it, or ``alive`` is true.

    ``alive``: whether podman says that the container has its processes, asked only if something is there. A failure
    stops nothing: systemd may have forgotten the scope by itself, and otherwise the restore says why it fails.
    """
    if not is_id(container_id):
        return ()
    steps: list[Command] = []

    def add(why: str, there: Callable[[], bool], *argv: str) -> None:
        def unless() -> bool:
            return not there() or alive()

        steps.append(Command(argv, why=f"{why} of a failed restore", finish=True, unless=unless, tolerate=_ignore))

    kind = os.path.basename(runtime)
    scope, watcher = f"libpod-{container_id}.scope", f"libpod-conmon-{container_id}.scope"

    def has_state() -> bool:
        return kind in RUNTIMES and os.path.lexists(paths.below(f"/run/{kind}/{container_id}"))

    def has_processes() -> bool:
        return _populated(paths, scope)

    def has_unit() -> bool:
        # Systemd forgets a scope a moment after the end of its processes: "stop" waits for that.
        return has_processes() or os.path.lexists(paths.below(f"/run/systemd/transient/{scope}"))

    def is_watched() -> bool:
        # After each end of a container, conmon cleans up for a moment: only with something else it is a leftover.
        return (has_state() or has_processes()) and _populated(paths, watcher)

    kill = ("systemctl", "kill", "--signal=KILL")
    add("end conmon", is_watched, *kill, watcher)
    delete = (*runtime_argv(runtime), "delete", "--force", container_id)
    add("remove the runtime's state", has_state, *delete)
    add("end the processes", has_processes, *kill, scope)
    add("remove the scope", has_unit, "systemctl", "stop", scope)
    add("remove the scope", has_unit, "systemctl", "reset-failed", scope)
    return tuple(steps)
