# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs as the program that systemd calls for a stateful unit, with start, stop or stopped and the unit's name."""

from __future__ import annotations

import os
import socket
import sys
from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import watched
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import FAILED
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import Unit, start, stop, stopped

ACTIONS = ("start", "stop", "stopped")
# Priorities of syslog; systemd reads the number from the beginning of a line.
PRIORITIES = {"err": 3, "warning": 4, "notice": 5, "info": 6}
# A command is killed so long before systemd would kill the program.
MARGIN_SECONDS = 60


def say(priority: str, text: str) -> None:
    """Writes one line to the journal, and to systemctl status."""
    line = " ".join(text.split())
    sys.stderr.write(f"<{PRIORITIES[priority]}>{line}\n")
    sys.stderr.flush()
    notify(f"STATUS={line}")


def notify(text: str) -> None:
    """Notifies systemd, if systemd has called the program."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.sendall(text.encode())
        except OSError as error:
            sys.stderr.write(f"<{PRIORITIES['notice']}>Cannot notify systemd: {error.strerror}.\n")


def main(argv: Sequence[str]) -> int:
    """Does the action; returns 0 if the unit is then in the wanted state."""
    if len(argv) != 3 or argv[1] not in ACTIONS:
        say("err", f"Usage: {os.path.basename(argv[0])} {'|'.join(ACTIONS)} NAME")
        return 2
    runner = ProgramRunner()

    def allow(seconds: int, doing: str) -> None:
        runner.limit = float(seconds - MARGIN_SECONDS)
        notify(f"EXTEND_TIMEOUT_USEC={seconds * 1000000}\nSTATUS={doing}")

    try:
        with watched():
            ctx = Context({}, runner, False)
            unit = Unit(argv[2], ctx, engine_for("podman", ctx), allow, say)
            if argv[1] == "start":
                start(unit)
            elif argv[1] == "stop":
                stop(unit)
            else:
                known = os.environ
                stopped(unit, known.get("SERVICE_RESULT", "unknown"), known.get("EXIT_STATUS", "unknown"))
    except CheckpointError as error:
        say("err", error.message)
        return FAILED
    return 0
