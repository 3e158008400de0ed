# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from ansible_collections.criu.hosts.plugins.plugin_utils._report import chart

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=timezone.utc)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def test_bars_lie_beside_each_other() -> None:
    assert chart.stacked([("a", 30), ("b", 0), ("c", 50)], 100) == [
        {"kind": "a", "x": "0", "width": "30"},
        {"kind": "c", "x": "30", "width": "50"},
    ]


@pytest.mark.parametrize(
    "parts", [[("a", 1)], [("a", 100)], [("a", 1), ("b", 99.9)], [(str(n), 1) for n in range(500)]]
)
def test_bars_are_to_be_seen_and_end_at_the_edge(parts: list[tuple[str, float]]) -> None:
    for drawn in chart.stacked(parts, 100):
        assert 0 <= float(drawn["x"]) < 100 and 0 < float(drawn["width"]) <= 100
        assert float(drawn["x"]) + float(drawn["width"]) <= 100.01
    assert len(chart.stacked(parts, 100)) == len(parts)


def test_nothing_has_no_bar() -> None:
    assert chart.stacked([("a", 0)], 0) == []


TICKS = [
    pytest.param([NOON], ["11:59:30", "11:59:45", "12:00:00", "12:00:15", "12:00:30"], id="one-checkpoint"),
    pytest.param(
        [NOON, NOON + 20 * MINUTE],
        ["12:00", "12:05", "12:10", "12:15", "12:20"],
        id="minutes",
    ),
    pytest.param(
        [NOON, NOON + DAY], ["11-30 12:00", "11-30 18:00", "12-01 00:00", "12-01 06:00", "12-01 12:00"], id="a-day"
    ),
    pytest.param(
        [NOON, NOON + 10 * DAY], ["2026-12-01", "2026-12-03", "2026-12-05", "2026-12-07", "2026-12-09"], id="days"
    ),
]


@pytest.mark.parametrize(("times", "texts"), TICKS)
def test_the_axis_has_round_times(times: list[datetime], texts: list[str]) -> None:
    assert [tick["text"] for tick in chart.Axis(times).ticks()] == texts


@pytest.mark.parametrize("last", [NOON, NOON + MINUTE, NOON + 400 * DAY, datetime(2999, 12, 31, tzinfo=timezone.utc)])
def test_all_is_placed_on_the_axis(last: datetime) -> None:
    axis = chart.Axis([NOON, last])
    places = [float(axis.place(NOON)), float(axis.place(last))]
    assert 0 < places[0] <= places[1] < 100
    assert 1 <= len(axis.ticks()) <= chart.MOST_TICKS + 1
    assert all(0 <= float(tick["x"]) <= 100 for tick in axis.ticks())


def test_the_area_of_a_mark_grows_with_the_size() -> None:
    assert chart.radius(0, 0) == "4" and chart.radius(100, 100) == "9" and chart.radius(25, 100) == "6.5"


def test_a_kind_that_is_not_known_is_another_one() -> None:
    assert chart.memory_parts({"heap": 3, "new": 4}, ["heap", "other"]) == [("heap", 3), ("other", 4)]
