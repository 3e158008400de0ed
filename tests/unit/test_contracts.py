# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that hold for every module of the collection.

A module states its start situations as CONTRACT_CASES in tests/unit/plugins/modules/test_<module>.py.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.tests.unit.harness import Case, run_main

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
UTILS = sorted((ROOT / "plugins/module_utils").rglob("*.py"))
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
    """Everything below ``folder``: kind, mode, content."""
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


def fragments(name: str) -> str:
    """The text of the documentation fragments that a module extends."""
    texts = []
    for fragment in docs(name)["doc"]["extends_documentation_fragment"]:
        file, dummy, section = fragment[len("criu.hosts.") :].partition(".")
        loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.doc_fragments.{file}")
        texts.append(getattr(loaded.ModuleDocFragment, section.upper() or "DOCUMENTATION"))
    return "".join(texts)


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
    assert all(argv in real.result["commands"] for argv in host.wrote), "a write that commands does not tell"
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
        assert {case.changed for case in cases} == {True, False}, "one case that changes and one that is right already"


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
    # Ansible's own, and invocation which only the tests see.
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


def _running(tree: ast.AST) -> list[ast.AST]:
    """The nodes of a file without those that are there for type checkers only."""
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        found.append(node)
        waiting += ast.iter_child_nodes(node)
    return found


def _imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def _own_utils(path: Path) -> set[Path]:
    """The module_utils files that ``path`` reaches, itself included."""
    reached = {path}
    waiting = [path]
    while waiting:
        for name in _imports(waiting.pop()):
            if ".module_utils._" in name:
                util = ROOT / "plugins/module_utils" / f"{name.partition('.module_utils.')[2].replace('.', '/')}.py"
                if util.exists() and util not in reached:
                    reached.add(util)
                    waiting.append(util)
    return reached


def _reasons(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "reason":
            found |= {
                leaf.value
                for leaf in ast.walk(node.value)
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
            }
        if isinstance(node, ast.FunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults):
                if argument.arg == "reason" and isinstance(default, ast.Constant):
                    found.add(str(default.value))
    return found


# Files are followed, not functions: these belong to functions of shared files that a module does not call.
OF_OTHER_FUNCTIONS = {
    *("archive_invalid", "archive_missing", "archive_path_unsafe", "archive_runtime_missing", "cgroup_in_use"),
    *("container_exists", "external_needed", "image_missing", "images_path_unsafe", "memory_tracking_missing"),
    *("label_changed", "podman_missing", "secret_not_restorable"),
    *("name_in_use", "runtime_cannot_checkpoint", "shell_job_needed", "unit_invalid", "volume_exists"),
}


@pytest.mark.parametrize("name", MODULES)
def test_every_reason_is_documented(name: str) -> None:
    described = json.dumps(docs(name)["doc"]) + fragments(name)
    documented = set(re.findall(r"V\(([a-z_]+)\)", described))
    raised: set[str] = set()
    for path in _own_utils(ROOT / f"plugins/modules/{name}.py"):
        raised |= _reasons(path)
    missing = raised - documented - OF_OTHER_FUNCTIONS
    assert not missing, f"reasons without documentation: {sorted(missing)}"


def _mentions(path: Path, names: set[str]) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(tree))


LAYER_RULES = [
    pytest.param({"run_command"}, {"_core/command.py"}, id="only-_command-runs-commands"),
    pytest.param({"exit_json", "fail_json"}, {"_core/module.py"}, id="only-_module-exits"),
    pytest.param({"check_mode"}, {"_core/module.py", "_core/context.py"}, id="check-mode-is-tested-in-one-file"),
    pytest.param(
        {"rename", "unlink", "rmtree", "symlink", "chmod", "mkdir", "makedirs", "chown"},
        {"_core/apply.py", "_core/files.py", "_core/unpack.py"},
        id="only-_apply-writes",
    ),
]


@pytest.mark.parametrize(("names", "allowed"), LAYER_RULES)
def test_layers(names: set[str], allowed: set[str]) -> None:
    files = [*UTILS, *(ROOT / "plugins/modules").glob("*.py")]
    offenders = [str(path) for path in files if not any(path.match(one) for one in allowed) and _mentions(path, names)]
    assert offenders == []


@pytest.mark.parametrize("path", UTILS, ids=lambda path: str(path.relative_to(ROOT / "plugins/module_utils")))
def test_utils_do_not_import_ansible(path: Path) -> None:
    if path.match("_core/module.py"):
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in top:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            assert not name.startswith("ansible."), name


@pytest.mark.parametrize("path", [*UTILS, *sorted((ROOT / "plugins/modules").glob("*.py"))], ids=lambda path: path.name)
def test_no_catch_all(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)} if node.type else {"bare"}
            reraises = any(isinstance(leaf, ast.Raise) and leaf.exc is None for leaf in node.body)
            assert reraises or not names & {"Exception", "BaseException", "bare"}
