# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the cause of a failure in CRIU's log. The table is in known_errors.py."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, shown, shown_word
from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import (
    KNOWN_ERRORS,
    LAST_RESORTS,
    KnownError,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import END, LINE_LENGTH, said_in

# What stands for the placeholders in the signs of known_errors.py.
_PLACES = {
    "name": "(?P<name>.{1,390}?)",
    "outside": r"(?P<name>(?!/null\Z).{1,390})",
    "path": "(?P<path>.{1,390}?)",
    "end": r"\Z",
    "number": "(?:0x)?[0-9a-f]{1,20}",
    "words": "[^/]{0,200}?",
}


def pattern_of(sign: str) -> str:
    """Returns the regular expression of a sign of known_errors.py; that of log.py is one already."""
    if sign.endswith("\\b"):
        return sign
    parts = re.split(r"\{([a-z]+)\}", sign)
    text = "".join(_PLACES[one] if number % 2 else re.escape(one) for number, one in enumerate(parts))
    if sign.endswith(("{name}", "{outside}", "{path}")):
        return f"{text}\\Z"
    return f"{text}\\b" if sign[-1].isalnum() else text


def _name(groups: dict[str, str]) -> str:
    """Returns the name in what CRIU says, for a message."""
    path = groups.get("path")
    if path is None:
        return shown_word(groups.get("name", ""))
    # CRIU writes paths from the root of a mount namespace on, as "./a" or "a".
    return shown("/" + (path[1:] if path.startswith("./") else path).lstrip("/"))


def _explained(known: KnownError, said: Iterable[tuple[str, str]], kind: str) -> Cause | None:
    """Returns the cause if CRIU has said one of the signs."""
    patterns = [pattern_of(sign) for sign in known.signs]
    for source, words in said:
        if known.sources and source not in known.sources:
            continue
        for pattern in patterns:
            found = re.match(pattern, words)
            if found is not None:
                return replace(known.cause, why=known.cause.why.format(kind=kind, name=_name(found.groupdict())))
    return None


def cause_in_log(lines: Iterable[str], kind: str, action: str = "") -> Cause | None:
    """Returns the cause that CRIU's lines name for a container or process; None if it is not known.

    ``action`` is checkpoint or restore; empty for either.
    """
    every = [said_in(line[:LINE_LENGTH]) for line in lines]
    said = [one for one in every if one[1]]

    def first_of(rows: Iterable[KnownError]) -> Cause | None:
        fitting = (row for row in rows if kind in row.kinds and (not action or action in row.actions))
        return next((cause for cause in (_explained(row, said, kind) for row in fitting) if cause is not None), None)

    cause = first_of(KNOWN_ERRORS)
    if cause is not None:
        return cause
    ignored = (END.pattern, *(pattern_of(sign) for row in LAST_RESORTS for sign in row.signs))
    others = [words for dummy_source, words in said if not any(re.match(one, words) for one in ignored)]
    return first_of(LAST_RESORTS) if not others else None
