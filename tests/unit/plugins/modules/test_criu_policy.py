# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Write
from ansible_collections.criu.hosts.tests.unit.selinux_tree import Tree

SYMBOLS = Path(__file__).parents[2] / "fixtures/selinux/20250213-policy34-symbols.b64"
NAME = "criu_hosts"


def debian(folder: Path, **options: Any) -> Tree:
    tree = Tree(folder, **options)
    tree.write("etc/selinux/default/policy/policy.34", base64.b64decode(SYMBOLS.read_text()))
    return tree


def take(tree: Tree) -> list[Write]:
    argv = ["semodule", "-X", "400", "-i", f"{tree.work(NAME)}/{NAME}.cil"]
    return [Write(argv, effect=tree.take(NAME, 400))]


def virgin(folder: Path) -> Any:
    return {}, Host(replies=take(debian(folder)))


def other_purposes(folder: Path) -> Any:
    tree = debian(folder)
    tree.install(NAME, 400, b"(boolean criu_container_restore false)\n")
    return {"purposes": ["podman_units"]}, Host(replies=take(tree))


def right(folder: Path) -> Any:
    """The module as an earlier task with the same options made it."""
    from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import PolicyFile
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import make_policy
    from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.rules import CATALOG

    tree = debian(folder)
    policy = PolicyFile(base64.b64decode(SYMBOLS.read_text()), ())
    tree.install(NAME, 400, make_policy(CATALOG, ["podman_units"], policy).text({}).encode())
    return {"purposes": ["podman_units"]}, Host()


def disabled_by_hand(folder: Path) -> Any:
    params, dummy = right(folder)
    tree = Tree(folder, store=False)
    tree.disable(NAME)
    argv = ["semodule", "-X", "400", "-e", NAME]
    return params, Host(replies=[Write(argv, effect=lambda: tree.enable(NAME))])


def absent(folder: Path) -> Any:
    tree = debian(folder)
    tree.install(NAME, 400, b"(boolean criu_container_restore false)\n")
    argv = ["semodule", "-X", "400", "-r", NAME]
    return {"state": "absent"}, Host(replies=[Write(argv, effect=lambda: tree.remove(NAME, 400))])


def absent_already(folder: Path) -> Any:
    debian(folder)
    return {"state": "absent"}, Host()


CONTRACT_CASES = [
    Case("virgin", virgin),
    Case("other-purposes", other_purposes),
    Case("right", right, changed=False),
    Case("disabled-by-hand", disabled_by_hand),
    Case("absent", absent),
    Case("absent-already", absent_already, changed=False),
]


def test_the_text_is_shown_in_the_difference(module: Any, tmp_path: Path) -> None:
    params, host = virgin(tmp_path)
    result = module("criu_policy", params, host=host, diff=True).result
    assert result["policy"]["state"] == "present"
    assert result["policy"]["left_out"] == []
    assert "(allow criu_hosts_container self (capability (sys_admin)))" in str(result["diff"])


def test_fedora_needs_no_module(module: Any, tmp_path: Path) -> None:
    tree = debian(tmp_path)
    record = b"\x18\0\0\0\x07\0\0\0\x01\0\0\0\0\0\0\0container_runtime_exec_t"
    tree.write("etc/selinux/default/policy/policy.34", base64.b64decode(SYMBOLS.read_text()) + record)
    result = module("criu_policy", {"purposes": ["podman_units", "root_shell"]}, host=Host()).result
    assert result["changed"] is False
    assert result["policy"]["state"] == "absent"
    assert result["policy"]["provided"] == ["podman_units", "root_shell"]


def test_host_without_a_compiled_policy(module: Any, tmp_path: Path) -> None:
    Tree(tmp_path)
    result = module("criu_policy", {}, host=Host()).result
    assert result["reason"] == "policy_missing"
    assert "selinux-policy-default" in result["msg"]


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("language", ["cil", "pp"])
def test_a_module_that_somebody_else_made_is_left_alone(module: Any, tmp_path: Path, state: str, language: str) -> None:
    debian(tmp_path).install(NAME, 400, b"(type somebody_elses_t)", language=language)
    result = module("criu_policy", {"state": state}, host=Host()).result
    assert result["reason"] == "module_foreign" and "semodule -X 400 -r criu_hosts" in result["msg"]


def test_a_module_of_another_priority_is_not_in_the_way(module: Any, tmp_path: Path) -> None:
    params, host = virgin(tmp_path)
    Tree(tmp_path, store=False).install(NAME, 500, b"(type somebody_elses_t)")
    result = module("criu_policy", params, host=host).result
    assert result["changed"] and "priority 500 overrides it" in str(result["warnings"])


def test_store_that_another_process_changes(module: Any, tmp_path: Path) -> None:
    tree = debian(tmp_path)
    said = (SYMBOLS.parent / "3.8.1-semodule-store-locked.txt").read_text(encoding="utf-8")
    argv = ["semodule", "-X", "400", "-i", f"{tree.work(NAME)}/{NAME}.cil"]
    result = module("criu_policy", {}, host=Host(replies=[Write(argv, rc=1, err=said)])).result
    assert result["reason"] == "store_locked" and not Path(tree.work(NAME)).exists()


@pytest.mark.parametrize(("mode", "word"), [("1", "enforcing"), ("0", "permissive"), (None, "disabled")])
def test_the_mode_is_told_and_no_checksum_is_asked_of_libsemanage(
    module: Any, tmp_path: Path, mode: str | None, word: str
) -> None:
    """semodule --checksum is newer than some hosts: the text in the store is hashed here, so nothing is run."""
    params, dummy_host = right(tmp_path)
    (tmp_path / "sys/fs/selinux/enforce").unlink()
    if mode is not None:
        (tmp_path / "sys/fs/selinux/enforce").write_text(mode)
    ran = module("criu_policy", params, host=Host())
    assert ran.result["selinux_mode"] == word
    assert ran.result["changed"] is False and ran.host.ran == []
    assert ran.result["policy"]["checksum"].startswith("sha256:")
