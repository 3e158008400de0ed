# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint on a host with a trust policy: with the real ssh-keygen, and with what an attacker may do to it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import parse_manifest, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec
from ansible_collections.criu.hosts.plugins.module_utils._store.trust_check import require_trust
from ansible_collections.criu.hosts.tests.unit.stored import manifest_of, part_of, store_checkpoint
from ansible_collections.criu.hosts.tests.unit.trusted import (
    RUNNER,
    SIGNER,
    allow,
    make_key,
    needs,
    sign,
    write_policy,
)

SPEC = Spec(images=("localhost/w:latest",), labels=("container_t",), mounts=("/srv/web",))
WHAT = "restore container 'web'"
MORE = "20261130T174500Z-1a2b3c4d"


@dataclass
class Place:
    """A host with a store, and a key that may sign on it."""

    folder: Path
    key: Path

    def checkpoint(
        self, identity: str = "20261130T164500Z-1a2b3c4d", content: bytes = b"memory", **changed: Any
    ) -> Path:
        """Makes a signed checkpoint in the store; returns its archive."""
        name = changed.pop("archive", "archive.tar.zst")
        manifest = manifest_of(identity, parts=(part_of(name, content), part_of(f"{name}.json", content)), **changed)
        folder = store_checkpoint(self.folder / "store", manifest, content)
        sign(folder / "manifest.json", self.key)
        return folder / name

    def require(self, archive: Path, describe: Callable[[], Spec] = lambda: SPEC) -> None:
        context = Context({}, RUNNER, False, Paths(str(self.folder)))
        files = [path for path in (archive, archive.with_name(f"{archive.name}.json")) if path.exists()]
        digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        require_trust(context, WHAT, str(archive), lambda: digests, describe)

    def refused(self, archive: Path, **more: Any) -> list[str]:
        with pytest.raises(CheckpointError) as caught:
            self.require(archive, **more)
        assert caught.value.reason == "trust_refused" and "\n" not in caught.value.message
        return [one["reason"] for one in caught.value.facts["refusals"]]


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> Place:
    keys = tmp_path / "keys"
    keys.mkdir(0o700)
    made = Place(tmp_path / "host", make_key(keys))
    allow(made.folder / "etc/criu-hosts/allowed_signers", made.key)
    return made


def changed(archive: Path, before: str, after: str) -> None:
    """Changes the manifest of a checkpoint, and leaves its signature."""
    path = archive.parent / "manifest.json"
    text = path.read_text(encoding="utf-8")
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")


pytestmark = needs("ssh-keygen")


def test_without_a_policy_everything_is_as_before(tmp_path: Path) -> None:
    host = Place(tmp_path, tmp_path)
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x")
    host.require(archive, describe=lambda: pytest.fail("nothing is judged"))


def test_signed_by_a_signer_of_the_policy(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER], mounts=["/srv/*"])
    archive = host.checkpoint()
    host.require(archive)


@pytest.mark.parametrize(("before", "after"), [('"who": ""', '"who": "x"'), ("1a2b3c4d", "1a2b3c4e"), ("\n", " \n")])
def test_manifest_that_was_changed(host: Place, before: str, after: str) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    changed(archive, before, after)
    assert host.refused(archive) == ["signature_invalid"]


def test_every_byte_of_the_manifest_counts(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    path = host.checkpoint().parent / "manifest.json"
    whole = path.read_bytes()
    for index in range(0, len(whole), len(whole) // 8):
        path.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        assert host.refused(path.with_name("archive.tar.zst")) == ["signature_invalid"], index


def test_part_that_was_changed(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    archive.write_bytes(b"Memory")
    assert host.refused(archive) == ["signature_invalid"]


def test_parts_swapped_between_two_signed_checkpoints(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    first, second = host.checkpoint(), host.checkpoint(MORE, b"other memory")
    host.require(first)
    host.require(second)
    os.replace(first, first.with_name("kept"))
    os.replace(second, first)
    assert host.refused(first) == ["signature_invalid"]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sig"])
def test_manifest_or_signature_of_another_checkpoint(host: Place, name: str) -> None:
    write_policy(host.folder, signers=[SIGNER])
    first, second = host.checkpoint(), host.checkpoint(MORE)
    shutil.copyfile(second.with_name(name), first.with_name(name))
    assert host.refused(first) == ["signature_invalid"]


def test_both_of_another_checkpoint_prove_its_parts_only(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    first, second = host.checkpoint(), host.checkpoint(MORE, b"other memory")
    for name in ("manifest.json", "manifest.json.sig"):
        shutil.copyfile(second.with_name(name), first.with_name(name))
    assert host.refused(first) == ["signature_invalid"]


def test_record_that_was_changed(host: Place) -> None:
    """The labels in it are what a restore compares with."""
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    archive.with_name(f"{archive.name}.json").write_bytes(b"Memory")
    assert host.refused(archive) == ["signature_invalid"]
    archive.with_name(f"{archive.name}.json").unlink()
    assert host.refused(archive) == ["signature_invalid"]


def test_other_purpose_of_the_same_key(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    sign(archive.with_name("manifest.json"), host.key, "git")
    assert host.refused(archive) == ["signature_invalid"]


def test_stranger(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    sign(archive.with_name("manifest.json"), make_key(host.key.parent, "stranger"))
    assert host.refused(archive) == ["signer_unknown"]


def test_allowed_signer_whom_the_policy_does_not_name(host: Place) -> None:
    archive = host.checkpoint()
    for signers in ([], ["someone"], [f"{SIGNER} "], ["*"]):
        write_policy(host.folder, signers=signers)
        assert host.refused(archive) == ["signer_unknown"], signers


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sig"])
def test_nothing_signed(host: Place, name: str) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    archive.with_name(name).unlink()
    assert host.refused(archive) == ["signature_missing"]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.json.sig", "etc"])
def test_links_are_not_followed(host: Place, name: str) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    path = host.folder / "etc/criu-hosts/allowed_signers" if name == "etc" else archive.with_name(name)
    moved = host.key.parent / "moved"
    os.replace(path, moved)
    path.symlink_to(moved)
    assert host.refused(archive) == ["signer_unknown" if name == "etc" else "signature_invalid"]


def test_signers_that_others_can_change(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER])
    archive = host.checkpoint()
    (host.folder / "etc/criu-hosts/allowed_signers").chmod(0o666)
    assert host.refused(archive) == ["signer_unknown"]


def test_everything_at_once(host: Place) -> None:
    write_policy(host.folder, signers=[SIGNER], images=["docker.io/*"], labels=[], mounts=[])
    archive = host.checkpoint()
    archive.with_name("manifest.json.sig").unlink()
    assert host.refused(archive) == ["signature_missing", "trust_image", "trust_label", "trust_mount"]


def test_what_cannot_be_read_is_refused(host: Place) -> None:
    def fail() -> Spec:
        raise ValueError("it is cut off")

    write_policy(host.folder, images=["*"])
    assert host.refused(host.checkpoint(), describe=fail) == ["trust_unknown"]


def test_link_on_this_host_is_no_way_around_the_list_of_mounts(host: Place) -> None:
    write_policy(host.folder, mounts=["/srv/*"])
    archive = host.checkpoint()
    (host.folder / "srv").mkdir(parents=True)
    host.require(archive)
    (host.folder / "srv/web").symlink_to(host.folder / "etc")
    assert host.refused(archive) == ["trust_mount"]


class TestEncrypted:
    """What is in an encrypted archive is known from a signed manifest only."""

    def make(self, host: Place, **changed: Any) -> Path:
        return host.checkpoint(archive="archive.tar.zst.age", **changed)

    def test_judged_by_the_manifest(self, host: Place) -> None:
        write_policy(host.folder, images=["localhost/*"], mounts=["/srv/*"])
        host.require(self.make(host, spec=SPEC), describe=lambda: pytest.fail("it cannot be read"))
        assert host.refused(self.make(host, spec=replace(SPEC, mounts=("/",)))) == ["trust_mount"]

    def test_no_signature(self, host: Place) -> None:
        write_policy(host.folder, images=["localhost/*"])
        archive = self.make(host, spec=SPEC)
        archive.with_name("manifest.json.sig").unlink()
        assert host.refused(archive) == ["signature_missing", "trust_unknown"]

    def test_stranger_who_says_what_is_in_it(self, host: Place) -> None:
        write_policy(host.folder, images=["localhost/*"])
        archive = self.make(host, spec=SPEC)
        sign(archive.with_name("manifest.json"), make_key(host.key.parent, "stranger"))
        assert host.refused(archive) == ["signer_unknown", "trust_unknown"]

    def test_manifest_that_does_not_say_it(self, host: Place) -> None:
        write_policy(host.folder, images=["localhost/*"])
        assert host.refused(self.make(host)) == ["trust_unknown"]

    def test_no_rule_needs_no_signature(self, host: Place) -> None:
        write_policy(host.folder)
        archive = self.make(host)
        archive.with_name("manifest.json.sig").unlink()
        host.require(archive)

    def test_plain_archive_with_the_name_of_an_encrypted_one(self, host: Place) -> None:
        """Its own description is not believed either, since nobody has read it."""
        write_policy(host.folder, images=["localhost/*"])
        archive = self.make(host, spec=SPEC)
        archive.with_name("manifest.json.sig").unlink()
        assert host.refused(archive, describe=lambda: SPEC) == ["signature_missing", "trust_unknown"]


def test_spec_in_a_manifest() -> None:
    manifest = manifest_of(spec=SPEC)
    assert parse_manifest(render_manifest(manifest)) == manifest
    for wrong in ("[]", '{"mount": []}', '{"mounts": "a"}', '{"mounts": [1]}'):
        entries = {**json.loads(render_manifest(manifest)), "spec": json.loads(wrong)}
        with pytest.raises(ValueError, match="field"):
            parse_manifest(json.dumps(entries))
