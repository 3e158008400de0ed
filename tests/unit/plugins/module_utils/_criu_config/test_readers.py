# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reads what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_tuple
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.config_file import ConfigFile
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.options import ALL
from ansible_collections.criu.hosts.plugins.module_utils._criu_config.readers import (
    REQUESTS,
    Host,
    parse_runtime_version,
    with_refusals,
)

ETC = "/etc/criu"


def host(
    texts: dict[str, str],
    *,
    criu: tuple[int, ...] = (4, 2, 1),
    runc: Optional[tuple[int, ...]] = (1, 1, 15),
    crun: Optional[tuple[int, ...]] = (1, 21),
    carries: bool = False,
    annotation: Optional[str] = None,
) -> Host:
    paths = {"default": f"{ETC}/default.conf", "user": "/root/.criu/default.conf"}
    paths.update(runc=f"{ETC}/runc.conf", crun=f"{ETC}/crun.conf")
    if annotation:
        paths["container"] = annotation
    files = {kind: ConfigFile(path, texts.get(kind)) for kind, path in paths.items()}
    return Host(criu, {"runc": runc, "crun": crun}, carries, files, annotation)


def used(caller: dict[str, Any]) -> list[str]:
    return [file["kind"] for file in caller["files"] if file["status"] == "used"]


def effective(caller: dict[str, Any]) -> dict[str, list[str]]:
    return {setting["option"]: setting["effective"] for setting in caller["settings"] if setting["effective"]}


FOUR = dict.fromkeys(("default", "user", "runc", "crun"), "weak-sysctls\n")
MINE = "/etc/criu/mine.conf"
READS = [
    pytest.param("criu", {}, ["default", "user"], id="criu"),
    pytest.param("podman_runc", {}, ["default", "user", "runc"], id="runc"),
    pytest.param("podman_runc", {"annotation": MINE}, ["default", "user", "container"], id="runc-annotation"),
    pytest.param("podman_runc", {"annotation": ""}, ["default", "user"], id="runc-empty-annotation"),
    pytest.param("podman_crun", {}, ["default", "user"], id="crun-1.21"),
    pytest.param("podman_crun", {"annotation": MINE}, ["default", "user"], id="crun-1.21-annotation"),
    pytest.param("podman_crun", {"crun": (1, 28), "carries": True}, ["default", "user", "crun"], id="crun-1.28"),
    pytest.param("podman_crun", {"crun": (1, 28)}, ["default", "user"], id="crun-1.28-old-libcriu"),
    pytest.param(
        "podman_crun",
        {"crun": (1, 28), "carries": True, "annotation": MINE},
        ["default", "user", "container"],
        id="crun-1.28-annotation",
    ),
]


@pytest.mark.parametrize(("name", "about", "expected"), READS)
def test_files(name: str, about: dict[str, Any], expected: list[str]) -> None:
    caller = host({**FOUR, "container": "link-remap\n"}, **about).caller(name)
    assert used(caller) == expected
    assert all(file["why"] for file in caller["files"] if file["status"] == "ignored")


def test_crun_reads_runcs_file_when_it_has_none_of_its_own() -> None:
    about: dict[str, Any] = {"crun": (1, 28), "carries": True}
    assert used(host({"runc": "weak-sysctls\n"}, **about).caller("podman_crun")) == ["runc"]
    both = host(FOUR, **about).caller("podman_crun")
    assert both["files"][-1]["kind"] == "crun"
    assert [file["why"] for file in both["files"] if file["kind"] == "runc"] == [
        "dump/restore: crun.conf exists, so crun does not name this file"
    ]


def test_annotation_that_crun_cannot_pass_on() -> None:
    caller = host({}, crun=(1, 28), annotation=MINE).caller("podman_crun")
    assert not caller["available"] and "refuses every container" in caller["why"]
    assert host({}, crun=(1, 28)).caller("podman_crun")["available"]
    assert host({}, annotation=MINE).caller("podman_crun")["available"]


TEXT = "tcp-established\nlink-remap\nskip-in-flight\nverbosity=1\ntimeout 60\n"
HOLDS = [
    pytest.param("criu", {}, "default", "tcp-established link-remap skip-in-flight verbosity timeout", id="criu"),
    pytest.param("podman_runc", {}, "default", "link-remap skip-in-flight timeout", id="runc-1.1"),
    pytest.param("podman_runc", {"runc": (1, 3, 6)}, "default", "timeout", id="runc-1.3"),
    pytest.param("podman_runc", {}, "runc", "tcp-established link-remap skip-in-flight timeout", id="runc.conf"),
    pytest.param(
        "podman_runc",
        {"criu": (4, 1, 1)},
        "runc",
        "tcp-established link-remap skip-in-flight verbosity timeout",
        id="runc.conf-criu-4.1",
    ),
    pytest.param("podman_crun", {}, "default", "link-remap skip-in-flight timeout", id="crun"),
]


@pytest.mark.parametrize(("name", "about", "kind", "expected"), HOLDS)
def test_what_holds_at_the_dump(name: str, about: dict[str, Any], kind: str, expected: str) -> None:
    caller = host({kind: TEXT}, **about).caller(name)
    at_dump = [option for option, operations in effective(caller).items() if "dump" in operations]
    assert at_dump == expected.split()


def test_every_setting_without_effect_says_why() -> None:
    for setting in host({"default": TEXT}).caller("podman_runc")["settings"]:
        assert set(setting["effective"]) | set(setting["ignored"]) == {"dump", "restore"}


def test_later_file_and_later_line() -> None:
    texts = {"default": "timeout 5\ntimeout 6\nskip-mnt /a\n", "user": "timeout 7\nskip-mnt /b\n"}
    settings = host(texts).caller("criu")["settings"]
    assert [(setting["value"], setting["effective"]) for setting in settings] == [
        ("5", []),
        ("6", []),
        ("/a", ["dump", "restore"]),
        ("7", ["dump", "restore"]),
        ("/b", ["dump", "restore"]),
    ]
    assert settings[0]["ignored"]["dump"] == "line 2 of /etc/criu/default.conf comes later"


def test_negation_replaces() -> None:
    texts = {"default": "weak-sysctls\n", "runc": "no-weak-sysctls\n"}
    assert effective(host(texts).caller("podman_runc")) == {"no-weak-sysctls": ["dump", "restore"]}


def test_users_file_is_read_at_a_restore_only() -> None:
    caller = host({"default": "timeout 5\n", "user": "timeout 7\n"}).caller("podman_runc")
    assert [setting["effective"] for setting in caller["settings"]] == [["dump"], ["restore"]]
    assert caller["files"][1]["why"] == "dump: podman gives the runtime no HOME, so CRIU does not find it"


def test_lock_of_the_dump() -> None:
    assert effective(host({"default": "network-lock nftables\n"}).caller("criu")) == {"network-lock": ["dump"]}


def test_missing_runtime() -> None:
    caller = host({}, crun=None).caller("podman_crun")
    assert caller == {
        "available": False,
        "why": "crun is missing or does not report its version",
        "files": [],
        "settings": [],
    }


def test_unreadable_and_flawed() -> None:
    about = host({"default": "timeout\t5\nfrobnicate\ntcp-close\n"})
    files = {**about.files, "user": ConfigFile("/root/.criu/default.conf", reason="config_is_link", problem="a link")}
    caller = Host(about.criu, about.runtimes, False, files).caller("criu")
    assert [setting["option"] for setting in caller["settings"]] == ["tcp-close"]
    assert caller["files"][1] == {
        "path": "/root/.criu/default.conf",
        "kind": "user",
        "status": "unreadable",
        "why": "a link",
    }


def test_refused_file_stops_those_who_read_it() -> None:
    about = host({"default": "", "runc": "frobnicate\n"})
    refused = {f"{ETC}/runc.conf": "criu: unrecognized option '--frobnicate'"}
    assert with_refusals(about.caller("criu"), refused)["available"]
    runc = with_refusals(about.caller("podman_runc"), refused)
    assert not runc["available"] and "unrecognized" in runc["why"]


def test_requests_name_real_options() -> None:
    assert all(overruled.option in ALL for request in REQUESTS.values() for overruled in request)


@pytest.mark.parametrize(
    ("fixture", "expected"), [("runc/1.1.15-version.txt", (1, 1, 15)), ("crun/1.21-version.txt", (1, 21))]
)
def test_version_of_a_runtime(fixture_text: Any, fixture: str, expected: tuple[int, ...]) -> None:
    assert parse_runtime_version(fixture_text(fixture)) == expected
    assert parse_runtime_version("no such thing") is None


# What real runtimes did with CRIU 4.2.1 under podman 5.4.2, on Debian 13 with SELinux enforcing: which files CRIU's log
# says that it parses ("parsed"), and which of five options it announces ("says"). "podman" is podman's own flag.
RECORDED = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "fixtures/criu/4.2.1-runtimes-read.jsonl")
    .read_text(encoding="utf-8")
    .splitlines()
]


def recorded_id(row: dict[str, Any]) -> str:
    return f"{row['runtime']}-{row['version']}-{row['at']}-{'-'.join(row['files'])}-{row['annotation']}{row['podman']}"


@pytest.mark.parametrize("row", RECORDED, ids=recorded_id)
def test_prediction_is_what_real_runtimes_did(row: dict[str, Any]) -> None:
    versions = {row["runtime"]: version_tuple(row["version"])}
    about: dict[str, Any] = {"carries": True, "annotation": row["annotation"], **versions}
    caller = host(row["files"], **about).caller(f"podman_{row['runtime']}")
    read = [file["path"] for file in caller["files"] if file["status"] == "used" and not _skips(file, row["at"])]
    assert read == row["parsed"]
    holding = [setting["option"] for setting in caller["settings"] if row["at"] in setting["effective"]]
    asked = ["tcp-established"] if row["podman"] and "no-tcp-established" not in holding else []
    assert sorted({option for option in holding if not option.startswith("no-")} | set(asked)) == row["says"]


def _skips(file: dict[str, Any], operation: str) -> bool:
    return operation in (file["why"] or "").partition(":")[0].split("/")


def test_recording_is_not_empty() -> None:
    assert {(row["runtime"], row["version"]) for row in RECORDED} == {
        ("runc", "1.1.15"),
        ("runc", "1.3.6"),
        ("crun", "1.21"),
        ("crun", "1.28"),
    }
