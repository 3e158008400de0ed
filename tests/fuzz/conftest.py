# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints how many inputs each target got, and removes what the targets wrote."""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.tests.fuzz import targets, test_targets


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints a line for each target and the total."""
    tried = test_targets.TRIED
    if not tried:
        return
    terminalreporter.section("inputs")
    for name, count in sorted(tried.items()):
        terminalreporter.write_line(f"{count:>9}  {name}")
    terminalreporter.write_line(f"{sum(tried.values()):>9}  inputs to {len(tried)} targets")


def pytest_unconfigure() -> None:
    targets.clean()
