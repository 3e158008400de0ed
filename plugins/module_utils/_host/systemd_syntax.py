# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Writes words and values in the syntax of systemd's unit files."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError

PLAIN_WORD = r"[A-Za-z0-9@+=:,./_-]+\Z"
# The control characters and line ends of Unicode. Systemd ends a line of a unit file at \n, \r and NUL.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(r"[\x01-\x1f\x7f]")
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def has_control(text: str) -> bool:
    """Returns whether there is a control character in a text that has to be one line."""
    return CONTROL.search(text) is not None


def refuse_control(text: str) -> str:
    """Returns ``text`` if it can be part of a line of a unit file.

    Raises:
        CheckpointError: unit_text_invalid.
    """
    if has_control(text):
        raise CheckpointError(
            f"Cannot write {text!r} into a unit of systemd: it has a control character. Leave that out.",
            reason="unit_text_invalid",
        )
    return text


def _in_quotes(argument: str) -> str:
    text = argument.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"'


def quote(argument: str) -> str:
    """Returns a word of ExecStart, in quotes.

    Raises:
        CheckpointError: unit_text_invalid, it has a control character.
    """
    return _in_quotes(refuse_control(argument))


def word(text: str) -> str:
    """Returns an argument of a command as a unit file needs it, so that the program receives exactly ``text``.

    Raises:
        CheckpointError: unit_text_invalid, it has a NUL, which no argument can have.
    """
    if re.match(PLAIN_WORD, text):
        return text
    if "\0" in text:
        refuse_control(text)
    return _ESCAPED.sub(lambda found: _NAMED.get(found.group()) or f"\\x{ord(found.group()):02x}", _in_quotes(text))


def value(text: str) -> str:
    """Returns a value that is not a command: only specifiers, which begin with %, are special in it.

    Raises:
        CheckpointError: unit_text_invalid, it has a control character, or ends with a backslash, which would continue
            the line.
    """
    if text.endswith("\\"):
        raise CheckpointError(
            f"Cannot write {text!r} into a unit of systemd: the backslash at its end would continue the line. Leave "
            "that out.",
            reason="unit_text_invalid",
        )
    return refuse_control(text).replace("%", "%%")
