# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Asks the kernel what its loaded SELinux policy allows.

A program writes two contexts and the number of a class into the file ``access`` of selinuxfs, and reads the permissions
that the policy gives after rules, booleans and constraints, as libselinux does. This needs no tool on the host and
changes nothing.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Callable, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.selinuxfs import boolean_value


@dataclass(frozen=True)
class Decision:
    """The permissions of a pair of contexts. ``audited``: the permissions whose denial would be logged."""

    allowed: frozenset[str]
    audited: frozenset[str]


def transact(path: str, request: bytes) -> bytes:
    """Asks selinuxfs one question. The answer is read from the descriptor that the question was written to."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.write(descriptor, request)
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _number(path: str) -> int | None:
    text = (read_text(path, may_fail=True) or "").strip()
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


class LoadedPolicy:
    """The policy that the kernel has loaded; every answer is cached."""

    def __init__(self, selinuxfs: str, ask: Callable[[str, bytes], bytes] | None = None) -> None:
        self._fs = selinuxfs
        self._ask = ask or transact
        self._classes: dict[str, dict[str, int] | None] = {}
        self._decisions: dict[tuple[str, str, str], Decision | None] = {}

    @property
    def there(self) -> bool:
        return os.path.exists(f"{self._fs}/access")

    def boolean(self, name: str) -> bool | None:
        """Returns the current value of a boolean; None if the policy has no such boolean."""
        return boolean_value(self._fs, name)

    def _permissions(self, tclass: str) -> dict[str, int] | None:
        if tclass not in self._classes:
            folder = f"{self._fs}/class/{tclass}/perms"
            known = os.path.isdir(folder) and "/" not in tclass
            numbers = {name: _number(f"{folder}/{name}") for name in os.listdir(folder)} if known else {}
            self._classes[tclass] = {name: bit for name, bit in numbers.items() if bit is not None} or None
        return self._classes[tclass]

    def decide(self, source: str, target: str, tclass: str) -> Decision | None:
        """Returns what the policy gives; None if it does not know one of the contexts or the class."""
        key = (source, target, tclass)
        if key not in self._decisions:
            self._decisions[key] = self._decide(*key)
        return self._decisions[key]

    def _decide(self, source: str, target: str, tclass: str) -> Decision | None:
        permissions = self._permissions(tclass)
        number = _number(f"{self._fs}/class/{tclass}/index") if permissions else None
        if permissions is None or number is None:
            return None
        try:
            answer = self._ask(f"{self._fs}/access", f"{source} {target} {number}".encode()).split()
        except OSError:
            return None
        if len(answer) < 4:
            return None
        allowed, audited = int(answer[0], 16), int(answer[3], 16)
        named = {name: 1 << (bit - 1) for name, bit in permissions.items()}
        return Decision(
            frozenset(name for name, bit in named.items() if allowed & bit),
            frozenset(name for name, bit in named.items() if audited & bit),
        )

    def lets(self, source: str, target: str, tclass: str, permissions: Iterable[str]) -> bool | None:
        """Returns whether the policy gives all of these; None if it cannot be asked or does not know them."""
        asked, known = frozenset(permissions), self._permissions(tclass)
        decision = self.decide(source, target, tclass) if known and asked <= set(known) else None
        return None if decision is None else asked <= decision.allowed
