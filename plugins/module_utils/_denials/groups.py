# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Groups denials that differ only in time and process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    LONGEST,
    Block,
    Key,
    Record,
    count_keys,
    find_lines,
    parse_head,
    parse_line,
    parse_time,
    raw_key,
    syscall_after,
    without_names,
)
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of

# Kinds of denials beyond these are counted, but not kept: a log may contain any number, memory may not.
GROUPS = 500
_KEYS = 8192
# Few are longer; they are parsed each time.
_KEY_LENGTH = 4096


@dataclass
class Group:
    """Denials with the same types, class, permissions, command and mode: the first (``earlier``) and the last."""

    record: Record
    earlier: bytes
    line: bytes
    count: int = 1
    syscall: str = ""


class Groups:
    """Groups the denials in the lines that it receives, and keeps at most GROUPS groups."""

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self.groups: dict[tuple[Any, ...], Group] = {}
        self.left_out = 0
        self._keys: dict[Key, Group] = {}
        # A block that was counted as a whole, and the kinds whose last line in it has not been searched for yet.
        self._block = Block(b"", 0)
        self._waiting: dict[Key, Group] = {}

    @property
    def records(self) -> int:
        """Returns how many denials were counted."""
        return sum(group.count for group in self.groups.values()) + self.left_out

    def add(self, line: bytes, after: bytes = b"") -> None:
        """Counts the denial in ``line``. Nearly all are of a known kind, which a comparison of bytes recognizes."""
        if self._waiting:
            self.settle_lines({})
        if len(line) > LONGEST:
            return
        key = raw_key(line)
        known = self._keys.get(key) if key is not None else None
        if known is None:
            self._add_new(line, after, key)
        elif not self.since or parse_time(line) >= self.since:
            known.count += 1
            known.line = line

    def add_many(self, block: Block, denials: int) -> bool:
        """Counts the denials of a block at once; returns False if that cannot be done."""
        counted = {} if self.since else count_keys(block, denials)
        if not counted:
            return False
        if counted.keys() - self._keys.keys():
            counted = without_names(counted)
        self.settle_lines(counted)
        new = [key for key in counted if key not in self._keys]
        places = find_lines(block) if new else {}
        for key in new:
            if key in places:
                self.add(block.part(*block.line(places[key][0])))
                counted[key] -= 1
        for key, count in counted.items():
            known = self._keys.get(key)
            if known is None:
                self.left_out += count
            elif count:
                known.count += count
                self._waiting[key] = known
        self._block = block
        return True

    def settle_lines(self, coming: dict[Key, int]) -> None:
        """Finds the last lines in the block that was counted last, except for kinds that occur later."""
        ended = {key: group for key, group in self._waiting.items() if key not in coming}
        places = find_lines(self._block) if ended else {}
        for key, group in ended.items():
            if key in places:
                group.line = self._block.part(*self._block.line(places[key][1]))
        self._waiting = {}

    def _add_new(self, line: bytes, after: bytes, key: Key | None) -> None:
        record = parse_line(line)
        if record is None or record.time < self.since:
            return
        kind = (
            *(record.kind, type_of(record.source), type_of(record.target), record.tclass),
            *(record.permissions, record.comm, record.permissive, record.op),
        )
        group = self.groups.get(kind)
        if group is not None:
            group.count += 1
            group.line = line
        elif len(self.groups) >= GROUPS:
            self.left_out += 1
            return
        else:
            group = self.groups[kind] = Group(record, line, line)
            head = parse_head(line) if record.op and after else None
            group.syscall = syscall_after(after, head.serial).get("syscall", "") if head else ""
        if key is not None and sum(map(len, key)) <= _KEY_LENGTH:
            if len(self._keys) >= _KEYS:
                self._keys.clear()
            self._keys[key] = group
