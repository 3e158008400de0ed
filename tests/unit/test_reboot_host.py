# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook and role reboot_host on this machine, with stand-ins for the modules and for systemctl.

ansible-core refuses to reboot the machine that it runs on, so all paths except the last are tested. The lab tests the
steps after a real reboot.
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

ROOT = Path(__file__).resolve().parents[2]

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


class Host:
    """This machine, as the stand-ins present it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "host.json"
        self.collection = folder / "ansible_collections/criu/hosts"
        modules = self.collection / "plugins/modules"
        modules.mkdir(parents=True)
        for name in ("plugins/filter", "plugins/module_utils", "roles"):
            (self.collection / name).symlink_to(ROOT / name)
        for name, text in (
            ("container_unit_info", UNIT_INFO),
            ("criu_info", CRIU_INFO),
            ("container_checkpoint", CHECKPOINT),
        ):
            (modules / f"{name}.py").write_text(f"{MODULE}{text}main()\n", encoding="utf-8")
        (folder / "bin").mkdir()
        (folder / "bin/systemctl").write_text(SYSTEMCTL, encoding="utf-8")
        (folder / "bin/systemctl").chmod(0o755)

    def play(
        self,
        units: list[dict[str, Any]],
        *arguments: str,
        playbook: Path = ROOT / "playbooks/reboot_host.yml",
        **variables: Any,
    ) -> subprocess.CompletedProcess[str]:
        host = {"units": {one["name"]: one for one in units}, "shown": SHOWN, "calls": []}
        self.file.write_text(json.dumps(host), encoding="utf-8")
        given = {
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "reboot_host_hosts": "localhost",
            "reboot_host_storage": str(self.folder),
            **variables,
        }
        env = {
            **os.environ,
            "STAND_IN": str(self.file),
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}",
            "ANSIBLE_COLLECTIONS_PATH": str(self.folder),
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
        argv += [*arguments, "-e", json.dumps(given), str(playbook)]
        return subprocess.run(argv, env=env, cwd=self.folder, capture_output=True, text=True, check=False)

    def calls(self, *verbs: str) -> list[Any]:
        return [call for call in json.loads(self.file.read_text(encoding="utf-8"))["calls"] if call[0] in verbs]

    def states(self) -> dict[str, tuple[str, str | None]]:
        """Returns state and last action of each unit."""
        units = json.loads(self.file.read_text(encoding="utf-8"))["units"]
        return {name: (one["state"], (one["last"] or {}).get("action")) for name, one in units.items()}


@pytest.fixture
def this_host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_loss_ends_the_play_before_anything_is_stopped(this_host: Host) -> None:
    done = this_host.play([unit("redis"), unit("app", refuses=True), unit("web", stateful=False)])
    assert done.returncode != 0
    assert "nothing was stopped: app would lose the state" in " ".join(done.stdout.split())
    assert "app: It holds file locks." in done.stdout
    assert this_host.calls("start", "stop") == []
    # The rehearsal is a real dump of each unit, and is removed.
    assert this_host.calls("container_checkpoint") == [
        ["container_checkpoint", "app", "present", False],
        ["container_checkpoint", "redis", "present", False],
        ["container_checkpoint", "app", "absent", False],
        ["container_checkpoint", "redis", "absent", False],
    ]


@pytest.mark.slow
def test_what_was_stopped_is_started_again_when_the_reboot_is_refused(this_host: Host) -> None:
    units = [unit("redis"), unit("app"), unit("web", stateful=False), unit("off", state="inactive")]
    done = this_host.play(units, reboot_host_rehearse=False)
    assert done.returncode != 0
    assert "Not rebooted: Running" in done.stdout and "All units are running again." in done.stdout
    assert this_host.calls("container_checkpoint") == [
        ["container_checkpoint", "app", "present", True],
        ["container_checkpoint", "redis", "present", True],
    ]
    assert this_host.calls("start", "stop") == [
        ["stop", "app"],
        ["stop", "redis"],
        ["start", "redis"],
        ["start", "app"],
    ]
    assert this_host.states() == {
        "redis": ("active", "restored"),
        "app": ("active", "restored"),
        "web": ("active", None),
        "off": ("inactive", None),
    }


def test_an_accepted_loss_does_not_end_the_play(this_host: Host) -> None:
    done = this_host.play([unit("redis"), unit("app", refuses=True)], reboot_host_accept_loss="app.service,web")
    assert "Not rebooted: Running" in done.stdout
    assert this_host.states() == {"redis": ("active", "restored"), "app": ("active", "fresh")}


@pytest.mark.slow
def test_a_dump_that_fails_after_all_keeps_the_host_from_the_reboot(this_host: Host) -> None:
    done = this_host.play([unit("redis"), unit("app", breaks=True)])
    assert done.returncode != 0
    assert "Not rebooted: app could not be dumped" in " ".join(done.stdout.split())
    assert this_host.states()["redis"] == ("active", "restored")


def test_check_mode_tells_and_changes_nothing(this_host: Host) -> None:
    done = this_host.play([unit("redis"), unit("app")], "--check")
    assert this_host.calls("start", "stop") == []
    assert {call[3] for call in this_host.calls("container_checkpoint")} == {True}
    assert "changed: [localhost] => (item=app)" in done.stdout
    assert this_host.states() == {"redis": ("active", None), "app": ("active", None)}


@pytest.mark.slow
@pytest.mark.parametrize("breaks", [False, True], ids=["restored", "lost"])
def test_what_came_back_is_checked_and_reported(this_host: Host, tmp_path: Path, breaks: bool) -> None:
    """app does not start at boot, so the role starts it."""
    playbook, report = tmp_path / "without_reboot.yml", tmp_path / "report.json"
    playbook.write_text(WITHOUT_REBOOT, encoding="utf-8")
    units = [unit("redis", breaks=breaks), unit("app", enabled=False)]
    done = this_host.play(units, playbook=playbook, reboot_host_report_path=str(report))
    assert (done.returncode != 0) is breaks, done.stdout
    assert ("redis did not come back with the same state" in done.stdout) is breaks
    written = json.loads(report.read_text(encoding="utf-8"))
    assert written["plan"]["stop"] == ["app", "redis"]
    came_back = {one["name"]: one["came_back"] for one in written["report"]}
    assert came_back == {"redis": "fresh" if breaks else "restored", "app": "restored"}


@pytest.mark.slow
@pytest.mark.parametrize("given", [["app.service"], ["all"], "all"], ids=["list", "all", "string"])
def test_units_whose_loss_is_accepted_may_be_a_list_or_all(this_host: Host, given: Any) -> None:
    done = this_host.play([unit("redis"), unit("app", refuses=True)], reboot_host_accept_loss=given)
    assert "Not rebooted: Running" in done.stdout
    assert this_host.states() == {"redis": ("active", "restored"), "app": ("active", "fresh")}


def test_a_mistyped_variable_is_an_error(this_host: Host) -> None:
    done = this_host.play([unit("redis")], reboot_host_acept_loss=["redis"], reboot_host_serial=1)
    assert done.returncode != 0
    text = " ".join(done.stdout.split())
    assert "the playbook reboot_host has no variable reboot_host_acept_loss" in text
    assert this_host.calls("container_checkpoint", "container_unit_info", "start", "stop") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("reboot_host_rehearse", "perhaps"), ("reboot_host_timeout", "soon"), ("reboot_host_accept_loss", {"app": True})],
)
def test_a_value_of_the_wrong_type_is_an_error(this_host: Host, name: str, value: Any) -> None:
    done = this_host.play([unit("redis")], **{name: value})
    assert done.returncode != 0
    assert f"argument '{name}' is of type" in " ".join(done.stdout.replace('\\"', '"').split())
    assert this_host.calls("container_checkpoint", "container_unit_info", "start", "stop") == []
