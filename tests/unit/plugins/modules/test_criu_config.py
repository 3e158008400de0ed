# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu_config import config_file
from ansible_collections.criu.hosts.plugins.modules import criu_config
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, put_host

CRIU = "/usr/bin/criu"
VERSION = Reply([CRIU, "--no-default-config", "--version"], out="Version: 4.2.1\n")
ASK = [CRIU, "--config", "/proc/self/fd/0", "--version"]
ACCEPTS = Reply(ASK, out="Version: 4.2.1\n")

OWN = "# mine\ntimeout 30   # slow disks\n\nshell-job\n"
BEGIN, END = "# BEGIN MANAGED BY criu.hosts.criu\n", "# END MANAGED BY criu.hosts.criu\n"


def case(before: str | None, *, replies: Any = (VERSION, ACCEPTS), missing: Any = (), **params: Any) -> Any:
    def build(folder: Path) -> Any:
        path = folder / "criu/mine.conf"
        if before is not None:
            path.parent.mkdir()
            path.write_text(before, encoding="utf-8")
        return {"kind": "container", "path": str(path), **params}, Host(replies=replies, missing=missing)

    return build


CONTRACT_CASES = [
    Case("new-file-and-folder", case(None, options={"tcp-established": True, "timeout": 60})),
    Case("line-edited", case(OWN, options={"timeout": 60})),
    Case("option-removed", case(OWN, options={"timeout": False})),
    Case("block-added", case(OWN, options={"tcp-established": True}, block="criu.hosts.criu")),
    Case("content", case(OWN, content="tcp-close")),
    Case("file-removed", case(OWN, state="absent", replies=())),
    Case("block-removed", case(f"{OWN}{BEGIN}tcp-close\n{END}", state="absent", block="criu.hosts.criu")),
    Case("no-criu-but-a-version", case(None, options={"timeout": 60}, version="4.2.1", replies=(), missing=("criu",))),
    Case("right-already", case(OWN, options={"timeout": 30, "shell-job": True}), changed=False),
    Case("no-file-wanted", case(None, state="absent", replies=()), changed=False),
    Case("nothing-wanted", case(None, options={}, replies=()), changed=False),
]


def text_of(params: dict[str, Any]) -> str:
    return Path(params["path"]).read_text(encoding="utf-8")


def test_result(tmp_path: Path, module: Any) -> None:
    params, host = case(OWN, options={"timeout": 60, "manage-cgroups": "ignore"})(tmp_path)
    run = module("criu_config", params, host=host)
    assert run.result["config"] == {
        "path": params["path"],
        "kind": "container",
        "present": True,
        "options": {"timeout": ["60"], "shell-job": [None], "manage-cgroups": ["ignore"]},
        "version": "4.2.1",
        "validated": True,
    }
    assert run.result["findings"] == []
    assert text_of(params) == "# mine\ntimeout 60   # slow disks\n\nshell-job\nmanage-cgroups=ignore\n"
    assert run.result["diff"]["before"]["lines"] == OWN.splitlines()


def test_new_file_is_readable_by_all_and_an_old_one_keeps_its_mode(tmp_path: Path, module: Any) -> None:
    params, host = case(None, options={"timeout": 60})(tmp_path)
    module("criu_config", params, host=host)
    path = Path(params["path"])
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o600)
    module("criu_config", {**params, "options": {"timeout": 61}}, host=host)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("check", [True, False])
def test_what_the_linter_refuses_is_not_written_and_criu_not_asked(tmp_path: Path, module: Any, check: bool) -> None:
    params, host = case(OWN, options={"tcp-est": True, "timeout": "soon"})(tmp_path)
    run = module("criu_config", params, host=host, check=check)
    assert run.result["reason"] == "config_invalid"
    assert [finding["code"] for finding in run.result["findings"]] == ["value_invalid", "abbreviated"]
    assert "Line 2, 'timeout': 'soon' is not a whole number" in run.result["msg"] and "1 more" in run.result["msg"]
    assert text_of(params) == OWN and ASK not in host.ran


@pytest.mark.parametrize("check", [True, False])
def test_what_criu_refuses_is_not_written(tmp_path: Path, module: Any, check: bool) -> None:
    refuses = Reply(ASK, rc=1, err="criu: unrecognized option '--timeout'\n")
    params, host = case(OWN, options={"timeout": 60}, replies=(VERSION, refuses))(tmp_path)
    run = module("criu_config", params, host=host, check=check)
    assert run.result["reason"] == "config_refused" and "unrecognized option" in run.result["msg"]
    assert text_of(params) == OWN


def test_help_with_success_is_a_refusal(tmp_path: Path, module: Any) -> None:
    helps = Reply(ASK, out="\nUsage:\n  criu dump\n")
    params, host = case(OWN, options={"timeout": 60}, replies=(VERSION, helps))(tmp_path)
    assert module("criu_config", params, host=host).result["reason"] == "config_refused"


def test_old_lines_of_others_are_judged_too(tmp_path: Path, module: Any) -> None:
    params, host = case("frobnicate\n", options={"timeout": 60})(tmp_path)
    run = module("criu_config", params, host=host)
    assert run.result["reason"] == "config_invalid" and run.result["findings"][0]["line"] == 1


def test_newer_criu_decides_on_what_the_table_does_not_know(tmp_path: Path, module: Any) -> None:
    newer = Reply([CRIU, "--no-default-config", "--version"], out="Version: 5.0\n")
    params, host = case(None, options={"shiny": True}, replies=(newer, ACCEPTS))(tmp_path)
    run = module("criu_config", params, host=host)
    assert run.result["changed"] and run.result["findings"][0]["severity"] == "warning"
    assert run.result["findings"][0]["message"] in str(run.result["warnings"])


def test_risk_is_refused_until_it_is_allowed(tmp_path: Path, module: Any) -> None:
    params, host = case(None, options={"action-script": "/usr/local/sbin/hook"})(tmp_path)
    assert module("criu_config", params, host=host).result["findings"][0]["code"] == "risky"
    assert module("criu_config", {**params, "allow": ["action-script"]}, host=host).result["changed"]


@pytest.mark.parametrize(("given", "version"), [({}, "4.3"), ({"version": "3.17.1"}, "3.17.1")], ids=["none", "given"])
def test_without_criu(tmp_path: Path, module: Any, given: dict[str, str], version: str) -> None:
    params, host = case(None, options={"timeout": 60}, replies=(), missing=("criu",), **given)(tmp_path)
    run = module("criu_config", params, host=host)
    assert run.result["config"]["version"] == version and run.result["config"]["validated"] is False
    assert f"checked only against the options of CRIU {version}" in str(run.result["warnings"])


def test_removal_does_not_mind_bad_lines_of_others(tmp_path: Path, module: Any) -> None:
    text = f"frobnicate\n{BEGIN}tcp-close\n{END}"
    params, host = case(text, state="absent", block="criu.hosts.criu", replies=())(tmp_path)
    assert module("criu_config", params, host=host).result["changed"]
    assert text_of(params) == "frobnicate\n"


@pytest.mark.parametrize("value", [{"a": 1}, "two\nlines"], ids=["dict", "two-lines"])
def test_value_that_makes_no_line(tmp_path: Path, module: Any, value: Any) -> None:
    params, host = case(None, options={"log-file": value})(tmp_path)
    assert module("criu_config", params, host=host).result["reason"] == "option_invalid"


def test_name_of_two_words(tmp_path: Path, module: Any) -> None:
    params, host = case(None, options={"timeout 5\ntcp-close": True})(tmp_path)
    assert module("criu_config", params, host=host).result["reason"] == "option_invalid"


def test_broken_block(tmp_path: Path, module: Any) -> None:
    params, host = case(f"{BEGIN}timeout 5\n", options={"timeout": 60}, block="criu.hosts.criu")(tmp_path)
    assert module("criu_config", params, host=host).result["reason"] == "block_broken"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_link(path: Path) -> None:
    (path.parent / "target").write_text("timeout 5\n", encoding="utf-8")
    path.symlink_to("target")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_huge(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


def make_garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def make_crlf(path: Path) -> None:
    path.write_bytes(b"# mine\r\ntcp-established\r\ntimeout 5\r\n")


BAD_FILES = [
    pytest.param(make_directory, "config_is_directory", id="directory"),
    pytest.param(make_link, "config_is_link", id="link"),
    pytest.param(make_pipe, "config_not_a_file", id="pipe"),
    pytest.param(make_socket, "config_not_a_file", id="socket"),
    pytest.param(make_huge, "config_too_large", id="huge"),
    pytest.param(make_garbage, "config_invalid", id="binary-garbage"),
    pytest.param(make_crlf, "config_invalid", id="crlf"),
]


@pytest.mark.parametrize(("make", "reason"), BAD_FILES)
def test_bad_file(tmp_path: Path, module: Any, make: Any, reason: str) -> None:
    path = tmp_path / "mine.conf"
    make(path)
    before = path.lstat()
    params = {"kind": "container", "path": str(path), "options": {"shell-job": True}}
    run = module("criu_config", params, commands=[VERSION, ACCEPTS])
    assert run.result["reason"] == reason, run.result
    assert "\n" not in run.result["msg"]
    after = path.lstat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_unreadable_file(tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root reads every file, so the kernel's answer is played here; the specs of the lab see it from SELinux."""
    params, host = case(OWN, options={"timeout": 60})(tmp_path)
    real = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path) == params["path"]:
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(config_file.os, "open", refuse)
    run = module("criu_config", params, host=host)
    assert run.result["reason"] == "config_unreadable" and "Permission denied" in run.result["msg"]


def test_file_in_a_file(tmp_path: Path, module: Any) -> None:
    (tmp_path / "criu").write_text("", encoding="utf-8")
    params = {"kind": "container", "path": str(tmp_path / "criu/mine.conf"), "options": {"timeout": 60}}
    assert module("criu_config", params, commands=[VERSION, ACCEPTS]).result["reason"] == "config_unreadable"


def test_file_of_another_user(tmp_path: Path, module: Any) -> None:
    params, host = case(OWN, options={"timeout": 60})(tmp_path)
    PLACE.uid = 4242
    assert module("criu_config", params, host=host).result["reason"] == "config_owner"


def test_text_that_does_not_stay(tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    params, host = case(OWN, options={"timeout": 60})(tmp_path)
    monkeypatch.setattr(criu_config.Context, "apply", lambda dummy_self, dummy_plan: object())
    assert module("criu_config", params, host=host).result["reason"] == "change_lost"


@pytest.mark.parametrize("kind", ["default", "runc", "crun"])
def test_path_of_the_shared_files(tmp_path: Path, module: Any, kind: str) -> None:
    put_host(tmp_path)
    run = module("criu_config", {"kind": kind, "options": {"timeout": 60}}, commands=[VERSION, ACCEPTS])
    assert run.result["config"]["path"] == f"{tmp_path}/etc/criu/{kind}.conf"
    assert (tmp_path / f"etc/criu/{kind}.conf").read_text(encoding="utf-8") == "timeout 60\n"


def test_path_of_a_users_file_is_that_of_the_user_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    person = type("Person", (), {"pw_dir": "/home/ann"})
    monkeypatch.setattr(criu_config.pwd, "getpwuid", lambda dummy_number: person)
    ctx = criu_config.Context({"kind": "user", "path": None}, Any, False)
    assert criu_config.path_of(ctx) == "/home/ann/.criu/default.conf"
