# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed and encrypted checkpoints in a store: real ssh-keygen, age and gpg, and a podman that is simulated.

As podman 5.4.2 does, the simulated one opens the archive of an import twice.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import secure
from ansible_collections.criu.hosts.plugins.module_utils._core import apply, pipe
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.encryption import Encryption
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import Stored, list_stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Part, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.record import record_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import Verdict, find_signer
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec
from ansible_collections.criu.hosts.tests.unit.conftest import FIXTURES
from ansible_collections.criu.hosts.tests.unit.containers import ID, recorded
from ansible_collections.criu.hosts.tests.unit.killed import Killed, give_markers_away, kill_after
from ansible_collections.criu.hosts.tests.unit.podman_host import (
    Box,
    PodmanHost,
    left_over,
    podman_host,
)
from ansible_collections.criu.hosts.tests.unit.trusted import (
    RUNNER,
    SIGNER,
    allow,
    make_key,
    needs,
    write_policy,
)

PROGRAMS = ("age", "gpg", "ssh-keygen")
CONFIG = {"process": {"capabilities": {"bounding": ["CAP_CHOWN"]}}, "mounts": [], "linux": {}}
PLAIN = b"config.dump"


@dataclass
class SecureHost(PodmanHost):
    """Runs some programs really; keeps what podman has read of archives. ``environment`` is that of the programs."""

    readings: list[list[str]] = field(default_factory=list)
    between: Callable[[], None] | None = None  # is called when an archive was read once

    def run_to_end(self, argv: Any, *, env: dict[str, str], **options: Any) -> tuple[int, str, str]:
        if argv[0] not in PROGRAMS:
            return super().run_to_end(argv, env=env, **options)
        self.ran.append(list(argv))
        if "-Y" in argv and argv[-1].endswith("manifest.json"):
            self.wrote.append(list(argv))
        given = (options.get("stdin") or "").encode("utf-8", "surrogateescape")
        done = subprocess.run(
            list(argv), input=given, env=env, capture_output=True, start_new_session=True, check=False
        )
        return done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace")

    def _export(self, path: Path, box: Box, images: str) -> None:
        config = {**json.loads(recorded("config.dump.json")), "id": box.id, "name": box.name}
        members = {
            "config.dump": json.dumps(config).encode(),
            "spec.dump": json.dumps(CONFIG).encode(),
            f"{images}/inventory.img": (FIXTURES / "criu/4.2.1-images/inventory.img").read_bytes(),
        }
        with open(path, "wb") as handle, tarfile.open(fileobj=handle, mode="w|") as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            if (self.folder(box) / images / "parent").is_symlink():
                info = tarfile.TarInfo(f"{images}/parent")
                info.type, info.linkname = tarfile.SYMTYPE, "../pre-checkpoint"
                archive.addfile(info)

    def _import(self, args: list[str]) -> tuple[int, str, str]:
        path = next(one.partition("=")[2] for one in args if one.startswith("--import="))
        for number in range(2):
            if number and self.between is not None:
                self.between()
            with open(path, "rb") as handle:
                data = handle.read()
            try:
                with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                    self.readings.append(archive.getnames())
            except tarfile.TarError:
                return 125, "", recorded("import-truncated.txt")
        return super()._import(args)


def secure_host(folder: Path) -> SecureHost:
    """A host with a container that runs."""
    folder.mkdir(exist_ok=True)
    plain = podman_host(folder)
    host = SecureHost(replies=plain.replies, tools=plain.tools, made=plain.made)
    host.world.host = host
    box = Box(ID, "web", created="2026-11-01T00:00:00Z", auto_remove=True)
    host.run_box(box)
    (host.folder(box) / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    return host


@pytest.fixture(name="host")
def host_fixture(tmp_path: Path) -> SecureHost:
    """A host with a container that runs, and a folder of keys."""
    (tmp_path / "keys").mkdir(0o700)
    return secure_host(tmp_path / "host")


def keys(host: SecureHost) -> Path:
    return host.world.folder.parent / "keys"


def run(module: Any, host: SecureHost, task: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
    given = {"name": "web", "store": str(host.world.folder / "store"), **options}
    given = {key: value for key, value in given.items() if value is not None}
    result: dict[str, Any] = module(f"container_{task}", given, host=host, check=check).result
    return result


def age_key(host: SecureHost, name: str = "age") -> dict[str, str]:
    """Makes a key of age; returns the path of the secret one, and the public one."""
    path = keys(host) / name
    subprocess.run(["age-keygen", "-o", str(path)], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", str(path)], check=True, capture_output=True, text=True).stdout
    return {"secret": str(path), "public": public.strip()}


def newest(host: SecureHost) -> Stored:
    found = list_stored(str(host.world.folder / "store"))[0]
    assert found.fault == ""
    return found


def plain_files(host: SecureHost) -> list[str]:
    """Returns the files of the host that have the archive as plain text."""
    every = [path for path in host.world.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [str(path) for path in every if PLAIN in path.read_bytes()]


@needs("age")
@needs("ssh-keygen")
def test_signed_and_encrypted_checkpoint(module: Any, host: SecureHost) -> None:
    key, age = make_key(keys(host)), age_key(host)
    options = {"signing_key": str(key), "encrypt_to": [age["public"]], "compression": "none"}
    predicted = run(module, host, "checkpoint", check=True, **options)
    made = run(module, host, "checkpoint", **options)
    assert made["changed"] and predicted["commands"] == made["commands"], made
    stored = newest(host)
    assert made["checkpoint"]["archive_path"] == stored.part("archive.tar.age") and stored.signed
    assert sorted(os.listdir(stored.path)) == [
        *("archive.tar.age", "archive.tar.age.json", "manifest.json", "manifest.json.sig")
    ]
    assert {path.stat().st_mode & 0o777 for path in Path(stored.path).iterdir()} == {0o600}
    assert Path(stored.part("archive.tar.age")).read_bytes().startswith(b"age-encryption.org/v1\n")
    assert plain_files(host) == [] and list(left_over(host.world.folder)) == []
    assert stored.manifest is not None and stored.manifest.spec == Spec(
        images=("localhost/w:latest",), labels=("container_t",), capabilities=("CAP_CHOWN",)
    )
    signers = str(allow(keys(host) / "signers", key))
    manifest = stored.part("manifest.json")
    assert find_signer(RUNNER, Path(manifest).read_bytes(), manifest, signers) == Verdict(SIGNER)
    assert not run(module, host, "checkpoint", **options)["changed"]


@needs("age")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_restore_of_an_encrypted_checkpoint(module: Any, host: SecureHost, compression: str) -> None:
    age = age_key(host)
    run(module, host, "checkpoint", encrypt_to=[age["public"]], compression=compression)
    predicted = run(module, host, "restore", check=True, decryption_key=age["secret"])
    restored = run(module, host, "restore", decryption_key=age["secret"])
    assert restored["restore"]["source"] == "archive" and predicted["commands"] == restored["commands"]
    assert host.boxes["web"].status == "running"
    assert host.readings == [["config.dump", "spec.dump", "checkpoint/inventory.img"]] * 2
    assert plain_files(host) == [] and list(left_over(host.world.folder)) == []
    assert not run(module, host, "restore", decryption_key=age["secret"])["changed"]


@needs("age")
def test_wrong_key_leaves_nothing(module: Any, host: SecureHost) -> None:
    run(module, host, "checkpoint", encrypt_to=[age_key(host)["public"]], compression="none")
    failed = run(module, host, "restore", decryption_key=age_key(host, "other")["secret"])
    assert failed["reason"] == "decryption_failed" and "no identity matched" in failed["msg"], failed
    assert host.boxes == {} and list(left_over(host.world.folder)) == []


@needs("age")
def test_container_of_a_decryption_that_fails_at_its_end_is_removed(
    module: Any, host: SecureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Podman has read a whole tar archive before the filter knows that the file is damaged, or is killed."""
    age = age_key(host)
    run(module, host, "checkpoint", encrypt_to=[age["public"]], compression="none")
    real = secure.decrypt_argv
    monkeypatch.setattr(
        secure, "decrypt_argv", lambda *given: ("sh", "-c", '"$@"; echo damaged >&2; exit 3', "-", *real(*given))
    )
    failed = run(module, host, "restore", decryption_key=age["secret"])
    assert failed["reason"] == "decryption_failed" and "damaged" in failed["msg"], failed
    assert len(host.readings) == 2 and host.boxes == {} and list(left_over(host.world.folder)) == []
    monkeypatch.undo()
    assert run(module, host, "restore", decryption_key=age["secret"])["restore"]["source"] == "archive"


def kill_forks() -> None:
    """Kills the processes that this one has forked and which run its own program: no filter, and no command."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            same = os.readlink(path.parent / "exe") == os.readlink("/proc/self/exe")
        except OSError:
            continue
        if parent == os.getpid() and same:
            subprocess.run(["kill", "-9", path.parent.name], check=True)


@needs("age")
def test_the_process_that_feeds_is_killed_between_the_two_reads(module: Any, host: SecureHost) -> None:
    age = age_key(host)
    run(module, host, "checkpoint", encrypt_to=[age["public"]], compression="none")
    host.between = kill_forks
    failed = run(module, host, "restore", decryption_key=age["secret"])
    assert failed["reason"] == "file_failed" and "was killed. Run the task again." in failed["msg"], failed
    assert len(host.readings) == 1 and host.boxes == {} and list(left_over(host.world.folder)) == []
    host.between = None
    assert run(module, host, "restore", decryption_key=age["secret"])["restore"]["source"] == "archive"


@needs("age")
def test_changed_archive_is_refused_before_it_is_decrypted(module: Any, host: SecureHost) -> None:
    age = age_key(host)
    run(module, host, "checkpoint", encrypt_to=[age["public"]], compression="none")
    path = Path(newest(host).part("archive.tar.age"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    failed = run(module, host, "restore", decryption_key=age["secret"])
    assert failed["reason"] == "archive_invalid" and host.readings == []


@needs("age")
@pytest.mark.parametrize("key", [None, "/nothing/of/the/kind", "-"])
def test_missing_key(module: Any, host: SecureHost, key: str | None) -> None:
    run(module, host, "checkpoint", encrypt_to=[age_key(host)["public"]])
    for check in (True, False):
        failed = run(module, host, "restore", check=check, decryption_key=key)
        assert failed["reason"] == "decryption_key_missing", failed


def test_key_for_a_plain_archive(module: Any, host: SecureHost) -> None:
    run(module, host, "checkpoint")
    assert run(module, host, "restore", decryption_key="/root/key")["reason"] == "decryption_key_missing"


@needs("gpg")
@needs("gpg-agent")
def test_gpg(module: Any, host: SecureHost, monkeypatch: pytest.MonkeyPatch) -> None:
    home = keys(host) / "g"
    home.mkdir(0o700)
    monkeypatch.setenv("GNUPGHOME", str(home))
    try:
        make = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "Ops", "default", "default"]
        subprocess.run([*make, "never"], check=True, capture_output=True)
        listed = subprocess.run(
            ["gpg", "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
        ).stdout
        key = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
        run(module, host, "checkpoint", encrypt_to=[key], encryption="gpg", compression="none")
        assert newest(host).part("archive.tar.gpg") and plain_files(host) == []
        restored = run(module, host, "restore")
        assert restored["restore"]["source"] == "archive", restored
        assert len(host.readings) == 2 and host.boxes["web"].status == "running"
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], check=False)


@needs("age")
@pytest.mark.parametrize(
    ("recipient", "reason"),
    [
        pytest.param("age1qqqqqqqq", "encryption_failed", id="no-key"),
        pytest.param("/nothing/of/the/kind", "encryption_failed", id="no-file"),
        pytest.param("--help", "option_invalid", id="option"),
        pytest.param("-", "option_invalid", id="standard-input"),
        pytest.param("age1a\nb", "option_invalid", id="line"),
        pytest.param("relative/path", "option_invalid", id="relative"),
        pytest.param("ops@example.com", "option_invalid", id="address"),
    ],
)
def test_recipients_that_are_none(module: Any, host: SecureHost, recipient: str, reason: str) -> None:
    for check in (True, False):
        failed = run(module, host, "checkpoint", check=check, encrypt_to=[recipient])
        assert failed["reason"] == reason and "\n" not in failed["msg"], failed
    assert host.boxes["web"].status == "running" and host.wrote == []


@needs("gpg")
@pytest.mark.parametrize("recipient", ["ops@example.com", "DEADBEEF", "0x" + "a" * 38])
def test_gpg_takes_fingerprints_only(module: Any, host: SecureHost, recipient: str) -> None:
    failed = run(module, host, "checkpoint", encrypt_to=[recipient], encryption="gpg")
    assert failed["reason"] == "option_invalid" and failed["option"] == "encrypt_to"


def test_places_that_cannot_be_encrypted(module: Any, host: SecureHost) -> None:
    for options in ({"store": None}, {"store": None, "archive_path": "/srv/web.tar.zst"}):
        failed = run(module, host, "checkpoint", encrypt_to=["age1qqqq"], **options)
        assert failed["reason"] == "option_invalid", failed


@needs("age")
def test_archive_of_a_path_of_its_own(module: Any, host: SecureHost) -> None:
    age, path = age_key(host), str(host.world.folder / "a/web.tar.age")
    place = {"store": None, "archive_path": path}
    run(module, host, "checkpoint", encrypt_to=[age["public"]], compression="none", **place)
    assert Path(path).read_bytes().startswith(b"age-encryption.org/v1\n")
    assert run(module, host, "restore", decryption_key=age["secret"], **place)["restore"]["source"] == "archive"
    assert len(host.readings) == 2 and plain_files(host) == []


@needs("age")
def test_a_task_that_is_killed_leaves_a_whole_encrypted_checkpoint_or_none(
    module: Any, host: SecureHost, tmp_path: Path
) -> None:
    """The container is gone after its dump: once all is encrypted, the archive is proved even without the task."""
    options = {"encrypt_to": [age_key(host)["public"]], "compression": "none"}
    gone = 0
    for steps in itertools.count(1):
        killed = secure_host(tmp_path / str(steps))
        try:
            with pytest.MonkeyPatch.context() as patch:
                kill_after(patch, steps)
                run(module, killed, "checkpoint", **options)
        except Killed:
            give_markers_away(killed.world.folder)
        else:
            break
        gone += "web" not in killed.boxes
        predicted = run(module, killed, "checkpoint", check=True, **options)
        made = run(module, killed, "checkpoint", **options)
        assert not made.get("failed") and predicted["changed"] == made["changed"], made
        path = Path(newest(killed).part("archive.tar.age"))
        assert path.read_bytes().startswith(b"age-encryption.org/v1\n")
        assert json.loads(path.with_name(f"{path.name}.json").read_text())["checkpointed_at"]
        assert len(list_stored(str(killed.world.folder / "store"))) == 1 and list(left_over(killed.world.folder)) == []
    assert gone > 5


def partial_file(host: SecureHost) -> Path:
    return host.world.folder / "store/containers/web/.part-new/.archive.tar.age.partial"


def refused(module: Any, host: SecureHost, **options: Any) -> None:
    """No task takes the rest of the archive for a checkpoint, or removes it, until a person has moved it."""
    partial = partial_file(host)
    data = partial.read_bytes()
    host.run_box(Box("b" * 64, "web", created="2026-11-02T00:00:00Z"))
    for check in (True, False):
        for task in ("checkpoint", "restore"):
            failed = run(module, host, task, check=check, **(options if task == "checkpoint" else {}))
            assert failed["reason"] == "archive_partial" and str(partial) in failed["msg"], failed
    assert partial.read_bytes() == data and list_stored(str(host.world.folder / "store")) == []
    partial.unlink()
    assert not run(module, host, "checkpoint", **options).get("failed")
    assert newest(host).manifest is not None and list(left_over(host.world.folder)) == []


@needs("age")
def test_an_encryption_that_was_cut_off_is_no_checkpoint(
    module: Any, host: SecureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"encrypt_to": [age_key(host)["public"]], "compression": "none"}
    with monkeypatch.context() as patch:
        patch.setattr(secure, "check_encryption", lambda *dummy: None)
        patch.setattr(Encryption, "argv", property(lambda dummy: ("sh", "-c", "head -c 99; echo broken >&2; exit 1")))
        failed = run(module, host, "checkpoint", **options)
    assert failed["reason"] == "encryption_failed" and failed["container_state"] == "absent", failed
    assert "all that is left" in failed["msg"] and str(partial_file(host)) in failed["msg"]
    assert partial_file(host).stat().st_size == 99
    refused(module, host, **options)


@needs("age")
def test_an_encryption_that_nobody_saw_complete_is_no_checkpoint(
    module: Any, host: SecureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes of the task are killed at once: age ends such a file as it does a whole one."""
    options = {"encrypt_to": [age_key(host)["public"]], "compression": "none"}

    def die(*dummy: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(pipe, "write_file", die)
        with pytest.raises(Killed):
            run(module, host, "checkpoint", **options)
    give_markers_away(host.world.folder)
    assert "web" not in host.boxes and partial_file(host).stat().st_size > 0
    refused(module, host, **options)


@needs("age")
def test_plain_checkpoint_is_none_for_a_task_that_encrypts(module: Any, host: SecureHost) -> None:
    run(module, host, "checkpoint", leave_running=True)
    made = run(module, host, "checkpoint", leave_running=True, encrypt_to=[age_key(host)["public"]])
    assert made["changed"] and made["checkpoint"]["archive_path"].endswith(".age")
    assert "is not searched for such files" in str(made["warnings"])


@needs("ssh-keygen")
def test_key_with_a_passphrase_is_refused_before_the_dump(module: Any, host: SecureHost) -> None:
    failed = run(module, host, "checkpoint", signing_key=str(make_key(keys(host), "locked", "secret")))
    assert failed["reason"] == "signing_failed" and "passphrase" in failed["msg"], failed
    assert host.boxes["web"].status == "running" and host.wrote == []


@needs("ssh-keygen")
def test_signature_of_a_killed_task_stays_right(module: Any, host: SecureHost, tmp_path: Path) -> None:
    """The next task has no key, and puts the checkpoint in place: its signature is right, or it has none."""
    key = make_key(keys(host))
    signers = str(allow(keys(host) / "signers", key))
    found = set()
    for steps in itertools.count(10):
        killed = secure_host(tmp_path / str(steps))
        try:
            with pytest.MonkeyPatch.context() as patch:
                kill_after(patch, steps)
                run(module, killed, "checkpoint", signing_key=str(key), compression="none")
        except Killed:
            give_markers_away(killed.world.folder)
        else:
            break
        assert not run(module, killed, "checkpoint", compression="none").get("failed")
        manifest = newest(killed).part("manifest.json")
        found.add(find_signer(RUNNER, Path(manifest).read_bytes(), manifest, signers).word)
    assert found == {"", "signature_missing"}


@needs("ssh-keygen")
def test_checkpoint_in_which_the_container_is_stopped_gets_a_signature(module: Any, host: SecureHost) -> None:
    host.boxes["web"].auto_remove = False
    run(module, host, "checkpoint")
    first, options = newest(host), {"signing_key": str(make_key(keys(host)))}
    predicted = run(module, host, "checkpoint", check=True, **options)
    signed = run(module, host, "checkpoint", **options)
    assert signed["changed"] and predicted["commands"] == signed["commands"] and len(signed["commands"]) == 1
    assert newest(host).id == first.id and newest(host).signed
    assert Path(first.part("manifest.json.sig")).stat().st_mode & 0o777 == 0o600
    assert not run(module, host, "checkpoint", **options)["changed"]


@needs("ssh-keygen")
def test_unsigned_checkpoint_is_none_for_a_task_that_signs(module: Any, host: SecureHost) -> None:
    run(module, host, "checkpoint", leave_running=True)
    first, options = newest(host), {"signing_key": str(make_key(keys(host))), "leave_running": True}
    assert run(module, host, "checkpoint", check=True, **options)["changed"]
    assert run(module, host, "checkpoint", **options)["changed"]
    assert newest(host).id != first.id and newest(host).signed and not os.path.exists(first.part("manifest.json.sig"))
    assert not run(module, host, "checkpoint", **options)["changed"]


@needs("ssh-keygen")
@pytest.mark.parametrize("gone", [True, False], ids=["container-is-gone", "record-is-another"])
def test_checkpoint_that_may_come_from_elsewhere_is_not_signed(module: Any, host: SecureHost, gone: bool) -> None:
    host.boxes["web"].auto_remove = gone
    run(module, host, "checkpoint", compression="none")
    stored, archive = newest(host), b"made elsewhere"
    assert stored.manifest is not None
    record = {**stored.manifest.record, "size_bytes": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
    text = render_record(record_of(record))
    forged = (("archive.tar", archive), ("archive.tar.json", text.encode()))
    for name, data in forged:
        Path(stored.part(name)).write_bytes(data)
    parts = tuple(Part(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in forged)
    manifest = render_manifest(replace(stored.manifest, record=record, parts=parts))
    Path(stored.part("manifest.json")).write_text(manifest, encoding="utf-8")
    for check in (True, False):
        options = {"signing_key": str(make_key(keys(host), f"key-{check}")), "compression": "none"}
        failed = run(module, host, "checkpoint", check=check, **options)
        assert failed["reason"] == "signing_failed" and "was made here" in failed["msg"], failed
    assert not newest(host).signed


def killed_with_manifest(module: Any, host: SecureHost, steps: int, options: dict[str, Any]) -> bool:
    """Lets a checkpoint die after so many steps with a manifest that is not in its place; False if it has fewer."""
    manifest = host.world.folder / "store/containers/web/.part-new/manifest.json"
    real, done = apply.apply_step, itertools.count(1)

    def step(runner: Any, one: Any, applied: Any) -> None:
        real(runner, one, applied)
        if manifest.exists() and next(done) >= steps:
            raise Killed

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(apply, "apply_step", step)
            run(module, host, "checkpoint", **options)
    except Killed:
        give_markers_away(host.world.folder)
        return True
    return False


@needs("ssh-keygen")
@pytest.mark.parametrize("next_key", [True, False], ids=["signs", "has-no-key"])
def test_killed_task_that_signs(module: Any, tmp_path: Path, next_key: bool) -> None:
    """No checkpoint has a signature of another manifest, and none loses what the policy judges."""
    (tmp_path / "keys").mkdir(0o700)
    key = make_key(tmp_path / "keys")
    signers = str(allow(tmp_path / "keys/signers", key))
    options = {"signing_key": str(key), "compression": "none", "leave_running": True}
    next_options = {**options, "signing_key": str(key) if next_key else None}
    for steps in itertools.count(1):
        host = secure_host(tmp_path / str(steps))
        if not killed_with_manifest(module, host, steps, options):
            break
        assert not run(module, host, "checkpoint", **next_options).get("failed")
        stored = newest(host)
        assert stored.manifest is not None and stored.manifest.spec is not None, steps
        manifest = Path(stored.part("manifest.json"))
        verdict = find_signer(RUNNER, manifest.read_bytes(), str(manifest), signers)
        assert verdict.signer == SIGNER if next_key else verdict.word in ("", "signature_missing"), (steps, verdict)
    assert steps > 3


@needs("ssh-keygen")
class TestPolicy:
    """The store is on a host with a trust policy."""

    @pytest.fixture(name="signed")
    def signed_fixture(self, module: Any, host: SecureHost) -> SecureHost:
        key = make_key(keys(host))
        allow(host.world.folder / "etc/criu-hosts/allowed_signers", key)
        write_policy(host.world.folder, signers=[SIGNER])
        run(module, host, "checkpoint", signing_key=str(key), compression="none")
        host.wrote.clear()
        return host

    def refused(self, module: Any, host: SecureHost) -> list[str]:
        for check in (True, False):
            failed = run(module, host, "restore", check=check)
            assert failed["reason"] == "trust_refused", failed
        assert host.wrote == [] and host.readings == [] and host.boxes == {}
        return [one["reason"] for one in failed["refusals"]]

    def test_accepted(self, module: Any, signed: SecureHost) -> None:
        restored = run(module, signed, "restore")
        assert restored["restore"]["source"] == "archive" and signed.boxes["web"].status == "running"

    def test_no_signature(self, module: Any, signed: SecureHost) -> None:
        os.unlink(newest(signed).part("manifest.json.sig"))
        assert self.refused(module, signed) == ["signature_missing"]

    def test_changed_manifest(self, module: Any, signed: SecureHost) -> None:
        path = Path(newest(signed).part("manifest.json"))
        path.write_text(path.read_text("utf-8").replace('"why": ""', '"why": "x"'), encoding="utf-8")
        assert self.refused(module, signed) == ["signature_invalid"]

    def test_archive_alone(self, module: Any, signed: SecureHost, tmp_path: Path) -> None:
        stored = newest(signed)
        other = tmp_path / "other"
        other.mkdir(0o700)
        for name in ("archive.tar", "archive.tar.json"):
            os.rename(stored.part(name), other / name)
        failed = run(module, signed, "restore", store=None, archive_path=str(other / "archive.tar"))
        assert [one["reason"] for one in failed["refusals"]] == ["signature_missing"]

    def test_what_it_would_bring(self, module: Any, signed: SecureHost) -> None:
        write_policy(signed.world.folder, signers=[], images=["docker.io/*"], labels=["spc_t"])
        assert self.refused(module, signed) == ["signer_unknown", "trust_image", "trust_label"]

    def test_policy_that_others_can_change(self, module: Any, signed: SecureHost) -> None:
        write_policy(signed.world.folder).chmod(0o666)
        failed = run(module, signed, "restore")
        assert failed["reason"] == "trust_policy_invalid" and signed.readings == []

    @needs("age")
    def test_encrypted_checkpoint_is_judged_by_its_manifest(self, module: Any, host: SecureHost) -> None:
        key, age = make_key(keys(host), "second"), age_key(host)
        allow(host.world.folder / "etc/criu-hosts/allowed_signers", key)
        options = {"signing_key": str(key), "encrypt_to": [age["public"]], "compression": "none"}
        run(module, host, "checkpoint", **options)
        write_policy(host.world.folder, capabilities=[], images=["localhost/*"])
        failed = run(module, host, "restore", decryption_key=age["secret"])
        assert [one["reason"] for one in failed["refusals"]] == ["trust_capability"]
        write_policy(host.world.folder, capabilities=["CAP_CHOWN"], images=["localhost/*"])
        assert run(module, host, "restore", decryption_key=age["secret"])["restore"]["source"] == "archive"


PRE: dict[str, Any] = {"pre_checkpoint": True}
WITH: dict[str, Any] = {"with_previous": True}


def put_more_into(path: Path, *names: str) -> None:
    """Adds members to the archive of a pre-checkpoint, and puts its new digest into all records."""
    old = file_sha256(str(path))
    with tarfile.open(path, "a") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    for one in (path.parent / "web.tar.json", Path(f"{path}.json")):
        one.write_text(one.read_text().replace(old, file_sha256(str(path))))
    known = json.loads(Path(f"{path}.json").read_text())
    Path(f"{path}.json").write_text(json.dumps({**known, "size_bytes": path.stat().st_size}))


@pytest.mark.parametrize("more", ["pre-checkpoint/pages-1.img", "deleted.files"])
def test_a_trust_policy_judges_what_a_pre_checkpoint_has(module: Any, host: SecureHost, more: str) -> None:
    """Podman unpacks all of both archives: what the first one has beyond its images would come to the host as well."""
    pre, web = (host.world.folder / f"archives/{name}.tar" for name in ("pre", "web"))
    plain = {"compression": "none", "store": None}
    assert run(module, host, "checkpoint", **plain, **PRE, archive_path=str(pre))["changed"]
    assert run(module, host, "checkpoint", **plain, **WITH, archive_path=str(web))["changed"]
    put_more_into(pre, more)
    write_policy(host.world.folder, images=["localhost/*"])
    result = run(module, host, "restore", store=None, archive_path=str(web))
    if more != "deleted.files":
        assert result["changed"], result
        return
    assert result["reason"] == "trust_refused" and more in result["msg"] and "web" not in host.boxes
    assert [one["reason"] for one in result["refusals"]] == ["trust_unknown"]


@needs("ssh-keygen")
def test_the_signature_covers_the_pre_checkpoint(module: Any, host: SecureHost) -> None:
    key = make_key(keys(host))
    signing = {"signing_key": str(key)}
    assert run(module, host, "checkpoint", **PRE)["changed"]
    assert run(module, host, "checkpoint", **PRE, **signing)["changed"], "one without a signature is none"
    assert run(module, host, "checkpoint", **PRE, **signing)["changed"] is False
    assert run(module, host, "checkpoint", **WITH, **signing)["changed"]
    assert [one.signed for one in list_stored(str(host.world.folder / "store"))] == [True, True, False]
    allow(host.world.folder / "etc/criu-hosts/allowed_signers", key)
    write_policy(host.world.folder, signers=[SIGNER], images=["localhost/*"])
    result = run(module, host, "restore")
    assert result["changed"], result
    assert any("--import-previous=" in word for argv in result["commands"] for word in argv)
