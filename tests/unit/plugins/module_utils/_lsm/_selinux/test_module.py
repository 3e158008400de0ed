# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import MakeDir, Remove, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import policy_default
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import complaint
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module import (
    Source,
    Stored,
    StoredModule,
    Surroundings,
    WantedModule,
    check_booleans,
    check_priority,
    check_result,
    declare_missing,
    declared_booleans,
    describe_module,
    package_name,
    plan_module,
    predict_module,
    semodule_error,
)

NEW = Source("cil", b"(allow a_t b_t (file (read)))\n")
OLD = Stored(400, "cil", "sha256:old", "(old)\n")
SAME = Stored(400, "cil", NEW.checksum, NEW.data.decode())
LOW = Stored(100, "pp", "sha256:low")
FILE = "/w/site.cil"


def module(*entries: Stored, enabled: bool = True) -> StoredModule:
    return StoredModule("site", entries, enabled)


PLANS = [
    pytest.param(module(), NEW, True, ["-i", FILE], id="not-there-installed"),
    pytest.param(module(), NEW, False, ["-i", FILE, "-d", "site"], id="not-there-installed-disabled"),
    pytest.param(module(OLD), NEW, True, ["-i", FILE], id="other-text-replaced"),
    pytest.param(module(OLD, enabled=False), NEW, True, ["-i", FILE, "-e", "site"], id="disabled-other-text-both"),
    pytest.param(module(SAME), NEW, False, ["-d", "site"], id="same-text-only-disabled"),
    pytest.param(module(SAME, enabled=False), NEW, True, ["-e", "site"], id="same-text-only-enabled"),
    pytest.param(module(LOW), NEW, True, ["-i", FILE], id="other-priority-does-not-count"),
    pytest.param(module(LOW, OLD), None, True, ["-r", "site"], id="removed-at-our-priority"),
    pytest.param(module(SAME), NEW, True, None, id="right-already"),
    pytest.param(module(SAME, enabled=False), NEW, False, None, id="disabled-already"),
    pytest.param(module(), None, True, None, id="absent-already"),
    pytest.param(module(LOW), None, True, None, id="absent-already-lower-stays"),
]


@pytest.mark.parametrize(("stored", "source", "enabled", "tail"), PLANS)
def test_plan(stored: StoredModule, source: Source | None, enabled: bool, tail: list[str] | None) -> None:
    wanted = WantedModule("site", 400, enabled, source)
    plan = plan_module(stored, wanted, Surroundings(work_dir="/w"))
    assert plan.commands == ([] if tail is None else [["semodule", "-X", "400", *tail]])
    assert plan.changed is (tail is not None) is (plan.before != plan.after)
    assert not plan_module(predict_module(stored, wanted), wanted, Surroundings(work_dir="/w")).changed


def test_plan_of_an_installation_cleans_up_on_every_path() -> None:
    around = Surroundings(work_dir="/w", probe_cache="/run/criu.kdat")
    plan = plan_module(module(), WantedModule("site", 400, True, NEW), around)
    assert plan.steps[0] == MakeDir("/w", why="make the folder")
    assert isinstance(plan.steps[1], WriteFile) and plan.steps[1].mode == 0o600
    assert isinstance(plan.steps[3], Remove) and plan.steps[3].path == "/w" and plan.steps[3].always
    assert isinstance(plan.steps[4], Remove) and plan.steps[4].path == "/run/criu.kdat" and not plan.steps[4].always


def test_plan_without_a_loaded_policy_loads_none() -> None:
    around = Surroundings(work_dir="/w", loaded=False, probe_cache="/run/criu.kdat")
    plan = plan_module(module(), WantedModule("site", 400, True, NEW), around)
    assert plan.commands == [["semodule", "-n", "-X", "400", "-i", FILE]]
    assert not [step for step in plan.steps if getattr(step, "path", "") == "/run/criu.kdat"]


def test_diff_shows_lines_only_when_the_text_changes() -> None:
    plan = plan_module(module(OLD), WantedModule("site", 400, True, NEW), Surroundings(work_dir="/w"))
    assert (plan.before["lines"], plan.after["lines"]) == (["(old)"], ["(allow a_t b_t (file (read)))"])
    plan = plan_module(module(SAME), WantedModule("site", 400, False, NEW), Surroundings(work_dir="/w"))
    assert "lines" not in plan.before and plan.after["enabled"] is False


def test_binary_source_survives_the_text_file() -> None:
    data = bytes(range(256))
    plan = plan_module(module(), WantedModule("site", 400, True, Source("pp", data)), Surroundings(work_dir="/w"))
    step = plan.steps[1]
    assert isinstance(step, WriteFile) and step.path == "/w/site.pp"
    assert step.content.encode("utf-8", "surrogateescape") == data


def test_last_removal_forgets_disabled() -> None:
    absent = WantedModule("site", 400, True, None)
    assert predict_module(module(OLD, enabled=False), absent).enabled
    assert not predict_module(module(LOW, OLD, enabled=False), absent).enabled
    assert describe_module(module(LOW, OLD), 400)["other_priorities"] == [100]


LOST = [
    pytest.param(module(), NEW, id="not-installed"),
    pytest.param(module(OLD), NEW, id="old-text"),
    pytest.param(module(SAME, enabled=False), NEW, id="still-disabled"),
    pytest.param(module(SAME), None, id="not-removed"),
]


@pytest.mark.parametrize(("after", "source"), LOST)
def test_lost_change(after: StoredModule, source: Source | None) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_result(after, WantedModule("site", 400, True, source))
    assert caught.value.reason == "change_lost"


BOOLEANS = [
    pytest.param("(boolean a false)\n(boolean\n b true)", {"a", "b"}, id="two"),
    pytest.param("; (boolean a false)\n(allow x y (file (read)))", set(), id="comment"),
    pytest.param('(filecon "/x(boolean a true)" file ())', set(), id="string"),
    pytest.param("(booleanif a (true (allow x y (file (read)))))", set(), id="use-is-no-declaration"),
]


@pytest.mark.parametrize(("text", "expected"), BOOLEANS)
def test_declared_booleans(text: str, expected: set[str]) -> None:
    assert declared_booleans(text) == expected


DECLARE = [
    pytest.param("(x)", {"a": False}, set(), "(x)\n(boolean a false)\n", id="missing-added"),
    pytest.param("(x)", {"a": False}, {"a"}, "(x)", id="policy-has-it"),
    pytest.param("(boolean a true)", {"a": False}, set(), "(boolean a true)", id="text-has-it"),
    pytest.param("(x)\n", {"b": True, "a": False}, {"c"}, "(x)\n(boolean a false)\n(boolean b true)\n", id="sorted"),
]


@pytest.mark.parametrize(("text", "wanted", "existing", "expected"), DECLARE)
def test_declare_missing(text: str, wanted: dict[str, bool], existing: set[str], expected: str) -> None:
    assert declare_missing(text, wanted, existing) == expected


@pytest.mark.parametrize("value", ["false", 0, None])
def test_boolean_default_must_be_a_boolean(value: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_booleans({"a": value})
    assert caught.value.reason == "boolean_invalid"


@pytest.mark.parametrize("priority", [0, 1000, -1])
def test_priority_out_of_range(priority: int) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_priority(priority)
    assert caught.value.reason == "priority_invalid"


def test_package_name(fixture_text: Any) -> None:
    data = base64.b64decode(fixture_text("selinux/3.8.1-zebra-package-head.b64"))
    assert package_name(data) == "zebra"
    base = data[:47] + b"\x01" + data[48:]
    for bad in (b"", b"xx", data[:30], b"\0" * 60, base if package_name(base) != "zebra" else data[1:]):
        with pytest.raises(ValueError, match=r"cut off|policy"):
            package_name(bad)


def test_policy_default(fixture_text: Any) -> None:
    policy = base64.b64decode(fixture_text("selinux/3.8.1-policy34-booleans.b64"))
    assert policy_default(policy, "criu_tiny_bool") is True
    assert policy_default(policy, "criu_tiny") is None
    assert policy_default(b"", "criu_tiny_bool") is None
    flipped = policy.replace(b"\x01\0\0\0\x0e\0\0\0criu", b"\0\0\0\0\x0e\0\0\0criu")
    assert policy_default(flipped, "criu_tiny_bool") is False
    decoy = b"\0\0\0\0\x09\0\0\0\x0e\0\0\0criu_tiny_bool"
    assert policy_default(decoy, "criu_tiny_bool") is None
    assert policy_default(decoy + policy, "criu_tiny_bool") is True


COMPLAINTS = [
    pytest.param("semodule-unknown-type", "Failed to resolve allow statement at line 1", id="unknown-type"),
    pytest.param("semodule-open-parenthesis", "Open parenthesis without matching close at line 2", id="parenthesis"),
    pytest.param("semodule-unknown-keyword", "Unknown keyword frob", id="keyword"),
    pytest.param("semodule-no-parenthesis", "Symbol not inside parenthesis at line 1", id="no-parenthesis"),
    pytest.param("semodule-boolean-declared-twice", "Re-declaration of boolean criu_tiny_bool", id="boolean-twice"),
    pytest.param(
        "semodule-truncated-package",
        "module package header truncated (Value too large for defined data type)",
        id="package",
    ),
    pytest.param("setsebool-unknown-boolean", "Boolean nosuch is not defined", id="setsebool"),
]


@pytest.mark.parametrize(("recording", "expected"), COMPLAINTS)
def test_complaint(recording: str, expected: str, fixture_text: Any) -> None:
    assert complaint(Completed(("semodule",), 1, "", fixture_text(f"selinux/3.8.1-{recording}.txt"))) == expected


def test_errors_of_semodule(fixture_text: Any) -> None:
    text = fixture_text("selinux/3.8.1-semodule-unknown-type.txt")
    error = semodule_error(Completed(("semodule", "-X", "400", "-i", FILE), 1, "", text), "site")
    assert error.reason == "policy_invalid" and error.facts["rc"] == 1
    assert error.message == (
        "Cannot install policy module 'site': Failed to resolve allow statement at line 1. "
        "The policy store is unchanged. Fix the module."
    )
    locked = fixture_text("selinux/3.8.1-semodule-store-locked.txt")
    error = semodule_error(Completed(("semodule", "-X", "400", "-r", "site"), 1, "", locked), "site")
    assert error.reason == "store_locked"
    error = semodule_error(Completed(("semodule", "-X", "400", "-r", "site"), 1, "", ""), "site")
    assert error.reason == "tool_failed" and "no output, exit status 1" in error.message
