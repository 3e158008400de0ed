# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the role criu on several hosts that are all this machine, with stand-ins for the modules of the collection.

Each stand-in host has a file that says what criu_info finds there. The operating system family is one without package
names, so that a task that would install packages on this machine fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit import stand_ins

ROOT = Path(__file__).resolve().parents[2]
MODULE = (
    "#!/usr/bin/python\n"
    + stand_ins.HOST
    + """\
from ansible.module_utils.basic import AnsibleModule
SPEC = {name: {"type": "raw"} for name in
        "gather state source checksum features plugins wanted patches artifact_path artifact_checksum check".split()}
module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
params, host = module.params, load()
"""
)
FACTS = MODULE + 'module.exit_json(ansible_facts={"os_family": "Unknown"})\n'
INFO = MODULE + 'module.exit_json(criu=host["criu"])\n'
BUILD = (
    MODULE
    + """\
host["calls"].append([params["state"] or "present", params["artifact_path"]])
save(host)
if params["state"] == "built":
    if host["breaks"]:
        module.fail_json(msg="The compiler failed.", reason="build_failed")
    with open(params["artifact_path"], "w") as handle:
        handle.write("artifact")
    import hashlib
    module.exit_json(changed=True, build={"artifact_sha256": hashlib.sha256(b"artifact").hexdigest()})
with open(params["artifact_path"]) as handle:
    assert handle.read() == "artifact"
host["installed"] = params["artifact_checksum"]
host["criu"]["offer"]["why_not"] = None
save(host)
module.exit_json(changed=True, build={})
"""
)
PLAY = """\
- hosts: all
  gather_facts: false
  environment:
    STAND_IN: "{{ folder }}/{{ inventory_hostname }}.json"
  tasks:
    - criu.hosts.facts:
      tags: [always]
    - ansible.builtin.import_role: {name: criu.hosts.criu}
"""
GOOD = {"why_not": None, "package": None, "platform": "debian 13 x86_64", "built": False}
BAD = {**GOOD, "why_not": "it has been changed", "package": {"version": None, "why_not": "there is no package"}}


def criu(offer: dict[str, Any]) -> dict[str, Any]:
    return {
        "path": "/usr/sbin/criu",
        "tools": {"nft": "/usr/sbin/nft"},
        "runtimes": [],
        "installed": {"intact": False, "artifact_sha256": "old"},
        "capabilities": None,
        "config": {},
        "lsm": {"ruling": "none", "selinux": {"mode": "disabled"}},
        "network_lock": {"backend": "nftables", "source": "build", "usable": True},
        "support": {"level": "supported", "text": "This host is supported."},
        "offer": offer,
    }


class Fleet:
    """Hosts that are all this machine; each has a folder and a state of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        modules = folder / "ansible_collections/criu/hosts/plugins/modules"
        modules.mkdir(parents=True)
        for name in ("plugins/module_utils", "plugins/filter", "roles"):
            (folder / "ansible_collections/criu/hosts" / name).symlink_to(ROOT / name)
        for name, text in {"facts": FACTS, "criu_info": INFO, "criu_build": BUILD}.items():
            (modules / f"{name}.py").write_text(text, encoding="utf-8")
        # Never called here; Ansible looks for them when it loads the tasks.
        for name in ("criu_config", "criu_non_root", "criu_package"):
            (modules / f"{name}.py").symlink_to(ROOT / f"plugins/modules/{name}.py")
        (folder / "play.yml").write_text(PLAY, encoding="utf-8")
        (folder / "source.tar.gz").write_text("source", encoding="utf-8")

    def play(
        self, hosts: dict[str, dict[str, Any]], *arguments: str, breaks: str = "", **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        for name, offer in hosts.items():
            state = {"criu": criu(offer), "calls": [], "installed": None, "breaks": name == breaks}
            (self.folder / f"{name}.json").write_text(json.dumps(state), encoding="utf-8")
            (self.folder / name).mkdir()
        given = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "folder": str(self.folder),
            "__criu_state_path": str(self.folder) + "/{{ inventory_hostname }}",
            "criu_source": str(self.folder / "source.tar.gz"),
            "criu_method": "auto",
            **variables,
        }
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "TMPDIR": str(self.folder),
            "PWD": str(self.folder),
            "LC_ALL": "C.UTF-8",
        }
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", ",".join(hosts) + ","]
        argv += [*arguments, "-e", json.dumps(given), str(self.folder / "play.yml")]
        return subprocess.run(argv, env=env, cwd=self.folder, capture_output=True, text=True, check=False)

    def state(self, name: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return state

    def calls(self, name: str) -> list[str]:
        return [verb for verb, dummy_path in self.state(name)["calls"]]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    if os.geteuid():
        pytest.skip("the role gives its files to root, so this test runs as root")
    return Fleet(tmp_path)


@pytest.mark.slow
def test_one_host_builds_for_all_of_its_platform(fleet: Fleet) -> None:
    other = {**BAD, "platform": "debian 12 x86_64"}
    done = fleet.play({"good": GOOD, "first": BAD, "second": BAD, "old": other})
    assert done.returncode == 0, done.stdout
    assert {name: fleet.calls(name) for name in ("good", "first", "second", "old")} == {
        "good": [],
        "first": ["built", "present"],
        "second": ["present"],
        "old": ["built", "present"],
    }
    assert fleet.state("second")["installed"] == hashlib.sha256(b"artifact").hexdigest()
    assert "CRIU is built once for debian 12 x86_64 on old" in " ".join(done.stdout.split())
    # The artifact stays on the hosts that built it, and nowhere else.
    assert sorted(str(path.relative_to(fleet.folder)) for path in fleet.folder.rglob("criu*.tar.gz")) == [
        "first/criu.tar.gz",
        "old/criu.tar.gz",
    ]
    assert list(fleet.folder.glob("criu-hosts-*")) == []


@pytest.mark.slow
def test_a_build_that_fails_changes_no_other_host(fleet: Fleet) -> None:
    done = fleet.play({"first": BAD, "second": BAD}, breaks="first")
    assert done.returncode != 0
    assert "Cannot build CRIU on 'first': The compiler failed. Set criu_source" in " ".join(done.stdout.split())
    assert "Cannot install CRIU on 'second': 'first', which builds it, failed" in " ".join(done.stdout.split())
    assert fleet.calls("second") == [] and fleet.state("second")["installed"] is None


@pytest.mark.slow
def test_a_named_host_builds_although_it_needs_nothing(fleet: Fleet) -> None:
    done = fleet.play({"first": BAD, "builder": GOOD}, criu_build_hosts=["builder"])
    assert done.returncode == 0, done.stdout
    assert fleet.calls("builder") == ["built"] and fleet.calls("first") == ["present"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"criu_build_hosts": ["absent"]}, "no host of this play in criu_build_hosts (absent) has that platform"),
        ({"__criu_build_space": 10**9}, "the compiler and the build need 1000000000 MiB in /var and /usr, and"),
        ({"criu_source": "/nonexistent/criu.tar.gz"}, "there is no file /nonexistent/criu.tar.gz (criu_source) on it"),
        ({"criu_source": "https://example.com/criu-4.2.1.tar.gz"}, "criu_source_checksum is empty"),
        ({"criu_method": "artifact"}, "criu_method is artifact, and criu_artifact is empty"),
        ({"criu_method": "artifact", "criu_artifact": "gone.tar.gz"}, "there is no file gone.tar.gz (criu_artifact)"),
    ],
)
def test_a_refusal_changes_no_host(fleet: Fleet, variables: dict[str, Any], sentence: str) -> None:
    done = fleet.play({"first": BAD, "good": {**GOOD, "platform": "debian 12 x86_64"}}, **variables)
    assert done.returncode != 0
    assert sentence in " ".join(done.stdout.split())
    assert fleet.calls("first") == [] and "changed=1" not in done.stdout


@pytest.mark.slow
def test_an_artifact_is_found_in_the_folder_of_the_caller(fleet: Fleet) -> None:
    (fleet.folder / "mine.tar.gz").write_text("artifact", encoding="utf-8")
    done = fleet.play({"first": GOOD}, criu_method="artifact", criu_artifact="mine.tar.gz")
    assert done.returncode == 0, done.stdout
    assert fleet.state("first")["installed"] == hashlib.sha256(b"artifact").hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["criu", "criu_preflight", "criu_install", "criu_configure"])
def test_each_tag_works_alone(fleet: Fleet, tag: str) -> None:
    done = fleet.play({"first": BAD}, "--tags", tag)
    assert done.returncode == 0, done.stdout
    assert fleet.calls("first") == (["built", "present"] if tag in ("criu", "criu_install") else [])
