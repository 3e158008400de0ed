# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Renders the remedies for denials by AppArmor. A profile is a person's work: none of them is a task."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown
from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.kinds import is_container
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy

PAGE = "docs/apparmor.md of the collection lists all lines that CRIU needs."
UNCONFINED_CRIU = Remedy(
    "Start CRIU unconfined: from a root shell, a task of Ansible or the engine, under no profile of its own and not "
    "inside a confined container."
)
UNSTACKED = Remedy(
    "Run the process under one profile instead of a stack, and make the checkpoint again. For a container, leave out "
    "no-new-privileges, for which crun stacks profiles."
)
NEW_PRIVILEGES = Remedy(
    "Start it without no_new_privs (NoNewPrivileges= of the unit, no-new-privileges of the container), or under the "
    "profile that it is to have from the start."
)
DISCONNECTED = Remedy(
    "Give the profile the flag attach_disconnected, if it is to allow such files: flags=(attach_disconnected)."
)
NEWER_ENGINE = Remedy(
    "Use a newer engine, whose profile for containers allows the signals of the profiles that AppArmor 4 has for runc, "
    "crun and podman."
)
REVIEW = Remedy(
    "The collection knows no remedy. Review the denial yourself: the candidate rule restates it and is no "
    "recommendation."
)
# What CRIU's log shows without a record of the kernel.
LINES_OF_CRIU = Remedy(f"Add the lines for CRIU to the profile of the process. {PAGE}")


def add_lines(profile: str, *lines: str) -> Remedy:
    """Returns the advice to add these lines to a profile."""
    what = " ".join(lines)
    if is_container(profile):
        return Remedy(
            f"The engine makes the profile {shown(profile)} itself. Give the container a profile of its own "
            f"(--security-opt apparmor=NAME) with: {what} {PAGE}"
        )
    return Remedy(
        f"Add to the profile {shown(profile)}, which is below /etc/apparmor.d: {what} Then load it with "
        f"apparmor_parser --replace. {PAGE}"
    )


def load_profile(profile: str) -> Remedy:
    """Returns the advice to load a profile."""
    if is_container(profile):
        return Remedy(
            f"Load the profile {shown(profile)} before the restore. The engine loads it when it makes a container, not "
            "when it restores one; its name has the version, so after an upgrade the engine loads a different one."
        )
    return Remedy(
        f"Load the profile {shown(profile)} before the restore: apparmor_parser --replace with its file below "
        "/etc/apparmor.d."
    )
