# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of the errors of ctr. They are recorded in tests/unit/fixtures/containerd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import READ_TAIL, Cause

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed

ERROR = "ctr: "
LINE_LENGTH = 2000
# What the shim puts around the words of runc, and gRPC behind each error that has no code.
_AROUND = re.compile(r"runc did not terminate successfully: exit status [0-9]{1,3}: (.*?)(?: path= /\S{1,1000})?\Z")
_CODE = ": unknown"
# Names may be in the lines: what precedes the words that count has no quotes and no slashes.
_PLAIN = r"[^/\"'`]*"
CAUSES: tuple[tuple[str, Cause], ...] = (
    (
        rf"{_PLAIN}failed to dial ",
        Cause("containerd does not answer", "Start it ('systemctl start containerd').", reason="tool_failed"),
    ),
    (
        r"CRIU version check failed: exec: \"criu\": executable file not found",
        Cause("containerd does not find criu", "Install CRIU in a folder of its PATH.", reason="criu_missing"),
    ),
    # EBADRQC, by which CRIU (cr-service.c) refuses its options before it writes a log.
    (
        rf"{_PLAIN}criu failed: type \S{{1,20}} errno 56\b",
        Cause(
            "CRIU refuses its options, as with a wrong word in /etc/criu/runc.conf or /etc/criu/default.conf",
            "Correct these files; criu_config_info shows what is wrong in them.",
            reason="config_broken",
        ),
    ),
    (
        r"image \"[^\"]{1,1000}\": not found\Z",
        Cause("its image is not on this host", "Pull or load the image first.", reason="image_missing"),
    ),
    (
        r"(?:snapshot|container) \"[^\"]{1,1000}\": already exists\Z",
        Cause("a container of its name is there already", "Remove it first.", reason="container_exists"),
    ),
    (
        r"(?!.*(?:/sys/|cgroup|cpuset|inotify|keyring)).*: no space left on device\Z",
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
    ),
)


def words_of(line: str) -> str:
    """Returns what an error line of ctr says, without what surrounds it."""
    text = line[len(ERROR) :] if line.startswith(ERROR) else line
    text = text[: -len(_CODE)] if text.endswith(_CODE) else text
    found = _AROUND.match(text)
    return found.group(1) if found else text


def cause_of(completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, the words of ctr."""
    lines = [line[:LINE_LENGTH].strip() for line in completed.err.split("\n")]
    said = [words_of(line) for line in lines if line]
    for pattern, cause in CAUSES:
        if any(re.match(pattern, line, re.IGNORECASE) for line in said):
            return cause
    errors = [words_of(line) for line in lines if line.startswith(ERROR)]
    why = errors[0] if errors else words_of(completed.last_line[:LINE_LENGTH])
    return Cause(why.rstrip("."), READ_TAIL, reason="tool_failed")
