# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads CRIU's logs: the lines that matter, and what they mean."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Iterable, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import KnownError

TAIL_LINES = 20
LINE_LENGTH = 400
NAME_LENGTH = 120
# CRIU looks for tools that it does not need, and logs an error if they are missing.
NOISE = re.compile(r"ip6?tables[a-z-]*-save")
# A missing tool: a later line names what failed because of it. And a resource limit that CRIU can do without.
MINOR = re.compile(r"execvp\(|exited, status=|rlimit: Can't setup")
# The last line of every failure.
END = re.compile(r"(?:Dumping|Restoring) FAILED")

# What CRIU puts before its words: the time, the process, the position in its source, and the part of it that speaks.
# What follows may contain names of files, which a process chooses: only the beginning of a sentence is CRIU's own.
BEFORE = r"(?:\([0-9.]{1,20}\) {1,9})?(?:pie: {1,9})?(?:[0-9]{1,10}: {1,9})?"
_ERROR = re.compile(BEFORE + r"Error {1,9}\((?P<at>[^()]{1,200})\): (?:[a-z][a-z0-9_-]{1,20}: )?\t?")
# What stands for the placeholders in the signs of known_errors.py.
_PLACES = {
    "name": "(?P<name>.{1,390}?)",
    "outside": r"(?P<name>(?!/null\Z).{1,390})",
    "path": "(?P<path>.{1,390}?)",
    "end": r"\Z",
    "number": "(?:0x)?[0-9a-f]{1,20}",
    "words": "[^/]{0,200}?",
}

# Refusals by SELinux. Each is the beginning of what CRIU says. _denials/criu_logs.py looks for them as well.
SECCOMP_REFUSED = r"SECCOMP_SET_MODE_FILTER returned -13\b"
LABEL_REFUSED = r"can't write lsm profile -13\b"
LABEL_BOUNDED = r"can't write lsm profile -1\b"
LABEL_UNKNOWN = r"can't write lsm profile -22\b"
RESTORER_REFUSED = r"Can't map restorer code: Permission denied\b"


def shown(name: str) -> str:
    """Returns a name from a log for a message: a file's in quotes, since a process chooses it; not too long."""
    if name.isascii() and name.isdigit():
        return name
    return repr(name if len(name) <= NAME_LENGTH else f"{name[:NAME_LENGTH]}...")


def tail(text: str) -> list[str]:
    """Returns the last lines with an error, or the last lines if there is none."""
    cut = (line[:LINE_LENGTH].rstrip() for line in text.split("\n"))
    lines = [line for line in cut if line and not NOISE.search(line)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines)[-TAIL_LINES:]


def _said(line: str) -> tuple[str, str]:
    """Returns the file of CRIU's source that logged an error, without its ending, and what it says."""
    line = line.strip()
    found = _ERROR.match(line)
    if not found:
        return "", ""
    return found["at"].partition(":")[0].rpartition("/")[2].partition(".")[0], line[found.end() :].rstrip(".")


def words_of(line: str) -> str:
    """Returns what CRIU says in a line with an error; empty for another line."""
    return _said(line)[1]


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
        return shown(groups.get("name", ""))
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
    # A task that succeeds need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import KNOWN_ERRORS, LAST_RESORT

    every = [_said(line[:LINE_LENGTH]) for line in lines]
    said = [one for one in every if one[1]]
    for known in KNOWN_ERRORS:
        if kind in known.kinds and (not action or action in known.actions):
            cause = _explained(known, said, kind)
            if cause is not None:
                return cause
    ignored = (END.pattern, *map(pattern_of, LAST_RESORT.signs))
    others = [words for dummy_source, words in said if not any(re.match(one, words) for one in ignored)]
    return _explained(LAST_RESORT, said, kind) if not others else None


def first_error(lines: Sequence[str]) -> str:
    """Returns the text of the first line that is not minor, without the source position; empty if there is none."""
    meant = [line for line in lines if not END.search(line)] or lines
    found = [line for line in meant if not MINOR.search(line)] or meant
    if not found:
        return ""
    text = re.sub(r"^.*?Error {1,9}\([^()]{1,200}\): ", "", found[0].strip()).rstrip(".")
    # Names of files may hold anything.
    return "".join(one if one.isprintable() else "?" for one in text.replace("\t", ""))
