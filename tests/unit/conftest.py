# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides the fixtures of the unit tests: they run a module's real main() with scripted commands."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Callable, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import STOPS
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, ModuleRun, run_main

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(name="fixture_text")
def fixture_text_fixture() -> Callable[[str], str]:
    """Reads a recording: ``fixture_text("podman/5.4.2-inspect-running.json")``."""

    def read(name: str) -> str:
        return (FIXTURES / name).read_text(encoding="utf-8")

    return read


@pytest.fixture(autouse=True)
def real_host() -> Iterator[None]:
    """Resets the host after each test, so each test begins on the real one."""
    yield
    PLACE.root, PLACE.uid = "", None


@pytest.fixture(autouse=True)
def signals_of_a_task() -> None:
    """Handles the signals as a task does, also below nohup or as a job in the background, which ignore some of them."""
    for number in STOPS:
        handler = signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def own_locks(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps the locks of a test that represents no host out of this machine's folders."""
    locks_dir, folder = lock.locks_dir, tmp_path_factory.getbasetemp() / "locks"
    monkeypatch.setattr(
        lock, "locks_dir", lambda paths, uid: locks_dir(paths, uid) if paths.root else str(folder / str(uid))
    )


@pytest.fixture(autouse=True)
def no_power_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits for no disk, which takes more time than all else that writes; a closed descriptor is an error as before."""
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture(name="module")
def module_fixture(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., ModuleRun]:
    """Runs a module: ``module("selinux_boolean", params, commands=[...], check=False)`` returns a ModuleRun."""

    def run(name: str, params: dict, **options) -> ModuleRun:
        return run_main(monkeypatch, capsys, name, params, **options)

    return run
