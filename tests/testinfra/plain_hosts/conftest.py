# SPDX-License-Identifier: GPL-3.0-or-later
"""More nodes for tests that need a host on which nothing was done yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from plays import fetch_artifact, lab


@pytest.fixture
def start_nodes() -> Iterator[Callable[..., None]]:
    """``start_nodes("node-trixie-first")`` starts nodes, which are removed after the test."""
    started: list[str] = []

    def start(*names: str) -> None:
        started.extend(names)
        lab("up", *names)

    yield start
    # Without a name, the command would remove every machine.
    if started:
        lab("down", *started)


@pytest.fixture(scope="module")
def artifact(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact that the host has built, on the controller."""
    return fetch_artifact(host, tmp_path_factory.mktemp("artifact"))
