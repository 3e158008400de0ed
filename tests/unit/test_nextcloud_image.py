# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nextcloud checks the image before it makes a container, with stand-ins for podman and skopeo.

Only the tasks of its preflight run, followed by one that shows the id for the container.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit import plays, stand_ins
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Shown

pytestmark = pytest.mark.slow  # two plays
NAME = "r.example/cloud:fpm"
# The images of the host and of the registry are the same file: name -> id and version.
PODMAN = (
    f"#!{sys.executable}\n"
    + stand_ins.HOST
    + """\
import sys
host, args = load(), sys.argv[1:]
name = args[-1]
if args[:2] == ["image", "inspect"]:
    if name not in host["here"]:
        sys.exit(125)
    image, version = host["here"][name]
    print(json.dumps([{"Id": image, "Config": {"Env": ["NEXTCLOUD_VERSION=" + version] if version else []}}]))
elif args[0] == "pull":
    host["pulled"] += 1
    host["here"].update(host["registry"])
    save(host)
    if not host["registry"]:
        sys.exit("the registry is down")
    print(host["here"][name][0])
else:
    print("Error: no such container", file=sys.stderr)
    sys.exit(125)
"""
)
SKOPEO = (
    f"#!{sys.executable}\n"
    + stand_ins.HOST
    + """\
import sys
host = load()
if not host["registry"]:
    sys.exit("the registry is down")
version = host["registry"][sys.argv[-1][len("docker://"):]][1]
print(json.dumps({"config": {"Env": ["NEXTCLOUD_VERSION=" + version]}}), end="")
"""
)
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"import_role": {"name": "criu.hosts.nextcloud", "tasks_from": "preflight"}},
            {"debug": {"msg": "the container gets {{ __nextcloud_image_id }}"}},
        ],
    }
]
V31, V32 = ("id31", "31.0.10"), ("id32", "32.0.1")


# The cases of each play: the image on the host, that of the registry, and variables.
PULLED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "missing": (None, V31, {"nextcloud_pull": "missing"}),
    "missing-and-the-registry-has-the-next": (None, V32, {"nextcloud_pull": "missing"}),
    "the-image-on-the-host-counts": (V31, V32, {"nextcloud_pull": "missing"}),
    "newer-brings-the-next": (V31, V32, {"nextcloud_pull": "newer"}),
    "always-brings-the-next": (V31, V32, {"nextcloud_pull": "always"}),
    "newer-without-a-registry": (V31, None, {"nextcloud_pull": "newer"}),
    "never-and-the-host-has-the-next": (V32, None, {"nextcloud_pull": "never"}),
    "never-and-missing": (None, V31, {"nextcloud_pull": "never"}),
}
REFUSED = {
    "missing-and-the-registry-has-the-next",
    "newer-brings-the-next",
    "always-brings-the-next",
    "never-and-the-host-has-the-next",
    "never-and-missing",
}
VERSIONS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "no-version": (("id0", ""), None, {}),
    "version-given": (("id0", ""), None, {"nextcloud_image_version": 31}),
    "next-version-given": (("id0", ""), None, {"nextcloud_image_version": "32"}),
}
PIPE: dict[str, tuple[Any, Any, dict[str, Any]]] = {"pipe": (V31, None, {})}
CHECKED: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "check-always": (V31, V32, {"nextcloud_pull": "always"}),
    "check-newer": (V31, None, {"nextcloud_pull": "newer"}),
}


@dataclass(frozen=True)
class Cloud:
    """A host after its play, with a Nextcloud 31 in its folders."""

    file: Path
    shown: Shown

    @property
    def pulled(self) -> int:
        found: int = json.loads(self.file.read_text(encoding="utf-8"))["pulled"]
        return found


def make_cloud(folder: Path, name: str, here: Any, registry: Any, variables: dict[str, Any]) -> dict[str, Any]:
    """Makes the folders and the state of a host; returns its variables."""
    host = {"here": {NAME: here} if here else {}, "registry": {NAME: registry} if registry else {}, "pulled": 0}
    (folder / f"{name}.json").write_text(json.dumps(host), encoding="utf-8")
    version = folder / name / "html/version.php"
    version.parent.mkdir(parents=True)
    if name in PIPE:
        os.mkfifo(version)
    else:
        version.write_text("<?php $OC_Version = [31,0,10,2];", encoding="utf-8")
    given = {
        "ansible_facts": {"os_family": "Debian", "selinux": {"status": "disabled"}},
        "nextcloud_directory": str(folder / name),
        "nextcloud_listen": "127.0.0.1:9000",
        "nextcloud_image": NAME,
        "nextcloud_database_password": "p",
        "nextcloud_redis_host": "",
        "nextcloud_web_server": "none",
    }
    return plays.host(folder / f"{name}.json", **given, **variables)


@pytest.fixture(name="clouds", scope="module")
def clouds_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Cloud]:
    folder = tmp_path_factory.mktemp("clouds")
    (folder / "bin").mkdir()
    for name, text in (("podman", PODMAN), ("skopeo", SKOPEO)):
        (folder / "bin" / name).write_text(text, encoding="utf-8")
        (folder / "bin" / name).chmod(0o755)
    (folder / "play.json").write_text(json.dumps(PLAY), encoding="utf-8")
    found = {}
    for cases, options in (({**PULLED, **VERSIONS, **PIPE}, ()), (CHECKED, ("--check",))):
        hosts = {name: make_cloud(folder, name, *case) for name, case in cases.items()}
        done = plays.play(folder, hosts, *options, "play.json", collections=ROOT / ".build")
        found.update({name: Cloud(folder / f"{name}.json", done.of(name)) for name in cases})
    return found


@pytest.mark.parametrize("name", PULLED)
def test_image_is_pulled_before_the_look(clouds: dict[str, Cloud], name: str) -> None:
    cloud, (here, dummy_registry, variables) = clouds[name], PULLED[name]
    pull, refused = variables["nextcloud_pull"], name in REFUSED
    assert cloud.shown.failed is refused, cloud.shown.output
    assert cloud.pulled == (pull in ("newer", "always") or (pull == "missing" and here is None))
    assert ("the container gets id31" in cloud.shown.output) is not refused


@pytest.mark.parametrize("name", VERSIONS)
def test_image_that_does_not_name_its_version(clouds: dict[str, Cloud], name: str) -> None:
    shown = clouds[name].shown
    assert shown.failed is (name != "version-given"), shown.output
    assert ("does not name its version" in shown.output) is (name == "no-version")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("check-always", "holds Nextcloud 32.0.1, and the volumes belong to Nextcloud 31.0.10"),
        ("check-newer", "Not checked: which version the image 'r.example/cloud:fpm' holds is not known"),
    ],
)
def test_check_mode_predicts_what_a_pull_would_bring(clouds: dict[str, Cloud], name: str, word: str) -> None:
    cloud, registry = clouds[name], CHECKED[name][1]
    assert word in cloud.shown.output and cloud.shown.failed is (registry is not None)
    assert cloud.pulled == 0


def test_version_file_of_another_kind(clouds: dict[str, Cloud]) -> None:
    """The container can write the file: the role neither waits for a pipe nor treats it as a new host."""
    cloud = clouds["pipe"]
    assert cloud.shown.failed and "Put a regular file there" in cloud.shown.output
    assert cloud.pulled == 0
