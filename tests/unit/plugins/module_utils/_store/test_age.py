# SPDX-License-Identifier: GPL-3.0-or-later
"""The age of an archive of a container that runs on."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._store.age import judge_age

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("made", "state"),
    [
        pytest.param(NOW, "", id="now"),
        pytest.param(NOW - 3600, "", id="just-young-enough"),
        pytest.param(NOW - 3601, "older than max_age", id="old"),
        pytest.param(NOW + 1, "of a time in the future", id="clock-went-back"),
        pytest.param(None, "of an unknown age", id="unknown"),
    ],
)
def test_age(made: float | None, state: str) -> None:
    assert judge_age(made, 3600, NOW) == state
