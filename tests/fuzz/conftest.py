# SPDX-License-Identifier: GPL-3.0-or-later
"""Leaves long tests to the long run, prints how many inputs each target got, and removes what the targets wrote."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.tests.fuzz import limits, targets

LEFT: list[str] = []


def pytest_configure(config: Any) -> None:
    config.addinivalue_line("markers", "long_run: only make fuzz carries out this test")


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Deselects what is marked long_run, unless this is the long run."""
    left = [] if limits.LONG else [item for item in items if item.get_closest_marker("long_run")]
    if left:
        LEFT.extend(item.name for item in left)
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints a line for each target and the total."""
    tried = limits.TRIED
    if not tried:
        return
    terminalreporter.section("inputs")
    for name, count in sorted(tried.items()):
        terminalreporter.write_line(f"{count:>9}  {name}")
    terminalreporter.write_line(f"{sum(tried.values()):>9}  inputs to {len(tried)} targets")
    if LEFT:
        terminalreporter.write_line(f"{len(LEFT):>9}  tests of growth that only make fuzz carries out")


def pytest_unconfigure() -> None:
    targets.clean()
