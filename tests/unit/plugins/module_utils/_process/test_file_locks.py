# SPDX-License-Identifier: GPL-3.0-or-later
"""Which locks exclude each other, and what /proc/locks says."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_resources import Lock
from ansible_collections.criu.hosts.plugins.module_utils._process.file_locks import Held, parse_held

# Linux 6.18; the two last lines are of proc_locks(5).
TEXT = """\
3: POSIX  ADVISORY  WRITE 70 00:74:100 5 14
4: FLOCK  ADVISORY  WRITE 70 00:74:99 0 EOF
4: -> FLOCK  ADVISORY  WRITE 71 00:74:99 0 EOF
5: LEASE  ACTIVE    READ  72 00:74:99 0 EOF
6: OFDLCK ADVISORY  READ  -1 08:01:8713209 128 191
"""


def test_locks_of_the_kernel() -> None:
    assert parse_held(TEXT) == (
        Held("POSIX", True, 70, (0, 0x74), 100, 5, 14),
        Held("FLOCK", True, 70, (0, 0x74), 99, 0, None),
        Held("OFDLCK", False, -1, (8, 1), 8713209, 128, 191),
    )


@pytest.mark.parametrize(
    ("held", "lock", "excludes"),
    [
        (("POSIX", True, 0, None), ("POSIX", True, 5, 14), True),
        (("POSIX", False, 0, None), ("POSIX", False, 5, 14), False),
        (("OFDLCK", True, 14, 20), ("POSIX", False, 5, 14), True),
        (("POSIX", True, 15, 20), ("POSIX", True, 5, 14), False),
        (("POSIX", True, 0, 4), ("POSIX", True, 5, None), False),
        (("FLOCK", True, 0, None), ("POSIX", True, 5, 14), False),
        (("FLOCK", False, 0, None), ("FLOCK", True, 0, None), True),
    ],
)
def test_which_locks_exclude_each_other(
    held: tuple[str, bool, int, int | None], lock: tuple[str, bool, int, int | None], excludes: bool
) -> None:
    kind, writes, start, end = held
    now = Held(kind, writes, 1, (0, 0), 1, start, end)
    assert now.excludes(Lock(lock[0], "/a", *lock[1:])) is excludes
