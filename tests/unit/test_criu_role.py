# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the role criu on several hosts that are all this machine, with stand-ins for the modules of the collection.

Each stand-in host has a file that says what criu_info finds there. The operating system family is one without package
names, so that a task that would install packages on this machine fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit import plays, stand_ins
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Played

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
  tasks:
    - criu.hosts.facts:
      tags: [always]
    - ansible.builtin.import_role: {name: criu.hosts.criu}
"""
# Values with which the role refuses to build or to install, and why. A refusal ends the role on all hosts of the play.
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"criu_build_hosts": ["absent"]}, "no host of this play in criu_build_hosts (absent) has that platform"),
    ({"__criu_build_space": 10**9}, "the compiler and the build need 1000000000 MiB in /var and /usr, and"),
    ({"criu_source": "/nonexistent/criu.tar.gz"}, "there is no file /nonexistent/criu.tar.gz (criu_source) on it"),
    ({"criu_source": "https://example.com/criu-4.2.1.tar.gz"}, "criu_source_checksum is empty"),
    ({"criu_method": "artifact"}, "criu_method is artifact, and criu_artifact is empty"),
    ({"criu_method": "artifact", "criu_artifact": "gone.tar.gz"}, "there is no file gone.tar.gz (criu_artifact)"),
]
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
        self, hosts: dict[str, tuple[dict[str, Any], dict[str, Any]]], *arguments: str, playbook: str = "play.yml"
    ) -> Played:
        """Applies the role to hosts: what criu_info offers on each, and its variables."""
        variables = {}
        for name, (offer, given) in hosts.items():
            file = self.folder / f"{name}.json"
            state = {"criu": criu(offer), "calls": [], "installed": None, "breaks": name == "fails"}
            file.write_text(json.dumps(state), encoding="utf-8")
            (self.folder / name).mkdir()
            source = str(self.folder / "source.tar.gz")
            variables[name] = plays.host(file, **{"criu_source": source, "criu_method": "auto", **given})
        own = f"__criu_state_path={self.folder}/{{{{ inventory_hostname }}}}"
        return plays.play(self.folder, variables, "-e", own, *arguments, playbook)

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


def on(release: str) -> dict[str, Any]:
    """What criu_info offers on a host of another release, whose build serves no other."""
    return {**BAD, "platform": f"debian {release} x86_64"}


@pytest.mark.slow
def test_one_host_builds_for_all_of_its_platform(fleet: Fleet) -> None:
    (fleet.folder / "mine.tar.gz").write_text("artifact", encoding="utf-8")
    named = {"criu_build_hosts": ["named"]}
    done = fleet.play(
        {
            "good": (GOOD, {}),
            "first": (BAD, {}),
            "second": (BAD, {}),
            "old": (on("12"), {}),
            "fails": (on("14"), {}),
            "waits": (on("14"), {}),
            "needs": (on("15"), named),
            "named": ({**GOOD, "platform": "debian 15 x86_64"}, named),
            "given": (GOOD, {"criu_method": "artifact", "criu_artifact": "mine.tar.gz"}),
        }
    )
    shown = {name: done.of(name) for name in ("good", "first", "second", "old", "needs", "named", "given")}
    assert {name: fleet.calls(name) for name, one in shown.items() if not one.failed} == {
        "good": [],
        "first": ["built", "present"],
        "second": ["present"],
        "old": ["built", "present"],
        # A named host builds although it needs nothing.
        "needs": ["present"],
        "named": ["built"],
        # An artifact is found in the folder of the caller.
        "given": ["present"],
    }
    for name in ("second", "given"):
        assert fleet.state(name)["installed"] == hashlib.sha256(b"artifact").hexdigest()
    assert "CRIU is built once for debian 12 x86_64 on old" in shown["old"].text
    # The artifact stays on the hosts that built it, and nowhere else.
    assert sorted(str(path.relative_to(fleet.folder)) for path in fleet.folder.rglob("criu*.tar.gz")) == [
        "first/criu.tar.gz",
        "named/criu.tar.gz",
        "old/criu.tar.gz",
    ]
    assert list(fleet.folder.glob("criu-hosts-*")) == []
    # A build that fails changes no other host.
    assert done.of("fails").failed and done.of("waits").failed
    assert "Cannot build CRIU on 'fails': The compiler failed. Set criu_source" in done.of("fails").text
    assert "Cannot install CRIU on 'waits': 'fails', which builds it, failed" in done.of("waits").text
    assert fleet.calls("waits") == [] and fleet.state("waits")["installed"] is None


@pytest.mark.slow
def test_a_refusal_changes_no_host(fleet: Fleet) -> None:
    """One play refuses in turn; "stopped" is reported on each host, also on the one that needs no build."""
    tasks: list[dict[str, Any]] = [{"criu.hosts.facts": {}}]
    for number, (variables, dummy_sentence) in enumerate(REFUSALS):
        shown = f"stopped {number}: {{{{ ansible_failed_result['msg'] | default('by another host') }}}}"
        block = [
            {"ansible.builtin.include_role": {"name": "criu.hosts.criu"}, "vars": variables},
            {"ansible.builtin.debug": {"msg": "not refused"}},
        ]
        tasks.append({"block": block, "rescue": [{"ansible.builtin.debug": {"msg": shown}}]})
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (fleet.folder / "refusals.json").write_text(json.dumps(play), encoding="utf-8")
    good = {**GOOD, "platform": "debian 12 x86_64"}
    done = fleet.play({"first": (BAD, {}), "good": (good, {})}, playbook="refusals.json")
    first = done.of("first")
    for number, (variables, sentence) in enumerate(REFUSALS):
        (line,) = re.findall(rf'"msg": "stopped {number}: (.*)"', first.output)
        assert sentence in line, variables
        assert f'"msg": "stopped {number}: ' in done.of("good").output
    assert "not refused" not in done.stdout
    assert first.counts["changed"] == done.of("good").counts["changed"] == 0
    assert fleet.calls("first") == fleet.calls("good") == []


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["criu", "criu_preflight", "criu_install", "criu_configure"])
def test_each_tag_works_alone(fleet: Fleet, tag: str) -> None:
    done = fleet.play({"first": (BAD, {})}, "--tags", tag)
    assert done.returncode == 0, done.stdout
    assert fleet.calls("first") == (["built", "present"] if tag in ("criu", "criu_install") else [])
