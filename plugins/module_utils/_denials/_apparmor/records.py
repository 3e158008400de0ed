# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses AppArmor's records, which have the type of SELinux's denials and other words.

Kernel, security/apparmor/audit.c: the first field is what happened, DENIED, ALLOWED (complain mode) or KILLED; STATUS,
AUDIT, HINT and ERROR are no denials. dbus-daemon writes such records as USER_AVC.
"""

from __future__ import annotations

import re

from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import INTERPRETED, JOURNAL, Head
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    APPARMOR,
    Key,
    Record,
    pairs,
    unhex,
)

_AFTER_HEAD = re.compile(r"\) ?: ")
_AFTER_TYPE = re.compile(r": (?:USER_)?AVC ")
_BEGIN = re.compile(r'apparmor="?(DENIED|ALLOWED|KILLED)\b')
_USER_BEGIN = re.compile(r"msg='(?=apparmor=)")
_NOTICE = re.compile(rb'apparmor="?(?:STATUS|AUDIT|HINT|ERROR|AUTO)\b')
# In text of ausearch --interpret no value has quotes, and some have blanks.
_NEXT = re.compile(r" +(?=\w{1,64}=)")
# What the kernel writes as an untrusted string: in quotes, or as hexadecimal digits.
_TEXTS = ("comm", "exe", "info", "label", "name", "namespace", "peer", "peer_label", "profile", "srcname", "target")
_ADDRESSES = ("addr", "peer_addr")
_HEX_ADDRESS = re.compile(r"@((?:[0-9A-F]{2}){8,})")
_FILE_MASK = re.compile(r"[rwaxmkldcCDiupn]{1,16}")
# The classes of operations on kernels that write no class= (before Linux 6.0).
_CLASSES = {"signal": "signal", "ptrace": "ptrace", "capable": "cap"}
_MOUNT = frozenset("mount umount remount pivotroot".split())
CHANGES = frozenset("change_profile change_onexec change_hat stack stack_onexec".split())


def is_apparmor_notice(line: bytes) -> bool:
    """Returns whether a line is a record of AppArmor's about no denial, such as that of a loaded profile."""
    return _NOTICE.search(line) is not None


def _said(head: Head, text: str) -> str | None:
    """Returns the words of AppArmor's record; None if it is none. Names of files may look like one."""
    begin = (_AFTER_TYPE if head.form == JOURNAL else _AFTER_HEAD).search(text)
    said = text[begin.end() :] if begin else ""
    if head.kind == "user_avc":
        user = _USER_BEGIN.search(said)
        said = said[user.end() :].partition("'")[0] if user else ""
    return said if _BEGIN.match(said) else None


def _address(value: str) -> str:
    """Returns the address of a Unix socket; the kernel writes an abstract one with control characters as digits."""
    value = unhex(value)
    found = _HEX_ADDRESS.fullmatch(value)
    return f"@{bytes.fromhex(found.group(1)).decode('utf-8', 'replace')}".rstrip("\0") if found else value


def _interpreted(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in _NEXT.split(text):
        key, dummy, value = part.partition("=")
        found.setdefault(key, value.strip().strip('"'))
    return found


def parse_apparmor_fields(text: str, *, interpreted: bool = False) -> dict[str, str]:
    """Parses the ``key=value`` pairs of a record."""
    if interpreted:
        return _interpreted(text)
    found = pairs(text)
    return {
        key: unhex(value) if key in _TEXTS else _address(value) if key in _ADDRESSES else value.strip("\"'")
        for key, value in found.items()
    }


def _class_of(fields: dict[str, str]) -> str:
    operation = fields["operation"]
    if fields.get("class"):
        return fields["class"]
    if operation in _CLASSES:
        return _CLASSES[operation]
    if operation in _MOUNT:
        return "mount"
    if operation.startswith("dbus_"):
        return "dbus"
    return "net" if "family" in fields else "file"


def _permissions(fields: dict[str, str], tclass: str) -> tuple[str, ...] | None:
    """Returns what was refused; None if the record is torn."""
    if fields.get("capname"):
        return (fields["capname"],)
    mask = next((fields[key] for key in ("denied_mask", "requested_mask", "denied", "mask") if fields.get(key)), "")
    if tclass == "file" and fields["operation"] not in CHANGES:
        return tuple(sorted(set(mask))) if _FILE_MASK.fullmatch(mask) else None
    return tuple(sorted(set(re.findall(r"\w{1,40}", mask)))) or (fields["operation"],)


def parse_apparmor(head: Head, text: str) -> Record | None:
    """Parses a denial by AppArmor: profile and peer are source and target; None if the line is none, or torn."""
    said = _said(head, text)
    if said is None:
        return None
    fields = parse_apparmor_fields(said, interpreted=head.form == INTERPRETED)
    profile = fields.get("profile") or fields.get("label") or ""
    if not profile or not fields.get("operation") or not fields.get("pid", "").isdigit():
        return None
    tclass = _class_of(fields)
    permissions = _permissions(fields, tclass)
    if permissions is None:
        return None
    return Record(
        head.kind,
        head.time,
        permissions,
        profile,
        fields.get("peer") or fields.get("peer_label") or "",
        tclass,
        fields.get("comm", fields.get("exe", "").rpartition("/")[2]),
        fields["apparmor"] == "ALLOWED",
        op=fields["operation"],
        fields=fields,
        lsm=APPARMOR,
    )


def raw_apparmor_key(line: bytes) -> Key | None:
    """Finds the key of a denial that auditd wrote: all but its time and its process; None if it must be parsed."""
    start, pid = line.find(b"apparmor="), line.find(b" pid=")
    end = line.find(b" ", pid + 1)
    if start == -1 or pid < start or end == -1:
        return None
    last = line.find(b"\x1d", end)
    return b"apparmor", line[start:pid], line[end + 1 : last if last != -1 else None]
