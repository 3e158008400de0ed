# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that each module that changes something holds a lock, and says so when a different process holds it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import lock
from ansible_collections.criu.hosts.tests.unit.harness import run_main
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.test_contracts import MODULES, READERS, case_module, snapshot

WRITERS = [name for name in MODULES if name not in READERS]


def without_locks(found: dict[str, Any]) -> dict[str, Any]:
    return {name: entry for name, entry in found.items() if "locks" not in name and not name.endswith("criu-hosts")}


@pytest.mark.parametrize("name", WRITERS)
def test_a_module_is_busy_while_another_task_works_on_its_thing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    params, host = next(case for case in case_module(name).CONTRACT_CASES if case.changed).build(folder)
    (folder / "run").mkdir(exist_ok=True)
    hold, taken = lock.hold, []

    @contextmanager
    def when_another_holds_it(path: str, what: str, seconds: float | None = None) -> Iterator[None]:
        taken.append(path)
        with held_by_another(path), hold(path, what, 0):
            yield

    before = without_locks(snapshot(folder))
    with monkeypatch.context() as patch:
        patch.setattr(lock, "hold", when_another_holds_it)
        ran = run_main(monkeypatch, capsys, name, params, host=host)
    assert ran.result.get("reason") == "busy", ran.result
    assert "other (process 4711) has held it for" in ran.result["msg"]
    assert len(taken) == 1, "the first lock was busy"
    assert host.wrote == [], "it has changed something without its lock"
    assert without_locks(snapshot(folder)) == before

    real = run_main(monkeypatch, capsys, name, params, host=host)
    assert not real.failed, real.result
