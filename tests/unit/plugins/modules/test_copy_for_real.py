# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies checkpoints with the real tools: to Debian's docker-registry by skopeo, and over a real sshd by rsync."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import result_of
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored
from ansible_collections.criu.hosts.plugins.modules import checkpoint_copy
from ansible_collections.criu.hosts.tests.unit.stored import (
    RECORD,
    manifest_of,
    part_of,
    process_manifest,
    store_checkpoint,
)

pytestmark = pytest.mark.slow
FIXTURES = Path(__file__).parents[2] / "fixtures"
ID = "20261130T164500Z-1a2b3c4d"
OLDER = "20261129T164500Z-00000001"


def need(*programs: str) -> None:
    missing = [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing:
        pytest.skip(f"not installed (Debian: docker-registry, skopeo, rsync, openssh-server): {', '.join(missing)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    for dummy in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert server.poll() is None, "the server has ended"
        time.sleep(0.1)
    raise AssertionError("the server does not listen")


def put(store: Path, identity: str = ID, compression: str = "gz", signature: str = "") -> Path:
    """Stores the archive with images of a real dump as a checkpoint, with its record beside it."""
    name, content = f"archive.tar.{compression}", (FIXTURES / "criu/4.2.1-archive.tar.gz").read_bytes()
    if compression == "zst":
        plain = subprocess.run(["gzip", "-dc"], input=content, capture_output=True, check=True).stdout
        content = subprocess.run(["zstd", "-qc"], input=plain, capture_output=True, check=True).stdout
    own = replace(RECORD, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    record = json.dumps({"schema": 1, **vars(own)}).encode()
    parts = (part_of(name, content), part_of(f"{name}.json", record))
    folder = store_checkpoint(store, manifest_of(identity, parts=parts), content)
    (folder / f"{name}.json").write_bytes(record)
    (folder / "pinned").touch()
    if signature:
        (folder / "manifest.json.sig").write_text(signature, encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o600)
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a checkpoint that belongs to it, wherever it is."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "pinned"
    }


def leftovers(store: Path) -> list[str]:
    return sorted(path.name for path in store.glob("*/*/.*"))


@pytest.fixture(name="copy")
def copy_fixture(tmp_path: Path) -> Any:
    """Runs the module: ``copy(store, check=True, state="pulled", ...)`` returns its result."""

    def run(store: Path, *, check: bool = False, **params: Any) -> dict[str, Any]:
        spec = {key: value.get("default") for key, value in checkpoint_copy.SPEC.items()}
        given = {**spec, "store": str(store), "name": "web", **params}
        context = Context(given, ProgramRunner(), check, Paths(str(tmp_path / "host")))
        return result_of(checkpoint_copy.run(context), diff=True)

    return run


@pytest.fixture(name="registry", scope="module")
def registry_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry on the loopback interface."""
    need("docker-registry", "skopeo")
    folder, port = tmp_path_factory.mktemp("registry"), free_port()
    (folder / "config.yml").write_text(
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "error"},
                "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
                "http": {"addr": f"127.0.0.1:{port}"},
            }
        ),
        encoding="utf-8",
    )
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port, server)
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


@pytest.mark.parametrize(("compression", "media"), [("gz", "+gzip"), ("zst", "+zstd")])
def test_a_registry_keeps_the_digest_and_the_signature(
    copy: Any, registry: str, tmp_path: Path, compression: str, media: str
) -> None:
    need("zstd")
    source, target = tmp_path / "a", tmp_path / "b"
    there = {"image": f"{registry}/checkpoints/{compression}", "tls_verify": False}
    put(source, OLDER, compression)
    folder = put(source, ID, compression, signature="-----BEGIN SSH SIGNATURE-----\nnaïve\n")
    before = files_of(source)

    checked = copy(source, check=True, **there)
    assert (
        checked["changed"]
        and subprocess.run(
            ["skopeo", "inspect", "--tls-verify=false", f"docker://{there['image']}:{ID}"],
            capture_output=True,
            check=False,
        ).returncode
    )
    pushed = copy(source, **there)
    assert {**pushed, "diff": 0} == {**checked, "diff": 0} and pushed["diff"] == checked["diff"]
    again = copy(source, **there)
    assert (again["changed"], again["commands"]) == (False, [])
    assert files_of(source) == before and leftovers(source) == []

    argv = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{there['image']}:{ID}"]
    image = json.loads(subprocess.run(argv, capture_output=True, check=True).stdout)
    archive = folder / f"archive.tar.{compression}"
    assert [(one["digest"], one["mediaType"]) for one in image["layers"]] == [
        (f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}", f"application/vnd.oci.image.layer.v1.tar{media}")
    ]
    assert image["annotations"]["io.podman.annotations.checkpoint.name"] == "web"
    assert image["annotations"]["org.criu.checkpoint.container.name"] == "web"

    assert copy(target, check=True, state="pulled", **there)["changed"] and not target.exists()
    pulled = copy(target, state="pulled", **there)
    assert pulled["checkpoint"]["id"] == ID and pulled["checkpoint"]["signed"] is True
    assert files_of(target / "containers/web" / ID) == files_of(folder)
    assert [one.fault for one in list_stored(str(target))] == [""] and leftovers(target) == []
    assert not (target / "containers/web" / ID / "pinned").exists()
    modes = {oct(path.stat().st_mode & 0o777) for path in target.rglob("*") if path.is_file()}
    assert modes == {"0o600"}
    assert {oct(path.stat().st_mode & 0o777) for path in target.rglob("*") if path.is_dir()} == {"0o700"}
    assert copy(target, state="pulled", **there)["changed"] is False


def test_a_changed_archive_is_not_pushed(copy: Any, registry: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "a")
    archive = folder / "archive.tar.gz"
    content = bytearray(archive.read_bytes())
    content[-1] ^= 1
    archive.write_bytes(content)
    for check in (True, False):
        with pytest.raises(CheckpointError, match=r"its SHA-256 is|cannot be read") as caught:
            copy(tmp_path / "a", check=check, image=f"{registry}/checkpoints/changed", tls_verify=False)
        assert caught.value.reason == "checkpoint_damaged"


def test_what_a_registry_says_is_compared(copy: Any, registry: str, tmp_path: Path) -> None:
    """An image of something else under the same tag, one without a checkpoint, and a local one that differs."""
    there = {"image": f"{registry}/checkpoints/other", "tls_verify": False}
    with pytest.raises(CheckpointError) as caught:
        copy(tmp_path / "b", state="pulled", **there)
    assert caught.value.reason == "tool_failed" and "Check the name" in caught.value.message
    folder = put(tmp_path / "a")
    copy(tmp_path / "a", **there)
    with pytest.raises(CheckpointError, match="it is the container checkpoint web/") as caught:
        copy(tmp_path / "b", state="pulled", **{**there, "name": "mail"})
    assert caught.value.reason == "checkpoint_damaged"
    (folder / "manifest.json.sig").write_text("signed since", encoding="utf-8")
    (folder / "manifest.json.sig").chmod(0o600)
    with pytest.raises(CheckpointError, match="is not replaced") as caught:
        copy(tmp_path / "a", state="pulled", **there)
    assert caught.value.reason == "checkpoint_differs"
    assert copy(tmp_path / "a", **there)["changed"] is True
    assert copy(tmp_path / "a", state="pulled", **there)["changed"] is False


def test_a_registry_that_needs_tls_is_not_asked_without(copy: Any, registry: str, tmp_path: Path) -> None:
    put(tmp_path / "a")
    with pytest.raises(CheckpointError) as caught:
        copy(tmp_path / "a", image=f"{registry}/checkpoints/tls")
    assert caught.value.reason == "tool_failed" and "HTTPS" in caught.value.facts["stderr"]
    assert leftovers(tmp_path / "a") == []


@pytest.mark.parametrize("suffix", [".age", ".gpg"])
def test_an_encrypted_archive_stays_as_it_is(copy: Any, registry: str, tmp_path: Path, suffix: str) -> None:
    content = b"age-encryption.org/v1\n" + bytes(range(256)) * 40
    there = {"image": f"{registry}/checkpoints/encrypted{suffix}", "tls_verify": False}
    manifest = manifest_of(parts=(part_of(f"archive.tar.zst{suffix}", content),))
    folder = store_checkpoint(tmp_path / "a", manifest, content)
    copy(tmp_path / "a", **there)
    copy(tmp_path / "b", state="pulled", **there)
    assert files_of(tmp_path / "b/containers/web" / ID) == files_of(folder)


def test_a_pull_that_was_cut_off_leaves_no_checkpoint(copy: Any, registry: str, tmp_path: Path) -> None:
    there = {"image": f"{registry}/checkpoints/cut", "tls_verify": False}
    folder, target = put(tmp_path / "a"), tmp_path / "b"
    copy(tmp_path / "a", **there)
    # As a task leaves it that was killed while it proved the copy, with a file that was cut off.
    partial = target / "containers/web" / f".part-{ID}"
    partial.mkdir(parents=True, mode=0o700)
    for name in ("b", "b/containers", "b/containers/web"):
        (tmp_path / name).chmod(0o700)
    (partial / "archive.tar.gz").write_bytes((folder / "archive.tar.gz").read_bytes()[:100])
    assert list_stored(str(target)) == []
    assert copy(target, state="pulled", **there)["changed"]
    assert files_of(target / "containers/web" / ID) == files_of(folder) and leftovers(target) == []


@pytest.fixture(name="sshd", scope="module")
def sshd_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A host that this user can log in to with a key: this one, on a port of its own."""
    need("rsync", "sshd", "ssh", "ssh-keygen")
    if os.geteuid() != 0:
        pytest.skip("only root can start an sshd that lets a user in")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "allowed").write_bytes((folder / "user.pub").read_bytes())
    (folder / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/allowed\n"
        f"PidFile {folder}/pid\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n",
        encoding="utf-8",
    )
    os.makedirs("/run/sshd", exist_ok=True)
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    options = ["-F", "none", "-p", str(port), "-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no"]
    with subprocess.Popen([str(sshd), "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL) as server:
        try:
            wait_for(port, server)
            yield {
                "host": "root@127.0.0.1",
                "ssh_options": [*options, "-o", f"UserKnownHostsFile={folder}/known hosts"],
            }
        finally:
            server.terminate()


def test_another_host_gets_the_same_checkpoint(copy: Any, sshd: dict[str, Any], tmp_path: Path) -> None:
    source, other, back = tmp_path / "a", tmp_path / "o'ther store; $(id)", tmp_path / "c"
    there = {**sshd, "host_store": str(other)}
    put(source, OLDER)
    folder = put(source, signature="signature")
    before = files_of(source)
    checked = copy(source, check=True, **there)
    assert checked["changed"] and not other.exists()
    pushed = copy(source, **there)
    assert pushed == checked and files_of(source) == before
    arrived = other / "containers/web" / ID
    assert files_of(arrived) == files_of(folder) and leftovers(other) == [] and not (arrived / "pinned").exists()
    assert [one.fault for one in list_stored(str(other))] == [""]
    assert {oct(path.stat().st_mode & 0o777) for path in arrived.rglob("*")} == {"0o600"}
    again = copy(source, **there)
    assert (again["changed"], again["commands"]) == (False, [])

    assert copy(back, check=True, state="pulled", **there)["changed"] and not back.exists()
    pulled = copy(back, state="pulled", **there)
    assert pulled["checkpoint"]["id"] == ID and pulled["checkpoint"]["signed"] is True
    assert files_of(back / "containers/web" / ID) == files_of(folder) and leftovers(back) == []
    assert copy(back, state="pulled", **there)["changed"] is False


def test_a_process_is_copied_with_its_images(copy: Any, sshd: dict[str, Any], tmp_path: Path) -> None:
    source, other, back = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    folder = store_checkpoint(source, process_manifest())
    there = {**sshd, "host_store": str(other), "kind": "process", "name": "worker"}
    assert copy(source, **there)["changed"]
    assert copy(back, state="pulled", **there)["changed"]
    assert files_of(back / "processes/worker" / ID) == files_of(folder)
    assert copy(source, **there)["changed"] is copy(back, state="pulled", **there)["changed"] is False


def test_a_copy_that_was_cut_off_goes_on(copy: Any, sshd: dict[str, Any], tmp_path: Path) -> None:
    """What is there of the archive is not sent again: rsync says how much it matched."""
    content = os.urandom(1 << 20)
    source, other = tmp_path / "a", tmp_path / "b"
    folder = store_checkpoint(source, manifest_of(parts=(part_of("archive.tar", content),)), content)
    # As rsync leaves it that lost its connection in the middle of the archive.
    partial = other / "containers/web" / f".part-{ID}" / ".rsync-partial"
    partial.mkdir(parents=True)
    (partial / "archive.tar").write_bytes(content[: 900 << 10])
    there = {**sshd, "host_store": str(other)}
    result = copy(source, **there)
    assert result["changed"] and files_of(other / "containers/web" / ID) == files_of(folder) and leftovers(other) == []
    rsync = next(argv for argv in result["commands"] if argv[0] == "rsync")
    (other / "containers/web" / ID).rename(other / "containers/web" / f".part-{ID}")
    whole = other / "containers/web" / f".part-{ID}" / "archive.tar"
    partial.mkdir()
    whole.rename(partial / "archive.tar")
    os.truncate(partial / "archive.tar", 900 << 10)
    argv = [*rsync[:-2], "--info=stats2", *rsync[-2:]]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    matched = next(line for line in out.splitlines() if line.startswith("Matched data:"))
    assert int(matched.split()[2].replace(",", "")) > 800 << 10


def test_what_came_is_proved(copy: Any, sshd: dict[str, Any], tmp_path: Path) -> None:
    source, other, back = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    there = {**sshd, "host_store": str(other)}
    put(source)
    copy(source, **there)
    archive = other / "containers/web" / ID / "archive.tar.gz"
    content = archive.read_bytes()
    archive.write_bytes(content[:-1] + b"?")
    for store, state in ((source, "pushed"), (back, "pulled")):
        with pytest.raises(CheckpointError) as caught:
            copy(store, state=state, **there)
        assert caught.value.reason == {"pushed": "checkpoint_differs", "pulled": "checkpoint_damaged"}[state]
    assert list_stored(str(back)) == []
    (archive.parent / "extra").write_bytes(b"")
    archive.write_bytes(content)
    with pytest.raises(CheckpointError, match="its files are not those in its manifest: 'extra'"):
        copy(back, state="pulled", **there)
    (archive.parent / "extra").unlink()
    (archive.parent / "link").symlink_to("/etc/passwd")
    assert copy(back, state="pulled", **there)["changed"]
    assert not (back / "containers/web" / ID / "link").exists()


def test_a_host_that_cannot_be_reached(copy: Any, tmp_path: Path) -> None:
    need("ssh")
    put(tmp_path / "a")
    for state in ("pushed", "pulled"):
        with pytest.raises(CheckpointError, match=r"Cannot reach the host 'root@127\.0\.0\.1' by ssh") as caught:
            copy(tmp_path / "a", state=state, host="root@127.0.0.1", ssh_options=["-F", "none", "-p", str(free_port())])
        assert caught.value.reason == "host_unreachable"
