# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Plans the dump and the restore of the main process of a systemd service so that systemd keeps track of it.

For the duration, a drop-in in /run lets systemd take the end of the process as wanted, or start the service by a
restore. Afterwards only the service's own unit file applies again, to the restored main process.
"""

from __future__ import annotations

import os
from typing import Callable, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._host.systemd import Unit, quote, refuse_control, value

# A restore may read gigabytes of memory, for which systemd's default of 90 s is too short.
START_SECONDS = 900
# CRIU ends the process with SIGKILL: that is no failure, nothing is to be restarted, and what the restore needs has to
# stay.
ENDING = """\
# By criu.hosts, while it checkpoints the main process.
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
# By criu.hosts, while it restores the main process.
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


def drop_in_path(paths: Paths, unit: str) -> str:
    return f"{paths.units}/{unit}.d/99-criu-hosts.conf"


def terminal_settings(terminal: str | None) -> tuple[str, ...]:
    """Returns settings that give CRIU, and by it the shell job, the terminal as input and controlling terminal.

    CRIU then is the leader of its session and has to stay, as the main process of a service of type exec: its end would
    hang up the terminal.
    """
    if terminal is None:
        return ()
    return (
        "StandardInput=tty-fail",
        f"TTYPath={refuse_control(terminal)}",
        "StandardOutput=journal",
        "StandardError=journal",
    )


def render_start(argv: Sequence[str], pid_file: str, terminal: str | None, seconds: int = START_SECONDS) -> str:
    """Renders the drop-in of a restore."""
    return STARTING.format(
        kind="exec" if terminal else "forking",
        seconds=seconds,
        pid_file="" if terminal else value(pid_file),
        command=" ".join(quote(word) for word in argv),
        terminal="".join(f"{value(line)}\n" for line in terminal_settings(terminal)),
    )


def _reload(always: bool = False) -> Command:
    return Command(("systemctl", "daemon-reload"), why="reload systemd", always=always)


def with_drop_in(paths: Paths, unit: str, text: str, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Plans ``steps`` with a drop-in of ``unit`` around them."""
    path = drop_in_path(paths, unit)
    # The folder is removed only if this creates it: it may contain another drop-in.
    ours = path if os.path.isdir(os.path.dirname(path)) else os.path.dirname(path)
    return (
        MakeDir(os.path.dirname(path), mode=0o755, why="make the folder of the drop-in"),
        WriteFile(path, text, mode=0o644, why="write the drop-in"),
        _reload(),
        *steps,
        Remove(ours, why="remove the drop-in", always=True),
        _reload(always=True),
    )


def start_steps(
    paths: Paths,
    unit: Unit,
    argv: tuple[str, ...],
    pid_file: str,
    terminal: str | None,
    explain: Callable[[CheckpointError], CheckpointError],
    seconds: int = START_SECONDS,
) -> tuple[Step, ...]:
    """Plans a restore by systemd, in the unit of that name or in a transient one if there is none.

    After ``seconds`` systemd ends it, with all that is in the unit's cgroup.
    """
    if unit.known:
        start = Command(
            ("systemctl", "start", unit.name),
            why=f"restore into the unit {unit.name!r}",
            finish=True,
            explain=explain,
        )
        return with_drop_in(paths, unit.name, render_start(argv, pid_file, terminal, seconds), (start,))
    kind = ("Type=exec",) if terminal else ("Type=forking", f"PIDFile={refuse_control(pid_file)}")
    properties = (*kind, f"TimeoutStartSec={seconds}")
    settings = [f"--property={one}" for one in (*properties, *terminal_settings(terminal))]
    # Systemd writes them into the unit file of a transient unit.
    words = [refuse_control(word).replace("$", "$$") for word in argv]
    return (
        Command(
            ("systemd-run", "--quiet", "--collect", f"--unit={unit.name}", *settings, *words),
            why=f"restore into the transient unit {unit.name!r}",
            finish=True,
            explain=explain,
        ),
    )
