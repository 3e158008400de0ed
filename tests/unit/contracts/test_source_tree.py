# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of imports that the contract tests ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.tests.unit.contracts.sample import UTILS, make
from ansible_collections.criu.hosts.tests.unit.contracts.source_tree import LAZY, RUNNING, TYPES, SourceTree


def paths_of(tree: SourceTree, name: str, *kinds: str) -> list[str]:
    base = tree.root / "plugins/module_utils"
    return sorted(str(path.relative_to(base)) for path in tree.imported(base / name, *kinds))


@pytest.mark.parametrize(
    "statement",
    [
        f"import {UTILS}.box.tool",
        f"import {UTILS}.box.tool as t",
        f"from {UTILS}.box import tool",
        f"from {UTILS}.box import tool as t",
        f"from {UTILS}.box.tool import name",
        f"from {UTILS}.box.tool import name as n",
        f"from {UTILS}.box.tool import *",
        "from .tool import name",
        "from . import tool",
        "from . import tool as t",
        "from ..box import tool",
        "from ..box.tool import name",
        "from ..box.tool import (\n    name,\n    other,\n)",
        "try:\n    from . import tool\nexcept ImportError:\n    tool = None",
        "class Holder:\n    from . import tool",
    ],
)
def test_every_form_of_an_import_is_followed(tmp_path: Path, statement: str) -> None:
    tree = make(tmp_path, {"box/tool": "name = other = 1", "box/user": statement})
    assert paths_of(tree, "box/user.py") == ["box/tool.py"]
    assert paths_of(tree, "box/user.py", RUNNING) == ["box/tool.py"]


def test_a_name_of_a_module_is_taken_from_its_file(tmp_path: Path) -> None:
    text = f"from {UTILS} import box\nfrom {UTILS}.flat import inner"
    tree = make(tmp_path, {"box/tool": "", "flat": "inner = 1", "user": text})
    assert paths_of(tree, "user.py") == ["flat.py"], "a folder without __init__.py is no file"
    folder, name = tree.imports(tmp_path / "plugins/module_utils/user.py")
    assert folder.whole and folder.path is None
    assert not name.whole and name.name == "inner"


def test_a_package_is_its_init_file(tmp_path: Path) -> None:
    tree = make(
        tmp_path, {"box/__init__": "name = 1", "user": f"from {UTILS}.box import name\nfrom {UTILS} import box"}
    )
    assert paths_of(tree, "user.py") == ["box/__init__.py"]


def test_a_file_in_the_folder_wins_over_a_name_of_the_package(tmp_path: Path) -> None:
    tree = make(tmp_path, {"box/__init__": "tool = 1", "box/tool": "", "user": f"from {UTILS}.box import tool"})
    assert paths_of(tree, "user.py") == ["box/tool.py"]


def test_equal_names_in_two_folders_are_two_files(tmp_path: Path) -> None:
    tree = make(tmp_path, {"one/apply": "", "two/apply": "", "user": f"from {UTILS}.two.apply import x"})
    assert paths_of(tree, "user.py") == ["two/apply.py"]


@pytest.mark.parametrize(
    "statement",
    [
        "def work():\n    from .tool import name",
        "def work():\n    if x:\n        from . import tool",
        "async def work():\n    from . import tool",
        "class Worker:\n    def work(self):\n        from . import tool",
    ],
)
def test_an_import_in_a_function_is_lazy(tmp_path: Path, statement: str) -> None:
    tree = make(tmp_path, {"box/tool": "", "box/user": statement})
    assert paths_of(tree, "box/user.py", LAZY) == ["box/tool.py"]
    assert paths_of(tree, "box/user.py", RUNNING, TYPES) == []


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING"])
def test_an_import_for_type_checkers_is_told_apart(tmp_path: Path, test: str) -> None:
    text = f"if {test}:\n    from .tool import name\nelse:\n    from .other import name"
    tree = make(tmp_path, {"tool": "", "other": "", "user": text})
    assert paths_of(tree, "user.py", TYPES) == ["tool.py"]
    assert paths_of(tree, "user.py", RUNNING) == ["other.py"]


def test_modules_of_others_have_no_path(tmp_path: Path) -> None:
    tree = make(
        tmp_path, {"user": "import os.path\nfrom ansible.module_utils import basic\nfrom shutil import rmtree as r"}
    )
    found = tree.imports(tmp_path / "plugins/module_utils/user.py")
    assert [(one.module, one.name, one.bound, one.path) for one in found] == [
        ("os.path", None, "os", None),
        ("ansible.module_utils", "basic", "basic", None),
        ("shutil", "rmtree", "r", None),
    ]


def test_a_missing_module_of_this_collection_is_no_silent_gap(tmp_path: Path) -> None:
    tree = make(tmp_path, {"user": f"from {UTILS}.gone import name"})
    with pytest.raises(LookupError, match=r"gone, which does not exist"):
        tree.imports(tmp_path / "plugins/module_utils/user.py")


def test_reach_goes_through_others(tmp_path: Path) -> None:
    tree = make(tmp_path, {"a": "from . import b", "b": "def f():\n    from . import c", "c": "", "d": ""})
    base = tmp_path / "plugins/module_utils"
    assert tree.reach(base / "a.py") == {base / "a.py", base / "b.py", base / "c.py"}
    assert tree.reach(base / "a.py", RUNNING) == {base / "a.py", base / "b.py"}


def test_cycles_are_found_whatever_the_kind(tmp_path: Path) -> None:
    tree = make(
        tmp_path, {"a": "from . import b", "b": "def f():\n    from . import a", "c": "from . import a", "d": ""}
    )
    base = tmp_path / "plugins/module_utils"
    files = tree.files("plugins")
    assert tree.cycles(files, RUNNING, LAZY) == [{base / "a.py", base / "b.py"}]
    assert tree.cycles(files, RUNNING) == []
