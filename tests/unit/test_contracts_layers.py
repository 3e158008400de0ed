# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests which folder may import which, and what only one file may do. docs/design.md gives the reasons."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.layout import BASE, MODULES, TREE, UTILS, place
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
    "_schedule",
    "_nextcloud",
    "_migration",
)
# Pairs of folders: the first never imports the second, although the order would allow it.
STRANGERS = {("_process", "_engines"), ("_container", "_process"), ("_nextcloud", "_unit")}
# Only these may depend on a particular engine; Quadlet is part of Podman, criu_info and the metrics of a schedule
# describe Podman, and checkpoint_info and checkpoint_copy its archives.
KNOW_ENGINES = (
    *("_engines/registry.py", "_unit/", "_schedule/run.py"),
    *("modules/checkpoint_copy.py", "modules/checkpoint_info.py"),
    *("modules/container_unit_info.py", "modules/criu_info.py"),
)

# Files that may name podman permanently, and why.
PODMAN_NAMED = {
    "_criu/readiness.py": "judges whether podman is there for the intent container",
    "_criu/host_findings.py": "judges podman's storage, and the profile that podman loads",
    "_criu_config/readers.py": "names podman with runc and crun among the callers of CRIU, as the result does",
    "_engines/registry.py": "lists the engines",
    "_container/request.py": "has the option engine with its choices",
    "_denials/_apparmor/": "lists the profiles and programs of engines, and threads about podman",
    "_denials/kinds.py": "lists the types, commands and sockets of engines",
    "_denials/known": "has SELinux types and folders of podman in its tables",
    "_denials/remedies.py": "names the folders that podman's type may read",
    "_host/remedies.py": "names the purpose of the policy that is for podman's type",
    "_host/support.py": "names podman as a package",
    "_lsm/_selinux/policy/rules.py": "has the rules for podman's type",
}


def folder(path: Path) -> str:
    return place(path).partition("/")[0]


def edges() -> Iterator[tuple[Path, Path]]:
    """Yields every import between files of module_utils, including those for type checkers."""
    for path in UTILS:
        yield from ((path, other) for other in sorted(TREE.imported(path)) if other.is_relative_to(BASE))


def test_every_import_of_this_collection_is_found() -> None:
    for path in TREE.files("plugins"):
        TREE.imports(path)


def test_a_folder_imports_only_folders_before_it() -> None:
    """The order also applies to lazy imports, and to those for type checkers."""
    at = {name: number for number, name in enumerate(FOLDERS)}
    assert [place(path) for path in UTILS if folder(path) not in at] == [], "not in a folder of the table"
    wrong = [(place(path), place(other)) for path, other in edges() if at[folder(other)] > at[folder(path)]]
    assert wrong == []


def test_strangers_stay_strangers() -> None:
    wrong = [(place(path), place(other)) for path, other in edges() if (folder(path), folder(other)) in STRANGERS]
    assert wrong == []


def test_only_the_registry_and_units_know_an_engine() -> None:
    found = set()
    for path in (*UTILS, *MODULES):
        for other in TREE.imported(path):
            top, dummy, rest = place(other).partition("/")
            own = f"{top}/{rest.partition('/')[0]}/"
            if top == "_engines" and "/" in rest and not place(path).startswith((*KNOW_ENGINES, own)):
                found.add((place(path), place(other)))
    assert found == set()


def test_no_files_import_each_other() -> None:
    cycles = TREE.cycles([*UTILS, *MODULES], RUNNING, LAZY)
    assert [sorted(map(place, group)) for group in cycles] == []


def _words(path: Path) -> Iterator[str]:
    """Returns the names and strings in a file's code, without its docstrings."""
    nodes = list(ast.walk(TREE.parse(path)))
    docstrings = {node.value for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            yield node.value
        yield from (str(getattr(node, key, "")) for key in ("id", "attr", "name", "arg", "asname"))


def test_only_its_engine_and_units_know_podman() -> None:
    free = ("_engines/podman/", "_unit/", *PODMAN_NAMED)
    others = [path for path in UTILS if not place(path).startswith(free)]
    found = {place(path) for path in others if any("podman" in word.lower() for word in _words(path))}
    assert found == set()


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


def _parses_json(path: Path) -> bool:
    for node in ast.walk(TREE.parse(path)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("json.load", "json.loads", "json.JSONDecoder"):
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "json":
            return True
    return False


def test_json_is_parsed_in_one_file() -> None:
    """Every text of other origin is parsed by parse_json, which raises one exception whatever the text is."""
    found = {place(path) for path in TREE.files("plugins") if _parses_json(path)}
    # Those of _core read only what this very program has written, and _core imports nothing.
    known = {"_core/feed.py", "_core/lock.py", "_core/pipe.py", "_core/session.py"}
    assert found == {"_formats/json_text.py", *known}


def test_tar_archives_are_read_in_one_file() -> None:
    """Python's own module reads headers of any size, and raises many kinds of exceptions."""
    found = {
        place(path) for path in TREE.files("plugins") if any(one.module == "tarfile" for one in TREE.imports(path))
    }
    assert found == set()


def test_only_one_file_knows_ansible() -> None:
    """For type checkers others may; the program of a module contains Ansible, that of a stateful unit does not."""
    known = {
        path
        for path in UTILS
        for one in TREE.imports(path)
        if one.module.split(".")[0] == "ansible" and one.kind != "types"
    }
    assert {place(path) for path in known} == {"_core/module.py"}


@pytest.mark.parametrize("path", [*UTILS, *MODULES], ids=place)
def test_no_catch_all(path: Path) -> None:
    """One function catches every error, for what must run after any of them."""
    for node in ast.walk(TREE.parse(path)):
        if isinstance(node, ast.ExceptHandler) and place(path) != "_core/errors.py":
            names = {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)} if node.type else {"bare"}
            reraises = any(isinstance(leaf, ast.Raise) and leaf.exc is None for leaf in node.body)
            assert reraises or not names & {"Exception", "BaseException", "bare"}
