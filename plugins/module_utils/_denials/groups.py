# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Groups denials that differ only in time and process, and counts one that several transports delivered once."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Any, Callable, Union

from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import (
    AUDITD,
    OTHER,
    Head,
    parse_any_head,
    parse_head,
    parse_time,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.lines import (
    is_notice,
    parse_record,
    quick_key,
    shape,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    AVC_MARK,
    BOUNDED_TRANSITION,
    LONGEST,
    Block,
    Key,
    Record,
    count_keys,
    find_lines,
    syscall_after,
    without_names,
)

# Kinds of denials beyond these are counted, but not kept: a log may contain any number, memory may not.
GROUPS = 500
_KEYS = 8192
# Few are longer; they are parsed each time.
_KEY_LENGTH = 4096
# The latest denials, among which the same one of another transport is looked for.
_SEEN, _RECENT = 20000, 256
# The system call of an event is looked for this often in each group.
_LOOKS = 20
# The text behind a line, which may be expensive to copy.
After = Union[bytes, Callable[[], bytes]]


@dataclass
class Group:
    """Denials with the same types, class, permissions, command and mode: the first (``earlier``) and the last.

    For AppArmor the types are profiles, and the operation and the form of the object are the same, too.

    ``syscall`` and ``caller`` are of the SYSCALL record of a SELINUX_ERR: which call it was, and whose.
    """

    record: Record
    earlier: bytes
    line: bytes
    count: int = 1
    syscall: str = ""
    caller: str = ""


class Groups:
    """Groups the denials in the lines that it receives, and keeps at most GROUPS groups.

    ``unread`` counts the lines that seem to hold a denial and are in no known form; ``unread_line`` is the first.
    """

    def __init__(self, since: float = 0.0) -> None:
        self.since = since
        self.groups: dict[tuple[Any, ...], Group] = {}
        self.left_out = 0
        self.unread = 0
        self.unread_line = b""
        self._keys: dict[Key, Group] = {}
        # A block that was counted as a whole, and the kinds whose last line in it has not been searched for yet.
        self._block = Block(b"", 0)
        self._waiting: dict[Key, Group] = {}
        # How often each form of line had a denial, and lines of auditd that were not compared yet. They are compared
        # from the first line of another form on.
        self._seen: OrderedDict[tuple[Any, ...], dict[str, int]] = OrderedDict()
        self._recent: deque[bytes] = deque(maxlen=_RECENT)
        self._mixed = False

    @property
    def records(self) -> int:
        """Returns how many denials were counted."""
        return sum(group.count for group in self.groups.values()) + self.left_out

    def add(self, line: bytes, after: After = b"") -> None:
        """Counts the denial in ``line``. Nearly all are of a known kind, which a comparison of bytes recognizes."""
        if self._waiting:
            self.settle_lines({})
        if len(line) > LONGEST:
            return
        key = quick_key(line)
        known = self._keys.get(key) if key is not None and not self._mixed else None
        if known is None:
            self._add_new(line, after, key)
        elif not self.since or parse_time(line) >= self.since:
            known.count += 1
            known.line = line
            self._recent.append(line)

    def add_many(self, block: Block, denials: int) -> bool:
        """Counts the denials of a block at once; returns False if that cannot be done."""
        counted = {} if self.since or self._mixed else count_keys(block, denials)
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
        ending = bytes(block.data[max(0, block.end - LONGEST) : block.end]).split(b"\n")[1:]
        self._recent.extend(line for line in ending if AVC_MARK in line)
        return True

    def settle_lines(self, coming: dict[Key, int]) -> None:
        """Finds the last lines in the block that was counted last, except for kinds that occur later."""
        ended = {key: group for key, group in self._waiting.items() if key not in coming}
        places = find_lines(self._block) if ended else {}
        for key, group in ended.items():
            if key in places:
                group.line = self._block.part(*self._block.line(places[key][1]))
        self._waiting = {}

    def _is_repeated(self, form: str, record: Record) -> bool:
        """Returns whether another form of line had this denial already as often as this one.

        A line may have whole seconds only and no year, and a command may be cut at its first blank.
        """
        what = (
            *(
                time.localtime(record.time)[1:6],
                record.kind,
                record.permissions,
                record.source,
                record.target,
                record.tclass,
            ),
            *(record.comm.partition(" ")[0], record.op, record.fields.get("pid", "")),
        )
        forms = self._seen.setdefault(what, {})
        forms[form] = forms.get(form, 0) + 1
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)
        return any(forms[form] <= count for other, count in forms.items() if other != form)

    def _compare_recent(self) -> None:
        self._mixed = True
        for line in self._recent:
            record = parse_record(line)
            if record is not None:
                self._is_repeated(AUDITD, record)
        self._recent.clear()

    def _note_unread(self, line: bytes) -> None:
        head = parse_any_head(line)
        if (head is None or head.kind != OTHER) and not is_notice(line):
            self.unread += 1
            self.unread_line = self.unread_line or line

    def _add_new(self, line: bytes, after: After, key: Key | None) -> None:
        record, head = parse_record(line), parse_head(line)
        if record is None or head is None:
            self._note_unread(line)
            return
        if record.time < self.since:
            return
        if head.form != AUDITD and not self._mixed:
            self._compare_recent()
        if self._is_repeated(head.form, record):
            return
        group = self._group_of(record, line)
        if group is None:
            return
        if record.op == BOUNDED_TRANSITION and not group.syscall and group.count <= _LOOKS:
            _add_syscall(group, record, head, after() if callable(after) else after)
        if key is not None and sum(map(len, key)) <= _KEY_LENGTH:
            if len(self._keys) >= _KEYS:
                self._keys.clear()
            self._keys[key] = group

    def _group_of(self, record: Record, line: bytes) -> Group | None:
        """Returns the group that counts the denial; None if there are too many groups."""
        kind = (
            *(record.kind, *record.types, record.tclass),
            *(record.permissions, record.comm, record.permissive, record.op, shape(record)),
        )
        group = self.groups.get(kind)
        if group is not None:
            group.count += 1
            group.line = line
        elif len(self.groups) >= GROUPS:
            self.left_out += 1
        else:
            group = self.groups[kind] = Group(record, line, line)
        return group


def _add_syscall(group: Group, record: Record, head: Head, after: bytes) -> None:
    found = syscall_after(after, head.serial, moment=head.time, subject=record.source)
    group.syscall, group.caller = found.get("syscall", ""), found.get("comm", "")
