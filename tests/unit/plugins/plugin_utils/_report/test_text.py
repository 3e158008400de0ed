# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone

import pytest

from ansible_collections.criu.hosts.plugins.plugin_utils._report import text

VISIBLE = [
    pytest.param("nginx: worker", "nginx: worker", id="plain"),
    pytest.param("naïve שלום 日本", "naïve שלום 日本", id="other-scripts-stay"),
    pytest.param("a\x1b[31mb\x07", r"a\x1b[31mb\x07", id="terminal"),
    pytest.param("exe.\u202egpj", r"exe.\u202egpj", id="direction-override"),
    pytest.param("\u2066a\u2069\u200b\ufeff", r"\u2066a\u2069\u200b\ufeff", id="isolates-and-zero-width"),
    pytest.param("a\nb\u2028c", r"a\x0ab\u2028c", id="lines"),
    pytest.param("\udcff", r"\udcff", id="byte-that-is-no-utf-8"),
    pytest.param("\U000e0041", r"\U000e0041", id="tag-character"),
]


@pytest.mark.parametrize(("given", "shown"), VISIBLE)
def test_what_is_not_to_be_seen_is_shown_as_its_number(given: str, shown: str) -> None:
    assert text.visible(given) == shown


@pytest.mark.parametrize(
    ("microseconds", "shown"),
    [(0, "0 µs"), (312, "312 µs"), (1500, "1.5 ms"), (73958, "74 ms"), (818545, "819 ms"), (59_000_000, "59 s")],
)
def test_durations(microseconds: int, shown: str) -> None:
    assert text.duration_text(microseconds) == shown


def test_a_long_duration() -> None:
    assert text.duration_text(125_000_000) == "2 min 5 s"


@pytest.mark.parametrize(("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")])
def test_sizes(size: int, shown: str) -> None:
    assert text.size_text(size) == shown


@pytest.mark.parametrize("value", [None, True, -1, 1.5, "5", float("inf")])
def test_what_is_no_number(value: object) -> None:
    assert text.number(value) == 0


NOON = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc)
TIMES = [
    pytest.param("2026-11-30T12:00:00Z", NOON, id="utc"),
    pytest.param("2026-11-30T14:00:00.123456789+02:00", NOON, id="zone-and-fraction"),
    pytest.param("0001-01-01T00:00:00Z", None, id="gos-zero"),
    pytest.param("2026-13-30T12:00:00Z", None, id="no-month"),
    pytest.param("9999-12-31T23:59:59-01:00", None, id="beyond-the-calendar"),
    pytest.param("yesterday", None, id="word"),
    pytest.param(7, None, id="number"),
]


@pytest.mark.parametrize(("given", "time"), TIMES)
def test_times(given: object, time: datetime | None) -> None:
    assert text.parse_time(given) == time


@pytest.mark.parametrize(
    ("name", "time"),
    [("20261130T120000Z-1a2b3c4d", NOON), ("20261330T120000Z-1a2b3c4d", None), ("web.tar", None)],
)
def test_ids_of_a_store(name: str, time: datetime | None) -> None:
    assert text.parse_store_id(name) == time


@pytest.mark.parametrize(("count", "shown"), [(0, "0 hosts"), (1, "1 host"), (1200, "1,200 hosts")])
def test_counts(count: int, shown: str) -> None:
    assert text.counted(count, "host") == shown
