# SPDX-License-Identifier: GPL-3.0-or-later
"""Durations as people write them in options."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("1h", 3600),
        ("7d", 604800),
        ("0", 0),
        ("", None),
        ("h", None),
        ("1.5h", None),
        ("-1h", None),
        ("1 h", None),
        ("1h\n", None),
        ("1H", None),
        ("1w", None),
        ("\u0663h", None),
        ("9" * 19, None),
    ],
)
def test_duration(text: str, seconds: int | None) -> None:
    assert parse_duration(text) == seconds
