# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests how the process to checkpoint is read."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._process.target import _journal_peers

HEAD = "Num       RefCount Protocol Flags    Type St Inode Path\n"
CONNECTED = "ffff9c1: 00000003 00000000 00000000 0001 03 "


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (f"{CONNECTED}17554\n", {17554}),
        (f"{CONNECTED}17554 /run/a\n", set()),
        (f"{CONNECTED}\x0017554\n", set()),
        (f"{CONNECTED}٣\n", set()),
    ],
)
def test_only_connected_sockets_without_a_name_may_be_those_of_the_journal(lines: str, found: set[int]) -> None:
    assert _journal_peers(HEAD + lines) == found
