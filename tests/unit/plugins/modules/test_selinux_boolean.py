# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Write
from ansible_collections.criu.hosts.tests.unit.selinux_tree import Tree

FIXTURES = Path(__file__).parents[2] / "fixtures/selinux"


def case(now: bool, boot: bool | None, value: bool, argv: list[str], *, persistent: bool = True) -> Any:
    def build(folder: Path) -> Any:
        tree = Tree(folder)
        tree.boolean("dyn", now, boot)
        after_boot = value if persistent else boot
        host = Host(replies=[Write(argv, effect=lambda: tree.boolean("dyn", value, after_boot))] if argv else [])
        return {"name": "dyn", "value": value, "persistent": persistent}, host

    return build


BOTH = ["setsebool", "-P", "-V", "dyn", "on"]
NOW = ["setsebool", "dyn", "on"]

CONTRACT_CASES = [
    Case("both-wrong", case(False, False, True, BOTH)),
    Case("only-boot-wrong", case(True, False, True, BOTH)),
    Case("only-runtime-wrong", case(False, True, True, NOW)),
    Case("runtime-only-wanted", case(False, False, True, NOW, persistent=False)),
    Case("turned-off", case(True, True, False, ["setsebool", "-P", "-V", "dyn", "off"])),
    Case("right-already", case(True, True, True, []), changed=False),
    Case("right-now-boot-not-asked", case(True, False, True, [], persistent=False), changed=False),
]


def test_result(tmp_path: Path, module: Any) -> None:
    params, host = CONTRACT_CASES[2].build(tmp_path)
    run = module("selinux_boolean", params, host=host)
    assert run.result["boolean"] == {"name": "dyn", "runtime": True, "persistent": True}
    assert run.result["diff"]["before"] == {"name": "dyn", "runtime": False, "persistent": True}


@pytest.mark.parametrize(
    ("name", "way"), [("unconfined_dyntrans_all", "role criu.hosts.criu_selinux"), ("nosuch", "getsebool -a")]
)
def test_missing_boolean_names_the_way_out(tmp_path: Path, module: Any, name: str, way: str) -> None:
    Tree(tmp_path)
    run = module("selinux_boolean", {"name": name, "value": True})
    assert run.result["reason"] == "boolean_missing" and way in run.result["msg"]


def test_selinux_disabled(tmp_path: Path, module: Any) -> None:
    Tree(tmp_path, mode=None)
    run = module("selinux_boolean", {"name": "dyn", "value": True})
    assert run.result["reason"] == "selinux_disabled"


def test_bad_name(tmp_path: Path, module: Any) -> None:
    Tree(tmp_path)
    run = module("selinux_boolean", {"name": "../enforce", "value": True})
    assert run.result["reason"] == "name_invalid"


def test_policy_on_disk_without_the_boolean(tmp_path: Path, module: Any) -> None:
    params, dummy_host = case(True, None, True, [])(tmp_path)
    failing = Write(BOTH, rc=255, err="Boolean dyn is not defined\n")
    run = module("selinux_boolean", params, commands=[failing])
    assert run.result["reason"] == "tool_failed" and "Boolean dyn is not defined. " in run.result["msg"]


def test_locked_store(tmp_path: Path, module: Any) -> None:
    params, dummy_host = case(False, False, True, [])(tmp_path)
    text = (FIXTURES / "3.8.1-setsebool-store-locked.txt").read_text(encoding="utf-8")
    run = module("selinux_boolean", params, commands=[Write(BOTH, rc=255, err=text)])
    assert run.result["reason"] == "store_locked"


def test_setsebool_that_says_yes_and_does_nothing(tmp_path: Path, module: Any) -> None:
    params, dummy_host = case(False, False, True, [])(tmp_path)
    run = module("selinux_boolean", params, commands=[Write(BOTH)])
    assert run.result["reason"] == "change_lost"
