# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads CRIU's logs: the lines that matter, and what they mean."""

from __future__ import annotations

import re
from typing import Sequence

TAIL_LINES = 20
LINE_LENGTH = 400
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

# Refusals by SELinux. Each is the beginning of what CRIU says. _denials/criu_logs.py looks for them as well.
SECCOMP_REFUSED = r"SECCOMP_SET_MODE_FILTER returned -13\b"
LABEL_REFUSED = r"can't write lsm profile -13\b"
LABEL_BOUNDED = r"can't write lsm profile -1\b"
LABEL_UNKNOWN = r"can't write lsm profile -22\b"
# With AppArmor only: the profile is not loaded (ENOENT; criu#2464).
PROFILE_MISSING = r"can't write lsm profile -2\b"
RESTORER_REFUSED = r"Can't map restorer code: Permission denied\b"


def tail(text: str) -> list[str]:
    """Returns the last lines with an error, or the last lines if there is none."""
    cut = (line[:LINE_LENGTH].rstrip() for line in text.split("\n"))
    lines = [line for line in cut if line and not NOISE.search(line)]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines)[-TAIL_LINES:]


def said_in(line: str) -> tuple[str, str]:
    """Returns the file of CRIU's source that logged an error, without its ending, and what it says."""
    line = line.strip()
    found = _ERROR.match(line)
    if not found:
        return "", ""
    return found["at"].partition(":")[0].rpartition("/")[2].partition(".")[0], line[found.end() :].rstrip(".")


def words_of(line: str) -> str:
    """Returns what CRIU says in a line with an error; empty for another line."""
    return said_in(line)[1]


def first_error(lines: Sequence[str]) -> str:
    """Returns the text of the first line that is not minor, without the source position; empty if there is none."""
    meant = [line for line in lines if not END.search(line)] or lines
    found = [line for line in meant if not MINOR.search(line)] or meant
    if not found:
        return ""
    text = re.sub(r"^.*?Error {1,9}\([^()]{1,200}\): ", "", found[0].strip()).rstrip(".")
    # Names of files may hold anything.
    return "".join(one if one.isprintable() else "?" for one in text.replace("\t", ""))
