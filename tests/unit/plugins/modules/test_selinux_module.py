# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import bz2
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Write
from ansible_collections.criu.hosts.tests.unit.selinux_tree import Tree

TEXT = "(allow a_t b_t (file (read)))\n"
FIXTURES = Path(__file__).parents[2] / "fixtures/selinux"


def text_of(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def install(folder: Path) -> Any:
    tree = Tree(folder)
    tree.write("run/criu.kdat", "old probes")
    argv = ["semodule", "-X", "400", "-i", f"{tree.work('site')}/site.cil"]
    host = Host(replies=[Write(argv, effect=tree.take("site", 400))])
    return {"name": "site", "content": TEXT}, host


def right(folder: Path) -> Any:
    tree = Tree(folder)
    tree.install("site", 400, TEXT.encode())
    tree.install("site", 100, b"package", language="pp", plain=True)
    tree.write("run/criu.kdat", "good probes")
    return {"name": "site", "content": TEXT}, Host()


def disable(folder: Path) -> Any:
    tree = Tree(folder)
    tree.install("site", 400, TEXT.encode(), plain=True)
    host = Host(replies=[Write(["semodule", "-X", "400", "-d", "site"], effect=lambda: tree.disable("site"))])
    return {"name": "site", "content": TEXT, "enabled": False}, host


def enable(folder: Path) -> Any:
    tree = Tree(folder)
    tree.install("site", 400, TEXT.encode())
    tree.disable("site")
    host = Host(replies=[Write(["semodule", "-X", "400", "-e", "site"], effect=lambda: tree.enable("site"))])
    return {"name": "site", "content": TEXT}, host


def remove(folder: Path) -> Any:
    tree = Tree(folder, mode="0")
    tree.install("site", 400, TEXT.encode())
    host = Host(replies=[Write(["semodule", "-X", "400", "-r", "site"], effect=lambda: tree.remove("site", 400))])
    return {"name": "site", "state": "absent"}, host


def absent_without_a_store(folder: Path) -> Any:
    Tree(folder, mode=None, store=False)
    return {"name": "site", "state": "absent"}, Host()


def image(folder: Path) -> Any:
    tree = Tree(folder, mode=None)
    argv = ["semodule", "-n", "-X", "300", "-i", f"{tree.work('site')}/site.cil"]
    host = Host(replies=[Write(argv, effect=tree.take("site", 300))])
    return {"name": "site", "content": TEXT, "priority": 300}, host


def package(folder: Path) -> Any:
    tree = Tree(folder)
    data = base64.b64decode(text_of("3.8.1-zebra-package-head.b64"))
    tree.write("zebra.pp.bz2", bz2.compress(data))
    argv = ["semodule", "-X", "400", "-i", f"{tree.work('zebra')}/zebra.pp"]
    host = Host(replies=[Write(argv, effect=tree.take("zebra", 400, "pp"))])
    return {"name": "zebra", "path": str(folder / "zebra.pp.bz2")}, host


CONTRACT_CASES = [
    Case("installed", install),
    Case("right-already", right, changed=False),
    Case("disabled", disable),
    Case("enabled", enable),
    Case("removed", remove),
    Case("absent-without-a-store", absent_without_a_store, changed=False),
    Case("no-selinux-in-an-image", image),
    Case("package", package),
]


def test_install_leaves_no_file_and_forgets_probes(tmp_path: Path, module: Any) -> None:
    params, host = install(tmp_path)
    run = module("selinux_module", params, host=host)
    assert run.result["module"]["state"] == "present" and run.result["selinux_mode"] == "enforcing"
    assert not (tmp_path / "var/lib/selinux/default/criu-hosts.site").exists()
    assert not (tmp_path / "run/criu.kdat").exists()


def test_unchanged_run_keeps_probes(tmp_path: Path, module: Any) -> None:
    params, host = right(tmp_path)
    run = module("selinux_module", params, host=host)
    assert run.result["module"]["other_priorities"] == [100] and host.ran == []
    assert (tmp_path / "run/criu.kdat").exists()


def test_bad_module_is_one_line_and_leaves_no_file(tmp_path: Path, module: Any) -> None:
    tree = Tree(tmp_path)
    argv = ["semodule", "-X", "400", "-i", f"{tree.work('site')}/site.cil"]
    failing = Write(argv, rc=1, err=text_of("3.8.1-semodule-unknown-keyword.txt"))
    run = module("selinux_module", {"name": "site", "content": "(frob a b)"}, commands=[failing])
    assert run.result["reason"] == "policy_invalid" and run.result["rc"] == 1
    assert run.result["msg"].startswith("Cannot install policy module 'site': Unknown keyword frob. ")
    assert not Path(tree.work("site")).exists()


def test_semodule_that_says_yes_and_does_nothing(tmp_path: Path, module: Any) -> None:
    tree = Tree(tmp_path)
    argv = ["semodule", "-X", "400", "-i", f"{tree.work('site')}/site.cil"]
    run = module("selinux_module", {"name": "site", "content": TEXT}, commands=[Write(argv)])
    assert run.result["reason"] == "change_lost"


def test_module_hidden_by_a_higher_priority(tmp_path: Path, module: Any) -> None:
    tree = Tree(tmp_path)
    tree.install("site", 400, TEXT.encode())
    tree.install("site", 900, b"(other)")
    run = module("selinux_module", {"name": "site", "content": TEXT})
    assert "priority 900 overrides it" in str(run.result["warnings"])


DECLARED = [
    pytest.param({}, None, True, id="nobody-has-it"),
    pytest.param({"dyn": False}, None, False, id="distribution-has-it"),
    pytest.param({"dyn": True}, TEXT + "(boolean dyn false)\n", True, id="our-installed-module-has-it"),
]


@pytest.mark.parametrize(("policy", "installed", "ours"), DECLARED)
def test_declare_booleans(tmp_path: Path, module: Any, policy: Any, installed: str | None, ours: bool) -> None:
    tree = Tree(tmp_path)
    for name, value in policy.items():
        tree.boolean(name, value, value)
    if installed:
        tree.install("site", 400, installed.encode())
    params = {"name": "site", "content": TEXT, "declare_booleans": {"dyn": False}}
    run = module("selinux_module", params, check=True)
    lines = run.result["diff"]["after"].get("lines", [])
    assert run.result["changed"] is (installed is None)
    assert ("(boolean dyn false)" in lines) is (ours and installed is None)


BAD = [
    pytest.param({"name": "../x", "content": TEXT}, "name_invalid", id="name"),
    pytest.param({"name": "site", "content": TEXT, "priority": 1000}, "priority_invalid", id="priority"),
    pytest.param({"name": "site", "content": " \n"}, "policy_invalid", id="empty"),
    pytest.param({"name": "site", "path": "{root}/none.cil"}, "source_missing", id="no-file"),
    pytest.param({"name": "site", "path": "{root}"}, "source_missing", id="folder"),
    pytest.param({"name": "site", "path": "{root}/a.txt"}, "policy_invalid", id="suffix"),
    pytest.param({"name": "site", "path": "{root}/a.pp"}, "policy_invalid", id="no-package"),
    pytest.param({"name": "site", "path": "{root}/b.pp.bz2"}, "policy_invalid", id="truncated-bzip2"),
    pytest.param({"name": "site", "path": "{root}/zebra.pp"}, "policy_invalid", id="package-of-another-name"),
    pytest.param({"name": "s", "content": TEXT, "declare_booleans": {"a": "no"}}, "boolean_invalid", id="default"),
]


@pytest.mark.parametrize(("params", "reason"), BAD)
def test_bad_input(tmp_path: Path, module: Any, params: dict[str, Any], reason: str) -> None:
    tree = Tree(tmp_path)
    tree.write("a.txt", "x")
    tree.write("a.pp", "x")
    tree.write("b.pp.bz2", bz2.compress(b"hello hello")[:20])
    tree.write("zebra.pp", base64.b64decode(text_of("3.8.1-zebra-package-head.b64")))
    params = {key: value.format(root=tmp_path) if key == "path" else value for key, value in params.items()}
    run = module("selinux_module", params)
    assert run.result["reason"] == reason and "\n" not in run.result["msg"]


def test_no_policy_store(tmp_path: Path, module: Any) -> None:
    Tree(tmp_path, mode=None, store=False)
    run = module("selinux_module", {"name": "site", "content": TEXT})
    assert run.result["reason"] == "store_missing" and "selinux-policy-default" in run.result["msg"]


def test_store_of_the_redhat_family(tmp_path: Path, module: Any) -> None:
    tree = Tree(tmp_path, store=False)
    (tmp_path / "etc/selinux/default/active/modules/100").mkdir(parents=True)
    run = module("selinux_module", {"name": "site", "content": TEXT}, check=True)
    assert run.result["commands"][0][-1] == f"{tree.root}/etc/selinux/default/criu-hosts.site/site.cil"


def test_without_root(tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Tree(tmp_path)

    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.listdir", refuse)
    run = module("selinux_module", {"name": "site", "content": TEXT})
    assert run.result["reason"] == "not_root" and "become: true" in run.result["msg"]
