# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Finds types and classes in a binary kernel policy by their names. Pure.

A minimal host has no bindings of libsepol or setools, so this module reads the few records itself. Each symbol is
stored as some little-endian 32-bit numbers, the first of which is the length of its name, followed by the name
(libsepol, policydb.c: type_read, class_read, common_read, perm_read).
"""

from __future__ import annotations

import struct
from typing import Iterable, Iterator


def policy_default(policy: bytes, name: str) -> bool | None:
    """Returns the value of the boolean ``name`` in a binary kernel policy; None if the policy has no such boolean.

    A boolean is stored as its number, its value (0 or 1), the length of its name, and its name.
    """
    key = name.encode("utf-8")
    pattern = struct.pack("<I", len(key)) + key
    place = policy.find(pattern)
    while place != -1:
        if place >= 8:
            number, value = struct.unpack_from("<2I", policy, place - 8)
            if 0 < number < 65536 and value in (0, 1):
                return bool(value)
        place = policy.find(pattern, place + 1)
    return None


# A class has at most 32 permissions of its own and from its common set.
_PERMISSIONS = 32
# No policy has this many symbols of a kind.
_SYMBOLS = 1 << 16


def _records(policy: bytes, name: str, numbers: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yields, for each place where ``name`` follows its own length, the numbers before it and where the name ends."""
    key = name.encode("utf-8")
    place = policy.find(key)
    while place != -1:
        if place >= 4 * numbers:
            found = struct.unpack_from(f"<{numbers}I", policy, place - 4 * numbers)
            if found[0] == len(key):
                yield found, place + len(key)
        place = policy.find(key, place + 1)


def has_type(policy: bytes, name: str) -> bool:
    """Returns whether the policy has a type or attribute ``name``: length, value, properties, bounds, name."""
    return any(
        0 < value < _SYMBOLS and properties < 16 and bounds < _SYMBOLS
        for (dummy, value, properties, bounds), dummy_end in _records(policy, name, 4)
    )


def _permissions(policy: bytes, place: int, count: int) -> frozenset[str] | None:
    """Returns ``count`` permissions from ``place`` on (length, value, name); None if there is something else."""
    found = set()
    for dummy in range(count):
        if place + 8 > len(policy):
            return None
        length, value = struct.unpack_from("<2I", policy, place)
        name = policy[place + 8 : place + 8 + length]
        if not 0 < value <= _PERMISSIONS or not 0 < length < 64 or not name.replace(b"_", b"a").isalnum():
            return None
        found.add(name.decode("ascii"))
        place += 8 + length
    return frozenset(found)


def class_permissions(policy: bytes, name: str) -> frozenset[str]:
    """Returns the permissions of the class ``name``, including its common ones; empty if there is no such class.

    A class is length, length of the common set's name, value, permissions (highest, count), constraints, names.
    """
    for (dummy, common_length, value, highest, count, dummy_constraints), end in _records(policy, name, 6):
        if not 0 < value < _SYMBOLS or highest > _PERMISSIONS or count > _PERMISSIONS or common_length > 64:
            continue
        common = policy[end : end + common_length].decode("ascii", "replace")
        own = _permissions(policy, end + common_length, count)
        shared = _common_permissions(policy, common) if common else frozenset()
        if own is not None and shared is not None and own | shared:
            return own | shared
    return frozenset()


def _common_permissions(policy: bytes, name: str) -> frozenset[str] | None:
    """Returns the permissions of a common set: length, value, permissions (highest, count), name."""
    for (dummy, value, highest, count), end in _records(policy, name, 4):
        if 0 < value < _SYMBOLS and 0 < count <= highest <= _PERMISSIONS:
            found = _permissions(policy, end, count)
            if found is not None:
                return found
    return None


class PolicyFile:
    """The interface of a policy that rules are generated for. It searches each name once: the file has megabytes."""

    def __init__(self, policy: bytes, booleans: Iterable[str]) -> None:
        self._policy = policy
        self._booleans = frozenset(booleans)
        self._types: dict[str, bool] = {}
        self._classes: dict[str, frozenset[str]] = {}

    def has_type(self, name: str) -> bool:
        if name not in self._types:
            self._types[name] = has_type(self._policy, name)
        return self._types[name]

    def permissions(self, class_name: str) -> frozenset[str]:
        if class_name not in self._classes:
            self._classes[class_name] = class_permissions(self._policy, class_name)
        return self._classes[class_name]

    def has_boolean(self, name: str) -> bool:
        return name in self._booleans
