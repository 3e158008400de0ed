# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen of plain processes while they were dumped and restored on the host."""

from __future__ import annotations

from typing import Any, Callable

import pytest


@pytest.fixture(scope="module")
def processes(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One run of processes.yml: every case, the refusals, and the denials meanwhile."""
    return seen_by("../processes/processes.yml")
