# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs as the program that systemd calls for a stateful unit, with start, stop or stopped and the unit's name."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import dataclass
from types import FrameType
from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core import journal
from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import watched
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.layout import BASE_SECONDS, FAILED
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.run import start, stop, stopped
from ansible_collections.criu.hosts.plugins.module_utils._unit.stateful.unit import Unit

ACTIONS = ("start", "stop", "stopped")
# A command is killed so long before systemd would kill the program.
MARGIN_SECONDS = 60
# systemd reads no longer message, and waits for none for long.
NOTIFY_BYTES = 2048
NOTIFY_SECONDS = 10.0


def say(priority: str, text: str) -> None:
    """Writes one line to the journal, and to systemctl status. It never fails."""
    journal.say(priority, text)
    notify(f"STATUS={journal.one_line(text)}")


def notify(text: str) -> None:
    """Notifies systemd, if systemd has called the program. It never fails: then systemd knows less."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return

    def do() -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(NOTIFY_SECONDS)
                sender.connect("\0" + address[1:] if address.startswith("@") else address)
                sender.sendall(text.encode("utf-8", "backslashreplace")[:NOTIFY_BYTES])
        except OSError as error:
            journal.say("notice", f"Cannot notify systemd: {error.strerror or error}.")

    attempt("notify systemd", do)


@dataclass
class Time:
    """The time that systemd gives. A stop in the middle of a start gets a shorter one, so it is asked for again."""

    runner: ProgramRunner
    end: float = 0.0

    def allow(self, seconds: int, doing: str) -> None:
        self.runner.limit = float(seconds - MARGIN_SECONDS)
        self.end = time.monotonic() + seconds
        notify(f"EXTEND_TIMEOUT_USEC={seconds * 1000000}\nSTATUS={doing}")

    def renew_at_stop(self) -> None:
        """Asks for the rest of the time as soon as systemd wants the program to stop, before what watches signals."""
        known = signal.getsignal(signal.SIGTERM)
        if not callable(known):
            return

        def renew(number: int, frame: FrameType | None) -> None:
            notify(f"EXTEND_TIMEOUT_USEC={max(0, int(self.end - time.monotonic())) * 1000000}")
            known(number, frame)

        signal.signal(signal.SIGTERM, renew)


def act(argv: Sequence[str]) -> None:
    """Does the action of the command line."""
    runner = ProgramRunner(float(BASE_SECONDS - MARGIN_SECONDS))
    given = Time(runner)
    with watched(last=True):
        given.renew_at_stop()
        ctx = Context({}, runner, False)
        unit = Unit(argv[2], ctx, engine_for("podman", ctx), given.allow, say)
        if argv[1] == "start":
            start(unit)
        elif argv[1] == "stop":
            stop(unit)
        else:
            known = os.environ
            stopped(unit, known.get("SERVICE_RESULT", "unknown"), known.get("EXIT_STATUS", "unknown"))


def main(argv: Sequence[str]) -> int:
    """Does the action; returns 0 if the unit is then in the wanted state."""
    if len(argv) != 3 or argv[1] not in ACTIONS or not argv[2] or "/" in argv[2]:
        say("err", f"Usage: {os.path.basename(argv[0])} {'|'.join(ACTIONS)} NAME")
        return 2
    dummy, error = attempt(f"{argv[1]} the unit '{argv[2]}.service'", lambda: act(argv))
    if error is not None:
        say("err", error.message)
        return FAILED
    return 0
