# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed checkpoints of a process in a store: the real ssh-keygen, and images of CRIU 4.2.1."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import apply
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import Verdict, find_signer
from ansible_collections.criu.hosts.tests.unit.killed import Killed, Scene, each_kill, run_next
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_chain import LIVE, TRACK, on
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_process_store import (
    all_of,
    check_whole,
    given,
    wanted,
)
from ansible_collections.criu.hosts.tests.unit.processes import PID, WORKING, ProcessWorld, process_world
from ansible_collections.criu.hosts.tests.unit.trusted import (
    RUNNER,
    SIGNER,
    allow,
    make_key,
    needs,
    run_really,
    write_policy,
)

pytestmark = needs("ssh-keygen")


@pytest.fixture(name="key")
def key_fixture(tmp_path: Path) -> Path:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    return make_key(keys)


def runs(folder: Path, *dumps: tuple[str, ...]) -> ProcessWorld:
    folder.mkdir(exist_ok=True)
    made = process_world(folder)
    made.place = WORKING
    made.process()
    made.base.script(*(made.dump(tail=tail) for tail in dumps or ((),)))
    run_really(made.base.host)
    return made


def run(module: Any, made: ProcessWorld, *, check: bool = False, **options: Any) -> dict[str, Any]:
    result: dict[str, Any] = module(
        "process_checkpoint", given(made, **options), host=made.base.host, check=check
    ).result
    return result


def signer_of(key: Path, stored: Stored) -> Verdict:
    signers = allow(key.parent / f"signers-{stored.id}", key)
    manifest = stored.part("manifest.json")
    return find_signer(RUNNER, Path(manifest).read_bytes(), manifest, str(signers))


def test_a_checkpoint_is_signed(module: Any, tmp_path: Path, key: Path) -> None:
    made = runs(tmp_path / "host")
    checked = run(module, made, check=True, signing_key=str(key))
    assert made.base.host.wrote == []
    ran = run(module, made, signing_key=str(key))
    for one in ("changed", "commands", "diff"):
        assert checked[one] == ran[one], one
    [stored] = check_whole(made)
    assert stored.signed and signer_of(key, stored) == Verdict(SIGNER)
    assert Path(stored.part("manifest.json.sig")).stat().st_mode & 0o777 == 0o600
    again = run(module, made, signing_key=str(key))
    assert (again["changed"], again["commands"]) == (False, [])


def test_a_key_that_cannot_sign_is_refused_before_the_dump(module: Any, tmp_path: Path, key: Path) -> None:
    made = runs(tmp_path / "host")
    for path in (str(make_key(key.parent, "locked", "secret")), "/nothing/of/the/kind"):
        for check in (True, False):
            failed = run(module, made, check=check, signing_key=path)
            assert failed["reason"] == "signing_failed" and "\n" not in failed["msg"], failed
    assert made.base.host.wrote == [] and (made.folder / f"proc/{PID}").exists()


def test_an_unsigned_checkpoint_is_none_while_the_process_runs(module: Any, tmp_path: Path, key: Path) -> None:
    made = runs(tmp_path / "host", LIVE)
    assert run(module, made, leave_running=True)["changed"]
    options = {"leave_running": True, "signing_key": str(key)}
    assert run(module, made, check=True, **options)["commands"] == run(module, made, **options)["commands"] != []
    assert [one.signed for one in check_whole(made)] == [True, False]
    assert run(module, made, **options)["changed"] is False


def test_one_of_a_process_that_has_ended_is_not_signed(module: Any, tmp_path: Path, key: Path) -> None:
    """It may come from elsewhere: nothing on this host proves the contrary."""
    made = runs(tmp_path / "host")
    assert run(module, made)["changed"]
    for check in (True, False):
        failed = run(module, made, check=check, signing_key=str(key))
        assert failed["reason"] == "signing_failed" and "was made here" in failed["msg"], failed
    assert run(module, made)["changed"] is False and not all_of(made)[0].signed


def test_a_killed_task_leaves_a_checkpoint_that_the_next_one_signs(module: Any, tmp_path: Path, key: Path) -> None:
    def start(folder: Path) -> Scene:
        made = runs(folder)
        task = ("process_checkpoint", given(made, signing_key=str(key)))
        return Scene(made.folder, made.base.host, task, task, made)

    steps = 0
    for steps, scene in each_kill(module, tmp_path, start):
        run_next(module, scene)
        [stored] = check_whole(scene.made)
        assert stored.signed and signer_of(key, stored) == Verdict(SIGNER), steps
    assert steps > 10


def test_a_signature_of_a_killed_task_stays_good_without_the_key(module: Any, tmp_path: Path, key: Path) -> None:
    """A restore completes the checkpoint, and has no key: the manifest is written again, byte for byte."""
    made = runs(tmp_path / "host")
    real = apply.apply_step

    def step(runner: Any, one: Any, applied: Any) -> None:
        if one.why == "put the checkpoint in place at":
            raise Killed
        real(runner, one, applied)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apply, "apply_step", step)
        with pytest.raises(Killed):
            run(module, made, signing_key=str(key))
    assert run(module, made)["changed"]
    [stored] = check_whole(made)
    assert stored.signed and signer_of(key, stored) == Verdict(SIGNER)


def chain(module: Any, folder: Path, key: Path, *, signed: bool = True) -> ProcessWorld:
    """A signed dump on a pre-dump, on a host that wants signatures."""
    made = runs(folder)
    made.base.script(made.dump(pre=True, tail=TRACK))
    options = {"signing_key": str(key)} if signed else {}
    assert run(module, made, pre_dump=True, **options)["changed"]
    made.base.script(made.dump(tail=on(all_of(made)[0].id)))
    assert run(module, made, parent="latest", signing_key=str(key))["changed"]
    write_policy(made.folder, signers=[SIGNER])
    allow(made.folder / "etc/criu-hosts/allowed_signers", key)
    made.place = f"{Path(all_of(made)[0].path).relative_to(made.folder)}/images"
    made.base.script(made.restores())
    return made


def restore(module: Any, made: ProcessWorld, *, check: bool = False) -> dict[str, Any]:
    result: dict[str, Any] = module("process_restore", wanted(made), host=made.base.host, check=check).result
    return result


def test_a_signed_chain_is_restored(module: Any, tmp_path: Path, key: Path) -> None:
    made = chain(module, tmp_path / "host", key)
    checked, ran = restore(module, made, check=True), restore(module, made)
    assert ran["changed"] and checked["commands"] == ran["commands"]
    assert restore(module, made)["changed"] is False


def refused(module: Any, made: ProcessWorld) -> list[str]:
    before, wrote = made.content(), len(made.base.host.wrote)
    for check in (True, False):
        failed = restore(module, made, check=check)
        assert failed["reason"] == "trust_refused", failed
    assert made.content() == before and len(made.base.host.wrote) == wrote
    return [one["reason"] for one in failed["refusals"]]


@pytest.mark.parametrize("which", [0, 1], ids=["dump", "parent"])
def test_each_of_a_chain_needs_its_signature(module: Any, tmp_path: Path, key: Path, which: int) -> None:
    made = chain(module, tmp_path / "host", key)
    os.unlink(all_of(made)[which].part("manifest.json.sig"))
    assert refused(module, made) == ["signature_missing"]


def test_a_parent_that_nobody_has_signed(module: Any, tmp_path: Path, key: Path) -> None:
    made = chain(module, tmp_path / "host", key, signed=False)
    assert refused(module, made) == ["signature_missing"]


@pytest.mark.parametrize("which", [0, 1], ids=["dump", "parent"])
def test_a_manifest_of_a_chain_that_was_changed(module: Any, tmp_path: Path, key: Path, which: int) -> None:
    made = chain(module, tmp_path / "host", key)
    manifest = Path(all_of(made)[which].part("manifest.json"))
    manifest.write_bytes(manifest.read_bytes().replace(b'"why": ""', b'"why": "x"'))
    assert refused(module, made) == ["signature_invalid"]


def test_a_link_to_another_signed_checkpoint_is_not_followed(module: Any, tmp_path: Path, key: Path) -> None:
    made = chain(module, tmp_path / "host", key)
    dump, parent = all_of(made)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(parent.path, elsewhere)
    link = Path(dump.part("images/parent"))
    link.unlink()
    link.symlink_to(elsewhere / "images")
    assert restore(module, made)["changed"]
    assert os.readlink(link) == f"../../{parent.id}/images"


def test_a_key_needs_a_store(module: Any, tmp_path: Path, key: Path) -> None:
    made = runs(tmp_path / "host")
    arguments = {"pid": PID, "images_path": str(made.folder / "data/web"), "signing_key": str(key)}
    assert "missing parameter(s) required by 'signing_key': store" in str(
        module("process_checkpoint", arguments, host=made.base.host).result["msg"]
    )
