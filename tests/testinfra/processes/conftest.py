# SPDX-License-Identifier: GPL-3.0-or-later
"""Observations of plain processes that are dumped and restored on the host."""

from __future__ import annotations

from typing import Any, Callable

import pytest


@pytest.fixture(scope="module")
def processes(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One run of processes.yml: all cases, the refused restores, and the denials."""
    return seen_by("../processes/processes.yml")
