# SPDX-License-Identifier: GPL-3.0-or-later
"""container_checkpoint from end to end, against podman's recorded answers."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._host import paths
from ansible_collections.criu.hosts.plugins.module_utils._store.pre_record import PreRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import (
    ID,
    INSPECT,
    LABEL,
    World,
    archive_argv,
    checkpoint_argv,
    pid_of,
    recorded,
    running,
    world,
)
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, Write
from ansible_collections.criu.hosts.tests.unit.images_host import IMAGE, images_host
from ansible_collections.criu.hosts.tests.unit.plugins.modules import test_container_apparmor
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, podman_host

Built = tuple[dict[str, Any], Host]
LEFT_RUNNING = Path(__file__).parents[2] / "fixtures/criu/4.2.1-leave-running"


def in_place(folder: Path) -> Built:
    made = world(folder)
    running(made)

    def dump() -> None:
        made.end(pid_of("running"))
        made.dump()

    made.script(Write(checkpoint_argv(), out=recorded("checkpoint-in-place.json"), turns=True, effect=dump))
    return {"name": "web"}, made.host


def to_archive(folder: Path, made: World | None = None, **options: Any) -> Built:
    made = made or world(folder)
    archive = folder / "archives/web.tar.zst"
    running(made, after="running" if options.get("leave_running") else "checkpointed-archive")

    def dump() -> None:
        if not options.get("leave_running"):
            made.end(pid_of("running"))
        made.dump()
        (archive.parent / ".web.tar.zst.pipe").write_bytes(b"archive")

    flags = ["--leave-running"] if options.get("leave_running") else []
    made.script(
        Write(archive_argv(archive, *flags), out=recorded("checkpoint-archive.json"), turns=True, effect=dump),
    )
    return {"name": "web", "archive_path": str(archive), **options}, made.host


def to_store(folder: Path) -> Built:
    made = world(folder)
    archive = folder / "store/containers/web/.part-new/archive.tar.zst"
    running(made, after="checkpointed-archive")

    def dump() -> None:
        made.end(pid_of("running"))
        made.dump()
        (archive.parent / f".{archive.name}.pipe").write_bytes(b"archive")

    made.script(
        Reply(["podman", "--version"], out="podman version 5.4.2\n"),
        Reply(["runc", "--version"], out="runc version 1.1.15+ds1\n"),
        Write(archive_argv(archive), out=recorded("checkpoint-archive.json"), turns=True, effect=dump),
    )
    return {"name": "web", "store": str(folder / "store"), "why": "nightly"}, made.host


def leave_running(folder: Path) -> Built:
    return to_archive(folder, leave_running=True)


def outdated(folder: Path, made_at: str = "2020-01-01T00:00:00Z") -> Built:
    """There is an archive of this run of the container, with that time."""
    params, host = to_archive(folder, leave_running=True, max_age="1h")
    archive = Path(params["archive_path"])
    archive.parent.mkdir(mode=0o700)
    archive.write_bytes(b"old archive")
    archive.chmod(0o600)
    entry = json.loads(recorded("inspect-running.json"))[0]
    known = Record(
        *("podman", ID, "web", "localhost/w", entry["Image"], "runc", LABEL),
        run=entry["State"]["StartedAt"],
        checkpointed_at=made_at,
        size_bytes=len(b"old archive"),
        options={"ignore_rootfs": False, "ignore_volumes": False, "compression": "zstd"},
        ran_on=True,
    )
    record = archive.parent / f"{archive.name}.json"
    record.write_text(render_record(known))
    record.chmod(0o600)
    return params, host


def young(folder: Path) -> Built:
    return outdated(folder, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60)))


def leave_running_in_place(folder: Path) -> Built:
    made = world(folder)
    running(made, after="running")
    made.script(Write(checkpoint_argv("--leave-running"), turns=True, effect=made.dump))
    return {"name": "web", "leave_running": True}, made.host


def checkpointed_already(folder: Path) -> Built:
    made = world(folder)
    made.dump()
    made.script(Reply(INSPECT, out=made.inspected("checkpointed")))
    return {"name": "web"}, made.host


def no_selinux(folder: Path) -> Built:
    return to_archive(folder, world(folder, selinux="disabled"))


def apparmor(folder: Path) -> Built:
    """One of the threads is in a hat, which is a warning."""
    return {"name": "web"}, test_container_apparmor.runs(folder, "lab (enforce)", "lab//HAT (enforce)").host


def archive_absent(folder: Path) -> Built:
    made = world(folder)
    archive = folder / "web.tar.zst"
    archive.write_bytes(b"archive")
    record = Record("podman", ID, "web", "localhost/w", "8177", "runc", LABEL, size_bytes=7)
    (folder / "web.tar.zst.json").write_text(render_record(record))
    return {"name": "web", "archive_path": str(archive), "state": "absent"}, made.host


def in_place_absent(folder: Path) -> Built:
    made = world(folder)
    running(made)
    made.dump()
    return {"name": "web", "state": "absent"}, made.host


def failed_dump_absent(folder: Path) -> Built:
    """A dump that failed has left images and a log, but no checkpoint."""
    made = world(folder)
    running(made)
    (made.userdata / "checkpoint").mkdir()
    (made.userdata / "checkpoint/pages-1.img").write_bytes(b"memory")
    (made.userdata / "dump.log").write_text("Error")
    return {"name": "web", "state": "absent"}, made.host


def to_image(folder: Path) -> Built:
    host = images_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z"))
    return {"name": "web", "create_image": IMAGE}, host


def stateful(folder: Path) -> PodmanHost:
    host = podman_host(folder)
    host.run_box(Box(ID, "web", created="2026-11-01T00:00:00Z"))
    return host


def pre_checkpoint(folder: Path) -> Built:
    return {"name": "web", "store": str(folder / "store"), "pre_checkpoint": True}, stateful(folder)


def pre_checkpointed(folder: Path) -> Built:
    """A complete pre-checkpoint is beside the container."""
    host = stateful(folder)
    host.run_command(None, checkpoint_argv("--pre-checkpoint"))
    host.wrote.clear()
    images = host.folder(host.boxes["web"]) / "pre-checkpoint"
    stamp = (images / "inventory.img").stat().st_mtime_ns
    started = json.loads(recorded("inspect-running.json"))[0]["State"]["StartedAt"]
    (images / "criu-hosts.json").write_text(render_record(PreRecord(ID, started, str(stamp))))
    return {"name": "web", "pre_checkpoint": True}, host


def with_previous(folder: Path) -> Built:
    dummy_params, host = pre_checkpointed(folder)
    return {"name": "web", "with_previous": True}, host


CONTRACT_CASES = [
    Case("in-place", in_place),
    Case("pre-checkpoint", pre_checkpoint),
    Case("pre-checkpointed-already", pre_checkpointed, changed=False),
    Case("with-previous", with_previous),
    Case("to-image", to_image),
    Case("to-archive", to_archive),
    Case("to-store", to_store),
    Case("leave-running", leave_running),
    Case("leave-running-in-place", leave_running_in_place),
    Case("older-than-max-age", outdated),
    Case("younger-than-max-age", young, changed=False),
    Case("without-selinux", no_selinux),
    Case("apparmor", apparmor),
    Case("checkpointed-already", checkpointed_already, changed=False),
    Case("archive-absent", archive_absent),
    Case("in-place-absent", in_place_absent),
    Case("failed-dump-absent", failed_dump_absent),
]


def test_archive_has_a_record_with_every_thread_and_safe_modes(module: Any, tmp_path: Path) -> None:
    params, host = to_archive(tmp_path)
    result = module("container_checkpoint", params, host=host).result
    archive = Path(params["archive_path"])
    record = json.loads((tmp_path / "archives/web.tar.zst.json").read_text())
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert stat.S_IMODE(archive.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "archives/web.tar.zst.json").stat().st_mode) == 0o600
    assert sorted(path.name for path in archive.parent.iterdir()) == ["web.tar.zst", "web.tar.zst.json"]
    assert [entry["tid"] for entry in record["labels"]] == ["1", "6", "7", "8"]
    assert {entry["label"] for entry in record["labels"]} == {LABEL}
    assert (record["id"], record["runtime"], record["criu"]) == (ID, "runc", "4.2.1")
    assert record["size_bytes"] == archive.stat().st_size
    assert result["checkpoint"]["sha256"] == record["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert result["checkpoint"]["container_state"] == "exited"
    assert result["statistics"]["written_pages"] == 2081
    in_place_record = json.loads((tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").read_text())
    assert in_place_record == record


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder, params: params.update(ignore_rootfs=True), id="other-options"),
        pytest.param(lambda folder, params: (folder / "archives/web.tar.zst").write_bytes(b"arc"), id="other-size"),
        pytest.param(lambda folder, params: (folder / "archives/web.tar.zst.json").unlink(), id="no-record"),
    ],
)
def test_archive_that_is_not_current_is_made_anew(module: Any, tmp_path: Path, change: Any) -> None:
    params, host = leave_running(tmp_path)
    assert module("container_checkpoint", params, host=host).result["changed"]
    change(tmp_path, params)
    assert module("container_checkpoint", params, host=host, check=True).result["changed"]


def test_archive_of_a_removed_container_stays_current(module: Any, tmp_path: Path) -> None:
    params, host = to_archive(tmp_path)
    module("container_checkpoint", params, host=host)
    host.replies = [Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125)]
    result = module("container_checkpoint", params, host=host).result
    assert result["changed"] is False
    assert result["checkpoint"]["container_state"] == "absent"


def test_a_restore_makes_the_archive_outdated(module: Any, tmp_path: Path) -> None:
    params, host = leave_running(tmp_path)
    module("container_checkpoint", params, host=host)
    restored = World.inspected
    made = World.__new__(World)
    made.folder, made.host = tmp_path, host  # type: ignore[assignment]
    host.replies = [Reply(INSPECT, out=restored(made, "restored")), *host.replies]
    assert module("container_checkpoint", params, host=host, check=True).result["changed"]


def full_disk(folder: Path, *, restore_rc: int = 0) -> tuple[dict[str, Any], Host, World]:
    """Podman has stopped the container and cannot write the archive: what was recorded on a full tmpfs."""
    made = world(folder)
    params, host = to_archive(folder, made)
    archive = Path(params["archive_path"])
    pid = pid_of("running")

    def dump() -> None:
        made.end(pid)
        made.dump()
        (archive.parent / ".web.tar.zst.pipe").write_bytes(b"arch")
        made.host.state = "after"

    def back() -> None:
        made.process(pid + 500, [LABEL] * 4)

    keep = ["podman", "container", "restore", "--print-stats", "--keep", "web"]
    host.replies = [
        Reply(INSPECT, out=made.inspected("after-disk-full"), state="after"),
        Write(archive_argv(archive), rc=125, err=recorded("checkpoint-disk-full.txt"), effect=dump),
        Write(keep, rc=restore_rc, effect=None if restore_rc else back, err="Error: no\n" if restore_rc else ""),
        *host.replies,
    ]
    return params, host, made


def test_images_of_a_failed_dump_go_and_its_log_stays(module: Any, tmp_path: Path) -> None:
    params, host = failed_dump_absent(tmp_path)
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert list(tmp_path.rglob("pages-1.img")) == []
    assert len(list(tmp_path.rglob("dump.log"))) == 1


def test_archive_of_a_running_container_leaves_nothing_beside_it(module: Any, tmp_path: Path) -> None:
    params, host = leave_running(tmp_path)
    assert module("container_checkpoint", params, host=host).result["checkpoint"]["container_state"] == "running"
    assert list((tmp_path / f"var/lib/containers/storage/overlay-containers/{ID}/userdata").iterdir()) == []
    assert not (tmp_path / "var/lib/criu-hosts/checkpoints").exists()


def test_records_of_removed_containers_go(module: Any, tmp_path: Path) -> None:
    params, host = in_place(tmp_path)
    (tmp_path / "var/lib/criu-hosts/checkpoints").mkdir(parents=True)
    (tmp_path / "var/lib/criu-hosts/checkpoints/f00.json").write_text("{}")
    module("container_checkpoint", params, host=host)
    assert [path.name for path in (tmp_path / "var/lib/criu-hosts/checkpoints").iterdir()] == [f"{ID}.json"]


def test_folder_of_another_user_is_refused(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params, host = to_archive(tmp_path)
    folder = tmp_path / "archives"
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert module("container_checkpoint", params, host=host).result["reason"] == "archive_path_unsafe"


def test_full_disk_brings_the_container_back_and_leaves_no_partial_file(module: Any, tmp_path: Path) -> None:
    params, host, made = full_disk(tmp_path)
    run = module("container_checkpoint", params, host=host)
    assert run.failed
    assert run.result["reason"] == "disk_full"
    assert run.result["container_state"] == "running"
    assert "It was restored from its checkpoint and runs again." in run.result["msg"]
    assert "\n" not in run.result["msg"]
    assert list((tmp_path / "archives").iterdir()) == []
    assert [argv[0] for argv in host.wrote] == ["podman", "setsebool", "podman", "setsebool"]
    assert (tmp_path / "sys/fs/selinux/booleans/criu_container_restore").read_text() == "0 0"
    assert not (made.userdata / "checkpoint").exists()


def test_full_disk_keeps_the_old_archive(module: Any, tmp_path: Path) -> None:
    params, host, dummy_made = full_disk(tmp_path)
    archive = Path(params["archive_path"])
    archive.parent.mkdir(mode=0o700)
    archive.write_bytes(b"old")
    assert module("container_checkpoint", params, host=host).result["reason"] == "disk_full"
    assert archive.read_bytes() == b"old"


def test_a_container_that_cannot_be_brought_back_is_told(module: Any, tmp_path: Path) -> None:
    params, host, dummy_made = full_disk(tmp_path, restore_rc=125)
    result = module("container_checkpoint", params, host=host).result
    assert result["reason"] == "disk_full"
    assert result["container_state"] == "exited"
    assert "could not be restored" in result["msg"]
    assert result["cleanup_failed"]
    assert (tmp_path / "sys/fs/selinux/booleans/criu_container_restore").read_text() == "0 0"


def test_failed_dump_tells_crius_errors_and_that_the_container_runs(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path)
    running(made)
    error = "(00.2) Error (criu/sk-inet.c:191): inet: Connected TCP socket, consider using --tcp-established option."
    noise = 'Error (criu/util.c:642): execvp("iptables-save", ...) failed: No such file or directory'

    def log() -> None:
        (made.userdata / "dump.log").write_text(f"{noise}\n(00.1) Dumping\n{error}\n")

    err = "Error: OCI runtime error: runc: criu failed: type NOTIFY errno 0\n"
    made.script(Write(checkpoint_argv(), rc=125, effect=log, err=err))
    result = module("container_checkpoint", {"name": "web"}, host=made.host).result
    assert result["reason"] == "tcp_established_needed"
    assert "It keeps running." in result["msg"]
    assert result["container_state"] == "running"
    assert result["log_tail"] == [error]
    assert result["log_path"] == str(made.userdata / "dump.log")


@pytest.mark.parametrize("old", [True, False])
def test_only_what_the_failed_dump_has_begun_is_removed(module: Any, tmp_path: Path, old: bool) -> None:
    """Its images are memory, and may be what fills the disk; those of an earlier checkpoint are somebody's."""
    made = world(tmp_path)
    running(made)
    pages = made.userdata / "checkpoint/pages-1.img"

    def dump() -> None:
        pages.parent.mkdir()
        pages.write_bytes(b"memory")
        if old:
            os.utime(pages, (0, 0))

    made.script(Write(checkpoint_argv(), rc=125, effect=dump, err="Error: OCI runtime error: crun: failed\n"))
    result = module("container_checkpoint", {"name": "web"}, host=made.host).result
    assert "It keeps running." in result["msg"]
    assert pages.exists() is old


def with_secret(folder: Path) -> None:
    """Puts the recorded configuration of a container with a secret on the host, and what it mounts."""
    userdata = folder / f"var/lib/containers/storage/overlay-containers/{ID}/userdata"
    (userdata / "config.json").write_text(recorded("oci-secret.json"))
    for mount in json.loads(recorded("oci-secret.json"))["mounts"]:
        if mount["source"].startswith(("/srv", "/etc")):
            (folder / mount["source"].lstrip("/")).mkdir(parents=True, exist_ok=True)


def test_archive_that_cannot_be_restored_is_refused(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path)
    with_secret(tmp_path)
    params, host = to_archive(tmp_path, made)
    result = module("container_checkpoint", params, host=host).result
    assert result["reason"] == "secret_not_restorable"
    assert "/run/secrets/redis" in result["msg"]
    assert host.wrote == []


def test_checkpoint_in_place_with_a_secret_lives_until_the_boot(module: Any, tmp_path: Path) -> None:
    params, host = in_place(tmp_path)
    with_secret(tmp_path)
    loopback, secret = module("container_checkpoint", params, host=host).result["warnings"]
    assert "until the next boot only" in str(secret)
    assert "loopback, which will be down after a restore by runc" in str(loopback)


LISTENER = "  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 51 1 0 100 0 0 10 0\n"


@pytest.mark.parametrize(("sockets", "count"), [("", 0), (LISTENER, 1)], ids=["none", "listener"])
def test_only_a_container_with_sockets_on_loopback_is_warned_about(
    module: Any, tmp_path: Path, sockets: str, count: int
) -> None:
    params, host = in_place(tmp_path)
    net = tmp_path / f"proc/{pid_of('running')}/net"
    net.mkdir()
    (net / "tcp").write_text(f"  sl  local_address rem_address   st\n{sockets}")
    result = module("container_checkpoint", params, host=host).result
    assert not result.get("failed") and len(result.get("warnings", [])) == count


def _no_container(made: World, params: dict[str, Any]) -> None:
    made.script(Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125))


def _rootless(made: World, params: dict[str, Any]) -> None:
    PLACE.uid = 1000


def _exited(made: World, params: dict[str, Any]) -> None:
    made.script(Reply(INSPECT, out=made.inspected("after-disk-full")))


def _already(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(made.folder / "archives/x.tar")
    made.dump()
    made.script(Reply(INSPECT, out=made.inspected("checkpointed")))


def _auto_remove(made: World, params: dict[str, Any]) -> None:
    running(made, AutoRemove=True)


def _auto_remove_full(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(made.folder / "archives/x.tar")
    running(made, AutoRemove=True)
    (made.folder / f"proc/{pid_of('running')}/statm").write_text("6000 99999999999999 900 1 0 900 0\n")


def _with_unit(made: World, state: int, label: str = "criu.hosts.unit") -> None:
    running(made)
    first = next(one for one in made.host.replies if isinstance(one, Reply) and list(one.argv) == INSPECT)
    entry = json.loads(first.out)
    entry[0]["Config"]["Labels"] = {label: "web.service"}
    asked = Reply(["systemctl", "is-active", "--quiet", "--", "web.service"], rc=state)
    made.host.replies = [Reply(INSPECT, out=json.dumps(entry), state="before"), asked, *made.host.replies]


def _managed(made: World, params: dict[str, Any]) -> None:
    _with_unit(made, 0)


def _managed_by_quadlet(made: World, params: dict[str, Any]) -> None:
    _with_unit(made, 0, "PODMAN_SYSTEMD_UNIT")
    params["archive_path"] = str(made.folder / "archives/x.tar")


def _criu_missing(made: World, params: dict[str, Any]) -> None:
    running(made)
    made.host.tools["criu"] = None


def _criu_old(made: World, params: dict[str, Any]) -> None:
    running(made)
    made.host.replies = [reply for reply in made.host.replies if reply.argv[0] != made.host.tools["criu"]]
    made.criu("libselinux.so.1", version="3.10")


def _criu_without(made: World, params: dict[str, Any]) -> None:
    running(made)
    made.criu()


def _criu_without_permissive(made: World, params: dict[str, Any]) -> None:
    _criu_without(made, params)
    made.selinux("permissive")


def _policy(made: World, params: dict[str, Any]) -> None:
    running(made)
    (made.folder / "sys/fs/selinux/booleans/criu_container_restore").unlink()


def _open_folder(made: World, params: dict[str, Any]) -> None:
    folder = made.folder / "open"
    folder.mkdir()
    folder.chmod(0o777)
    params["archive_path"] = str(folder / "x.tar")


def _relative(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = "x.tar"


def _link(made: World, params: dict[str, Any]) -> None:
    os.symlink("/etc/passwd", made.folder / "x.tar")
    params["archive_path"] = str(made.folder / "x.tar")


def _name(made: World, params: dict[str, Any]) -> None:
    params["name"] = "--all"


def _in_use(made: World, params: dict[str, Any]) -> None:
    params["state"] = "absent"
    made.dump()
    made.script(Reply(INSPECT, out=made.inspected("checkpointed")))


def _other(made: World, params: dict[str, Any]) -> None:
    params.update(archive_absent(made.folder / "other")[0], name="db")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(_rootless, "rootless_unsupported", id="rootless"),
        pytest.param(_no_container, "container_missing", id="no-such-container"),
        pytest.param(_exited, "container_not_running", id="exited"),
        pytest.param(_already, "container_not_running", id="checkpointed-in-place-but-archive-wanted"),
        pytest.param(_auto_remove, "auto_remove", id="made-with-rm"),
        pytest.param(_auto_remove_full, "disk_full", id="made-with-rm-and-no-room"),
        pytest.param(_managed, "unit_managed", id="of-an-active-unit"),
        pytest.param(_managed_by_quadlet, "unit_managed", id="of-an-active-quadlet-unit"),
        pytest.param(_criu_missing, "criu_missing", id="no-criu"),
        pytest.param(_criu_old, "criu_too_old", id="old-criu"),
        pytest.param(_criu_without, "criu_without_selinux", id="criu-without-libselinux-enforcing"),
        pytest.param(_criu_without_permissive, "criu_without_selinux", id="criu-without-libselinux-permissive"),
        pytest.param(_policy, "policy_missing", id="no-policy"),
        pytest.param(_open_folder, "archive_path_unsafe", id="open-folder"),
        pytest.param(_relative, "archive_path_unsafe", id="relative-path"),
        pytest.param(_link, "archive_path_unsafe", id="link"),
        pytest.param(_name, "name_invalid", id="option-as-name"),
        pytest.param(_in_use, "checkpoint_in_use", id="absent-would-lose-state"),
        pytest.param(_other, "archive_mismatch", id="absent-of-another-container"),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_refused(module: Any, tmp_path: Path, spoil: Any, reason: str, check: bool) -> None:
    made = world(tmp_path / "host")
    (tmp_path / "host/other").mkdir()
    params: dict[str, Any] = {"name": "web"}
    spoil(made, params)
    run = module("container_checkpoint", params, host=made.host, check=check)
    assert run.failed
    assert run.result["reason"] == reason
    assert "\n" not in run.result["msg"]
    assert made.host.wrote == []


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        ("paused", "container_paused", "it is paused. Unpause it first (podman unpause web)."),
        ("created", "container_not_running", "it has never run (status 'created'). Start it first."),
        ("initialized", "container_not_running", "it has never run (status 'initialized'). Start it first."),
        ("stopping", "container_not_running", "its status is 'stopping'. Wait until it has ended, then start it."),
        ("removing", "container_not_running", "its status is 'removing'. Wait until it has ended, then start it."),
        ("exited", "container_not_running", "its status is 'exited'. Start it first."),
        ("unheard", "container_not_running", "its status is 'unheard'. Start it first."),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_each_status_without_a_run_has_its_own_advice(
    module: Any, tmp_path: Path, status: str, reason: str, words: str, check: bool
) -> None:
    made = world(tmp_path)
    entry = json.loads(made.inspected("paused"))
    entry[0]["State"]["Status"] = status
    made.script(Reply(INSPECT, out=json.dumps(entry)))
    run = module("container_checkpoint", {"name": "web"}, host=made.host, check=check)
    assert run.failed and run.result["reason"] == reason
    assert run.result["msg"].endswith(words)
    assert made.host.wrote == []


@pytest.mark.parametrize(
    ("state", "options"), [pytest.param(3, {}, id="not-active"), pytest.param(0, {"leave_running": True}, id="runs-on")]
)
def test_container_of_a_unit_that_is_not_disturbed(
    module: Any, tmp_path: Path, state: int, options: dict[str, Any]
) -> None:
    made = world(tmp_path)
    _with_unit(made, state)
    argv = checkpoint_argv(*(["--leave-running"] if options else []))
    made.script(Write(argv, turns=True, effect=made.dump))
    run = module("container_checkpoint", {"name": "web", **options}, host=made.host)
    assert not run.failed and argv in made.host.wrote


@pytest.mark.parametrize("unit", ["--now.service", "a b.service", "web.service\nx", "web.socket"])
def test_a_label_that_is_no_service_is_not_asked_about(module: Any, tmp_path: Path, unit: str) -> None:
    params, host = in_place(tmp_path)
    first = next(one for one in host.replies if list(one.argv) == INSPECT)
    entry = json.loads(first.out)
    entry[0]["Config"]["Labels"] = {"PODMAN_SYSTEMD_UNIT": unit}
    host.replies = [Reply(INSPECT, out=json.dumps(entry), state="before"), *host.replies]
    assert module("container_checkpoint", params, host=host).result["changed"]
    assert not any("systemctl" in argv for argv in host.ran)


def test_permissive_warns(module: Any, tmp_path: Path) -> None:
    params, host = to_archive(tmp_path, world(tmp_path, selinux="permissive"))
    result = module("container_checkpoint", params, host=host).result
    assert any("permissive" in str(warning) for warning in result["warnings"])


def grown(folder: Path) -> Built:
    """The container wrote to an open file between the dump and its copy."""
    made = world(folder)
    params, host = to_archive(folder, made, leave_running=True)
    archive = Path(params["archive_path"])
    name = "rootfs-diff.tar"

    def dump() -> None:
        made.dump()
        for image in LEFT_RUNNING.iterdir():
            shutil.copy(image, made.userdata / "checkpoint" / image.name)
        (made.userdata / name).write_bytes(b"a copy")
        inside = io.BytesIO()
        with tarfile.open(fileobj=inside, mode="w") as files:
            files.addfile(tarfile.TarInfo("app.log"))
        with tarfile.open(archive.parent / f".{archive.name}.pipe", "w|") as whole:
            info = tarfile.TarInfo(name)
            info.size = len(inside.getvalue())
            whole.addfile(info, io.BytesIO(inside.getvalue()))

    host.replies = [Write(archive_argv(archive, "--leave-running"), turns=True, effect=dump), *host.replies]
    return params, host


def test_an_archive_whose_files_are_newer_than_its_memory_is_removed(module: Any, tmp_path: Path) -> None:
    params, host = grown(tmp_path)
    failed = module("container_checkpoint", params, host=host).result
    assert failed["reason"] == "archive_inconsistent" and "'/app.log'" in failed["msg"]
    assert failed["container_state"] == "running"
    assert not list((tmp_path / "archives").iterdir())
    userdata = tmp_path / f"var/lib/containers/storage/overlay-containers/{ID}/userdata"
    assert not (userdata / "checkpoint").exists() and not (userdata / "rootfs-diff.tar").exists()


@pytest.mark.parametrize("check", [False, True])
def test_an_archive_of_a_container_that_runs_on_is_a_warning(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = leave_running(tmp_path)
    found = module("container_checkpoint", params, host=host, check=check).result
    assert found["changed"] and [one for one in found["warnings"] if "ran on while its files were copied" in str(one)]


def tied(folder: Path, **entries: Any) -> Host:
    made = world(folder)
    made.process(pid_of("running"), [LABEL] * 4)
    entry = json.loads(made.inspected("running"))
    entry[0].update(entries)
    made.script(Reply(INSPECT, out=json.dumps(entry)))
    return made.host


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    ("entries", "reason"), [({"Dependencies": ["b" * 64]}, "has_dependencies"), ({"Pod": "c" * 64}, "in_pod")]
)
def test_a_container_that_podman_does_not_export_is_refused_before(
    module: Any, tmp_path: Path, entries: dict[str, Any], reason: str, check: bool
) -> None:
    params = {"name": "web", "archive_path": str(tmp_path / "a/web.tar.zst")}
    host = tied(tmp_path, **entries)
    failed = module("container_checkpoint", params, host=host, check=check).result
    assert failed["reason"] == reason and not host.wrote and not (tmp_path / "a").exists()


def test_a_dependency_is_a_warning_in_place(module: Any, tmp_path: Path) -> None:
    host = tied(tmp_path, Dependencies=["b" * 64])
    found = module("container_checkpoint", {"name": "web"}, host=host, check=True).result
    assert [one for one in found["warnings"] if repr("b" * 12) in str(one)]


@pytest.mark.parametrize("apparmor", [False, True])
def test_attributes_that_the_kernel_does_not_have_are_no_labels(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apparmor: bool
) -> None:
    """A container that was made with --rm, on a host without SELinux: the kernel answers EINVAL."""
    made = world(tmp_path, selinux="disabled")
    if apparmor:
        parameter = tmp_path / "sys/module/apparmor/parameters/enabled"
        parameter.parent.mkdir(parents=True)
        parameter.write_text("Y\n")
    made.process(pid_of("running"), [LABEL] * 4)
    made.script(Reply(INSPECT, out=made.inspected("running", AutoRemove=True)))
    reader = paths.read_bytes

    def read(path: str, **options: Any) -> Any:
        if "/attr/" in path and os.path.exists(path):
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return reader(path, **options)

    monkeypatch.setattr(paths, "read_bytes", read)
    params = {"name": "web", "archive_path": str(tmp_path / "archives/web.tar.zst")}
    assert module("container_checkpoint", params, host=made.host, check=True).result["changed"]
