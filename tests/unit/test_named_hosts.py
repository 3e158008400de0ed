# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks with wrong hosts and variables: each ends in its first task, with one sentence."""

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

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "[web]\na\n[db]\nb\n[all:vars]\nansible_connection=local\nansible_become=false\n"
NAME = ("-e", "checkpoint_container_name=web")


def ansible_playbook(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a playbook with the collection installed in a folder."""
    env = {
        **os.environ,
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_COLLECTIONS_PATH": str(folder),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "LC_ALL": "C.UTF-8",
    }
    argv = [sys.executable, "-m", "ansible", "playbook", *arguments]
    return subprocess.run(argv, env=env, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("playbook", "arguments", "host", "sentence"),
    [
        ("reboot_host", (), "localhost", "Cannot reboot hosts: no host is named"),
        (
            "checkpoint_container",
            ("-e", "checkpoint_container_hosts=wbe", *NAME),
            "localhost",
            "Cannot checkpoint a container: no host of the inventory matches wbe. Correct the inventory (-i),",
        ),
        (
            "checkpoint_container",
            ("-e", "checkpoint_container_hosts=web", "--limit", "db", *NAME),
            "b",
            "no host of the inventory matches web within the limit db.",
        ),
        ("checkpoint_container", ("--limit", "web"), "a", "checkpoint_container_name is not set."),
        (
            "checkpoint_process",
            ("--limit", "web", "-e", "checkpoint_process_images_path=/x"),
            "a",
            "checkpoint_process_pid or checkpoint_process_pid_file or checkpoint_process_unit is not set.",
        ),
        (
            "restore_container",
            ("--limit", "web", "-e", "restore_container_nmae=web"),
            "a",
            "has no variable restore_container_nmae (did you mean restore_container_name?). It has restore_container_",
        ),
        (
            "build_criu",
            ("-e", "criu_artefact=x"),
            "a",
            "the playbook build_criu has no variable criu_artefact (did you mean criu_artifact?). It has build_criu_",
        ),
        ("enable_host", ("-e", "enable_host_hosts=wbe"), "localhost", "Cannot prepare hosts: no host of the inventory"),
    ],
)
def test_a_refusal_is_one_sentence(
    tmp_path: Path, playbook: str, arguments: tuple[str, ...], host: str, sentence: str
) -> None:
    inventory, collection = tmp_path / "hosts", tmp_path / "ansible_collections/criu/hosts"
    collection.parent.mkdir(parents=True)
    collection.symlink_to(ROOT)
    inventory.write_text(INVENTORY, encoding="utf-8")
    done = ansible_playbook(tmp_path, "-i", str(inventory), *arguments, str(ROOT / f"playbooks/{playbook}.yml"))
    assert done.returncode != 0
    failed = [line for line in done.stdout.splitlines() if line.startswith("fatal: ")]
    assert len(failed) == 1 and failed[0].startswith(f"fatal: [{host}]: ")
    assert sentence in json.loads(failed[0].split(" => ", 1)[1])["msg"]
    assert "ok=0 " in done.stdout and "changed=0 " in done.stdout


def plays() -> dict[str, dict[str, Any]]:
    """The variables of the play of each playbook that checks them."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "playbooks").glob("*.yml"))]
    found = [play["vars"] for text in texts for play in yaml.safe_load(text) if "hosts" in play]
    return {one["__playbook"]: one for one in found}


def all_variables() -> set[str]:
    """The variables of all roles and playbooks."""
    names = {name for play in plays().values() for name in play.get("__playbook_variables", ())}
    for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"):
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values()
        names.update(name for entry in entries for name in entry["options"])
    return names | {f"{name}_hosts" for name in plays()}


@pytest.fixture(name="refusals", scope="module")
def refusals_fixture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What each playbook says of the variables of all roles and playbooks; and of a mistyped one of each besides.

    One play evaluates the file of variables that every playbook loads, with the variables of each playbook in turn.
    """
    folder = tmp_path_factory.mktemp("shared")
    collection = folder / "ansible_collections/criu/hosts"
    (collection / "playbooks").mkdir(parents=True)
    for path in (ROOT / "playbooks").iterdir():
        (collection / "playbooks" / path.name).symlink_to(path)
    for name in ("plugins", "roles", "meta", "galaxy.yml"):
        (collection / name).symlink_to(ROOT / name)
    answer = "{{ [inventory_hostname, __playbook, __playbook_refusal] | to_json }}"
    tasks = [{"ansible.builtin.debug": {"msg": f"answer {answer}"}, "vars": play} for play in plays().values()]
    known = "{{ [inventory_hostname, 'all', __playbook_elsewhere] | to_json }}"
    tasks.append({"ansible.builtin.debug": {"msg": f"answer {known}"}})
    play = {"hosts": "all", "gather_facts": False, "vars_files": ["vars/check.yml"], "tasks": tasks}
    (collection / "playbooks/answers.yml").write_text(json.dumps([play]), encoding="utf-8")
    given = dict.fromkeys(all_variables(), "all")
    typed = {**dict.fromkeys((f"{name}_hsots" for name in plays()), "all"), "criu_artefact": "x"}
    hosts = {"shared": given, "typed": {**given, **typed}}
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    done = ansible_playbook(folder, "-i", "hosts.json", str(collection / "playbooks/answers.yml"))
    assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    texts = [json.loads(text) for text in re.findall(r'^ *"msg": (".*")$', done.stdout, re.MULTILINE)]
    found: dict[str, dict[str, str]] = {"shared": {}, "typed": {}}
    for host, playbook, refusal in (json.loads(text.removeprefix("answer ")) for text in texts):
        found[host][playbook] = refusal
    return found


@pytest.mark.slow
def test_variables_of_all_roles_and_playbooks_may_be_given_to_each(refusals: dict[str, dict[str, str]]) -> None:
    assert {"criu_artifact_path", "nextcloud_name", "criu_build_hosts"} <= all_variables()
    assert set(refusals["shared"]["all"].split()) == all_variables()
    assert refusals["shared"] == {**dict.fromkeys(plays(), ""), "all": refusals["shared"]["all"]}


@pytest.mark.slow
@pytest.mark.parametrize("playbook", plays())
def test_a_mistyped_variable_is_refused_besides_them(refusals: dict[str, dict[str, str]], playbook: str) -> None:
    text = refusals["typed"][playbook]
    assert text.startswith(f"the playbook {playbook} has no variable ")
    assert f"{playbook}_hsots (did you mean {playbook}_hosts?)" in text
    takes_criu = "criu" in plays()[playbook].get("__playbook_roles", ())
    assert ("criu_artefact (did you mean criu_artifact?)" in text) is takes_criu
