# SPDX-License-Identifier: GPL-3.0-or-later
"""The role nextcloud checks the image before it makes a container, with stand-ins for podman and skopeo.

Only the tasks of its preflight run, followed by one that shows the id for the container.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit import stand_ins

pytestmark = pytest.mark.slow  # each test runs a play
ROOT = Path(__file__).resolve().parents[2]
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
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": [
            {"import_role": {"name": "criu.hosts.nextcloud", "tasks_from": "preflight"}},
            {"debug": {"msg": "the container gets {{ __nextcloud_image_id }}"}},
        ],
    }
]
V31, V32 = ("id31", "31.0.10"), ("id32", "32.0.1")


class Cloud:
    """This machine, with a Nextcloud 31 in its folders."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "host.json"
        (folder / "bin").mkdir()
        for name, text in (("podman", PODMAN), ("skopeo", SKOPEO)):
            (folder / "bin" / name).write_text(text, encoding="utf-8")
            (folder / "bin" / name).chmod(0o755)
        (folder / "play.json").write_text(json.dumps(PLAY), encoding="utf-8")
        self.version = folder / "cloud/html/version.php"
        self.version.parent.mkdir(parents=True)
        self.version.write_text("<?php $OC_Version = [31,0,10,2];", encoding="utf-8")

    def play(
        self, here: Any = None, registry: Any = None, *arguments: str, **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        host = {"here": {NAME: here} if here else {}, "registry": {NAME: registry} if registry else {}, "pulled": 0}
        self.file.write_text(json.dumps(host), encoding="utf-8")
        given = {
            "ansible_python_interpreter": sys.executable,
            "ansible_facts": {"os_family": "Debian", "selinux": {"status": "disabled"}},
            "nextcloud_directory": str(self.folder / "cloud"),
            "nextcloud_listen": "127.0.0.1:9000",
            "nextcloud_image": NAME,
            "nextcloud_database_password": "p",
            "nextcloud_redis_host": "",
            "nextcloud_web_server": "none",
            **variables,
        }
        env = {
            **os.environ,
            "STAND_IN": str(self.file),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "COLUMNS": "1000",
            "LC_ALL": "C.UTF-8",
        }
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local", *arguments]
        argv += ["-e", json.dumps(given), str(self.folder / "play.json")]
        return subprocess.run(argv, env=env, cwd=self.folder, capture_output=True, text=True, check=False)

    @property
    def pulled(self) -> int:
        found: int = json.loads(self.file.read_text(encoding="utf-8"))["pulled"]
        return found


@pytest.fixture
def cloud(tmp_path: Path) -> Cloud:
    return Cloud(tmp_path)


@pytest.mark.parametrize(
    ("pull", "here", "registry", "refused"),
    [
        pytest.param("missing", None, V31, False, id="missing"),
        pytest.param("missing", None, V32, True, id="missing-and-the-registry-has-the-next"),
        pytest.param("missing", V31, V32, False, id="the-image-on-the-host-counts"),
        pytest.param("newer", V31, V32, True, id="newer-brings-the-next"),
        pytest.param("always", V31, V32, True, id="always-brings-the-next"),
        pytest.param("newer", V31, None, False, id="newer-without-a-registry"),
        pytest.param("never", V32, None, True, id="never-and-the-host-has-the-next"),
        pytest.param("never", None, V31, True, id="never-and-missing"),
    ],
)
def test_image_is_pulled_before_the_look(cloud: Cloud, pull: str, here: Any, registry: Any, refused: bool) -> None:
    done = cloud.play(here, registry, nextcloud_pull=pull)
    assert bool(done.returncode) is refused, done.stdout
    assert cloud.pulled == (pull in ("newer", "always") or (pull == "missing" and here is None))
    assert ("the container gets id31" in done.stdout) is not refused


@pytest.mark.parametrize(
    ("variables", "refused"),
    [({}, True), ({"nextcloud_image_version": 31}, False), ({"nextcloud_image_version": "32"}, True)],
)
def test_image_that_does_not_name_its_version(cloud: Cloud, variables: dict[str, Any], refused: bool) -> None:
    done = cloud.play(("id0", ""), **variables)
    assert bool(done.returncode) is refused, done.stdout
    assert ("does not name its version" in done.stdout) is (refused and not variables)


@pytest.mark.parametrize(
    ("pull", "registry", "word"),
    [
        ("always", V32, "holds Nextcloud 32.0.1, and the volumes belong to Nextcloud 31.0.10"),
        ("newer", None, "Not checked: which version the image 'r.example/cloud:fpm' holds is not known"),
    ],
)
def test_check_mode_predicts_what_a_pull_would_bring(cloud: Cloud, pull: str, registry: Any, word: str) -> None:
    done = cloud.play(V31, registry, "--check", nextcloud_pull=pull)
    assert word in done.stdout and bool(done.returncode) is (registry is not None)
    assert cloud.pulled == 0


def test_version_file_of_another_kind(cloud: Cloud) -> None:
    """The container can write the file: the role neither waits for a pipe nor treats it as a new host."""
    cloud.version.unlink()
    os.mkfifo(cloud.version)
    done = cloud.play(V31)
    assert done.returncode and "Put a regular file there" in done.stdout
    assert cloud.pulled == 0
