# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the refusals by SELinux that only CRIU's logs show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import SIGNS, explain_logs, read_signs
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.denials import FIXTURES, loaded

LABEL = "(00.1) pie: 1: restoring lsm profile (current) system_u:system_r:container_t:s0:c1,c2"
LABEL_ERROR = "pie: 7: Error (criu/pie/restorer.c:196): can't write lsm profile"
SECCOMP = "pie: 1: Error (criu/pie/restorer.c:546): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1"


@pytest.mark.parametrize("sign", [sign for sign in SIGNS if sign.recorded], ids=lambda sign: sign.id)
def test_each_sign_is_found_in_its_recording(sign: Any) -> None:
    text = (FIXTURES / "criu" / sign.recorded).read_text(encoding="utf-8")
    assert [finding.sign.id for finding in read_signs(text.splitlines(), "x")] == [sign.id]


def explained(lines: list[str], asked: LoadedPolicy, denials: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    (one,) = explain_logs(read_signs(lines, "/restore.log"), denials or [], asked)
    return one


def test_seccomp_after_the_label_is_silent_and_the_policy_confirms_it(tmp_path: Path) -> None:
    one = explained([LABEL, SECCOMP], loaded(tmp_path, {"criu_container_restore": False}))
    assert (one["id"], one["why_silent"], one["verdict"]) == ("seccomp", "not_logged_by_kernel", "rule_missing")
    assert one["label"] == "system_u:system_r:container_t:s0:c1,c2"
    assert one["permission"] == "capability sys_admin"
    assert "criu.hosts.container_restore" in one["remedy"]["task"]


def test_error_with_its_denial_is_not_silent() -> None:
    label = "system_u:system_r:container_t:s0:c1,c2"
    denial = {
        "class": "process",
        "permissions": ["dyntransition", "ptrace"],
        "target": label,
        "verdict": "rule_missing",
        "remedy": {"advice": "Do this.", "task": None},
    }
    nothing = LoadedPolicy("/nonexistent")
    one = explained([LABEL, f"{LABEL_ERROR} -13"], nothing, [denial])
    assert (one["logged"], one["why_silent"], one["verdict"]) == (True, None, "rule_missing")
    assert one["remedy"] == denial["remedy"]
    one = explained([LABEL, f"{LABEL_ERROR} -13"], nothing, [{**denial, "target": "a:b:c:s0"}])
    assert (one["logged"], one["why_silent"], one["verdict"]) == (False, "not_found", "not_asked")


def test_container_is_not_restored_as_a_process(tmp_path: Path) -> None:
    asked = loaded(tmp_path, {"criu_container_restore": False, "unconfined_dyntrans_all": False})
    assert "criu.hosts.container_restore" in explained([LABEL, f"{LABEL_ERROR} -13"], asked)["remedy"]["task"]
    assert "criu.hosts.process_restore" in explained([f"{LABEL_ERROR} -13"], asked)["remedy"]["task"]


def test_dontaudit_is_told_by_the_policy(tmp_path: Path) -> None:
    assert loaded(tmp_path).there

    def silenced(dummy_path: str, dummy_request: bytes) -> bytes:
        return b"0 ffffffff 0 0 12 0"

    asked = LoadedPolicy(str(tmp_path / "selinuxfs"), silenced)
    assert explained([LABEL, SECCOMP], asked)["why_silent"] == "dontaudit"


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        pytest.param(["(1) Error (criu/x.c:1): Can't open /x: Permission denied"], ["unknown"], id="unknown-refusal"),
        pytest.param(["(1) Error (criu/x.c:1): out of memory"], [], id="no-refusal"),
        pytest.param(["(1) Can't do it: Permission denied"], [], id="no-error"),
        pytest.param([SECCOMP, SECCOMP, "(1) Error (a): b: Permission denied"], ["seccomp"], id="once-and-known-only"),
        pytest.param([f"{LABEL_ERROR} -1"], ["label_bounded"], id="eperm"),
        pytest.param([f"{LABEL_ERROR} -22"], ["label_unknown"], id="einval"),
    ],
)
def test_read_signs(lines: list[str], ids: list[str]) -> None:
    assert [finding.sign.id for finding in read_signs(lines, "x")] == ids
