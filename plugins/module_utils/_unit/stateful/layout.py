# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""What a stateful unit and its container need so that systemd, podman and our program agree. Pure."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._host.names import UNIT_LABEL
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES

PROGRAM = "/usr/local/libexec/criu-hosts/stateful_unit.pyz"
# Nothing but its own library: quicker, and no other package gets a say in it.
PYTHON = "/usr/bin/python3 -IS"
# A label of the container: the digest of the description that it was made from.
DIGEST_LABEL = "criu.hosts.digest"
# How conmon ends when the container was killed, by CRIU once the dump is there for one, or stopped by SIGTERM.
KILLED, TERMINATED = 137, 143
# How it ends when podman has cleaned up after the dump before conmon could note the status of the container.
UNNOTED = 1
# How our program ends when it fails: with none of these, since systemd would take it for a success.
FAILED = 3
# A file of the unit's name says that the program stops the unit: then none of these statuses is a failure.
STOPPING = "/run/criu-hosts/stopping"
# Before the program has looked at the container, it has so long; then it asks systemd for what the memory needs.
BASE_SECONDS = 300


def pid_file(name: str) -> str:
    """Where conmon writes its pid, the main process of the unit: in a folder whose label lets it do so."""
    return f"/run/containers/{name}.conmon.pid"


def spec_path(name: str) -> str:
    return f"/etc/criu-hosts/units/{name}.json"


def state_dir(name: str) -> str:
    return f"{PLACES.state}/units/{name}"


def last_path(name: str) -> str:
    """The record of the last start or stop."""
    return f"{state_dir(name)}/last.json"


def aside_dir(name: str) -> str:
    """Where checkpoints are kept that could not be used."""
    return f"{PLACES.state}/aside/{name}"


def stateful_create(name: str) -> tuple[str, ...]:
    """The options of ``podman create`` for the container of a stateful unit.

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
    """The lines of [Service], all but Restart= and RestartSec=.

    A dump ends conmon as a kill does, which is no failure of a unit that is being stopped. The last command knows the
    two apart: it fails when the container ended by itself, and the unit with it.
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
        f"TimeoutStartSec={BASE_SECONDS}",
        f"TimeoutStopSec={BASE_SECONDS + stop_timeout}",
    )
