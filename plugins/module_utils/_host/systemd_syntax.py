# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Quotes words and values for unit files."""

from __future__ import annotations

import re


def quote(argument: str) -> str:
    """One word of ExecStart."""
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


PLAIN_WORD = re.compile(r"[A-Za-z0-9@+=:,./_-]+\Z")


def word(text: str) -> str:
    """One argument of a command in a unit; systemd finds in it exactly ``text``."""
    if PLAIN_WORD.match(text):
        return text
    return quote(text).replace("\n", "\\n").replace("\t", "\\t")


def value(text: str) -> str:
    """A value that is no command: only specifiers are special in it."""
    return text.replace("%", "%%")
