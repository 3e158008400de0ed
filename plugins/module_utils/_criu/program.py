# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads the ELF headers and the file capabilities of a program."""

from __future__ import annotations

import os

from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import Elf, ElfError, read_elf


def read_program(path: str) -> Elf | None:
    """Reads the ELF headers of a program; None for a script or an unreadable file."""
    try:
        with open(path, "rb") as handle:
            return read_elf(handle)
    except (OSError, ElfError):
        return None


def read_capability_attribute(path: str) -> bytes:
    """Reads the extended attribute that holds the file capabilities; empty if there is none."""
    try:
        return os.getxattr(path, "security.capability")
    except OSError:
        return b""
