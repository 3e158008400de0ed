# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs playbooks with wrong hosts and variables: each ends in its first task, with one sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "[web]\na\n[db]\nb\n[all:vars]\nansible_connection=local\nansible_become=false\n"
NAME = ("-e", "checkpoint_container_name=web")


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
            "the playbook restore_container has no variable restore_container_nmae. It has",
        ),
        ("build_criu", ("-e", "criu_artefact=x"), "a", "the playbook build_criu has no variable criu_artefact. It has"),
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
    env = {
        **os.environ,
        "ANSIBLE_HOME": str(tmp_path / "home"),
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default",
        "LC_ALL": "C.UTF-8",
    }
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(inventory), *arguments]
    done = subprocess.run(
        [*argv, str(ROOT / f"playbooks/{playbook}.yml")],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    failed = [line for line in done.stdout.splitlines() if line.startswith("fatal: ")]
    assert len(failed) == 1 and failed[0].startswith(f"fatal: [{host}]: ")
    assert sentence in json.loads(failed[0].split(" => ", 1)[1])["msg"]
    assert "ok=0 " in done.stdout and "changed=0 " in done.stdout
