# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of Podman's errors."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

# Podman's own sentences, from the beginning of a line on, behind "Error: ". The first one in its output counts. Names
# from an archive or an image may be in them: so what precedes the words that count has neither quotes nor slashes.
ERROR = "Error: "
_PLAIN = r"[^/\"'`]*"
LINE_LENGTH = 2000
CAUSES = (
    (
        r".*: (?:no space left on device|disk quota exceeded)\Z",
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
    ),
    (
        rf"{_PLAIN}does not support checkpoint/restore",
        Cause(
            "its OCI runtime cannot checkpoint",
            "Use a runtime that can: runc, or crun built with CRIU and with libcriu2 installed.",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    (
        rf"{_PLAIN}(?:libcriu\.so|could not load .?libcriu)",
        Cause(
            "its OCI runtime does not find the library libcriu",
            "Install libcriu2 (Debian) or criu-libs (Red Hat).",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    (
        r"checkpoint archive .* was created with runtime \S+ and cannot be restored with runtime",
        Cause(
            "the archive was made with another OCI runtime",
            "Install the runtime that made it.",
            reason="archive_runtime_missing",
        ),
    ),
    (
        r"failed extracting runtime information from |unpacking of checkpoint archive "
        rf"|{_PLAIN}(?:unexpected EOF|invalid tar header)\Z",
        Cause(
            "the archive is cut off or not a checkpoint of podman", "Make or copy it again.", reason="archive_invalid"
        ),
    ),
    (
        r"volume with name \S+ already exists",
        Cause("a volume of the archive is there already", "Remove it, or set ignore_volumes.", reason="volume_exists"),
    ),
    (
        rf"{_PLAIN}that ID is already in use",
        Cause(
            "a container with the archive's id is there already",
            "Remove it first, or use new_name.",
            reason="container_exists",
        ),
    ),
    (
        rf"{_PLAIN}(?:that name is already in use|name \S+ is (?:already )?in use)|.*: that name is already in use\Z",
        Cause("the name is taken", "Use new_name.", reason="name_in_use"),
    ),
    (
        r"OCI runtime error: [^/\"`]*cgroup is not empty",
        Cause(
            "processes still run in its cgroup, for example those of a clone (new_name)",
            "Stop the clone first.",
            reason="cgroup_in_use",
        ),
    ),
    (
        rf"{_PLAIN}(?:initializing source|pinging container registry|no such image|short-name)",
        Cause("its image is not on this host", "Pull or load the image first.", reason="image_missing"),
    ),
)


def cause_of(completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, Podman's own words."""
    lines = [line[:LINE_LENGTH].strip() for line in f"{completed.err}\n{completed.out}".split("\n")]
    said = [line[len(ERROR) :] if line.startswith(ERROR) else line for line in lines]
    for pattern, cause in CAUSES:
        if any(re.match(pattern, line, re.IGNORECASE) for line in said):
            return cause
    errors = [line[len(ERROR) :] for line in lines if line.startswith(ERROR)]
    why = errors[0] if errors else completed.last_line[:LINE_LENGTH]
    why = re.sub(r"`([^\s`]+) [^`]*` failed", r"\1 failed", why)
    return Cause(why.rstrip("."), "Read log_tail.", reason="tool_failed")
