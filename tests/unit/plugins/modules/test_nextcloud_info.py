# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, put_host

NAME = "registry.example/nc:31"
OCC = ["podman", "exec", "--user", "www-data", "cloud", "php", "/var/www/html/occ", "status", "--output=json"]
SKOPEO = ["skopeo", "inspect", "--config", "--raw", f"docker://{NAME}"]
STATUS = {"installed": True, "versionstring": "31.0.10", "needsDbUpgrade": False, "maintenance": False}


@pytest.fixture(autouse=True)
def _places(tmp_path: Path) -> None:
    put_host(tmp_path)


def image_reply(version: str | None = "31.0.10") -> Reply:
    environment = ["PATH=/bin", *([f"NEXTCLOUD_VERSION={version}"] if version else [])]
    return Reply(["podman", "image", "inspect", NAME], out=json.dumps([{"Id": "i1", "Config": {"Env": environment}}]))


def container_reply(image_id: str = "i1") -> Reply:
    found = [
        {"Id": "c0", "Name": "cloud", "ImageName": NAME, "Image": image_id, "State": {"Status": "running", "Pid": 7}}
    ]
    return Reply(["podman", "container", "inspect", "cloud"], out=json.dumps(found))


NO_CONTAINER = Reply(["podman", "container", "inspect", "cloud"], out="[]\n", err="Error: no such container\n", rc=125)
NO_IMAGE = Reply(["podman", "image", "inspect", NAME], out="[]\n", err="Error: no such image\n", rc=125)


def case(*replies: Reply, version: str = "31,0,10,2", missing: list[str] | None = None, **params: Any) -> Any:
    def build(folder: Path) -> Any:
        html = folder / "html"
        html.mkdir(exist_ok=True)
        if version:
            (html / "version.php").write_text(f"<?php\n$OC_Version = [{version}];\n", encoding="utf-8")
        host = Host(replies=[*replies, container_reply(), image_reply()], missing=missing or [])
        return {"html_path": str(html), **params}, host

    return build


CONTRACT_CASES = [
    Case("version", case(), changed=False),
    Case("image", case(image=NAME, container="cloud"), changed=False),
    Case("status", case(Reply(OCC, out=json.dumps(STATUS)), container="cloud", status=True), changed=False),
    Case("refused", case(NO_IMAGE, NO_CONTAINER, image=NAME, container="cloud"), changed=False),
]


def answer(module: Any, folder: Path, *replies: Reply, **params: Any) -> dict[str, Any]:
    options, host = case(*replies, **params)(folder)
    value: dict[str, Any] = module("nextcloud_info", options, host=host).result["nextcloud"]
    return value


def codes(value: dict[str, Any]) -> list[str]:
    return [refusal["code"] for refusal in value["refused"]]


def test_version_only(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path)
    assert value == {"version": "31.0.10", "image": None, "refused": [], "status": None, "copies": {}}
    (tmp_path / "html/version.php").unlink()
    assert answer(module, tmp_path, version="")["version"] is None


def test_image(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, image=NAME, container="cloud")
    assert value["image"] == {"name": NAME, "id": "i1", "version": "31.0.10"} and value["refused"] == []
    refused = answer(module, tmp_path, image_reply("32.0.1"), image=NAME)
    assert codes(refused) == ["major_changed"]


def test_image_that_does_not_name_its_version(tmp_path: Path, module: Any) -> None:
    unknown = image_reply(None)
    assert codes(answer(module, tmp_path, unknown, NO_CONTAINER, image=NAME, container="cloud")) == [
        "image_version_unknown"
    ]
    assert codes(answer(module, tmp_path, unknown, container_reply("i0"), image=NAME, container="cloud")) == [
        "image_version_unknown"
    ]
    assert codes(answer(module, tmp_path, unknown, image=NAME, container="cloud")) == []
    assert codes(answer(module, tmp_path, unknown, image=NAME, image_version="31")) == []
    assert codes(answer(module, tmp_path, unknown, image=NAME, image_version="32")) == ["major_changed"]


def test_image_in_its_registry(tmp_path: Path, module: Any) -> None:
    """Its id is the digest of its configuration, byte for byte."""
    text = json.dumps({"config": {"Env": ["NEXTCLOUD_VERSION=32.0.1", 7]}, "x": "\N{SNOWMAN}"}, ensure_ascii=False)
    value = answer(module, tmp_path, Reply(SKOPEO, out=text), image=NAME, registry=True)
    assert value["image"] == {"name": NAME, "id": hashlib.sha256(text.encode()).hexdigest(), "version": "32.0.1"}
    assert codes(value) == ["major_changed"]


@pytest.mark.parametrize(
    ("reply", "missing", "word"),
    [
        ({}, ["skopeo"], "skopeo is not installed"),
        ({"rc": 1, "err": "unauthorized\n"}, [], "unauthorized"),
        ({"out": "[]"}, [], "not the configuration of an image"),
        ({"out": '{"config": []}'}, [], "does not name its version"),
        ({"out": '{"config": 7}'}, [], "not the configuration of an image"),
        ({"out": '{"config": {"Env": "NEXTCLOUD_VERSION=31.0.1"}}'}, [], "not the configuration of an image"),
        ({"out": "[" * 90_000}, [], "not the configuration of an image"),
    ],
)
def test_registry_without_an_answer(
    tmp_path: Path, module: Any, reply: dict[str, Any], missing: list[str], word: str
) -> None:
    value = answer(module, tmp_path, Reply(SKOPEO, **reply), image=NAME, registry=True, missing=missing)
    (refusal,) = value["refused"]
    assert word in refusal["message"] and "\n" not in refusal["message"]
    assert refusal["code"] == ("image_version_unknown" if "name its version" in word else "registry_unknown")


def test_status(tmp_path: Path, module: Any) -> None:
    value = answer(module, tmp_path, Reply(OCC, out=json.dumps(STATUS)), container="cloud", status=True)
    assert value["status"] == {"installed": True, "version": "31.0.10", "needs_upgrade": False, "maintenance": False}


def test_copies(tmp_path: Path, module: Any) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    before = answer(module, tmp_path, copies=[str(copy)])["copies"]
    (copy / "file").touch()
    assert before.keys() == {str(copy)} and answer(module, tmp_path, copies=[str(copy)])["copies"] != before


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"version": "x"}, "version_unknown"),
        ({"image": NAME, "image_version": "new"}, "version_invalid"),
        ({"copies": ["/nonexistent"]}, "copy_unreadable"),
    ],
)
def test_bad_input(tmp_path: Path, module: Any, params: dict[str, Any], reason: str) -> None:
    options, host = case(**params)(tmp_path)
    assert module("nextcloud_info", options, host=host).result["reason"] == reason


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ({"out": "{"}, "answer_invalid"),
        ({"out": "[]"}, "answer_invalid"),
        ({"out": '{"installed": "yes"}'}, "answer_invalid"),
        ({"out": '{"installed": ' * 90_000}, "answer_invalid"),
        ({"out": '{"versionstring": ' + "9" * 5000 + "}"}, "answer_invalid"),
        ({"out": "\0\udcff"}, "answer_invalid"),
        ({"rc": 1, "err": "Error: no\n"}, "tool_failed"),
    ],
)
def test_occ_that_does_not_answer(tmp_path: Path, module: Any, reply: dict[str, Any], reason: str) -> None:
    options, host = case(Reply(OCC, **reply), container="cloud", status=True)(tmp_path)
    result = module("nextcloud_info", options, host=host).result
    assert result["reason"] == reason and "\n" not in result["msg"]
