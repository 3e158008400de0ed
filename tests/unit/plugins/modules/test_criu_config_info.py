# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.modules import criu_config_info
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, put_host

FIXTURES = Path(__file__).parents[2] / "fixtures"
CRIU = "/usr/bin/criu"
ASK = [CRIU, "--config", "/proc/self/fd/0", "--version"]
RUNC = Reply(["/usr/bin/runc", "--version"], out=(FIXTURES / "runc/1.1.15-version.txt").read_text(encoding="utf-8"))
CRUN = Reply(["/usr/bin/crun", "--version"], out=(FIXTURES / "crun/1.21-version.txt").read_text(encoding="utf-8"))
REPLIES = (
    Reply([CRIU, "--no-default-config", "--version"], out="Version: 4.2.1\n"),
    Reply(ASK, out="Version: 4.2.1\n"),
    RUNC,
    CRUN,
)


def case(texts: dict[str, str], *, replies: Any = REPLIES, missing: Any = (), **params: Any) -> Any:
    def build(folder: Path) -> Any:
        put_host(folder)
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return {"home": str(folder / "home"), **params}, Host(replies=replies, missing=missing)

    return build


@pytest.fixture(autouse=True)
def _root() -> None:
    put_host(Path("/nonexistent"))


CONTRACT_CASES = [
    Case("no-files", case({}), changed=False),
    Case("default", case({"etc/criu/default.conf": "tcp-established\n"}), changed=False),
    Case("annotation", case({"etc/criu/runc.conf": "tcp-close\n"}, annotation=""), changed=False),
    Case("no-runtimes", case({}, missing=("runc", "crun")), changed=False),
]


def test_result(tmp_path: Path, module: Any) -> None:
    params, host = case({"etc/criu/default.conf": "tcp-established\ntimeout soon\n"})(tmp_path)
    value = module("criu_config_info", params, host=host).result["config"]
    assert value["version"] == "4.2.1" and value["runtimes"] == {"runc": "1.1.15", "crun": "1.21"}
    file = value["files"][0]
    assert len(value["files"]) == 1 and file["accepted"] is True and file["mode"] == "0644"
    assert [finding["code"] for finding in file["findings"]] == ["value_invalid"]
    assert set(value["callers"]) == {"criu", "podman_runc", "podman_crun"}
    setting = value["callers"]["podman_runc"]["settings"][0]
    assert setting["effective"] == [] and "runc asks for" in setting["ignored"]["dump"]


def test_refused_file(tmp_path: Path, module: Any) -> None:
    refuses = Reply(ASK, rc=1, err="criu: unrecognized option '--frobnicate'\n")
    replies = (REPLIES[0], refuses, RUNC, CRUN)
    params, host = case({"etc/criu/default.conf": "frobnicate\n"}, replies=replies)(tmp_path)
    value = module("criu_config_info", params, host=host).result["config"]
    assert value["files"][0]["accepted"] is False and "unrecognized" in value["files"][0]["refusal"]
    assert [value["callers"][name]["available"] for name in sorted(value["callers"])] == [False, False, False]
    assert "unrecognized" in value["callers"]["podman_runc"]["why"]


def test_annotated_file(tmp_path: Path, module: Any) -> None:
    params, host = case({"etc/criu/runc.conf": "tcp-close\n", "mine.conf": "link-remap\n"})(tmp_path)
    mine = str(tmp_path / "mine.conf")
    value = module("criu_config_info", {**params, "annotation": mine}, host=host).result["config"]
    runc = value["callers"]["podman_runc"]
    assert [(file["kind"], file["status"]) for file in runc["files"]][-1] == ("container", "used")
    assert [setting["option"] for setting in runc["settings"]] == ["link-remap"]


def test_directory_in_the_place_of_a_file(tmp_path: Path, module: Any) -> None:
    params, host = case({})(tmp_path)
    (tmp_path / "etc/criu/default.conf").mkdir(parents=True)
    value = module("criu_config_info", params, host=host).result["config"]
    file = value["files"][0]
    assert file["reason"] == "config_is_directory" and file["accepted"] is None and ASK not in host.ran
    assert value["callers"]["criu"]["files"][0]["status"] == "unreadable"


def test_file_that_others_may_write(tmp_path: Path, module: Any) -> None:
    params, host = case({"etc/criu/default.conf": "tcp-close\n"})(tmp_path)
    (tmp_path / "etc/criu/default.conf").chmod(0o666)
    assert module("criu_config_info", params, host=host).result["config"]["files"][0]["writable_by_others"]


def test_no_criu(tmp_path: Path, module: Any) -> None:
    params, host = case({}, missing=("criu",))(tmp_path)
    assert module("criu_config_info", params, host=host).result["reason"] == "criu_missing"


def test_newer_crun_asks_for_libcriu(tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Reply(["/usr/bin/crun", "--version"], out="crun version 1.28\n")
    params, host = case({"etc/criu/crun.conf": "tcp-close\n"}, replies=(*REPLIES[:3], newer))(tmp_path)
    monkeypatch.setattr(criu_config_info, "libcriu_carries", lambda: True)
    crun = module("criu_config_info", params, host=host).result["config"]["callers"]["podman_crun"]
    assert crun["settings"][0]["option"] == "tcp-close" and "dump" in crun["settings"][0]["effective"]


def test_missing_libcriu_carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dummy_name: str) -> Any:
        raise OSError("cannot open shared object file")

    monkeypatch.setattr(criu_config_info.ctypes, "CDLL", refuse)
    assert criu_config_info.libcriu_carries() is False
    monkeypatch.setattr(criu_config_info.ctypes, "CDLL", lambda dummy_name: type("L", (), {"criu_set_config_file": 1}))
    assert criu_config_info.libcriu_carries() is True
