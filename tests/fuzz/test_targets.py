# SPDX-License-Identifier: GPL-3.0-or-later
"""Feeds each target hostile inputs: it may raise what its docstring names, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from ansible_collections.criu.hosts.tests.fuzz.limits import EACH, SEED, TRIED, ends, little_memory
from ansible_collections.criu.hosts.tests.fuzz.targets import CASES, Target, label


@pytest.mark.parametrize("target", CASES, ids=label)
def test_target(target: Target) -> None:
    @settings(
        max_examples=EACH,
        derandomize=not SEED,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=bool(SEED),
    )
    @given(target.inputs)
    def feed(given_input: Any) -> None:
        TRIED[label(target)] += 1
        with ends():
            target.call(given_input)

    with little_memory():
        (seed(int(SEED)) if SEED else lambda test: test)(feed)()
