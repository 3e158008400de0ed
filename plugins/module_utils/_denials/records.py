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

# What a line must contain to be parsed. auditd always writes the names of types, the kernel their numbers.
AVC_MARK = b"avc:  denied  {"
ERROR_MARK = b"type=SELINUX_ERR"
MARKS = (AVC_MARK, b"SELINUX_ERR", b"type=1401 ")
# The types of records that may hold a denial. Any program can log the words; the type comes from the kernel.
_TYPES = {
    b"AVC": "avc",
    b"1400": "avc",
    b"USER_AVC": "user_avc",
    b"1107": "user_avc",
    b"SELINUX_ERR": "selinux_err",
    b"1401": "selinux_err",
}
# type=AVC msg=audit(TIME:SERIAL): as auditd writes it; audit: type=1400 audit(TIME:SERIAL): as the kernel prints it.
# Eleven digits are a time up to the year 5138; more is no time.
_HEAD = re.compile(rb"(?:^|[ :])type=(\w+) (?:msg=)?audit\((\d{1,11})\.(\d{1,9}):(\d{1,20})\): ")
# 1795384456.390184 host audit[1169]: AVC avc:  denied ... as journalctl --output=short-unix prints it.
_JOURNAL = re.compile(rb"^(\d{1,11})\.(\d{1,9}) \S+ audit(?:\[\d+\])?: (\w+) ")
# 1795384456.390184 host kernel: audit: type=1400 ..., and in the ring buffer the same without the time.
_KEY = re.compile(r"(?<!\w)(\w{1,64})=")
_BLANK = re.compile(r"\s|\Z")
_CLOSING = {'"': '"', "[": "]"}
# What auditd itself writes first.
_QUICK = re.compile(rb"type=AVC msg=audit\((\d{1,11}\.\d{1,9}):\d{1,20}\): ")
# The longest record that auditd writes is a little over 8 KiB; a longer "line" is not a record.
LONGEST = 1 << 16
# The part of a line that its type and time are in.
_HEAD_LENGTH = 400
# The fields that describe the object, the most useful first.
_OBJECTS = ("path", "name", "capability", "kmod", "dest", "anonclass", "ioctlcmd", "sig", "netif", "cmdline")
_HEX_FIELDS = ("comm", "path", "name", "exe", "cmdline")


@dataclass(frozen=True)
class Record:
    """A refusal. ``source`` and ``target`` are whole contexts; ``op`` is set for SELINUX_ERR only."""

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

    @property
    def object(self) -> str:
        """Describes the object: ``path=/dev/urandom``."""
        return " ".join(f"{key}={self.fields[key]}" for key in _OBJECTS if key in self.fields)


@dataclass(frozen=True)
class Head:
    """Type, time and serial number of a record."""

    kind: str
    time: float
    serial: bytes


def parse_head(line: bytes) -> Head | None:
    """Parses type and time of a record; None if it has a different type."""
    start = line[:_HEAD_LENGTH]
    found = _HEAD.search(start)
    if found:
        word, seconds, fraction, serial = found.groups()
    else:
        journal = _JOURNAL.match(start)
        if journal is None:
            return None
        seconds, fraction, word = journal.groups()
        serial = b""
    kind = _TYPES.get(word)
    return None if kind is None else Head(kind, float(seconds + b"." + fraction), serial)


def parse_time(line: bytes) -> float:
    """Parses the time of a line that contains a record; quickly for those of auditd."""
    quick = _QUICK.match(line)
    if quick:
        return float(quick.group(1))
    head = parse_head(line)
    return head.time if head is not None else 0.0


def unhex(value: str) -> str:
    """Returns a value without its quotes; audit writes values with blanks as hexadecimal digits."""
    if value.startswith('"'):
        return value.strip('"')
    if len(value) % 2 == 0 and re.fullmatch(r"(?:[0-9A-F]{2})+", value):
        text = bytes.fromhex(value).decode("utf-8", "replace")
        return f"@{text[1:]}" if text.startswith("\0") else text
    return value


def _pairs(text: str) -> dict[str, str]:
    """Finds the ``key=value`` pairs. A quote that is not closed is looked for only once, however many there are."""
    pairs: dict[str, str] = {}
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
            pairs[found.group(1)] = text[start:end]
        found = _KEY.search(text, end)
    return pairs


def parse_fields(text: str) -> dict[str, str]:
    """Parses the ``key=value`` pairs of a record."""
    pairs = _pairs(text)
    return {key: unhex(value) if key in _HEX_FIELDS else value.strip("\"'[]") for key, value in pairs.items()}


def _text(line: bytes) -> str:
    # After this character auditd repeats the numbers as names.
    return line.partition(b"\x1d")[0].decode("utf-8", "replace").rstrip("\n")


def parse_line(line: bytes) -> Record | None:
    """Parses the denial in a line; None if there is none, or if it is truncated."""
    head = parse_head(line)
    if head is None:
        return None
    text = _text(line)
    if head.kind == "selinux_err":
        return _parse_error(head, text)
    dummy, found, rest = text.partition("avc:  denied  {")
    permissions, closed, rest = rest.partition("}")
    fields = parse_fields(rest)
    if not found or not closed or not all(fields.get(key) for key in ("scontext", "tcontext", "tclass")):
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
    said = text[text.find("): ") + 3 :] if "): " in text else text.partition("SELINUX_ERR ")[2]
    fields = parse_fields(said)
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
    if start == -1 or end == -1 or comm == -1 or _QUICK.match(line) is None:
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


def syscall_after(lines: bytes, serial: bytes) -> dict[str, Any]:
    """Returns the fields of the SYSCALL record with this ``serial``, if it is in ``lines``."""
    for line in lines.split(b"\n"):
        if line.startswith(b"type=SYSCALL ") and b":" + serial + b")" in line[:80]:
            return parse_fields(_text(line))
    return {}
