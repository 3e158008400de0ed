# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the trust policy by the role checkpoint_host, and lets the reader of the modules read it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import Verdict, find_signer
from ansible_collections.criu.hosts.plugins.module_utils._store.trust import Policy, read_policy
from ansible_collections.criu.hosts.tests.unit.trusted import RUNNER, make_key, needs, sign

ROOT = Path(__file__).resolve().parents[2]
PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: criu.hosts.checkpoint_host, tasks_from: trust}
"""


class Role:
    """Runs the part of the role that writes the policy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "etc/criu-hosts"
        self.settings.parent.mkdir()
        (folder / "play.yml").write_text(PLAY, encoding="utf-8")

    def run(self, trust: dict[str, Any], *options: str) -> subprocess.CompletedProcess[str]:
        variables = {"checkpoint_host_trust": trust, "__checkpoint_host_settings_dir": str(self.settings)}
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
        argv += ["-e", json.dumps({**variables, "ansible_python_interpreter": sys.executable}), *options, "play.yml"]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(argv, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def applied(self, trust: dict[str, Any]) -> Policy | None:
        done = self.run(trust)
        assert done.returncode == 0, done.stdout + done.stderr
        return read_policy(Paths(str(self.folder)))


@pytest.fixture(name="role")
def role_fixture(tmp_path: Path) -> Role:
    (tmp_path / "role").mkdir()
    return Role(tmp_path / "role")


@pytest.mark.slow
@needs("ssh-keygen")
def test_policy_and_signers(role: Role, tmp_path: Path) -> None:
    key = make_key(tmp_path)
    public = key.with_name("key.pub").read_text(encoding="utf-8").strip()
    trust = {"signers": [{"name": "backup@example.com", "key": public}], "images": ["docker.io/*"], "mounts": []}
    assert role.applied(trust) == Policy(signers=("backup@example.com",), images=("docker.io/*",), mounts=())
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}", encoding="utf-8")
    sign(manifest, key)
    signers = str(role.settings / "allowed_signers")
    assert find_signer(RUNNER, b"{}", str(manifest), signers) == Verdict("backup@example.com")
    again = role.run(trust)
    assert "changed=0 " in again.stdout, again.stdout
    assert {path.name: path.stat().st_mode & 0o777 for path in role.settings.iterdir()} == {
        "allowed_signers": 0o644,
        "trust.json": 0o644,
    }


@pytest.mark.slow
def test_lists_that_are_left_out_or_null_are_no_rules(role: Role) -> None:
    assert role.applied({"devices": ["*"], "labels": None, "signers": None}) == Policy(devices=("*",))
    check = role.run({"devices": []}, "--check")
    assert check.returncode == 0 and "changed=1 " in check.stdout, check.stdout
    assert read_policy(Paths(str(role.folder))) == Policy(devices=("*",))


@pytest.mark.slow
@pytest.mark.parametrize(
    "signer",
    [
        pytest.param({"name": "* cert-authority", "key": "ssh-ed25519 AAAA"}, id="option-in-the-name"),
        pytest.param({"name": "a", "key": "ssh-ed25519 AAAA a\n* ssh-ed25519 AAAA"}, id="line-in-the-key"),
    ],
)
def test_signers_that_would_be_more_than_one(role: Role, signer: dict[str, str]) -> None:
    done = role.run({"signers": [signer]})
    assert done.returncode == 2 and "Cannot write the trust policy of 'localhost'" in done.stdout, done.stdout
    assert not role.settings.exists()
