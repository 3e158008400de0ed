# SPDX-License-Identifier: GPL-3.0-or-later
"""CRIU's configuration files on an enabled host: bad input, a user's own file, the role's options."""

from __future__ import annotations

from typing import Any, Callable

import pytest

DEFAULT = "/etc/criu/default.conf"
FOLDER = "/run/lab-configs"
USERS = "/home/lab-config/.criu/default.conf"
BAD = {
    "directory": "config_is_directory",
    "link": "config_is_link",
    "huge": "config_too_large",
    "garbage": "config_invalid",
    "crlf": "config_invalid",
}


@pytest.fixture(scope="module")
def seen(seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """One run of configs.yml."""
    return seen_by("../processes/configs.yml")


@pytest.mark.parametrize("case", BAD)
def test_a_path_that_is_no_options_file_is_refused(seen: dict[str, Any], case: str) -> None:
    answer = seen["refused"][case]
    assert answer["reason"] == BAD[case], answer["msg"]
    assert f"{FOLDER}/{case}" in answer["msg"] and "\n" not in answer["msg"]


@pytest.mark.parametrize(("case", "code"), [("garbage", "not_text"), ("crlf", "carriage_return")])
def test_bad_lines_are_reported(seen: dict[str, Any], case: str, code: str) -> None:
    assert code in {finding["code"] for finding in seen["refused"][case]["findings"]}


def test_an_unreadable_file_is_reported(seen: dict[str, Any]) -> None:
    assert seen["unreadable"]["reason"] == "config_unreadable", seen["unreadable"]["msg"]
    assert f"'{FOLDER}/private'" in seen["unreadable"]["msg"]


@pytest.mark.parametrize("case", [*BAD, "private"])
def test_a_refused_file_is_unchanged(seen: dict[str, Any], case: str) -> None:
    path = f"{FOLDER}/{case}"
    before = seen["before"]["files"][path]
    assert before is not None
    assert seen["after"]["files"][path] == before


def test_a_users_file_is_written_validated_and_used(seen: dict[str, Any]) -> None:
    found = seen["user"]
    assert found["changed"] is True
    assert (found["config"]["path"], found["config"]["validated"]) == (USERS, True)
    caller = seen["asked"]["callers"]["criu"]
    assert {"kind": "user", "path": USERS, "status": "used", "why": None} in caller["files"]
    assert [one["value"] for one in caller["settings"] if one["path"] == USERS and one["effective"]] == ["60"]


def test_a_users_file_is_removed(seen: dict[str, Any]) -> None:
    assert seen["removed"]["changed"] is True
    assert seen["after"]["files"][USERS] is None


def test_the_role_refuses_a_misspelled_option(seen: dict[str, Any]) -> None:
    answer = seen["role_refused"]
    assert answer["reason"] == "config_invalid", answer
    assert "'tcp-establishd'" in answer["msg"] and "tcp-established" in answer["msg"]


def test_the_role_writes_its_options_and_removes_them(seen: dict[str, Any]) -> None:
    assert "# BEGIN MANAGED BY criu.hosts.criu\nghost-limit 2M\n# END MANAGED BY" in seen["role"]
    before, after = (seen[when]["files"].get(DEFAULT) for when in ("before", "after"))
    assert (before and before["sha256"]) == (after and after["sha256"])


def test_criu_answers_before_and_after(seen: dict[str, Any]) -> None:
    assert seen["before"]["criu"] == seen["after"]["criu"]
    assert seen["after"]["criu"][0] == 0 and seen["after"]["criu"][1].startswith("Version: ")
