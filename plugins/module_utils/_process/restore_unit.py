# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Dumping and restoring the main process of a systemd service without systemd losing track of it.

For the seconds of the work a drop-in in /run tells systemd what happens: that the end of the process is wanted, or
that its start is a restore. Afterwards the service runs by its own unit file again, with the restored main process.
"""

from __future__ import annotations

import os
from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import PLACES
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd_syntax import quote, value

# A restore reads gigabytes of memory; the default of 90 s would cut it off.
START_SECONDS = 900
# CRIU ends the process with SIGKILL: no failure, nothing to restart, nothing to clean up that is needed again.
ENDING = """\
# Of criu.hosts, while the main process is checkpointed.
[Unit]
SuccessAction=none
FailureAction=none
[Service]
Restart=no
SuccessExitStatus=SIGKILL
ExecStop=
ExecStopPost=
RuntimeDirectoryPreserve=yes
"""
STARTING = """\
# Of criu.hosts, while the main process is restored.
[Unit]
StartLimitIntervalSec=0
[Service]
Type={kind}
Restart=no
TimeoutStartSec={seconds}
PIDFile={pid_file}
ExecCondition=
ExecStartPre=
ExecStartPost=
ExecStart=
ExecStart=+{command}
{terminal}"""


def drop_in_path(unit: str) -> str:
    return f"{PLACES.units}/{unit}.d/99-criu-hosts.conf"


def terminal_settings(terminal: str | None) -> tuple[str, ...]:
    """The terminal becomes CRIU's standard input and controlling terminal, and so that of the shell job.

    CRIU is the leader of its session then and has to stay, as a main process of type exec: its end would hang up.
    """
    if terminal is None:
        return ()
    return ("StandardInput=tty-fail", f"TTYPath={terminal}", "StandardOutput=journal", "StandardError=journal")


def render_start(argv: Sequence[str], pid_file: str, terminal: str | None) -> str:
    """The drop-in of a restore."""
    return STARTING.format(
        kind="exec" if terminal else "forking",
        seconds=START_SECONDS,
        pid_file="" if terminal else value(pid_file),
        command=" ".join(quote(word) for word in argv),
        terminal="".join(f"{line}\n" for line in terminal_settings(terminal)),
    )


def _reload(always: bool = False) -> Command:
    return Command(("systemctl", "daemon-reload"), why="let systemd read its units again", always=always)


def with_drop_in(unit: str, text: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """``steps`` with a drop-in of ``unit`` around them."""
    path = drop_in_path(unit)
    # The folder goes only if it is ours alone: somebody may have a drop-in of his own there.
    ours = path if os.path.isdir(os.path.dirname(path)) else os.path.dirname(path)
    return (
        MakeDir(os.path.dirname(path), mode=0o755, why="make the folder of the drop-in"),
        WriteFile(path, text, mode=0o644, why="write the drop-in"),
        _reload(),
        *steps,
        Remove(ours, why="remove the drop-in", always=True),
        _reload(always=True),
    )


def start_steps(unit: Unit, argv: tuple[str, ...], pid_file: str, terminal: str | None) -> tuple[Step, ...]:
    """Let systemd restore: by the unit of that name, or by a transient one where there is none."""
    if unit.known:
        start = Command(
            ("systemctl", "start", unit.name), why=f"restore into the unit {unit.name!r}", label="restore", finish=True
        )
        return with_drop_in(unit.name, render_start(argv, pid_file, terminal), (start,))
    kind = ("Type=exec",) if terminal else ("Type=forking", f"PIDFile={pid_file}")
    properties = (*kind, f"TimeoutStartSec={START_SECONDS}")
    settings = [f"--property={one}" for one in (*properties, *terminal_settings(terminal))]
    words = [word.replace("$", "$$") for word in argv]
    return (
        Command(
            ("systemd-run", "--quiet", "--collect", f"--unit={unit.name}", *settings, *words),
            why=f"restore into the transient unit {unit.name!r}",
            label="restore",
            finish=True,
        ),
    )
