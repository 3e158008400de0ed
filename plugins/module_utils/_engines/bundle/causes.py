# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of errors that runc and crun print.

runc logs in the format of logrus, and prints after an error what its clean-up says, in any order; crun prints one line.
Their own sentences count from the beginning on: names from a bundle may be in them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_json

LINE_LENGTH = 2000
_LOGGED = re.compile(r'time="?\S{1,60}"? level=(?:error|fatal) msg=("(?:[^"\\]|\\.)*"|\S+)')
# What the clean-up after an error says.
_AFTER = ("container still running", "rmdir ")


@dataclass(frozen=True)
class Answer:
    """An error of a runtime: the words for people, their pattern, and the cause."""

    sign: str
    pattern: str
    cause: Cause


CAUSES: tuple[Answer, ...] = (
    Answer(
        "container with given ID already exists",
        r"container with given ID already exists|container `[^`]*` already exists",
        Cause("a container of that name is there", "Remove it, or wait for its end.", reason="container_exists"),
    ),
    Answer(
        "cannot allocate tty if runc will detach without setting console socket",
        r"cannot allocate tty if runc will detach",
        Cause(
            "it has a terminal, and a restore needs a program that takes its other end (--console-socket)",
            "Make it without (process.terminal in config.json).",
            reason="console_needed",
        ),
    ),
    Answer(
        "could not load `libcriu.so.2`",
        r"(?:could not load |dlopen ).?libcriu",
        Cause(
            "crun does not find the library libcriu",
            "Install libcriu2 (Debian) or criu-libs (Red Hat).",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    Answer(
        'CRIU version check failed: exec: "criu": executable file not found in $PATH',
        r"CRIU version check failed: exec: .criu.: executable file not found|Can't exec criu swrk",
        Cause(
            "the OCI runtime does not find criu in PATH",
            "Let the role criu.hosts.criu install it.",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    # CRIU ends at a word that it does not know. EBADRQC (56): it refuses its options before it writes a log
    # (cr-service.c).
    Answer(
        "CRIU version check failed: read criu-xprt-cln: connection reset by peer",
        r"CRIU version check failed: read criu-xprt-cln: connection reset|criu: unrecognized option|"
        r"criu failed: type \S{1,20} errno 56\b",
        Cause(
            "CRIU refuses its options, as with a wrong word in /etc/criu/runc.conf or /etc/criu/default.conf",
            "Correct these files; criu_config_info shows what is wrong in them.",
            reason="config_broken",
        ),
    ),
    Answer(
        "no space left on device",
        r"(?!.*(?:/sys/|cgroup|cpuset)).*: (?:no space left on device|disk quota exceeded)\Z",
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
    ),
)


def said(text: str) -> list[str]:
    """Returns what a runtime says in its output, the cause before what its clean-up says."""
    lines: list[str] = []
    for line in text.split("\n"):
        found = _LOGGED.match(line[:LINE_LENGTH])
        if found is None:
            lines += [] if line.startswith("time=") else [line[:LINE_LENGTH].strip()]
        else:
            lines += _unquoted(found[1]).split("\n")
    lines = [line for line in lines if line]
    return sorted(lines, key=lambda line: line.startswith(_AFTER))


def _unquoted(word: str) -> str:
    try:
        return str(parse_json(word)) if word.startswith('"') else word
    except ValueError:
        return word


def cause_of(runtime: str, completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, the runtime's own words."""
    lines = said(f"{completed.err}\n{completed.out}")
    for answer in CAUSES:
        if any(re.match(answer.pattern, line, re.IGNORECASE) for line in lines):
            return answer.cause
    why = lines[0] if lines else f"{runtime} failed with the exit status {completed.rc}"
    return Cause(why.rstrip("."), READ_TAIL, reason="tool_failed")
