# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Writes words and values in the syntax of systemd's unit files."""

from __future__ import annotations

import re

PLAIN_WORD = r"[A-Za-z0-9@+=:,./_-]+\Z"


def quote(argument: str) -> str:
    """Returns a word of ExecStart, in quotes."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def word(text: str) -> str:
    """Returns an argument of a command as a unit file needs it, so that the program receives exactly ``text``."""
    if re.match(PLAIN_WORD, text):
        return text
    return quote(text).replace("\n", "\\n").replace("\t", "\\t")


def value(text: str) -> str:
    """Returns a value that is not a command: only specifiers, which begin with %, are special in it."""
    return text.replace("%", "%%")
