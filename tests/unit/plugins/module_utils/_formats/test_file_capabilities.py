# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities

# setcap cap_checkpoint_restore,cap_setpcap+eip, as the kernel stores it (version 2 and, with a root user id, 3)
REVISION_2 = struct.pack("<IIIII", 0x02000001, 1 << 8, 1 << 8, 1 << 8, 1 << 8)
REVISION_3 = struct.pack("<IIIIII", 0x03000001, 1 << 8, 0, 1 << 8, 0, 100000)
REVISION_1 = struct.pack("<III", 0x01000000, 1 << 21, 0)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            REVISION_2,
            {
                "effective": True,
                "permitted": ["cap_setpcap", "cap_checkpoint_restore"],
                "inheritable": ["cap_setpcap", "cap_checkpoint_restore"],
            },
            id="revision-2",
        ),
        pytest.param(
            REVISION_3,
            {"effective": True, "permitted": ["cap_setpcap", "cap_checkpoint_restore"], "inheritable": []},
            id="3",
        ),
        pytest.param(
            REVISION_1, {"effective": False, "permitted": ["cap_sys_admin"], "inheritable": []}, id="revision-1"
        ),
        pytest.param(
            struct.pack("<IIIII", 0x02000000, 0, 0, 1 << 31, 0),
            {"effective": False, "permitted": ["cap_63"], "inheritable": []},
            id="capability-of-the-future",
        ),
        pytest.param(b"", None, id="none"),
        pytest.param(REVISION_2[:12], None, id="cut-off"),
        pytest.param(b"\0\0\0\x09" + bytes(16), None, id="revision-9"),
    ],
)
def test_parse_capabilities(data: bytes, expected: dict[str, Any] | None) -> None:
    assert parse_capabilities(data) == expected
