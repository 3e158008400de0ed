# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Writes lines for the journal of systemd, as a program that a unit runs."""

from __future__ import annotations

import sys

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import attempt

# Priorities of syslog; systemd reads the number from the beginning of a line.
PRIORITIES = {"err": 3, "warning": 4, "notice": 5, "info": 6}


def write(line: str) -> None:
    """Writes a line for the journal. Nobody may read it, or it may be text that is no UTF-8: that stops nothing."""

    def do() -> None:
        sys.stderr.write(line.encode("utf-8", "backslashreplace").decode())
        sys.stderr.flush()

    attempt("write to the journal", do)


def one_line(text: str) -> str:
    return " ".join(text.split())


def say(priority: str, text: str) -> None:
    """Writes one line with its priority. It never fails."""
    write(f"<{PRIORITIES[priority]}>{one_line(text)}\n")
