# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the records of denials in audit.log, in the journal and in the kernel's ring buffer.

Works on bytes: logs may have many gigabytes, and only relevant lines are decoded.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import (
    INTERPRETED,
    QUICK,
    SYSCALL,
    Head,
    parse_any_head,
    parse_head,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of

# What a line must contain to be parsed. In text that was copied from a page, the two blanks may be one. A mark whose
# last character is rare is found faster.
AVC_MARK = b"avc:  denied  {"
ERROR_MARK = b"SELINUX_ERR"
APPARMOR_MARK = b"apparmor="
MARKS = (AVC_MARK, b"avc: denied {", ERROR_MARK, b"type=1401 audit(", APPARMOR_MARK)
# Who refused.
SELINUX, APPARMOR = "selinux", "apparmor"
# The one operation whose system call matters.
BOUNDED_TRANSITION = "security_bounded_transition"
_DENIED = re.compile(r"avc: {1,2}denied {1,2}\{")
_KEY = re.compile(r"(?<!\w)(\w{1,64})=")
_BLANK = re.compile(r"\s|\Z")
_AFTER_HEAD = re.compile(r"\) ?: ")
_CLOSING = {'"': '"', "[": "]"}
# The longest record that auditd writes is a little over 8 KiB; a longer "line" is not a record.
LONGEST = 1 << 16
# The fields that describe the object, the most useful first.
_OBJECTS = {
    SELINUX: ("path", "name", "capability", "kmod", "dest", "anonclass", "ioctlcmd", "sig", "netif", "cmdline"),
    APPARMOR: ("name", "target", "peer_addr", "addr", "capname", "signal", "srcname", "fstype", "family", "sock_type"),
}
_HEX_FIELDS = ("comm", "path", "name", "exe", "cmdline")
# Beyond these lines, and this time, a SYSCALL record belongs to something else.
_EVENT_LINES, _EVENT_SECONDS = 64, 0.05


@dataclass(frozen=True)
class Record:
    """A refusal. ``source`` and ``target`` are whole labels: contexts, or for AppArmor profiles.

    ``op`` is the operation of a SELINUX_ERR, or of AppArmor.
    """

    kind: str
    time: float
    permissions: tuple[str, ...]
    source: str
    target: str
    tclass: str
    comm: str = ""
    permissive: bool | None = None
    op: str = ""
    fields: dict[str, str] = field(default_factory=dict, hash=False, compare=False)
    lsm: str = SELINUX

    @property
    def object(self) -> str:
        """Describes the object: ``path=/dev/urandom``."""
        named = ((key, self.fields.get(key, "none")) for key in _OBJECTS[self.lsm])
        return " ".join(f"{key}={value}" for key, value in named if value != "none")

    @property
    def types(self) -> tuple[str, str]:
        """Returns what denials of one kind have in common: the types of both contexts, or both profiles."""
        if self.lsm == APPARMOR:
            return self.source, self.target
        return type_of(self.source), type_of(self.target)


def unhex(value: str) -> str:
    """Returns a value without its quotes; audit writes values with blanks as hexadecimal digits."""
    if value.startswith('"'):
        return value.strip('"')
    if len(value) % 2 == 0 and re.fullmatch(r"(?:[0-9A-F]{2})+", value):
        text = bytes.fromhex(value).decode("utf-8", "replace")
        return f"@{text[1:]}" if text.startswith("\0") else text
    return value


def pairs(text: str) -> dict[str, str]:
    """Finds the ``key=value`` pairs. A quote that is not closed is looked for only once, however many there are."""
    found_pairs: dict[str, str] = {}
    unclosed: set[str] = set()
    found = _KEY.search(text)
    while found:
        start = found.end()
        closing = _CLOSING.get(text[start : start + 1], "")
        end = text.find(closing, start + 1) + 1 if closing and closing not in unclosed else 0
        if not end:
            unclosed.add(closing)
            blank = _BLANK.search(text, start)
            end = blank.start() if blank else len(text)
        if end > start:
            found_pairs[found.group(1)] = text[start:end]
        found = _KEY.search(text, end)
    return found_pairs


def parse_fields(text: str, *, interpreted: bool = False) -> dict[str, str]:
    """Parses the ``key=value`` pairs of a record; ``interpreted``: no value is in hexadecimal digits."""
    clean = _unquote if interpreted else unhex
    return {key: clean(value) if key in _HEX_FIELDS else value.strip("\"'[]") for key, value in pairs(text).items()}


def _unquote(value: str) -> str:
    return value.strip('"')


def text_of(line: bytes) -> str:
    """Returns a record as text."""
    # After this character auditd repeats the numbers as names.
    return line.partition(b"\x1d")[0].decode("utf-8", "replace").rstrip("\n")


def parse_line(line: bytes) -> Record | None:
    """Parses the denial by SELinux in a line; None if there is none, or if it is truncated."""
    head = parse_head(line)
    if head is None:
        return None
    text = text_of(line)
    if head.kind == "selinux_err":
        return _parse_error(head, text)
    found = _DENIED.search(text)
    permissions, closed, rest = text[found.end() if found else len(text) :].partition("}")
    fields = parse_fields(rest, interpreted=head.form == INTERPRETED)
    if not closed or not all(fields.get(key) for key in ("scontext", "tcontext", "tclass")):
        return None
    permissive = fields.get("permissive")
    return Record(
        head.kind,
        head.time,
        tuple(permissions.split()),
        fields["scontext"],
        fields["tcontext"],
        fields["tclass"],
        fields.get("comm", fields.get("exe", "").rpartition("/")[2]),
        None if permissive is None else permissive == "1",
        fields=fields,
    )


def _parse_error(head: Head, text: str) -> Record | None:
    """Parses a SELINUX_ERR, which no rule could allow. Kernels before 3.16 wrote no ``op=``."""
    begin = _AFTER_HEAD.search(text)
    said = text[begin.end() :] if begin else text.partition("SELINUX_ERR ")[2]
    fields = parse_fields(said, interpreted=head.form == INTERPRETED)
    op = fields.get("op") or said.partition(":")[0].strip()
    source = fields.get("oldcontext") or fields.get("scontext") or fields.get("invalid_context") or ""
    target = fields.get("newcontext") or fields.get("tcontext") or fields.get("invalid_context") or ""
    permissions = tuple(fields.get("perms", "").split(",")) if fields.get("perms") else ()
    if not op:
        return None
    return Record(head.kind, head.time, permissions, source, target, fields.get("tclass", ""), op=op, fields=fields)


class Block(NamedTuple):
    """Whole lines of a log: ``data`` up to ``end``. It begins with a line feed; the rest is not to be read."""

    data: bytes | bytearray
    end: int

    def line(self, place: int) -> tuple[int, int]:
        """Returns where the line around ``place`` begins and ends."""
        end = self.data.find(b"\n", place, self.end)
        return self.data.rfind(b"\n", 0, place) + 1, self.end if end == -1 else end

    def part(self, start: int, end: int) -> bytes:
        """Returns a copy of a part."""
        return bytes(self.data[start : min(end, self.end)])


# Permissions, command, contexts and the rest: the parts that are equal in all denials of one kind.
Key = tuple[bytes, bytes, bytes]
# Each part is greedy, which is the fastest for the engine of regular expressions. None goes on where another could, or
# beyond the line: the time must not depend on what a process has written into its name.
_MANY = re.compile(
    rb"\ntype=AVC msg=audit\(\d{1,11}\.\d{1,9}:\d{1,20}\): [^\n{]*(\{[^\n}]*\}) for[^\nc]*(comm=[^\n ]+)(?= )[^\n]*"
    rb" (scontext=[^\n]*)"
)


def raw_key(line: bytes) -> Key | None:
    """Finds the key of a denial that auditd wrote, quickly; None if the line needs to be parsed."""
    start = line.find(b"{", 40)
    end = line.find(b" scontext=", start)
    comm = line.find(b" comm=", start, end)
    if start == -1 or end == -1 or comm == -1 or QUICK.match(line) is None:
        return None
    last = line.find(b"\x1d", end)
    stop = line.find(b" ", comm + 6)
    return line[start : line.find(b"}", start) + 1], line[comm + 1 : stop], line[end + 1 : last if last != -1 else None]


def count_keys(block: Block, denials: int) -> dict[Key, int]:
    """Counts the denials of each key; empty if one of them is not in the usual form of auditd.

    ``denials`` is the number of the marks in the block.
    """
    keys = _MANY.findall(block.data, 0, block.end)
    return Counter(keys) if len(keys) == denials else {}


def clean_key(key: Key) -> Key:
    """Removes what auditd appends to a record, as ``raw_key`` does, from a key."""
    return key[0], key[1], key[2].partition(b"\x1d")[0]


def without_names(counted: dict[Key, int]) -> dict[Key, int]:
    """Removes what auditd appends to a record from the keys."""
    clean: dict[Key, int] = {}
    for key, count in counted.items():
        cleaned = clean_key(key)
        clean[cleaned] = clean.get(cleaned, 0) + count
    return clean


def find_lines(block: Block) -> dict[Key, tuple[int, int]]:
    """Finds where the first and the last line of each key begin, as ``raw_key`` has it, in one pass."""
    found: dict[Key, tuple[int, int]] = {}
    for match in _MANY.finditer(block.data, 0, block.end):
        permissions, comm, rest = match.groups()
        key = clean_key((bytes(permissions), bytes(comm), bytes(rest)))
        start = match.start() + 1
        found[key] = (found[key][0] if key in found else start, start)
    return found


def syscall_after(lines: bytes, serial: bytes, *, moment: float = 0.0, subject: str = "") -> dict[str, Any]:
    """Returns the fields of the SYSCALL record with this ``serial``, if it is in ``lines``.

    journalctl prints no serial number: then the time and the context of the caller must be the same.
    """
    for line in lines[:LONGEST].split(b"\n", _EVENT_LINES)[:_EVENT_LINES]:
        head = parse_any_head(line) if b"syscall=" in line else None
        if head is None or head.kind != SYSCALL:
            continue
        fields = parse_fields(text_of(line), interpreted=head.form == INTERPRETED)
        near = subject and fields.get("subj") == subject and abs(head.time - moment) <= _EVENT_SECONDS
        if (head.serial == serial) if head.serial and serial else near:
            return fields
    return {}
