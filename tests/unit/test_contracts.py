# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the rules for every module of the collection when it runs, and for its documentation.

CONTRACT_CASES in tests/unit/plugins/modules/test_<module>.py lists the start states of a module.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.tests.unit.harness import Case, run_main

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
READERS = [name for name in MODULES if name.endswith("_info")]


def case_module(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.criu.hosts.tests.unit.plugins.modules.test_{name}")


def all_cases() -> list[Any]:
    return [
        pytest.param(name, case, id=f"{name}-{case.id}")
        for name in MODULES
        for case in case_module(name).CONTRACT_CASES
    ]


def snapshot(folder: Path) -> dict[str, Any]:
    """Returns all files below ``folder``: kind, mode, content."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        mode = oct(path.lstat().st_mode)
        if path.is_symlink():
            found[str(path.relative_to(folder))] = (mode, str(path.readlink()))
        else:
            found[str(path.relative_to(folder))] = (mode, path.read_bytes() if path.is_file() else None)
    return found


def docs(name: str) -> dict[str, Any]:
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}")
    return {
        "doc": yaml.safe_load(loaded.DOCUMENTATION),
        "examples": loaded.EXAMPLES,
        "return": yaml.safe_load(loaded.RETURN) or {},
    }


@pytest.mark.parametrize(("name", "case"), all_cases())
def test_check_mode_writes_nothing_and_predicts_the_real_run(
    name: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "host"
    folder.mkdir()
    params, host = case.build(folder)
    start = snapshot(folder)
    checked = run_main(monkeypatch, capsys, name, params, host=host, check=True)
    assert not checked.failed, checked.result
    assert host.wrote == [], "check mode ran a writing command"
    assert snapshot(folder) == start, "check mode changed a file"

    real = run_main(monkeypatch, capsys, name, params, host=host)
    assert not real.failed, real.result
    assert real.result["changed"] is case.changed
    for key in ("changed", "commands", "diff"):
        assert checked.result.get(key) == real.result.get(key), key
    assert all(argv in real.result["commands"] for argv in host.wrote), "a write that is not in commands"
    if name in READERS:
        assert host.wrote == [] and real.result["changed"] is False

    again = run_main(monkeypatch, capsys, name, params, host=host)
    assert not again.failed, again.result
    assert again.result["changed"] is False
    assert again.result["commands"] == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_has_cases(name: str) -> None:
    cases = case_module(name).CONTRACT_CASES
    assert cases
    if name not in READERS:
        assert {case.changed for case in cases} == {True, False}, "one case that changes the host and one that does not"


@pytest.mark.parametrize("name", MODULES)
def test_documentation_agrees_with_the_code(name: str) -> None:
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}")
    described = docs(name)
    assert described["doc"]["module"] == name
    assert described["doc"]["version_added"]
    assert set(described["doc"]["options"]) <= set(loaded.SPEC)
    fragments = described["doc"]["extends_documentation_fragment"]
    assert ("criu.hosts._attributes.info" if name in READERS else "criu.hosts._attributes") in fragments
    for option, text in described["doc"]["options"].items():
        spec = loaded.SPEC[option]
        for key in ("type", "required", "choices", "default", "elements", "aliases"):
            assert text.get(key) == spec.get(key), f"{option}.{key}"
    assert f"criu.hosts.{name}:" in described["examples"]


def test_action_group_lists_every_module() -> None:
    runtime = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))
    assert sorted(runtime["action_groups"]["all"]) == [f"criu.hosts.{name}" for name in MODULES]


def _returned_keys(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> set[str]:
    keys: set[str] = set()
    for number, case in enumerate(case_module(name).CONTRACT_CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        params, host = case.build(folder)
        keys |= set(run_main(monkeypatch, capsys, name, params, host=host).result)
    # Ansible's own keys, and invocation, which only the tests see.
    return keys - {"changed", "diff", "invocation", "warnings", "failed"}


@pytest.mark.parametrize("name", MODULES)
def test_return_documentation_is_complete(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    described = docs(name)["return"]
    always = {key for key, text in described.items() if not str(text["returned"]).startswith("failure")}
    assert always - {"changed", "diff"} == _returned_keys(name, tmp_path, monkeypatch, capsys)
    for text in described.values():
        assert "sample" in text or "contains" in text
