# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import RESERVE_BYTES
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, put_host

OCC = ["podman", "exec", "--user", "www-data", "cloud", "php", "/var/www/html/occ"]
STATUS = {"installed": True, "version": "31.0.10.2", "versionstring": "31.0.10", "maintenance": False}


@pytest.fixture(autouse=True)
def _places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_host(tmp_path)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def image_reply(major: int, version: str | None, *, name: str = "") -> Reply:
    name = name or f"localhost/nc:{major}"
    environment = ["PATH=/bin", *([f"NEXTCLOUD_VERSION={version}"] if version else [])]
    found = [{"Id": f"id{major}", "Config": {"Env": environment}}]
    return Reply(["podman", "image", "inspect", name], out=json.dumps(found))


def container_reply(pid: int = 77, *, image_id: str = "id31") -> Reply:
    state = {"Status": "running" if pid else "exited", "Pid": pid}
    found = [{"Id": "c0", "Name": "cloud", "ImageName": "localhost/nc:31", "Image": image_id, "State": state}]
    return Reply(["podman", "container", "inspect", "cloud"], out=json.dumps(found))


def no_container() -> Reply:
    return Reply(
        ["podman", "container", "inspect", "cloud"], out="[]\n", err="Error: no such container cloud\n", rc=125
    )


def size_replies(path: Path, blocks: int = 4096, length: int = 90) -> list[Reply]:
    """What du says about the folder."""
    return [
        Reply(["du", "--summarize", option, "--", str(path)], out=f"{size}\t{path}\n")
        for option, size in (("--block-size=1", blocks), ("--bytes", length))
    ]


def replies(*first: Reply, html: Path, status: Any = None) -> tuple[Reply, ...]:
    """What a healthy host says; ``first`` counts before it."""
    return (
        *first,
        *size_replies(html),
        Reply(["podman", "image", "inspect", "id31"], out=json.dumps([{"Id": "id31", "Config": {}}])),
        container_reply(),
        *(image_reply(major, f"{major}.0.1") for major in (32, 33)),
        image_reply(31, "31.0.10"),
        Reply([*OCC, "status", "--output=json"], out=json.dumps(status or STATUS)),
        Reply([*OCC, "app:list", "--output=json"], out='{"enabled": {"polls": "8.1", "files": "2"}, "disabled": {}}'),
    )


def case(*first: Reply, status: Any = None, **params: Any) -> Any:
    def build(folder: Path) -> Any:
        html = folder / "html"
        write(html / "version.php", "<?php\n$OC_Version = [31,0,10,2];\n$OC_VersionString = '31.0.10';\n")
        app = '<info><id>polls</id><dependencies><nextcloud max-version="32"/></dependencies></info>'
        write(folder / "apps/polls/appinfo/info.xml", app)
        options = {
            "container": "cloud",
            "to": "32",
            "image": "localhost/nc:{major}",
            "html_path": str(html),
            "apps_paths": [str(folder / "apps")],
            "copied_paths": [str(html)],
            "saved_path": str(folder / "saved/one"),
            **params,
        }
        return options, Host(replies=replies(*first, html=html, status=status))

    return build


MISSING = Reply(["podman", "image", "inspect", "localhost/nc:32"], out="[]\n", err="Error: no such image\n", rc=125)

CONTRACT_CASES = [
    Case("one-step", case(), changed=False),
    Case("two-steps", case(to="33", incompatible_apps="disable"), changed=False),
    Case("nothing-to-do", case(to="31"), changed=False),
    Case("refused", case(MISSING, no_container()), changed=False),
]


def answer(module: Any, folder: Path, *first: Reply, status: Any = None, **params: Any) -> dict[str, Any]:
    options, host = case(*first, status=status, **params)(folder)
    value: dict[str, Any] = module("nextcloud_upgrade_info", options, host=host).result["upgrade"]
    return value


def codes(value: dict[str, Any]) -> list[str]:
    return [refusal["code"] for refusal in value["refused"]]


def test_result(tmp_path: Path, module: Any) -> None:
    write(tmp_path / "proc/77/cgroup", "0::/machine.slice/libpod-1.scope/container\n")
    write(tmp_path / "sys/fs/cgroup/machine.slice/libpod-1.scope/memory.current", "5000\n")
    value = answer(module, tmp_path, database_bytes=700)
    assert value["version"] == "31.0.10" and value["to"] == "32" and value["refused"] == []
    assert value["steps"] == [{"from": "31.0.10", "to": "32.0.1", "image": "localhost/nc:32", "image_id": "id32"}]
    assert value["image"] == "localhost/nc:31" and value["image_id"] == "id31" and value["maintenance"] is False
    assert value["needed_bytes"] == RESERVE_BYTES + 5700 + 4096
    assert value["free_bytes"] > 0


def test_app_that_would_be_turned_off(tmp_path: Path, module: Any) -> None:
    refused = answer(module, tmp_path, to="33")
    assert codes(refused) == ["apps_incompatible"]
    accepted = answer(module, tmp_path, to="33", incompatible_apps="disable")
    assert codes(accepted) == [] and accepted["incompatible_apps"] == [{"name": "polls", "until": 32}]


def test_image_of_its_own(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, image_reply(32, "32.0.9", name="r/own@sha256:0"), images={"32": "r/own@sha256:0"})
    assert value["steps"][0]["to"] == "32.0.9" and value["steps"][0]["image"] == "r/own@sha256:0"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, MISSING, no_container(), database_bytes=1 << 60)
    assert codes(value) == ["image_missing", "container_not_running", "disk_full"]
    assert value["missing_images"] == ["localhost/nc:32"]
    assert value["image"] is None and value["maintenance"] is None


@pytest.mark.parametrize("missing", [[], ["rsync"]])
def test_tools(tmp_path: Path, module: Any, missing: list[str]) -> None:
    options, host = case()(tmp_path)
    host.missing = missing
    value = module("nextcloud_upgrade_info", options, host=host).result["upgrade"]
    assert value["missing_tools"] == missing


def test_stopped_container(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, container_reply(0))
    assert codes(value) == ["container_not_running"] and value["image"] == "localhost/nc:31"


def test_image_of_the_container_is_gone(tmp_path: Path, module: Any) -> None:
    gone = Reply(["podman", "image", "inspect", "older"], err="Error: no such image\n", rc=125)
    value = answer(module, tmp_path, container_reply(image_id="older"), gone)
    assert codes(value) == ["image_missing"] and "the image older of the container" in value["refused"][0]["message"]


def test_tag_that_has_moved_is_no_matter(tmp_path: Path, module: Any) -> None:
    """A rollback uses the image's id."""
    assert codes(answer(module, tmp_path, image_reply(99, "31.0.11", name="localhost/nc:31"))) == []


def test_file_with_a_hole_counts_in_full(tmp_path: Path, module: Any) -> None:
    """rsync writes the zeros."""
    value = answer(module, tmp_path, *size_replies(tmp_path / "html", length=1 << 62))
    assert codes(value) == ["disk_full"] and value["needed_bytes"] > 1 << 62


def test_size_that_du_cannot_find(tmp_path: Path, module: Any) -> None:
    failed = Reply(["du", "--summarize", "--block-size=1", "--", str(tmp_path / "html")], err="du: no\n", rc=1)
    options, host = case(failed)(tmp_path)
    assert module("nextcloud_upgrade_info", options, host=host).result["reason"] == "tool_failed"


def test_upgrade_that_somebody_else_began(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, status={**STATUS, "needsDbUpgrade": True, "maintenance": True})
    assert codes(value) == ["upgrade_pending"] and value["maintenance"] is True


@pytest.mark.parametrize(
    ("params", "reason"), [({"to": "newest"}, "version_invalid"), ({"html_path": "/nonexistent"}, "version_unknown")]
)
def test_bad_input(tmp_path: Path, module: Any, params: dict[str, str], reason: str) -> None:
    options, host = case(**params)(tmp_path)
    assert module("nextcloud_upgrade_info", options, host=host).result["reason"] == reason


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"out": "Done.\n"}, "answer_invalid"),
        ({"out": "[]"}, "answer_invalid"),
        ({"out": '{"enabled": 1}'}, "answer_invalid"),
        ({"out": '{"enabled": ' * 90_000}, "answer_invalid"),
        ({"out": '{"enabled": NaN}'}, "answer_invalid"),
        ({"rc": 1}, "tool_failed"),
    ],
)
def test_occ_that_does_not_answer(tmp_path: Path, module: Any, reply: dict[str, Any], reason: str) -> None:
    options, host = case(Reply([*OCC, "app:list", "--output=json"], **reply))(tmp_path)
    assert module("nextcloud_upgrade_info", options, host=host).result["reason"] == reason
