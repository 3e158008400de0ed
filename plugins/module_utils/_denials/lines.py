# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses a line of a log, whichever LSM has refused something. Hosts without AppArmor need not compile its parser."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import QUICK, parse_head
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    APPARMOR,
    APPARMOR_MARK,
    Key,
    Record,
    parse_line,
    raw_key,
    text_of,
)


def parse_record(line: bytes) -> Record | None:
    """Parses the denial in a line, by SELinux or by AppArmor; None if there is none, or if it is truncated."""
    if APPARMOR_MARK not in line:
        return parse_line(line)
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.records import parse_apparmor

    head = parse_head(line)
    record = parse_apparmor(head, text_of(line)) if head is not None else None
    # The words may be in a name that SELinux has logged.
    return record or parse_line(line)


def quick_key(line: bytes) -> Key | None:
    """Finds the key of a denial that auditd wrote, quickly; None if the line needs to be parsed."""
    if APPARMOR_MARK not in line:
        return raw_key(line)
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.records import raw_apparmor_key

    return raw_apparmor_key(line) if QUICK.match(line) else None


def is_notice(line: bytes) -> bool:
    """Returns whether a line only seems to hold a denial: AppArmor reports in the same form what it has loaded."""
    if APPARMOR_MARK not in line:
        return False
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.records import is_apparmor_notice

    return is_apparmor_notice(line)


def shape(record: Record) -> str:
    """Returns what else denials of one kind have in common: for AppArmor, whose labels say less, the object."""
    if record.lsm != APPARMOR:
        return ""
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.known import shape_of

    return shape_of(record)
