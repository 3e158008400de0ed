# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the playbook enable_host with stand-ins for the modules that look at the host or change it.

What criu_info returns is that of the real module for a recorded host.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu.offer import ASK
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import host_report
from ansible_collections.criu.hosts.tests.unit import criu_host, plays, recorded_hosts, stand_ins
from ansible_collections.criu.hosts.tests.unit.harness import Reply
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Shown

# More tasks than these in a run that finds nothing to change would make it slow on hundreds of hosts.
MOST_TASKS = 15
QUICK = ["binary", "config", "runtimes", "kernel", "offer", "readiness"]
ARTIFACT = b"artifact"
CHECKSUM = "c" * 64
FILES = {
    "enforcing": {"/sys/fs/selinux/enforce": "1"},
    "permissive": {"/sys/fs/selinux/enforce": "0"},
    "apparmor": {
        "/etc/selinux/config": "SELINUX=disabled\n",
        "/sys/module/apparmor/parameters/enabled": "Y\n",
        "/sys/kernel/security/lsm": "lockdown,capability,landlock,yama,apparmor,bpf",
        "/sys/kernel/security/apparmor/profiles": "containers-default-0.62.2 (enforce)\n",
    },
}
HEAD = """\
#!/usr/bin/python
from ansible.module_utils.basic import AnsibleModule
SPEC = {name: {"type": "raw"} for name in
        "gather name persistent priority purposes state unconfined_dyntrans_all value".split()}
module = AnsibleModule(argument_spec=SPEC, supports_check_mode=True)
"""
HEAD += stand_ins.HOST
MODULES = {
    "facts": HEAD + 'module.exit_json(ansible_facts=load()["facts"])\n',
    "criu_info": HEAD + 'module.exit_json(criu=load()["quick" if module.params["gather"] else "full"])\n',
    "criu_policy": HEAD + f'module.exit_json(changed=load()["changes"], policy={{"checksum": "{CHECKSUM}"}})\n',
    "selinux_boolean": HEAD + "module.exit_json()\n",
    # The package manager of a host that has none of the packages; it would install what it is asked for.
    "packages": HEAD + "module.exit_json(changed=module.check_mode)\n",
}
# Modules that the roles may load, and that no test here lets them call
OTHERS = HEAD + 'module.fail_json(msg="a stand-in")\n'


@dataclass
class Stage:
    """A folder with the collection's roles and playbooks, and stand-ins for its modules."""

    folder: Path
    ask: Callable[..., dict[str, Any]]

    def build(self) -> None:
        collection = self.folder / "ansible_collections/criu/hosts"
        modules = collection / "plugins/modules"
        modules.mkdir(parents=True)
        for name in ("plugins/filter", "plugins/module_utils", "roles", "playbooks", "meta", "galaxy.yml"):
            (collection / name).symlink_to(ROOT / name)
        for path in (ROOT / "plugins/modules").glob("*.py"):
            (modules / path.name).write_text(OTHERS, encoding="utf-8")
        for name, text in MODULES.items():
            (modules / f"{name}.py").write_text(text, encoding="utf-8")
        others = self.folder / "ansible_collections/containers/podman/plugins/modules"
        for name in ("podman_container", "podman_image", "podman_import"):
            criu_host.put(others / f"{name}.py", OTHERS)
        first = [{"hosts": "all", "gather_facts": False, "tasks": [{"criu.hosts.facts": {}}]}]
        (self.folder / "facts.yml").write_text(json.dumps(first), encoding="utf-8")
        criu_host.put(self.folder / "bin/restorecon", "#!/bin/sh\nexit 0\n", 0o755)
        criu_host.put(self.folder / "criu.tar.gz", ARTIFACT)

    def host(self, name: str, state: dict[str, Any], **variables: Any) -> dict[str, Any]:
        """Writes the state of a host; returns its variables in a play."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(state), encoding="utf-8")
        # The package lists of this machine are left alone.
        given = {"ansible_package_use": "criu.hosts.packages", "__criu_lists_updated": True}
        return plays.host(file, **given, **variables)

    def play(self, hosts: dict[str, dict[str, Any]], *arguments: str) -> dict[str, Shown]:
        # The first play gives the facts, so that the role need not gather any. So the recap counts as many tasks as on
        # a host, where the role gathers them.
        done = plays.play(self.folder, hosts, *arguments, "facts.yml", "criu.hosts.enable_host")
        assert done.returncode == 0, done.stdout + done.stderr
        return {name: done.of(name) for name in hosts}


def facts(security: str, proved: dict[str, Any] | None = None) -> dict[str, Any]:
    on = {"status": "enabled", "mode": security, "policyvers": 33, "type": "default"}
    return {
        "ansible_distribution": "Debian",
        "ansible_distribution_major_version": "13",
        "ansible_distribution_version": "13.1",
        "ansible_os_family": "Debian",
        "ansible_kernel": "6.12.117",
        "ansible_local": {"checkpoint_host": {"ground": proved}} if proved else {},
        "ansible_python": {"executable": sys.executable},
        "ansible_selinux": {"status": "disabled"} if security == "apparmor" else on,
        "ansible_selinux_python_present": True,
        "ansible_apparmor": {"status": "enabled" if security == "apparmor" else "disabled"},
    }


def ground(criu: dict[str, Any], policy: str) -> dict[str, Any]:
    """The proof that an earlier run has recorded."""
    return {
        "kernel": "6.12.117",
        "criu": f"{criu['version']} {criu['sha256']}",
        "podman": criu["podman"]["version"],
        "runtimes": [one["version"] for one in criu["runtimes"] if one["checkpoint"]],
        "selinux": criu["lsm"]["selinux"]["mode"],
        "lsm": criu["lsm"]["ruling"],
        "policy": policy,
    }


@pytest.fixture(name="stage")
def stage_fixture(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(host_report, "load_library", lambda dummy_name: None)

    def ask(name: str, files: dict[str, str], *, ours: bool = False, without: tuple[str, ...] = ()) -> dict[str, Any]:
        root = tmp_path / f"host-{len(list(tmp_path.iterdir()))}"
        host = recorded_hosts.place(root, name, files=files)
        for path in (*without, *([] if "/sys/fs/selinux/enforce" in files else ["sys/fs/selinux/enforce"])):
            (root / path).unlink()
        host.replies = [*host.replies, Reply(list(ASK), "Version: 4.1.1-1\nDepends: libbsd0, libnet1\n")]
        if ours:
            recorded_hosts.install_ours(root)
        found = {"full": module("criu_info", {}, host=host).result["criu"]}
        found["quick"] = module("criu_info", {"gather": QUICK}, host=host).result["criu"]
        return found

    stage = Stage(tmp_path / "stage", ask)
    stage.build()
    return stage


def enabled(stage: Stage, security: str, **changes: Any) -> dict[str, Any]:
    """A host that an earlier run has prepared, with the CRIU of the artifact."""
    found = stage.ask("debian13-enabled", FILES[security], ours=True)
    for one in found.values():
        one["installed"]["artifact_sha256"] = hashlib.sha256(ARTIFACT).hexdigest()
        one.update(changes)
    policy = "" if security == "apparmor" else CHECKSUM
    return {**found, "changes": False, "facts": facts(security, ground(found["quick"], policy))}


@pytest.mark.slow
def test_a_run_that_finds_nothing_to_change_is_short(stage: Stage) -> None:
    text = "Debian forky/sid is experimental: it is treated like Debian 13, and nothing was run there."
    experimental = enabled(stage, "permissive", support={"level": "experimental", "text": text})
    experimental["facts"].update(ansible_distribution_version="forky/sid")
    shown = stage.play(
        {
            "enforcing": stage.host("enforcing", enabled(stage, "enforcing"), criu_artifact="criu.tar.gz"),
            "apparmor": stage.host("apparmor", enabled(stage, "apparmor")),
            "experimental": stage.host("experimental", experimental, criu_artifact="criu.tar.gz"),
        }
    )
    for name, done in shown.items():
        assert (done.counts["changed"], done.counts["failed"]) == (0, 0), done.output
        assert done.counts["ok"] <= MOST_TASKS, done.tasks
        assert "criu.hosts.checkpoint_host : Run the self-test" not in done.tasks, "the proof of an earlier run holds"
        assert done.output.count("is experimental: ") == (name == "experimental"), done.output


@pytest.mark.slow
def test_check_mode(stage: Stage) -> None:
    """On hosts that have no CRIU, no Podman and no OCI runtime it fails nowhere; with SELinux one has no bindings.

    On another host, a policy that was not proved is proved again.
    """
    programs = ("usr/sbin/criu", "usr/bin/podman", "usr/sbin/runc", "usr/bin/crun", "usr/sbin/nft")
    hosts = {}
    for security in ("apparmor", "enforcing"):
        found = stage.ask("debian13-virgin", FILES[security], without=programs)
        assert found["full"]["path"] is found["full"]["podman"]["path"] is None
        assert found["quick"]["offer"]["why_not"] == "CRIU is not installed"
        host = {**found, "changes": True, "facts": {**facts(security), "ansible_selinux_python_present": False}}
        hosts[security] = stage.host(security, host)
    other = enabled(stage, "enforcing")
    other["facts"]["ansible_local"]["checkpoint_host"]["ground"]["policy"] = "d" * 64
    hosts["other-policy"] = stage.host("other-policy", other)
    shown = stage.play(hosts, "--check", "-e", "__criu_build_space=1")
    assert "criu.hosts.checkpoint_host : Run the self-test" in shown["other-policy"].tasks
    for security in ("apparmor", "enforcing"):
        done = shown[security]
        assert done.counts["failed"] == done.counts["rescued"] == 0, done.output
        assert done.counts["changed"] > 0, "the packages that would be installed"
        # Debian's CRIU keeps AppArmor's profiles and loses SELinux's labels.
        built = f"CRIU would be built on {security} and installed here." in done.output
        assert built is (security != "apparmor"), done.output
        names = {task.rpartition(" : ")[2] for task in done.tasks}
        assert {"Install the packages", "Install Podman and its runtimes", "Record the proof"} <= names, done.output
