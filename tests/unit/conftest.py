# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the unit tests: run a module's main() for real, with scripted commands."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Iterator

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import PLACE, ModuleRun, run_main

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(name="fixture_text")
def fixture_text_fixture() -> Callable[[str], str]:
    """Read a recording: ``fixture_text("podman/5.4.2-inspect-running.json")``."""

    def read(name: str) -> str:
        return (FIXTURES / name).read_text(encoding="utf-8")

    return read


@pytest.fixture(autouse=True)
def real_host() -> Iterator[None]:
    """Each test begins on the host that it runs on."""
    yield
    PLACE.root, PLACE.uid = "", None


@pytest.fixture(name="module")
def module_fixture(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., ModuleRun]:
    """``module("selinux_boolean", params, commands=[...], check=False)`` returns a ModuleRun."""

    def run(name: str, params: dict, **options) -> ModuleRun:
        return run_main(monkeypatch, capsys, name, params, **options)

    return run
