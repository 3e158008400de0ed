# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._nextcloud.upgrade import (
    AppRange,
    Image,
    Version,
    check_apps,
    check_space,
    check_status,
    image_name,
    left_behind,
    majors_to,
    parse_app,
    parse_enabled,
    parse_status,
    parse_version_file,
    parse_wanted,
    plan_steps,
    version_of_environment,
)

V31, V32, V33 = (31, 0, 10), (32, 0, 1), (33, 0, 0)


def image(version: Version | None, *, there: bool = True) -> Image:
    name = f"nextcloud:{version[0] if version else 'x'}-fpm"
    return Image(name, f"id-{name}" if there else None, version)


IMAGES = {version[0]: image(version) for version in (V31, V32, V33)}


@pytest.mark.parametrize(("text", "version"), [("32", (32,)), ("32.0", (32, 0)), ("32.0.1", (32, 0, 1))])
def test_wanted(text: str, version: Version) -> None:
    assert parse_wanted(text) == version


@pytest.mark.parametrize("text", ["", "latest", "32.", "v32", "32.0.1.2", "-1", "32\n"])
def test_wanted_is_no_version(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_wanted(text)
    assert caught.value.reason == "version_invalid"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        pytest.param("<?php\n$OC_Version = [31, 0, 10, 2];\n$OC_VersionString = '31.0.10';\n", V31, id="today"),
        pytest.param("<?php\n$OC_Version = array(31,0,10,2);\n", V31, id="as-before-27"),
        pytest.param("<?php\n", None, id="none"),
        pytest.param("", None, id="empty"),
        pytest.param("<?php $OC_Version = [31, 0, 10, 2, ];", V31, id="comma-at-the-end"),
        pytest.param("<?php $OC_Version = [ , ]; $OC_Version = [31,0,10];", V31, id="second-is-valid"),
        pytest.param("$OC_Version = [ , ];", None, id="only-a-comma"),
        pytest.param("$OC_Version = [1 2];", None, id="no-comma"),
        pytest.param("$OC_Version = [];", None, id="no-number"),
        pytest.param(f"$OC_Version = [{'9' * 5000}];", None, id="huge-number"),
        pytest.param("$OC_Version = [\u0663,0];", None, id="digit-of-another-script"),
        pytest.param("$OC_Version = [31,\0,10];", None, id="nul"),
        pytest.param("$OC_Version = [31\udcff];", None, id="not-utf-8"),
    ],
)
def test_version_file(text: str, version: Version | None) -> None:
    assert parse_version_file(text) == version


@pytest.mark.parametrize(
    ("environment", "version"),
    [
        (["PATH=/bin", "NEXTCLOUD_VERSION=32.0.1"], V32),
        (["NEXTCLOUD_VERSION=33.0.0beta2"], V33),
        (["NEXTCLOUD_VERSION=new"], None),
        (["OTHER_NEXTCLOUD_VERSION=32.0.1", "NEXTCLOUD_VERSION"], None),
        ([f"NEXTCLOUD_VERSION={'9' * 5000}.1"], None),
        ([f"NEXTCLOUD_VERSION=32.{'9' * 5000}"], None),
        ([], None),
    ],
)
def test_version_of_environment(environment: list[str], version: Version | None) -> None:
    assert version_of_environment(environment) == version


@pytest.mark.parametrize(
    ("text", "app"),
    [
        (
            '<info><id>polls</id><dependencies><nextcloud min-version="30" max-version="32"/></dependencies></info>',
            AppRange("polls", 32),
        ),
        ("<info><id>own</id></info>", AppRange("own", None)),
        ('<info><id>a</id><dependencies><nextcloud max-version="x"/></dependencies></info>', AppRange("a", None)),
        ("<!-- <id>no</id> --><id>a</id><nextcloud\n min-version='30'\n max-version='31'/>", AppRange("a", 31)),
        ("<info></info>", None),
        ("<info", None),
        ("<id>a</id><!-- <nextcloud max-version='31'/>", AppRange("a", None)),
        ("<id>a</id><nextcloud max-version='31'", AppRange("a", None)),
        ("<id>a</id><nextclouds max-version='31'/><nextcloud max-version='32'/>", AppRange("a", 32)),
        (f"<id>a</id><nextcloud max-version='{'9' * 5000}'/>", AppRange("a", 999)),
        (f"<id>{'a' * 5000}</id>", None),
        ("<id>a\0</id>", None),
    ],
)
def test_app(text: str, app: AppRange | None) -> None:
    assert parse_app(text) == app


def test_apps_left_behind() -> None:
    apps = [AppRange("old", 32), AppRange("off", 32), AppRange("new", 33), AppRange("any", None)]
    found = left_behind(apps, ["old", "new", "any"], V33)
    assert found == [{"name": "old", "until": 32}]
    refusal = check_apps(found, V33)
    assert refusal is not None and refusal.code == "apps_incompatible" and "old (up to 32)" in refusal.message
    assert check_apps([], V33) is None


@pytest.mark.parametrize(
    ("present", "wanted", "majors"),
    [(V31, (33,), [32, 33]), (V31, (32,), [32]), (V31, (31,), [31]), (V33, (31,), [])],
)
def test_majors(present: Version, wanted: Version, majors: list[int]) -> None:
    assert majors_to(present, wanted) == majors


def test_image_names() -> None:
    assert image_name(32, "r/nextcloud:{major}-fpm", {}) == "r/nextcloud:32-fpm"
    assert image_name(32, "r/nextcloud:{major}-fpm", {"32": "r/own@sha256:0"}) == "r/own@sha256:0"


@pytest.mark.parametrize(
    ("present", "wanted", "steps"),
    [
        pytest.param(V31, (32,), [("31.0.10", "32.0.1")], id="next"),
        pytest.param(V31, (33,), [("31.0.10", "32.0.1"), ("32.0.1", "33.0.0")], id="one-after-the-other"),
        pytest.param((31, 0, 2), (31,), [("31.0.2", "31.0.10")], id="newer-release-of-the-same"),
        pytest.param(V31, (31,), [], id="there-already"),
        pytest.param(V31, V31, [], id="there-already-in-full"),
        pytest.param(V31, V32, [("31.0.10", "32.0.1")], id="full-version"),
    ],
)
def test_steps(present: Version, wanted: Version, steps: list[tuple[str, str]]) -> None:
    found, refused = plan_steps(present, wanted, IMAGES)
    assert refused == [] and [(step["from"], step["to"]) for step in found] == steps
    assert all(step["image_id"] == f"id-{step['image']}" for step in found)


@pytest.mark.parametrize(
    ("present", "wanted", "images", "codes"),
    [
        pytest.param(V32, (31,), {}, ["downgrade"], id="major-down"),
        pytest.param(V31, (31, 0, 9), {}, ["downgrade"], id="release-down"),
        pytest.param((31, 0, 11), (31,), IMAGES, ["downgrade"], id="image-older-than-what-is-there"),
        pytest.param(V31, (32,), {32: image(V33)}, ["major_skipped"], id="image-holds-the-one-after-next"),
        pytest.param(V31, (32,), {32: image(V31)}, ["image_wrong"], id="image-holds-the-one-before"),
        pytest.param(V31, (31,), {31: image(V32)}, ["image_wrong"], id="image-of-the-same-major-holds-the-next"),
        pytest.param(V31, (32,), {32: image((30, 0, 1))}, ["downgrade"], id="image-holds-an-old-one"),
        pytest.param(V31, (32,), {32: image(None)}, ["image_version_unknown"], id="image-tells-nothing"),
        pytest.param(
            V31, (33,), {32: image(V32, there=False), 33: image(V33, there=False)}, ["image_missing"] * 2, id="missing"
        ),
        pytest.param(V31, (32, 0, 2), IMAGES, ["image_wrong"], id="image-of-another-release"),
    ],
)
def test_refused(present: Version, wanted: Version, images: dict[int, Image], codes: list[str]) -> None:
    dummy_steps, refused = plan_steps(present, wanted, images)
    assert [refusal.code for refusal in refused] == codes
    assert all("\n" not in refusal.message for refusal in refused)


def test_the_plan_goes_on_behind_a_missing_image() -> None:
    steps, dummy_refused = plan_steps(V31, (33,), {32: image(V32, there=False), 33: image(V33)})
    assert [(step["from"], step["to"]) for step in steps] == [("31.0.10", "32"), ("32", "33.0.0")]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (None, "container_not_running"),
        ({}, "not_installed"),
        ({"installed": False}, "not_installed"),
        ({"installed": True, "needsDbUpgrade": True}, "upgrade_pending"),
        ({"installed": True, "needsDbUpgrade": False}, None),
    ],
)
def test_status(status: dict[str, Any] | None, code: str | None) -> None:
    refusal = check_status(None if status is None else parse_status(status), "nextcloud")
    assert (refusal.code if refusal else None) == code


@pytest.mark.parametrize("name", ["installed", "needsDbUpgrade", "maintenance", "versionstring"])
@pytest.mark.parametrize("value", [None, 1, [], {}, [True], 10**4000])
def test_status_of_another_type(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match="another type"):
        parse_status({"installed": True, "versionstring": "31.0.10", name: value})


def test_enabled_apps() -> None:
    assert parse_enabled({"enabled": {"polls": "8.1", "files": "2"}}) == ["polls", "files"]
    assert parse_enabled({"enabled": []}) == []


@pytest.mark.parametrize("answer", [{}, {"enabled": None}, {"enabled": 1}, {"enabled": ["polls"]}, {"enabled": "x"}])
def test_enabled_apps_of_another_type(answer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no object"):
        parse_enabled(answer)


MIB = 1 << 20


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("$OC_Version=[" + " " * MIB, id="blanks"),
        pytest.param("$OC_Version=[" + "1," * (MIB // 2), id="numbers"),
        pytest.param("$OC_Version=[1" * (MIB // 14), id="begun-again-and-again"),
        pytest.param(("$OC_Version=[1" + " ," * 60) * (MIB // 134), id="blanks-and-commas"),
        pytest.param("9" * MIB, id="one-number"),
    ],
)
def test_time_to_read_a_version_file_grows_with_its_length(text: str) -> None:
    """A pattern whose time grows with the square of the length would take hours."""
    assert parse_version_file(text) is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("<!--" * (MIB // 4), id="comments"),
        pytest.param("<nextcloud " * (MIB // 11), id="elements"),
        pytest.param("<nextcloud max-version" + " " * MIB, id="blanks"),
        pytest.param("<nextcloud " + "max-version=" * (MIB // 12) + ">", id="attributes"),
        pytest.param("<id>" * (MIB // 4), id="names"),
        pytest.param("<id>" + "a" * MIB, id="one-name"),
    ],
)
def test_time_to_read_an_app_grows_with_its_length(text: str) -> None:
    assert parse_app(text) is None


def test_space() -> None:
    assert check_space("/var", 10, 10) is None
    refusal = check_space("/var", 11, 10)
    assert refusal is not None and refusal.code == "disk_full" and "'/var'" in refusal.message
