# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Defines the paths, options and statuses on which systemd, podman and our program agree. Pure."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._host.limits import BASE_SECONDS
from ansible_collections.criu.hosts.plugins.module_utils._host.names import UNIT_LABEL

PROGRAM = "/usr/local/libexec/criu-hosts/stateful_unit.pyz"
# Python alone, without site packages: that is faster, and no other package can change the program.
PYTHON = "/usr/bin/python3 -IS"
# This label of the container holds the digest of the spec that it was made from.
DIGEST_LABEL = "criu.hosts.digest"
# Conmon ends so when the container was killed, for example by CRIU after the dump, or stopped by SIGTERM.
KILLED, TERMINATED = 137, 143
# Conmon ends so when podman has cleaned up after the dump before conmon could note the status of the container.
UNNOTED = 1
# Our program ends so when it fails. systemd takes the other statuses for a success.
FAILED = 3
# A file with the name of the unit shows that the program stops the unit. Then none of these statuses is a failure.
STOPPING = "stopping"


def pid_file(name: str) -> str:
    """Returns the file for the pid of conmon, the main process of the unit, in a folder that conmon may write to."""
    return f"/run/containers/{name}.conmon.pid"


def stopping_dir(paths: Paths) -> str:
    return f"{paths.run}/{STOPPING}"


def spec_path(paths: Paths, name: str) -> str:
    return paths.below(f"/etc/criu-hosts/units/{name}.json")


def state_dir(paths: Paths, name: str) -> str:
    return f"{paths.state}/units/{name}"


def last_path(paths: Paths, name: str) -> str:
    """Returns the path of the record of the last start or stop."""
    return f"{state_dir(paths, name)}/last.json"


def mark_path(images: str) -> str:
    """Returns the path of the mark that a stop leaves among the images of its checkpoint."""
    return f"{images}/criu-hosts-stop.json"


def key_path(paths: Paths) -> str:
    """Returns the path of this host's key for the digests of containers, which cover secrets."""
    return f"{paths.state}/digest.key"


def aside_dir(paths: Paths, name: str) -> str:
    """Returns the folder for checkpoints that could not be used."""
    return f"{paths.state}/aside/{name}"


def stateful_create(name: str) -> tuple[str, ...]:
    """Returns the options of ``podman create`` for the container of a stateful unit.

    conmon stays in the cgroup of the unit, and the scope of the container is ordered before the unit: at shutdown
    systemd stops in the opposite order, so that the scope still runs when the unit dumps it.
    """
    return (
        "--cgroups=no-conmon",
        "--sdnotify=ignore",
        f"--conmon-pidfile={pid_file(name)}",
        f"--annotation=org.systemd.property.Before=['{name}.service']",
        f"--label={UNIT_LABEL}={name}.service",
    )


def stateful_service(name: str, stop_timeout: int) -> tuple[str, ...]:
    """Returns the lines of [Service] without Restart= and RestartSec=.

    A dump ends conmon as a kill does, which is no failure of a unit that is being stopped. The last command
    distinguishes the two: it fails, and the unit with it, when the container ended on its own.
    """
    call = f"{PYTHON} {PROGRAM}"
    return (
        "Type=forking",
        f"PIDFile={pid_file(name)}",
        f"ExecStart={call} start {name}",
        f"ExecStop={call} stop {name}",
        f"ExecStopPost={call} stopped {name}",
        "NotifyAccess=all",
        "KillMode=mixed",
        f"SuccessExitStatus={UNNOTED} {KILLED} {TERMINATED}",
        # The program has so long to inspect the container; then it asks systemd for the time that the memory needs.
        f"TimeoutStartSec={BASE_SECONDS}",
        f"TimeoutStopSec={BASE_SECONDS + stop_timeout}",
    )
