# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds the causes of Podman's errors."""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause

# Podman's own sentences. The first that is found in its output counts.
CAUSES = (
    (
        r"does not support checkpoint/restore",
        Cause(
            "its OCI runtime cannot checkpoint",
            "Use a runtime that can: runc, or crun built with CRIU and with libcriu2 installed.",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    (
        r"libcriu\.so|could not load .?libcriu",
        Cause(
            "its OCI runtime does not find the library libcriu",
            "Install libcriu2 (Debian) or criu-libs (Red Hat).",
            reason="runtime_cannot_checkpoint",
        ),
    ),
    (
        r"cannot be restored with runtime",
        Cause(
            "the archive was made with another OCI runtime",
            "Install the runtime that made it.",
            reason="archive_runtime_missing",
        ),
    ),
    (
        r"unexpected EOF|config\.dump: no such file|unpacking of checkpoint archive|invalid tar header",
        Cause(
            "the archive is cut off or not a checkpoint of podman", "Make or copy it again.", reason="archive_invalid"
        ),
    ),
    (
        r"volume with name .* already exists",
        Cause("a volume of the archive is there already", "Remove it, or set ignore_volumes.", reason="volume_exists"),
    ),
    (
        r"that ID is already in use",
        Cause(
            "a container with the archive's id is there already",
            "Remove it first, or use new_name.",
            reason="container_exists",
        ),
    ),
    (
        r"that name is already in use|name .* is in use",
        Cause("the name is taken", "Use new_name.", reason="name_in_use"),
    ),
    (
        r"cgroup is not empty",
        Cause(
            "processes still run in its cgroup, for example those of a clone (new_name)",
            "Stop the clone first.",
            reason="cgroup_in_use",
        ),
    ),
    (
        r"initializing source|pinging container registry|no such image|short-name",
        Cause("its image is not on this host", "Pull or load the image first.", reason="image_missing"),
    ),
)


def cause_of(completed: Completed) -> Cause:
    """Returns the first cause that matches the output; if there is none, Podman's own words."""
    text = f"{completed.err}\n{completed.out}"
    for pattern, cause in CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return cause
    lines = [line for line in completed.err.splitlines() if line.startswith("Error: ")]
    why = lines[0][len("Error: ") :] if lines else completed.last_line
    why = re.sub(r"`(\S+) [^`]*` failed", r"\1 failed", why)
    return Cause(why.rstrip("."), "Read log_tail.", reason="tool_failed")
