# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the tasks of the role checkpoint_host that judge the labels after a self-test, for many hosts in one play."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.tests.unit.apparmor import PROFILE
from ansible_collections.criu.hosts.tests.unit.containers import LABEL

ROLE = Path(__file__).resolve().parents[2] / "roles/checkpoint_host"
JUDGES = ("Check that the labels of its threads were compared", "Add the result to the proof")


def entry(before: str, after: str, threads: int = 5) -> dict[str, Any]:
    tids = [str(1 + number) for number in range(threads)]
    return {"pid": "1", "comm": "python3", "threads": threads, "tids": tids, "before": before, "after": after}


# The mode of SELinux, whether AppArmor is on, and what container_restore returns.
PROVED: dict[str, tuple[str, bool, str, list[dict[str, Any]]]] = {
    "apparmor": ("disabled", True, "apparmor", [entry(PROFILE, PROFILE)]),
    "enforcing": ("enforcing", False, "enforcing", [entry(LABEL, LABEL)]),
    "selinux-goes-before-apparmor": ("permissive", True, "permissive", [entry(LABEL, LABEL)]),
    "no-lsm": ("disabled", False, "selinux_disabled", []),
}
REFUSED = {
    "nothing-was-compared": ("disabled", True, "selinux_disabled", []),
    "profile-is-not-known": ("disabled", True, "label_unknown", [entry(PROFILE, PROFILE)]),
    "one-thread": ("disabled", True, "apparmor", [entry(PROFILE, PROFILE, 1)]),
    "no-profile": ("disabled", True, "apparmor", [entry("", "")]),
    "another-profile": ("disabled", True, "apparmor", [entry(PROFILE, "unconfined")]),
    "profile-instead-of-context": ("enforcing", True, "apparmor", [entry(PROFILE, PROFILE)]),
}


def variables(selinux: str, apparmor: bool, proof: str, labels: list[dict[str, Any]]) -> dict[str, Any]:
    counters = [{"stdout_lines": [json.dumps({"nonce": "5eed", "counters": [count] * 4})]} for count in (9, 18)]
    return {
        "criu_report": {"lsm": {"selinux": {"mode": selinux}, "apparmor": {"enabled": apparmor}}},
        "__checkpoint_host_runtime": "crun",
        "__checkpoint_host_restored": {"label_proof": proof, "labels": labels},
        "__checkpoint_host_before": counters[0],
        "__checkpoint_host_after": counters[1],
    }


@pytest.fixture(scope="module", name="judged")
def judged_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Returns the facts of each host: the proofs, or the message of the failure."""
    folder = tmp_path_factory.mktemp("play")
    (block,) = yaml.safe_load((ROLE / "tasks/self_test_runtime.yml").read_text(encoding="utf-8"))
    tasks = [task for task in block["block"] if task["name"] in JUDGES]
    assert [task["name"] for task in tasks] == list(JUDGES)
    failed = {"ansible.builtin.set_fact": {"said": "{{ ansible_failed_result['msg'] }}"}}
    facts = "{{ [inventory_hostname, __checkpoint_host_proofs | default([]), said | default('')] | to_json }}"
    told = {"ansible.builtin.debug": {"msg": f"judged {facts}"}}
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"block": tasks, "rescue": [failed]}, told]}
    (folder / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    hosts = {name: variables(*given) for name, given in {**PROVED, **REFUSED}.items()}
    common = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    common.update(yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8")))
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": hosts, "vars": common}}), encoding="utf-8")
    env = {**os.environ, "ANSIBLE_HOME": str(folder / "home"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "hosts.yml", "play.yml"]
    done = subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    texts = (json.loads(text) for text in re.findall(r'^ *"msg": (".*")$', done.stdout, re.M))
    found = [json.loads(text.removeprefix("judged ")) for text in texts if text.startswith("judged ")]
    # ansible-core 2.18 renders a number as text.
    proved = {name: [{**one, "threads": int(one["threads"])} for one in proofs] for name, proofs, dummy_said in found}
    return {name: {"proofs": proved[name], "said": said} for name, dummy_proofs, said in found}


def test_the_profile_of_each_thread_is_in_the_proof(judged: dict[str, Any]) -> None:
    assert judged["apparmor"]["proofs"] == [
        {
            "runtime": "crun",
            "label_proof": "apparmor",
            "threads": 5,
            "label_before": PROFILE,
            "label_after": PROFILE,
            "counters_before": [9] * 4,
            "counters_after": [18] * 4,
        }
    ]


@pytest.mark.parametrize("name", PROVED)
def test_what_was_compared_is_a_proof(judged: dict[str, Any], name: str) -> None:
    (proof,) = judged[name]["proofs"]
    assert judged[name]["said"] == ""
    assert (proof["label_proof"], proof["threads"]) == (PROVED[name][2], 5 if PROVED[name][3] else 0)


@pytest.mark.parametrize("name", REFUSED)
def test_what_proves_nothing_fails(judged: dict[str, Any], name: str) -> None:
    selinux, dummy_apparmor, proof, labels = REFUSED[name]
    expected = "apparmor" if selinux == "disabled" else selinux
    assert judged[name] == {
        "proofs": [],
        "said": "The self-test failed: after the restore with crun, the labels of the container 'criu-hosts-self-test' "
        f"are not proved. Expected label_proof '{expected}' with at least 5 threads, found '{proof}' with "
        f"{sum(one['threads'] for one in labels)}.",
    }
