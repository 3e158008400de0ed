# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for who may import whom, and for what only one file may do. docs/design.md gives the reasons."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.layout import BASE, MODULES, TREE, UTILS, flat, place
from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import LAZY, RUNNING

# A folder imports itself and the folders before it.
FOLDERS = (
    "_core",
    "_formats",
    "_host",
    "_lsm",
    "_criu",
    "_denials",
    "_criu_config",
    "_criu_build",
    "_store",
    "_engines",
    "_process",
    "_container",
    "_unit",
    "_nextcloud",
    "_migration",
)
# Folders that are before another one, and yet none of its business.
STRANGERS = {("_process", "_engines"), ("_container", "_process"), ("_nextcloud", "_unit")}
# Only these know a certain engine; Quadlet is podman's.
KNOW_ENGINES = ("_engines/registry.py", "_unit/")

# Files that import each other, and why they still do. The list only gets shorter.
CYCLES_STILL = {
    ("_core/apply.py", "_core/unpack.py"): "unpacking needs the functions of apply that make folders",
    ("_engines/podman/archive.py", "_store/archive.py"): "an archive without a record is described by its engine",
}
# Names of others with "podman" in them: SELinux types, and the purposes that have such a type.
PODMAN_NAMED = {
    "_engines/registry.py": "it lists the engines",
    "_denials/known.py": "the types and the path of podman are in the tables of denials",
    "_denials/explain.py": "a group of denials is named after podman's type",
    "_denials/remedies.py": "the advice names the folders that podman's type may read",
    "_lsm/_selinux/policy/rules.py": "the rules are for podman's type",
}
# Files that know podman and should not, and why they still do. The list only gets shorter.
PODMAN_STILL = {
    "_container/checkpoint.py": "two messages, and podman's own label of a unit",
    "_container/restore.py": "why a step removes a container",
    "_criu/readiness.py": "the readiness of containers is podman's",
    "_criu/remedies.py": "the purpose of a policy is named after podman",
    "_criu_config/readers.py": "podman is one of the callers of CRIU",
    "_lsm/object_labels.py": "the warning about unlabelled sockets is podman's",
    "_nextcloud/host.py": "images are asked of podman",
    "_nextcloud/settings.py": "occ is called by podman exec",
    "_nextcloud/upgrade.py": "a message says how to tag an image",
}


def folder(path: Path) -> str:
    return place(path).partition("/")[0]


def edges() -> Iterator[tuple[Path, Path]]:
    """Every import from one file of module_utils to another, for type checkers too."""
    for path in UTILS:
        yield from ((path, other) for other in sorted(TREE.imported(path)) if other.is_relative_to(BASE))


def test_every_import_of_this_collection_is_found() -> None:
    for path in TREE.files("plugins"):
        TREE.imports(path)


def test_a_folder_imports_only_folders_before_it() -> None:
    if flat():
        pytest.skip("layout is flat")
    at = {name: number for number, name in enumerate(FOLDERS)}
    assert [place(path) for path in UTILS if folder(path) not in at] == [], "no folder of the table"
    wrong = [(place(path), place(other)) for path, other in edges() if at[folder(other)] > at[folder(path)]]
    assert wrong == []


def test_strangers_stay_strangers() -> None:
    wrong = [(place(path), place(other)) for path, other in edges() if (folder(path), folder(other)) in STRANGERS]
    assert wrong == []


def test_only_the_registry_and_units_know_an_engine() -> None:
    if flat():
        pytest.skip("layout is flat")
    wrong = []
    for path in (*UTILS, *MODULES):
        for other in TREE.imported(path):
            parts = place(other).split("/")
            if parts[0] == "_engines" and len(parts) > 2:
                allowed = (*KNOW_ENGINES, f"_engines/{parts[1]}/")
                wrong += [] if place(path).startswith(allowed) else [(place(path), place(other))]
    assert wrong == []


def test_no_files_import_each_other() -> None:
    found = {tuple(sorted(place(path) for path in group)) for group in TREE.cycles([*UTILS, *MODULES], RUNNING, LAZY)}
    assert found == set(CYCLES_STILL)


def _words(path: Path) -> Iterator[str]:
    """Names and strings of a file's code, without its docstrings."""
    nodes = list(ast.walk(TREE.parse(path)))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value
        yield from (str(getattr(node, key, "")) for key in ("id", "attr", "name", "arg", "asname", "module"))


def test_only_its_engine_and_units_know_podman() -> None:
    free = ("_engines/podman/", "_unit/", "_unit.py", *PODMAN_NAMED)
    others = [path for path in UTILS if not place(path).startswith(free)]
    assert {place(path) for path in others if any("podman" in word.lower() for word in _words(path))} == {*PODMAN_STILL}


def test_no_package_has_code() -> None:
    """Code in an __init__.py would be shipped with every module, and compiled by every task."""
    assert [place(path) for path in UTILS if path.name == "__init__.py" and TREE.parse(path).body] == []


def _mentions(path: Path, names: set[str]) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr in names for node in ast.walk(TREE.parse(path)))


ONE_PLACE = [
    pytest.param({"run_command"}, {"_core/command.py"}, id="commands-are-run-in-one-file"),
    pytest.param({"exit_json", "fail_json"}, {"_core/module.py"}, id="a-module-exits-in-one-file"),
    pytest.param({"check_mode"}, {"_core/module.py", "_core/context.py"}, id="check-mode-is-tested-in-one-file"),
]


@pytest.mark.parametrize(("names", "allowed"), ONE_PLACE)
def test_one_place_for_each(names: set[str], allowed: set[str]) -> None:
    found = {place(path) for path in (*UTILS, *MODULES) if _mentions(path, names)}
    assert found == allowed


def test_only_one_file_knows_ansible() -> None:
    """For type checkers others may; only the program of a module has Ansible, that of a stateful unit has not."""
    known = {
        path
        for path in UTILS
        for one in TREE.imports(path)
        if one.module.split(".")[0] == "ansible" and one.kind != "types"
    }
    assert {place(path) for path in known} == {"_core/module.py"}


@pytest.mark.parametrize("path", [*UTILS, *MODULES], ids=place)
def test_no_catch_all(path: Path) -> None:
    for node in ast.walk(TREE.parse(path)):
        if isinstance(node, ast.ExceptHandler):
            names = {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)} if node.type else {"bare"}
            reraises = any(isinstance(leaf, ast.Raise) and leaf.exc is None for leaf in node.body)
            assert reraises or not names & {"Exception", "BaseException", "bare"}
