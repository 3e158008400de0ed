# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook and role reboot_host on hosts that are this machine, with stand-ins for modules and systemctl.

ansible-core refuses to reboot the machine that it runs on, so all paths except the last are tested. The lab tests the
steps after a real reboot.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.tests.unit import plays, stand_ins
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Shown

MODULE = (
    "#!/usr/bin/python\n"
    + stand_ins.HOST
    + """\
from ansible.module_utils.basic import AnsibleModule
def main():
    module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
    host = load()
    host["calls"].append([NAME, module.params.get("name"), module.params.get("state"), module.check_mode])
    save(host)
    work(module, host)
"""
)
UNIT_INFO = """\
NAME, SPEC = "container_unit_info", {}
def work(module, host):
    module.exit_json(container_units=[host["units"][name] for name in sorted(host["units"])])
"""
CRIU_INFO = """\
NAME, SPEC = "criu_info", {}
def work(module, host):
    module.exit_json(criu={"reasons": [], "readiness": {"container": {"ready": True, "reasons": []}}})
"""
CHECKPOINT = """\
NAME = "container_checkpoint"
SPEC = {"name": {}, "state": {"default": "present"}, "leave_running": {"type": "bool"},
        "tcp_established": {"type": "bool"}, "file_locks": {"type": "bool"}}
def work(module, host):
    if module.params["state"] == "present" and host["units"][module.params["name"]].get("refuses"):
        module.fail_json(msg="It holds file locks.", reason="file_locks_needed")
    module.exit_json(changed=True)
"""
SYSTEMCTL = (
    f"#!{sys.executable}\n"
    + stand_ins.HOST
    + """\
import sys
host, verb, rest = load(), sys.argv[1], sys.argv[2:]
unit = host["units"].get(rest[0].replace(".service", "")) if rest else None
if verb == "show" and rest[0] == "*":
    print(host["shown"])
elif verb == "show":
    print("Id=%s\\nLoadState=loaded\\nActiveState=%s\\nSubState=x" % (rest[0], unit["state"]))
elif verb == "is-system-running":
    print("degraded")
elif verb in ("start", "stop"):
    host["calls"].append([verb, unit["name"]])
    unit["state"] = "active" if verb == "start" else "inactive"
    dumped = verb == "stop" and not unit.get("refuses") and not unit.get("breaks")
    kept = (unit["last"] or {}).get("action") == "dumped"
    action = ("dumped" if dumped else "clean_stop") if verb == "stop" else ("restored" if kept else "fresh")
    unit["last"] = {"action": action, "began": float(len(host["calls"])), "seconds": 0.5, "size_bytes": 1024,
                    "why": None, "label_proof": "enforcing", "labels": []}
    save(host)
"""
)
# The role without the reboot: units are stopped, and started as at boot.
WITHOUT_REBOOT = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: criu.hosts.reboot_host, tasks_from: plan}
    - ansible.builtin.command: {argv: [systemctl, stop, "{{ item }}.service"]}
      loop: [app, redis]
    - criu.hosts.container_unit_info:
      register: __reboot_host_stopped
    - ansible.builtin.command: {argv: [systemctl, start, redis.service]}
    - ansible.builtin.include_role: {name: criu.hosts.reboot_host, tasks_from: verify}
"""
SHOWN = "Id=redis.service\nActiveState=active\n\nId=app.service\nAfter=redis.service\nActiveState=active\n"


def unit(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "container": name,
        "state": "active",
        "enabled": True,
        "stateful": True,
        "tcp_established": False,
        "file_locks": False,
        "memory_bytes": 4096,
        "restart_due": False,
        "last": None,
        **more,
    }


# The hosts of each play: their units, and their variables.
PLAYED: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "loss": ([unit("redis"), unit("app", refuses=True), unit("web", stateful=False)], {}),
    "refused": (
        [unit("redis"), unit("app"), unit("web", stateful=False), unit("off", state="inactive")],
        {"reboot_host_rehearse": False},
    ),
    "accepted": ([unit("redis"), unit("app", refuses=True)], {"reboot_host_accept_loss": "app.service,web"}),
    "accepted-list": ([unit("redis"), unit("app", refuses=True)], {"reboot_host_accept_loss": ["app.service"]}),
    "accepted-all": ([unit("redis"), unit("app", refuses=True)], {"reboot_host_accept_loss": ["all"]}),
    "accepted-string": ([unit("redis"), unit("app", refuses=True)], {"reboot_host_accept_loss": "all"}),
    "dump-fails": ([unit("redis"), unit("app", breaks=True)], {}),
    **{
        f"wrong-{name}": ([unit("redis")], {f"reboot_host_{name}": value})
        for name, value in {"rehearse": "perhaps", "timeout": "soon", "accept_loss": {"app": True}}.items()
    },
}
CHECKED = {"checked": ([unit("redis"), unit("app")], {})}
MISTYPED = {"mistyped": ([unit("redis")], {"reboot_host_acept_loss": ["redis"]})}
# app does not start at boot, so the role starts it.
VERIFIED = {
    name: ([unit("redis", breaks=name == "lost"), unit("app", enabled=False)], {}) for name in ("restored", "lost")
}


@dataclass(frozen=True)
class Host:
    """A host after its play."""

    file: Path
    shown: Shown

    def calls(self, *verbs: str) -> list[Any]:
        return [call for call in json.loads(self.file.read_text(encoding="utf-8"))["calls"] if call[0] in verbs]

    def states(self) -> dict[str, tuple[str, str | None]]:
        """Returns state and last action of each unit."""
        units = json.loads(self.file.read_text(encoding="utf-8"))["units"]
        return {name: (one["state"], (one["last"] or {}).get("action")) for name, one in units.items()}


@pytest.fixture(name="played", scope="module")
def played_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Host]:
    """Plays all of them."""
    folder = tmp_path_factory.mktemp("hosts")
    collection = folder / "ansible_collections/criu/hosts"
    modules = collection / "plugins/modules"
    modules.mkdir(parents=True)
    for name in ("plugins/filter", "plugins/module_utils", "plugins/plugin_utils", "roles"):
        (collection / name).symlink_to(ROOT / name)
    for name, text in (
        ("container_unit_info", UNIT_INFO),
        ("criu_info", CRIU_INFO),
        ("container_checkpoint", CHECKPOINT),
    ):
        (modules / f"{name}.py").write_text(f"{MODULE}{text}main()\n", encoding="utf-8")
    (folder / "bin").mkdir()
    (folder / "bin/systemctl").write_text(SYSTEMCTL, encoding="utf-8")
    (folder / "bin/systemctl").chmod(0o755)
    (folder / "without_reboot.yml").write_text(WITHOUT_REBOOT, encoding="utf-8")
    found = {}
    playbook = (str(ROOT / "playbooks/reboot_host.yml"), "-e", "reboot_host_hosts=all", "-e", "reboot_host_serial=99")
    for hosts, arguments in (
        (PLAYED, playbook),
        (CHECKED, (*playbook, "--check")),
        (MISTYPED, playbook),
        (VERIFIED, ("without_reboot.yml",)),
    ):
        variables = {}
        for name, (units, given) in hosts.items():
            file = folder / f"{name}.json"
            state = {"units": {one["name"]: one for one in units}, "shown": SHOWN, "calls": []}
            file.write_text(json.dumps(state), encoding="utf-8")
            storage = {"reboot_host_storage": str(folder), "reboot_host_report_path": f"{folder}/{name}-report.json"}
            variables[name] = plays.host(file, **{**storage, **given})
        done = plays.play(folder, variables, *arguments)
        found.update({name: Host(folder / f"{name}.json", done.of(name)) for name in hosts})
    return found


def test_a_loss_ends_the_play_before_anything_is_stopped(played: dict[str, Host]) -> None:
    host = played["loss"]
    assert host.shown.failed
    assert "nothing was stopped: app would lose the state" in host.shown.text
    assert "app: It holds file locks." in host.shown.output
    assert host.calls("start", "stop") == []
    # The rehearsal is a real dump of each unit, and is removed.
    assert host.calls("container_checkpoint") == [
        ["container_checkpoint", "app", "present", False],
        ["container_checkpoint", "redis", "present", False],
        ["container_checkpoint", "app", "absent", False],
        ["container_checkpoint", "redis", "absent", False],
    ]


def test_what_was_stopped_is_started_again_when_the_reboot_is_refused(played: dict[str, Host]) -> None:
    host = played["refused"]
    assert host.shown.failed
    assert "Not rebooted: Running" in host.shown.output and "All units are running again." in host.shown.output
    assert host.calls("container_checkpoint") == [
        ["container_checkpoint", "app", "present", True],
        ["container_checkpoint", "redis", "present", True],
    ]
    assert host.calls("start", "stop") == [
        ["stop", "app"],
        ["stop", "redis"],
        ["start", "redis"],
        ["start", "app"],
    ]
    assert host.states() == {
        "redis": ("active", "restored"),
        "app": ("active", "restored"),
        "web": ("active", None),
        "off": ("inactive", None),
    }


@pytest.mark.parametrize("name", ["accepted", "accepted-list", "accepted-all", "accepted-string"])
def test_an_accepted_loss_does_not_end_the_play(played: dict[str, Host], name: str) -> None:
    """Units whose loss is accepted may be a list, a string, or all."""
    assert "Not rebooted: Running" in played[name].shown.output
    assert played[name].states() == {"redis": ("active", "restored"), "app": ("active", "fresh")}


def test_a_dump_that_fails_after_all_keeps_the_host_from_the_reboot(played: dict[str, Host]) -> None:
    host = played["dump-fails"]
    assert host.shown.failed
    assert "Not rebooted: app could not be dumped" in host.shown.text
    assert host.states()["redis"] == ("active", "restored")


def test_check_mode_tells_and_changes_nothing(played: dict[str, Host]) -> None:
    host = played["checked"]
    assert host.calls("start", "stop") == []
    assert {call[3] for call in host.calls("container_checkpoint")} == {True}
    assert "changed: [checked] => (item=app)" in host.shown.output
    assert host.states() == {"redis": ("active", None), "app": ("active", None)}


@pytest.mark.parametrize("name", VERIFIED)
def test_what_came_back_is_checked_and_reported(played: dict[str, Host], name: str) -> None:
    host, lost = played[name], name == "lost"
    assert host.shown.failed is lost, host.shown.output
    assert ("redis did not come back with the same state" in host.shown.output) is lost
    written = json.loads(host.file.with_name(f"{name}-report.json").read_text(encoding="utf-8"))
    assert written["plan"]["stop"] == ["app", "redis"]
    came_back = {one["name"]: one["came_back"] for one in written["report"]}
    assert came_back == {"redis": "fresh" if lost else "restored", "app": "restored"}


def test_a_mistyped_variable_is_an_error(played: dict[str, Host]) -> None:
    host = played["mistyped"]
    assert host.shown.failed
    assert "the playbook reboot_host has no variable reboot_host_acept_loss" in host.shown.text
    assert host.calls("container_checkpoint", "container_unit_info", "start", "stop") == []


@pytest.mark.parametrize("name", ["rehearse", "timeout", "accept_loss"])
def test_a_value_of_the_wrong_type_is_an_error(played: dict[str, Host], name: str) -> None:
    host = played[f"wrong-{name}"]
    assert host.shown.failed
    assert f"argument 'reboot_host_{name}' is of type" in host.shown.text.replace('\\"', '"')
    assert host.calls("container_checkpoint", "container_unit_info", "start", "stop") == []
