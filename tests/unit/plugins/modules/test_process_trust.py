# SPDX-License-Identifier: GPL-3.0-or-later
"""process_restore on a host with a trust policy: images of CRIU 4.2.1, signatures of the real ssh-keygen."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Part, render_manifest
from ansible_collections.criu.hosts.tests.unit.processes import ProcessWorld, process_world
from ansible_collections.criu.hosts.tests.unit.stored import process_manifest
from ansible_collections.criu.hosts.tests.unit.trusted import (
    SIGNER,
    allow,
    make_key,
    needs,
    run_really,
    sign,
    write_policy,
)


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> ProcessWorld:
    made = process_world(tmp_path)
    made.dumped()
    made.base.script(made.restores())
    run_really(made.base.host)
    return made


def signed(made: ProcessWorld) -> None:
    """Writes a manifest beside the images, as a store has it, and signs it."""
    keys = made.folder / "keys"
    keys.mkdir(mode=0o700)
    key, manifest = make_key(keys), made.images.parent / "manifest.json"
    allow(made.folder / "etc/criu-hosts/allowed_signers", key)
    parts = tuple(
        Part(f"images/{path.name}", path.stat().st_size, file_sha256(str(path)))
        for path in sorted(made.images.iterdir())
        if path.is_file()
    )
    manifest.write_text(render_manifest(replace(process_manifest(), parts=parts)), encoding="utf-8")
    manifest.chmod(0o600)
    sign(manifest, key)


def run(module: Any, made: ProcessWorld, *, check: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = module(
        "process_restore", {"images_path": str(made.images)}, host=made.base.host, check=check
    ).result
    return result


def refused(module: Any, made: ProcessWorld) -> list[str]:
    for check in (True, False):
        failed = run(module, made, check=check)
        assert failed["reason"] == "trust_refused", failed
    assert made.base.host.wrote == []
    return [one["reason"] for one in failed["refusals"]]


def test_labels_and_capabilities_of_the_images(module: Any, made: ProcessWorld) -> None:
    write_policy(made.folder, labels=["container_t"], capabilities=[], images=[], mounts=[], devices=[])
    assert refused(module, made) == ["trust_label", "trust_capability"]
    write_policy(made.folder, labels=["*"], capabilities=["CAP_*"], images=[], mounts=[], devices=[])
    assert run(module, made)["changed"]


def test_no_signature(module: Any, made: ProcessWorld) -> None:
    write_policy(made.folder, signers=[SIGNER])
    allow(made.folder / "etc/criu-hosts/allowed_signers", make_key(made.folder))
    assert refused(module, made) == ["signature_missing"]


@needs("ssh-keygen")
@pytest.mark.parametrize("change", ["none", "byte", "more", "less"])
def test_each_image_is_signed(module: Any, made: ProcessWorld, change: str) -> None:
    write_policy(made.folder, signers=[SIGNER])
    signed(made)
    path = made.images / "core-1463.img"
    if change == "byte":
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    elif change == "more":
        path.with_name("core-9999.img").write_bytes(path.read_bytes())
        path.with_name("core-9999.img").chmod(0o600)
    elif change == "less":
        os.unlink(made.images / "core-1467.img")
    if change == "none":
        assert run(module, made)["changed"]
    else:
        assert refused(module, made) == ["signature_invalid"]
