# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the trust policy by the role checkpoint_host, and lets the reader of the modules read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import Verdict, find_signer
from ansible_collections.criu.hosts.plugins.module_utils._store.trust import Policy, read_policy
from ansible_collections.criu.hosts.tests.unit.plays import ROOT, Shown, play
from ansible_collections.criu.hosts.tests.unit.trusted import RUNNER, make_key, needs, sign

PLAY = """\
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: criu.hosts.checkpoint_host, tasks_from: trust}
"""


LISTS = {"devices": ["*"], "labels": None, "signers": None}
# Each signer would be more than one.
BAD = {
    "option-in-the-name": {"name": "* cert-authority", "key": "ssh-ed25519 AAAA"},
    "line-in-the-key": {"name": "a", "key": "ssh-ed25519 AAAA a\n* ssh-ed25519 AAAA"},
}


def apply(folder: Path, trust: dict[str, dict[str, Any]], *options: str) -> dict[str, Shown]:
    """Runs the part of the role that writes the policy, on a host for each policy."""
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    hosts = {}
    for name, value in trust.items():
        (folder / name / "etc").mkdir(parents=True, exist_ok=True)
        hosts[name] = {"checkpoint_host_trust": value}
    settings = f"__checkpoint_host_settings_dir={folder}/{{{{ inventory_hostname }}}}/etc/criu-hosts"
    done = play(folder, hosts, *options, "-e", settings, "play.yml", collections=ROOT / ".build")
    return {name: done.of(name) for name in trust}


def policy_of(folder: Path, name: str) -> Policy | None:
    return read_policy(Paths(str(folder / name)))


@pytest.fixture(name="key", scope="module")
def key_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("key"))


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(name="applied", scope="module")
def applied_fixture(folder: Path, key: Path) -> dict[str, Shown]:
    """The first run on each host."""
    return apply(
        folder,
        {"signed": signed(key), "lists": LISTS, **{name: {"signers": [signer]} for name, signer in BAD.items()}},
    )


def signed(key: Path) -> dict[str, Any]:
    public = key.with_name("key.pub").read_text(encoding="utf-8").strip()
    return {"signers": [{"name": "backup@example.com", "key": public}], "images": ["docker.io/*"], "mounts": []}


@pytest.mark.slow
@needs("ssh-keygen")
def test_policy_and_signers(applied: dict[str, Shown], folder: Path, key: Path, tmp_path: Path) -> None:
    assert not applied["signed"].failed, applied["signed"].output
    assert policy_of(folder, "signed") == Policy(signers=("backup@example.com",), images=("docker.io/*",), mounts=())
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}", encoding="utf-8")
    sign(manifest, key)
    settings = folder / "signed/etc/criu-hosts"
    signers = str(settings / "allowed_signers")
    assert find_signer(RUNNER, b"{}", str(manifest), signers) == Verdict("backup@example.com")
    again = apply(folder, {"signed": signed(key)})["signed"]
    assert again.counts["changed"] == 0, again.output
    assert {path.name: path.stat().st_mode & 0o777 for path in settings.iterdir()} == {
        "allowed_signers": 0o644,
        "trust.json": 0o644,
    }


@pytest.mark.slow
@needs("ssh-keygen")
def test_lists_that_are_left_out_or_null_are_no_rules(applied: dict[str, Shown], folder: Path) -> None:
    assert not applied["lists"].failed, applied["lists"].output
    assert policy_of(folder, "lists") == Policy(devices=("*",))
    check = apply(folder, {"lists": {"devices": []}}, "--check")["lists"]
    assert not check.failed and check.counts["changed"] == 1, check.output
    assert policy_of(folder, "lists") == Policy(devices=("*",))


@pytest.mark.slow
@needs("ssh-keygen")
@pytest.mark.parametrize("name", BAD)
def test_signers_that_would_be_more_than_one(applied: dict[str, Shown], folder: Path, name: str) -> None:
    shown = applied[name]
    assert shown.failed and f"Cannot write the trust policy of '{name}'" in shown.output, shown.output
    assert not (folder / name / "etc/criu-hosts").exists()
