# SPDX-License-Identifier: GPL-3.0-or-later
"""container_restore with ports, closed connections and addresses of its own: what is refused, and what is noted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.restore_options import other_options, to_facts
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.tests.unit.containers import ID, INSPECT, recorded
from ansible_collections.criu.hosts.tests.unit.harness import Reply
from ansible_collections.criu.hosts.tests.unit.plugins.module_utils._container.test_settle import (
    archive,
    exported,
    kill,
)
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_container_restore import (
    VERSION,
    clone_with_ports,
    clone_without_connections,
    in_place,
    in_place_without_connections,
    stopped_in_the_archive,
    with_tcp_close,
)

PORTS = ["8081:80"]


@pytest.mark.parametrize(
    ("options", "reason", "words"),
    [
        pytest.param({"publish": PORTS}, "options_conflict", "Give archive_path", id="ports-in-place"),
        pytest.param(
            {"tcp_close": True, "tcp_established": True}, "options_conflict", "either closed or restored", id="both"
        ),
        pytest.param(
            {"archive_path": "/a", "publish": ["8081:80", "8081:81"]},
            *("option_invalid", "publish has '8081:80' and '8081:81', which need the same port of the host"),
            id="ports-twice",
        ),
        pytest.param({"archive_path": "/a", "publish": ["http"]}, "option_invalid", "look like", id="no-port"),
        pytest.param({"archive_path": "/a", "publish": [484822]}, "option_invalid", "in quotes", id="number-of-yaml"),
        pytest.param({"tcp_close": True}, "ability_missing", "podman 5.4.2 does not have tcp_close", id="tcp-close"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_refused_before_anything_is_looked_at(
    module: Any, tmp_path: Path, options: dict[str, Any], reason: str, words: str, check: bool
) -> None:
    params, host = in_place(tmp_path)
    host.replies = [*host.replies, VERSION]
    failed = module("container_restore", {**params, **options}, host=host, check=check).result
    assert failed["reason"] == reason and words in failed["msg"] and "\n" not in failed["msg"]
    assert [argv for argv in host.ran if argv != ["podman", "--version"]] == []


def test_an_old_podman_does_not_have_it(module: Any, tmp_path: Path) -> None:
    params, host = in_place(tmp_path)
    host.replies = [*host.replies, Reply(["podman", "--version"], out="podman version 4.3.1\n")]
    failed = module("container_restore", {**params, "ignore_static_ip": True}, host=host).result
    assert failed["reason"] == "ability_missing"
    assert failed["msg"] == (
        "Cannot restore container 'web': podman 4.3.1 does not have ignore_static_ip in place, which podman 4.4 and "
        "newer have. Leave ignore_static_ip out, or install a newer podman."
    )


@pytest.mark.parametrize("build", [clone_without_connections, in_place_without_connections])
@pytest.mark.parametrize("check", [False, True])
def test_a_runtime_without_the_option_is_refused(module: Any, tmp_path: Path, build: Any, check: bool) -> None:
    params, host = build(tmp_path)
    runtime = "crun" if build is clone_without_connections else "runc"
    with_tcp_close(host, runtime, out="   --tcp-established            allow open tcp connections\n")
    failed = module("container_restore", params, host=host, check=check).result
    assert failed["reason"] == "ability_missing" and f"runtime {runtime!r} does not have it" in failed["msg"]
    assert not host.wrote


def test_an_unknown_version_of_podman_is_asked(module: Any, tmp_path: Path) -> None:
    params, host = clone_without_connections(tmp_path)
    with_tcp_close(host, version="of a fork")
    assert module("container_restore", params, host=host).result["changed"]


@pytest.mark.parametrize("check", [False, True])
def test_the_archives_own_container_keeps_its_ports(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = stopped_in_the_archive(tmp_path)
    host.replies = [*host.replies, VERSION]
    failed = module("container_restore", {**params, "publish": PORTS}, host=host, check=check).result
    assert failed["reason"] == "container_exists" and "keeps its ports" in failed["msg"] and not host.wrote


def test_options_that_are_not_set_ask_nothing(module: Any, tmp_path: Path) -> None:
    params, host = in_place(tmp_path)
    assert module("container_restore", {**params, "publish": []}, host=host).result["changed"]
    assert ["podman", "--version"] not in host.ran


def test_the_note_of_a_restore_has_its_options(module: Any, tmp_path: Path) -> None:
    params, host = clone_with_ports(tmp_path)
    seen: list[dict[str, str]] = []
    real = host.run_command

    def watch(dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if "restore" in args:
            seen.append(json.loads((tmp_path / "var/lib/criu-hosts/begun/container-web2.json").read_text())["facts"])
        return real(dummy_module, args, **options)

    host.run_command = watch  # type: ignore[method-assign]
    assert module("container_restore", params, host=host).result["changed"]
    assert seen[0]["publish"] == "127.0.0.1:8081:80 8443:443" and seen[0]["tcp_close"] == ""
    assert seen[0]["ignore_static_ip"] == seen[0]["ignore_static_mac"] == "yes"


@pytest.mark.parametrize(
    ("options", "noted", "expected"),
    [
        pytest.param(Options(), {}, (), id="none-of-an-earlier-release"),
        pytest.param(Options(publish=("80:80",)), {}, ("publish",), id="ports-of-this-task"),
        pytest.param(Options(publish=("80:80",)), {"publish": "80:80"}, (), id="same-ports"),
        pytest.param(Options(), {"tcp_close": "yes", "publish": "1:1"}, ("tcp_close", "publish"), id="of-the-other"),
        pytest.param(Options(ignore_static_ip=True), {"ignore_static_ip": "yes"}, (), id="same-flag"),
    ],
)
def test_options_of_an_unfinished_restore_are_compared(
    options: Options, noted: dict[str, str], expected: tuple[str, ...]
) -> None:
    assert other_options(options, noted) == expected
    assert set(to_facts(options)) == {"tcp_close", "ignore_static_ip", "ignore_static_mac", "publish"}


@pytest.mark.parametrize("same", [False, True])
def test_the_next_task_says_that_the_ports_are_those_of_the_killed_one(module: Any, tmp_path: Path, same: bool) -> None:
    host = exported(module, tmp_path)
    real = host.run_command

    def answer(dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        if args == ["podman", "--version"]:
            return 0, recorded("version.txt"), ""
        return real(dummy_module, args, **options)

    host.run_command = answer  # type: ignore[method-assign]
    kill(module, host, "container_restore", {**archive(tmp_path), "publish": PORTS}, "restore")
    params = {**archive(tmp_path), "publish": PORTS if same else ["9090:80"]}
    result = module("container_restore", params, host=host).result
    assert host.boxes["web"].id == ID and "has completed that restore" in str(result["warnings"])
    assert ("other values of publish than this task, which the container keeps" in str(result["warnings"])) is not same
    assert INSPECT in host.ran
