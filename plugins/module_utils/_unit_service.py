# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""A stand-in until the stateful runtime is there."""

from __future__ import annotations


def pid_file(name: str) -> str:
    return f"/run/{name}.conmon.pid"


def stateful_service(name: str, stop_timeout: int) -> list[str]:
    program = "/usr/bin/python3 /usr/local/libexec/criu-hosts/stateful_unit.pyz"
    return [
        "Type=forking",
        f"PIDFile={pid_file(name)}",
        "NotifyAccess=all",
        f"ExecStart={program} start {name}",
        f"ExecStop={program} stop {name}",
        f"ExecStopPost={program} stopped {name}",
        "KillMode=none",
        "TimeoutStartSec=900",
        "TimeoutStopSec=900",
    ]
