# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the role crio_checkpoint on this machine with commands that print what CRI-O and a kubelet print.

crio --version is what https://github.com/kata-containers/kata-containers/issues/11281 has of CRI-O 1.29.1, with another
number for another release. systemctl records the restarts; the files go into a folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomllib
import yaml

from ansible_collections.criu.hosts.tests.unit import stand_ins

ROOT = Path(__file__).resolve().parents[2]
RECORDED = (ROOT / "tests/unit/fixtures/crio/public-1.29.1-version.txt").read_text(encoding="utf-8")
INFO = (
    "#!/usr/bin/python\n"
    + stand_ins.HOST
    + """\
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"gather": {"type": "raw"}}, supports_check_mode=True)
module.exit_json(criu=load()["criu"])
"""
)
PLAY = """\
- hosts: all
  gather_facts: false
  environment:
    PATH: "{{ folder }}/bin:/usr/bin:/bin"
    STAND_IN: "{{ folder }}/host.json"
  tasks:
    - ansible.builtin.import_role: {name: criu.hosts.crio_checkpoint}
"""
# What the module systemd_service asks of a unit that runs.
SYSTEMCTL = """\
#!/bin/sh
case "$1 $2" in
"show "*) printf 'LoadState=loaded\\nActiveState=active\\nUnitFileState=enabled\\n' ;;
"restart "*) echo "$2" >> "{folder}/restarted" ;;
*) exit 1 ;;
esac
"""


class Node:
    """A node: its programs, and the files that the role writes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        collection = folder / "ansible_collections/criu/hosts"
        (collection / "plugins/modules").mkdir(parents=True)
        for name in ("plugins/module_utils", "plugins/filter", "roles"):
            (collection / name).symlink_to(ROOT / name)
        (collection / "plugins/modules/criu_info.py").write_text(INFO, encoding="utf-8")
        (folder / "bin").mkdir()
        (folder / "play.yml").write_text(PLAY, encoding="utf-8")
        self.put("systemctl", SYSTEMCTL.replace("{folder}", str(folder)))
        self.put_criu("/usr/sbin/criu")

    def put(self, name: str, text: str) -> None:
        (self.folder / "bin" / name).write_text(text, encoding="utf-8")
        (self.folder / "bin" / name).chmod(0o755)

    def put_criu(self, path: str | None) -> None:
        (self.folder / "host.json").write_text(json.dumps({"criu": {"path": path}}), encoding="utf-8")

    def put_versions(self, crio: str, kubernetes: str = "") -> None:
        self.put("crio", f"#!/bin/sh\ncat <<'END'\n{RECORDED.replace('1.29.1', crio)}END\n")
        if kubernetes:
            self.put("kubelet", f"#!/bin/sh\necho Kubernetes v{kubernetes}\n")

    def run(self, *arguments: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "folder": str(self.folder),
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "__crio_checkpoint_dropin_path": str(self.dropin),
            **variables,
        }
        env = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{self.folder}:{ROOT / '.build'}",
            "ANSIBLE_HOME": str(self.folder / "home"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", "node,", *arguments, "-e", json.dumps(given)]
        return subprocess.run(
            [*argv, "play.yml"], env=env, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def done(self, *arguments: str, changed: int, **variables: Any) -> None:
        run = self.run(*arguments, **variables)
        assert run.returncode == 0, run.stdout + run.stderr
        assert f"changed={changed} " in run.stdout, run.stdout

    @property
    def dropin(self) -> Path:
        return self.folder / "etc/crio/crio.conf.d/90-criu-hosts.conf"

    @property
    def settings(self) -> dict[str, Any]:
        return tomllib.loads(self.dropin.read_text(encoding="utf-8"))["crio"]  # type: ignore[no-any-return]

    @property
    def restarted(self) -> list[str]:
        file = self.folder / "restarted"
        return file.read_text(encoding="utf-8").split() if file.exists() else []


@pytest.fixture(name="node")
def node_fixture(tmp_path: Path) -> Node:
    if os.geteuid():
        pytest.skip("the role gives its files to root, so this test runs as root")
    return Node(tmp_path)


BOTH = {"crio_checkpoint_level": "checkpoint_restore"}
SETTINGS: list[Any] = [
    pytest.param(
        "1.37.0",
        {},
        {
            "runtime": {"enable_criu_support": True},
            "checkpoint_restore": {"container_level_enabled": "checkpoint_only"},
        },
        id="1.37",
    ),
    pytest.param(
        "1.37.0",
        {"crio_checkpoint_level": "none"},
        {"runtime": {"enable_criu_support": False}, "checkpoint_restore": {"container_level_enabled": "none"}},
        id="1.37-none",
    ),
    pytest.param("1.36.3", BOTH, {"runtime": {"enable_criu_support": True}}, id="1.36"),
    pytest.param("1.25.1", BOTH, {"runtime": {"enable_criu_support": True, "drop_infra_ctr": False}}, id="1.25"),
    pytest.param("1.25.1", {"crio_checkpoint_level": "none"}, {"runtime": {"enable_criu_support": False}}, id="none"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "variables", "expected"), SETTINGS)
def test_settings_of_each_release(
    node: Node, version: str, variables: dict[str, Any], expected: dict[str, Any]
) -> None:
    """docs/crio.conf.5.md of the tags v1.25.0, v1.36.3 and of the branch release-1.37 has these keys."""
    node.put_versions(version)
    node.done(changed=3, **variables)
    assert node.settings == expected and node.restarted == ["crio.service"]
    assert node.dropin.stat().st_mode & 0o777 == 0o644


@pytest.mark.slow
def test_check_mode_second_run_and_removal(node: Node) -> None:
    node.put_versions("1.37.0")
    node.done("--check", changed=3)
    assert not node.dropin.exists() and node.restarted == []
    node.done(changed=3)
    node.done(changed=0)
    assert node.restarted == ["crio.service"]
    node.done("--check", changed=2, crio_checkpoint_state="absent")
    assert node.dropin.exists()
    node.done(changed=2, crio_checkpoint_state="absent")
    assert not node.dropin.exists() and node.restarted == ["crio.service"] * 2
    node.done(changed=0, crio_checkpoint_state="absent")


@pytest.mark.slow
def test_the_kubelet_gets_a_drop_in_only_before_1_30(node: Node) -> None:
    folder = node.folder / "kubelet.conf.d"
    folder.mkdir()
    given = {**BOTH, "crio_checkpoint_kubelet_config_dir": str(folder)}
    node.put_versions("1.29.1", "1.29.14")
    node.done(changed=5, **given)
    assert yaml.safe_load((folder / "90-criu-hosts.conf").read_text(encoding="utf-8")) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "featureGates": {"ContainerCheckpoint": True},
    }
    node.done(changed=0, **given)
    assert node.restarted == ["crio.service", "kubelet.service"]
    node.put_versions("1.30.2", "1.30.2")
    node.done(changed=2, **given)
    assert list(folder.iterdir()) == [] and node.restarted[2:] == ["kubelet.service"]


@pytest.mark.slow
def test_the_manifest(node: Node) -> None:
    path = node.folder / "rbac.yml"
    subjects = [
        {"kind": "User", "name": "alice: 'a'"},
        {"kind": "ServiceAccount", "name": "checkpointer", "namespace": "ops"},
    ]
    given = {"crio_checkpoint_rbac_path": str(path), "crio_checkpoint_rbac_subjects": subjects}
    node.put_versions("1.37.0")
    node.done(changed=4, **given)
    role, binding = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    assert (role["kind"], role["rules"]) == (
        "ClusterRole",
        [{"apiGroups": [""], "resources": ["nodes/checkpoint"], "verbs": ["create"]}],
    )
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": role["metadata"]["name"],
    }
    assert binding["subjects"] == [
        {"kind": "ServiceAccount", "name": "checkpointer", "namespace": "ops"},
        {"kind": "User", "name": "alice: 'a'", "apiGroup": "rbac.authorization.k8s.io"},
    ]
    node.done(changed=3, crio_checkpoint_state="absent", **given)
    assert not path.exists()


REFUSED: list[Any] = [
    pytest.param("1.36.3", {}, "CRI-O 1.36 has one switch for both, and 1.37 is the first with two", id="no-levels"),
    pytest.param("1.24.6", BOTH, "its version is 1.24, and 1.25 or newer is needed", id="too-old"),
    pytest.param("", BOTH, "its version is unknown, and 1.25 or newer is needed", id="no-crio"),
    pytest.param("1.37.0", {"no_criu": True}, "CRIU is not installed, and CRI-O would switch them off", id="no-criu"),
    pytest.param(
        "1.37.0", {"crio_checkpoint_kubelet_config_dir": "/x"}, "there is no kubelet in PATH", id="no-kubelet"
    ),
    pytest.param("1.37.0", {"crio_checkpoint_rbac_path": "/x"}, "it needs those who get the permission", id="nobody"),
    pytest.param(
        "1.37.0",
        {
            "crio_checkpoint_rbac_path": "/x",
            "crio_checkpoint_rbac_subjects": [{"kind": "ServiceAccount", "name": "a"}],
        },
        "of a service account its namespace",
        id="no-namespace",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "variables", "why"), REFUSED)
def test_a_refusal_changes_nothing(node: Node, version: str, variables: dict[str, Any], why: str) -> None:
    if version:
        node.put_versions(version)
    if variables.pop("no_criu", False):
        node.put_criu(None)
    run = node.run(**variables)
    assert run.returncode == 2 and why in " ".join(run.stdout.split()), run.stdout
    assert not node.dropin.exists() and node.restarted == [] and "changed=0 " in run.stdout


@pytest.mark.slow
def test_each_tag_works_alone(node: Node) -> None:
    node.put_versions("1.37.0")
    node.done("--tags", "crio_checkpoint_preflight", changed=0)
    node.done("--tags", "crio_checkpoint_configure", changed=3)
