# SPDX-License-Identifier: GPL-3.0-or-later
"""container_restore from end to end, against podman's recorded answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container import label_proof
from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._lsm.object_labels import Traces
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.containers import (
    ID,
    INSPECT,
    LABEL,
    OFF,
    ON,
    World,
    checkpoint_argv,
    pid_of,
    recorded,
    tar_archive,
    world,
)
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, Write
from ansible_collections.criu.hosts.tests.unit.images_host import IMAGE as CHECKPOINT_IMAGE
from ansible_collections.criu.hosts.tests.unit.images_host import images_host
from ansible_collections.criu.hosts.tests.unit.plugins.modules import test_container_apparmor
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, podman_host

Built = tuple[dict[str, Any], Host]
IMAGE = "8177af7fce5c44dc2c28897f0dc59bfd96320387eaeb1bbb5e11cdbf0bf1f20c"
FOREIGN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
RESTORE = ["podman", "container", "restore", "--print-stats"]
GONE = Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125, state="before")


def labels(count: int = 4) -> list[dict[str, str]]:
    tids = ["1", *(str(5 + number) for number in range(1, count))]
    return [{"pid": "1", "tid": tid, "comm": "python3", "label": LABEL} for tid in tids]


def record(**changes: Any) -> Record:
    known: dict[str, Any] = {
        "engine": "podman",
        "id": ID,
        "name": "web",
        "image": "localhost/w",
        "image_id": IMAGE,
        "runtime": "runc",
        "process_label": LABEL,
        "stamp": "1000000000",
        "labels": labels(),
    }
    return Record(**{**known, **changes})


def checkpointed(folder: Path, made: World | None = None, after: list[str] | None = None, *flags: str) -> World:
    """The container is stopped in its checkpoint; a restore lets it come back with the labels ``after``."""
    made = made or world(folder)
    made.dump()
    place = folder / f"var/lib/criu-hosts/checkpoints/{ID}.json"
    place.parent.mkdir(parents=True)
    place.write_text(render_record(record()))
    made.script(
        Reply(INSPECT, out=made.inspected("checkpointed"), state="before"),
        Reply(INSPECT, out=made.inspected("restored"), state="after"),
        Write(
            [*RESTORE, *(flags or ("--keep",)), "web"],
            out=recorded("restore-in-place.json"),
            turns=True,
            effect=lambda: made.process(pid_of("restored"), after or [LABEL] * 4),
        ),
    )
    return made


def in_place(folder: Path) -> Built:
    return {"name": "web"}, checkpointed(folder).host


def running_already(folder: Path) -> Built:
    made = world(folder)
    made.script(Reply(INSPECT, out=made.inspected("restored")))
    return {"name": "web"}, made.host


def borrowed_by(made: World, pid: int, *, lives: bool) -> Path:
    """The marker of another task, whose process lives or has gone."""
    marker = made.folder / f"run/criu-hosts/borrowed/criu_container_restore.{pid}.77"
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_text("")
    if lives:
        (made.folder / f"proc/{pid}").mkdir()
        (made.folder / f"proc/{pid}/stat").write_text(f"{pid} (a b) S " + " ".join(["1"] * 18) + " 77 0\n")
    return marker


def left_on(folder: Path) -> Built:
    """An earlier restore was killed: the boolean is on, and the borrower of the marker has gone."""
    made = world(folder, boolean=True)
    made.script(Reply(INSPECT, out=made.inspected("restored")))
    borrowed_by(made, 4242, lives=False)
    return {"name": "web"}, made.host


def archive(folder: Path, made: World | None = None, *, with_record: bool = True, **changes: Any) -> tuple[World, Path]:
    made = made or world(folder)
    path = folder / "archives/web.tar.gz"
    tar_archive(path)
    if with_record:
        size, digest = path.stat().st_size, file_sha256(str(path))
        text = render_record(record(**{"size_bytes": size, "sha256": digest, **changes}))
        (folder / "archives/web.tar.gz.json").write_text(text)
    images = folder / "var/lib/containers/storage/overlay-images"
    images.mkdir(parents=True, exist_ok=True)
    (images / "images.json").write_text(json.dumps([{"id": IMAGE, "names": ["localhost/w:latest"]}]))
    return made, path


def imported(folder: Path, *flags: str, with_record: bool = True, after: list[str] | None = None) -> Built:
    """The container is not there; it comes from the archive."""
    made, path = archive(folder, with_record=with_record)
    made.script(
        GONE,
        Reply(INSPECT, out=made.inspected("restored"), state="after"),
        Write(
            ["podman", "--runtime", "runc", *RESTORE[1:], *flags, f"--import={path}"],
            out=recorded("restore-in-place.json"),
            turns=True,
            effect=lambda: made.process(pid_of("restored"), after or [LABEL] * 4),
        ),
    )
    return {"name": "web", "archive_path": str(path)}, made.host


def imported_without_record(folder: Path) -> Built:
    params, host = imported(
        folder, "--ignore-volumes", with_record=False, after=["system_u:system_r:container_t:s0:c66,c495"] * 4
    )
    # The recorded config.dump is of another container, whose id podman takes over.
    entry = json.loads(next(reply.out for reply in host.replies if reply.argv == INSPECT and reply.out))
    config = json.loads(recorded("config.dump.json"))
    entry[0]["Id"] = config["id"]
    host.replies = [
        Reply(INSPECT, out=json.dumps(entry), state="after") if reply.argv == INSPECT and reply.out else reply
        for reply in host.replies
    ]
    return {**params, "ignore_volumes": True}, host


def clone(folder: Path, *flags: str, runtime: str = "runc", **options: Any) -> Built:
    made, path = archive(folder, runtime=runtime)
    inspect = [*INSPECT[:3], "web2"]
    made.script(
        Reply(inspect, err=recorded("inspect-no-such.txt"), rc=125, state="before"),
        Reply(inspect, out=made.inspected("new-name"), state="after"),
        Write(
            ["podman", "--runtime", runtime, *RESTORE[1:], *flags, f"--import={path}", "--name=web2"],
            turns=True,
            effect=lambda: made.process(pid_of("new-name"), [LABEL] * 4),
        ),
    )
    return {"name": "web", "archive_path": str(path), "new_name": "web2", **options}, made.host


def clone_with_ports(folder: Path) -> Built:
    """A clone with ports and addresses of its own."""
    flags = ("--ignore-static-ip", "--ignore-static-mac", "--publish=127.0.0.1:8081:80", "--publish=8443:443")
    ports = ["127.0.0.1:8081:80", "8443:443"]
    params, host = clone(folder, *flags, publish=ports, ignore_static_ip=True, ignore_static_mac=True)
    host.replies = [*host.replies, VERSION]
    return params, host


def clone_without_connections(folder: Path) -> Built:
    params, host = clone(folder, "--tcp-close", runtime="crun", tcp_close=True)
    return params, with_tcp_close(host)


def with_tcp_close(host: Host, runtime: str = "crun", version: str = "5.7.0", out: str = "      --tcp-close\n") -> Host:
    """Lets the host have such a podman, and a runtime that lists its options."""
    host.replies = [
        Reply(["podman", "--version"], out=f"podman version {version}\n"),
        Reply([runtime, "restore", "--help"], out=out),
        *host.replies,
    ]
    return host


def in_place_without_connections(folder: Path) -> Built:
    made = checkpointed(folder, None, None, "--keep", "--tcp-close", "--ignore-static-ip")
    return {"name": "web", "tcp_close": True, "ignore_static_ip": True}, with_tcp_close(made.host, "runc")


def stopped_in_the_archive(folder: Path) -> Built:
    """The archive's own container is there, stopped in that checkpoint: it comes back in place, nothing is removed."""
    made = checkpointed(folder)
    dummy_made, path = archive(folder, made)
    return {"name": "web", "archive_path": str(path)}, made.host


def without_selinux(folder: Path) -> Built:
    made = world(folder, selinux="disabled")
    made.dump()
    made.script(
        Reply(INSPECT, out=made.inspected("checkpointed"), state="before"),
        Reply(INSPECT, out=made.inspected("restored"), state="after"),
        Write([*RESTORE, "web"], turns=True, effect=lambda: made.process(pid_of("restored"), ["unconfined"])),
    )
    return {"name": "web"}, made.host


def apparmor(folder: Path) -> Built:
    return {"name": "web"}, test_container_apparmor.checkpointed(folder).host


def from_image(folder: Path) -> Built:
    host = images_host(folder)
    host.add_image(CHECKPOINT_IMAGE, ID, "web")
    host.label = "system_u:system_r:container_t:s0:c66,c495"
    return {"name": "web", "image": CHECKPOINT_IMAGE}, host


def from_two_archives(folder: Path) -> Built:
    """The archive was made on a pre-checkpoint, whose archive is beside it."""
    host = podman_host(folder)
    paths = (folder / "archives/pre.tar", folder / "archives/web.tar")
    box = Box(ID, "web", created="2026-11-01T00:00:00Z")
    host.run_box(box)
    image = json.loads(recorded("inspect-running.json"))[0]["Image"]
    paths[0].parent.mkdir(mode=0o700)
    more: dict[str, Any] = {"pre_dump": True}
    for path, flags in zip(paths, (("--pre-checkpoint", "--ignore-rootfs", "--ignore-volumes"), ("--with-previous",))):
        host.run_command(None, checkpoint_argv(*flags, f"--export={path}"))
        digest, size = file_sha256(str(path)), path.stat().st_size
        beside = folder / f"archives/{path.name}.json"
        beside.write_text(render_record(record(image_id=image, sha256=digest, size_bytes=size, **more)))
        path.chmod(0o600)
        beside.chmod(0o600)
        more = {"parent": path.name, "parent_sha256": digest}
    host.drop(box)
    host.wrote.clear()
    return {"name": "web", "archive_path": str(paths[1])}, host


CONTRACT_CASES = [
    Case("in-place", in_place),
    Case("from-two-archives", from_two_archives),
    Case("from-image", from_image),
    Case("running-already", running_already, changed=False),
    Case("boolean-left-on", left_on),
    Case("from-archive", imported),
    Case("from-archive-without-record", imported_without_record),
    Case("clone", clone),
    Case("clone-with-ports", clone_with_ports),
    Case("clone-without-connections", clone_without_connections),
    Case("in-place-without-connections", in_place_without_connections),
    Case("stopped-in-the-archive", stopped_in_the_archive),
    Case("without-selinux", without_selinux),
    Case("apparmor", apparmor),
]


def test_in_place_borrows_the_boolean_proves_labels_and_removes_the_checkpoint(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["commands"] == [ON, [*RESTORE, "--keep", "web"], OFF]
    assert result["label_proof"] == "enforcing"
    assert result["labels"] == [
        {"pid": "1", "comm": "python3", "threads": 4, "tids": ["1", "6", "7", "8"], "before": LABEL, "after": LABEL}
    ]
    assert result["restore"]["pid"] == pid_of("restored")
    assert result["statistics"]["restored_pages"] == 1405
    assert list(made.userdata.iterdir()) == []
    assert list((tmp_path / "var/lib/criu-hosts/checkpoints").iterdir()) == []
    assert (tmp_path / "sys/fs/selinux/booleans/criu_container_restore").read_text() == "0 0"
    assert list((tmp_path / "run/criu-hosts/borrowed").iterdir()) == []


def test_keep_leaves_the_checkpoint(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    assert module("container_restore", {"name": "web", "keep": True}, host=made.host).result["changed"]
    assert (made.userdata / "checkpoint/inventory.img").exists()
    assert (tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").exists()


def test_changed_label_stops_the_container_and_keeps_the_checkpoint(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, None, [LABEL, LABEL, FOREIGN, FOREIGN])
    stop = ["podman", "stop", "--ignore", "--time=0", "web"]
    made.script(Write(stop))
    run = module("container_restore", {"name": "web"}, host=made.host)
    assert run.failed
    assert run.result["reason"] == "label_changed"
    assert (run.result["label_before"], run.result["label_after"]) == (LABEL, FOREIGN)
    assert LABEL in run.result["msg"] and FOREIGN in run.result["msg"]
    assert [entry["threads"] for entry in run.result["labels"]] == [2, 2]
    assert made.host.wrote[-1] == stop
    assert (made.userdata / "checkpoint/inventory.img").exists()
    assert (tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").exists()


def test_changed_label_removes_the_import_and_keeps_the_archive(module: Any, tmp_path: Path) -> None:
    params, host = imported(tmp_path, after=[FOREIGN] * 4)
    remove = ["podman", "rm", "--force", "--ignore", "--time=0", ID]
    host.replies = [*host.replies, Write(remove)]
    result = module("container_restore", params, host=host).result
    assert result["reason"] == "label_changed"
    assert host.wrote[-1] == remove
    assert Path(params["archive_path"]).exists()


def test_failed_restore_returns_the_boolean_and_tells_crius_error(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    error = "pie: 1: Error (criu/pie/restorer.c:546): seccomp: SECCOMP_SET_MODE_FILTER returned -13 on tid 1"

    def log() -> None:
        (made.userdata / "restore.log").write_text(f"start\n{error}\n")

    failing = Write([*RESTORE, "--keep", "web"], rc=125, err=recorded("restore-boolean-off.txt"), effect=log)
    made.host.replies = [failing, *made.host.replies]
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "policy_missing"
    assert result["log_tail"] == [error]
    assert made.host.wrote == [ON, [*RESTORE, "--keep", "web"], OFF]
    assert (made.userdata / "checkpoint/inventory.img").exists()


def test_failed_import_removes_what_podman_left(module: Any, tmp_path: Path) -> None:
    params, host = imported(tmp_path)
    created = json.loads(recorded("inspect-restored.json"))
    created[0]["State"]["Status"] = "created"
    argv = ["podman", "--runtime", "runc", *RESTORE[1:], f"--import={params['archive_path']}"]
    remove = ["podman", "rm", "--force", "--ignore", "--time=0", ID]

    def fail() -> None:
        host.state = "after"

    host.replies = [
        Write(argv, rc=125, err=recorded("restore-boolean-off.txt"), effect=fail),
        Reply(INSPECT, out=json.dumps(created), state="after"),
        Write(remove),
        *host.replies,
    ]
    result = module("container_restore", params, host=host).result
    assert result["reason"] == "tool_failed"
    assert host.wrote == [ON, argv, OFF, remove]
    assert result["log_path"] == "" and "log_tail" not in result["msg"], "the log goes with the container"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("import-truncated.txt", "archive_invalid", id="truncated"),
        pytest.param("import-foreign.txt", "archive_invalid", id="foreign"),
        pytest.param("import-wrong-runtime.txt", "archive_runtime_missing", id="wrong-runtime"),
        pytest.param("import-id-in-use.txt", "container_exists", id="id-in-use"),
        pytest.param("import-volume-exists.txt", "volume_exists", id="volume-exists"),
        pytest.param("import-image-missing.txt", "image_missing", id="image-missing"),
        pytest.param("restore-cgroup-in-use.txt", "cgroup_in_use", id="clone-in-the-cgroup"),
    ],
)
def test_podmans_own_errors_have_reasons(module: Any, tmp_path: Path, text: str, reason: str) -> None:
    params, host = imported(tmp_path)
    argv = ["podman", "--runtime", "runc", *RESTORE[1:], f"--import={params['archive_path']}"]
    host.replies = [Write(argv, rc=125, err=recorded(text)), *host.replies]
    result = module("container_restore", params, host=host).result
    assert result["reason"] == reason
    assert "\n" not in result["msg"]


def _rootless(made: World, params: dict[str, Any]) -> None:
    PLACE.uid = 1000


def _gone(made: World, params: dict[str, Any]) -> None:
    made.script(GONE)


def _exited(made: World, params: dict[str, Any]) -> None:
    made.script(Reply(INSPECT, out=made.inspected("after-disk-full")))


def _missing(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(made.folder / "none.tar")
    made.script(GONE)


def _truncated(made: World, params: dict[str, Any]) -> None:
    dummy_made, path = archive(made.folder, made)
    path.write_bytes(path.read_bytes()[:-5])
    params["archive_path"] = str(path)
    made.script(GONE)


def _truncated_without_record(made: World, params: dict[str, Any]) -> None:
    dummy_made, path = archive(made.folder, made, with_record=False)
    path.write_bytes(path.read_bytes()[:-900])
    params["archive_path"] = str(path)
    made.script(GONE)


def _damaged(made: World, params: dict[str, Any]) -> None:
    dummy_made, path = archive(made.folder, made)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))
    params["archive_path"] = str(path)
    made.script(GONE)


def _foreign(made: World, params: dict[str, Any]) -> None:
    tar_archive(made.folder / "archives/x.tar.gz", config=False)
    params["archive_path"] = str(made.folder / "archives/x.tar.gz")
    made.script(GONE)


def _no_archive(made: World, params: dict[str, Any]) -> None:
    (made.folder / "x.tar").write_bytes(b"not a tar")
    params["archive_path"] = str(made.folder / "x.tar")
    made.script(GONE)


def _other_name(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made, name="db")[1])
    made.script(GONE)


def _runtime(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made, runtime="crun")[1])
    made.host.tools["crun"] = None
    made.script(GONE)


def _program(made: World, params: dict[str, Any]) -> None:
    """Any program of the host, which podman --runtime would run as root."""
    evil = made.folder / "evil"
    evil.write_text("#!/bin/sh\n")
    evil.chmod(0o755)
    params["archive_path"] = str(archive(made.folder, made, runtime=str(evil))[1])
    made.script(GONE)


def _no_runtime(made: World, params: dict[str, Any]) -> None:
    """A program in PATH that podman does not know as a runtime."""
    params["archive_path"] = str(archive(made.folder, made, runtime="bash")[1])
    made.script(GONE)


def _open_record(made: World, params: dict[str, Any]) -> None:
    path = archive(made.folder, made)[1]
    path.with_name(f"{path.name}.json").chmod(0o666)
    params["archive_path"] = str(path)
    made.script(GONE)


def _older_record(made: World, params: dict[str, Any]) -> None:
    path = archive(made.folder, made)[1]
    path.with_name(f"{path.name}.json").write_text("{}")
    params["archive_path"] = str(path)
    made.script(GONE)


def _open_parent(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made)[1])
    made.folder.chmod(0o777)


def _place_record(made: World, params: dict[str, Any]) -> None:
    checkpointed(made.folder, made)
    (made.folder / f"var/lib/criu-hosts/checkpoints/{ID}.json").write_text("{}")


def _image(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made, image_id="0" * 64)[1])
    made.script(GONE, Reply(["podman", "image", "exists", "0" * 64], rc=1))


def _volume(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made, volumes=("data",))[1])
    (made.folder / "var/lib/containers/storage/volumes/data").mkdir(parents=True)
    made.script(GONE)


def _name_in_use(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made, id="f" * 64)[1])
    made.script(Reply(INSPECT, out=made.inspected("restored")))


def _exists(made: World, params: dict[str, Any]) -> None:
    params["archive_path"] = str(archive(made.folder, made)[1])
    made.script(Reply(INSPECT, out=made.inspected("after-disk-full")))


def _tcp_clone(made: World, params: dict[str, Any]) -> None:
    params.update(archive_path=str(archive(made.folder, made)[1]), new_name="web2", tcp_established=True)


def _no_policy(made: World, params: dict[str, Any]) -> None:
    checkpointed(made.folder, made)
    (made.folder / "sys/fs/selinux/booleans/criu_container_restore").unlink()


def _criu_without(made: World, params: dict[str, Any]) -> None:
    checkpointed(made.folder, made)
    made.criu()


def _open_archive(made: World, params: dict[str, Any]) -> None:
    path = archive(made.folder, made)[1]
    path.chmod(0o666)
    params["archive_path"] = str(path)
    made.script(GONE)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(_rootless, "rootless_unsupported", id="rootless"),
        pytest.param(_gone, "container_missing", id="no-such-container"),
        pytest.param(_exited, "not_checkpointed", id="exited-without-checkpoint"),
        pytest.param(_missing, "archive_missing", id="no-such-archive"),
        pytest.param(_truncated, "archive_invalid", id="truncated"),
        pytest.param(_truncated_without_record, "archive_invalid", id="truncated-without-record"),
        pytest.param(_damaged, "archive_invalid", id="other-sha256"),
        pytest.param(_foreign, "archive_invalid", id="foreign-tar"),
        pytest.param(_no_archive, "archive_invalid", id="no-tar"),
        pytest.param(_other_name, "archive_mismatch", id="other-container"),
        pytest.param(_runtime, "archive_runtime_missing", id="runtime-not-installed"),
        pytest.param(_program, "archive_invalid", id="runtime-is-a-program"),
        pytest.param(_no_runtime, "archive_runtime_missing", id="runtime-is-no-runtime"),
        pytest.param(_open_record, "archive_invalid", id="record-that-others-may-write"),
        pytest.param(_older_record, "archive_invalid", id="record-of-another-release"),
        pytest.param(_open_parent, "archive_path_unsafe", id="parent-that-others-may-write"),
        pytest.param(_place_record, "record_invalid", id="record-in-place"),
        pytest.param(_image, "image_missing", id="image-missing"),
        pytest.param(_volume, "volume_exists", id="volume-exists"),
        pytest.param(_name_in_use, "name_in_use", id="name-in-use"),
        pytest.param(_exists, "container_exists", id="stopped-with-other-state"),
        pytest.param(_tcp_clone, "new_name_with_tcp", id="clone-with-connections"),
        pytest.param(_no_policy, "policy_missing", id="no-policy"),
        pytest.param(_criu_without, "criu_without_selinux", id="criu-without-libselinux"),
        pytest.param(_open_archive, "archive_path_unsafe", id="archive-that-others-may-write"),
    ],
)
@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_refused(module: Any, tmp_path: Path, spoil: Any, reason: str, check: bool) -> None:
    made = world(tmp_path)
    params: dict[str, Any] = {"name": "web"}
    spoil(made, params)
    run = module("container_restore", params, host=made.host, check=check)
    assert run.failed
    assert run.result["reason"] == reason, run.result["msg"]
    assert "\n" not in run.result["msg"]
    assert made.host.wrote == []


def test_record_does_not_matter_for_a_container_that_runs(module: Any, tmp_path: Path) -> None:
    params, host = running_already(tmp_path)
    place = tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json"
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    run = module("container_restore", params, host=host)
    assert not run.failed and not run.result["changed"]


def test_boolean_that_is_on_for_good_stays_on(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, world(tmp_path, boolean=True))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["commands"] == [[*RESTORE, "--keep", "web"]]


def test_policy_of_fedora_needs_no_boolean(module: Any, tmp_path: Path) -> None:
    made = world(tmp_path, boolean=None)
    (tmp_path / "sys/fs/selinux/booleans/virt_sandbox_use_all_caps").write_text("1 1")
    result = module("container_restore", {"name": "web"}, host=checkpointed(tmp_path, made).host).result
    assert result["commands"] == [[*RESTORE, "--keep", "web"]]
    assert result["label_proof"] == "enforcing"


def test_permissive_warns_and_needs_no_boolean(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, world(tmp_path, selinux="permissive"))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["label_proof"] == "permissive"
    assert any("permissive" in str(warning) for warning in result["warnings"])
    assert result["commands"] == [[*RESTORE, "--keep", "web"]]


def test_without_any_known_label_nothing_is_claimed(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    (tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").unlink()
    answers = []
    for case in ("checkpointed", "restored"):
        entry = json.loads(made.inspected(case))
        entry[0]["ProcessLabel"] = ""
        answers.append(Reply(INSPECT, out=json.dumps(entry), state="before" if case == "checkpointed" else "after"))
    made.host.replies = [*answers, *made.host.replies]
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["label_proof"] == "label_unknown"
    assert result["commands"] == [[*RESTORE, "--keep", "web"]]


def test_two_restores_at_once_share_the_boolean(module: Any, tmp_path: Path) -> None:
    """Another task has borrowed it: ours works, and leaves the boolean on for the other one, which will return it."""
    made = checkpointed(tmp_path, world(tmp_path, boolean=True))
    other = borrowed_by(made, 4242, lives=True)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["commands"] == [ON, [*RESTORE, "--keep", "web"], OFF]
    assert made.host.wrote == [ON, [*RESTORE, "--keep", "web"]]
    assert (tmp_path / "sys/fs/selinux/booleans/criu_container_restore").read_text() == "1 1"
    assert list((tmp_path / "run/criu-hosts/borrowed").iterdir()) == [other]


def test_a_boolean_that_cannot_be_returned_is_left_to_the_next_run(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    made.host.replies = [Write(OFF, rc=1, err="setsebool: cannot"), *made.host.replies]
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["failed"] and "switch off the SELinux boolean" in result["msg"]
    assert len(list((tmp_path / "run/criu-hosts/borrowed").iterdir())) == 1


def shared(folder: Path, name: str = "web") -> None:
    """A container of this name is on the host and has the label of the archive."""
    entry = {"id": "e" * 64, "names": [name], "flags": {"ProcessLabel": LABEL}}
    (folder / "var/lib/containers/storage/overlay-containers/containers.json").write_text(json.dumps([entry]))


def test_permissive_restore_that_lost_its_label_is_caught(module: Any, tmp_path: Path) -> None:
    """Recorded with a CRIU without libselinux: status 0, and every thread is podman's, its categories lost."""
    lost = "system_u:system_r:podman_t:s0"
    made = checkpointed(tmp_path, world(tmp_path, selinux="permissive"), [lost] * 4)
    made.script(Write(["podman", "stop", "--ignore", "--time=0", "web"]))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "label_changed"
    assert (result["label_before"], result["label_after"]) == (LABEL, lost)
    assert (made.userdata / "checkpoint/inventory.img").exists()


def test_a_changed_label_may_pass(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, None, [FOREIGN] * 4)
    result = module("container_restore", {"name": "web", "on_label_mismatch": "warn"}, host=made.host).result
    assert "failed" not in result and result["label_proof"] == "label_changed"
    assert LABEL in str(result["warnings"]) and FOREIGN in str(result["warnings"])
    assert [(one["before"], one["after"]) for one in result["labels"]] == [(LABEL, FOREIGN)]


@pytest.mark.parametrize(
    ("traces", "reason"),
    [
        pytest.param({"sockets": {"1:4": ["UNIX-STREAM", "a:b:c:s0"]}, "mounts": {}}, None, id="socket"),
        pytest.param({"sockets": {}, "mounts": {"/": "context=a:b:c:s0"}}, "label_changed", id="mount"),
    ],
)
def test_labels_beside_those_of_threads(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, traces: dict[str, Any], reason: str | None
) -> None:
    made = checkpointed(tmp_path)
    (tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").write_text(render_record(record(traces=traces)))
    made.script(Write(["podman", "stop", "--ignore", "--time=0", "web"]))
    now = Traces({"1:4": ("UNIX-STREAM", FOREIGN)}, {"/": "context=d:e:f:s0"})
    monkeypatch.setattr(label_proof, "read_traces", lambda dummy_paths, dummy_pids, dummy_labels: now)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result.get("reason") == reason
    assert [one["grave"] for one in result["label_differences"]] == [reason is not None]


@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_a_clone_beside_its_original_is_refused(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = clone(tmp_path)
    shared(tmp_path)
    result = module("container_restore", params, host=host, check=check).result
    assert result["reason"] == "categories_shared" and result["containers"] == ["web"]
    assert host.wrote == []


@pytest.mark.parametrize(("name", "accepted"), [("web", "accept"), ("web2", "refuse")])
def test_a_clone_may_share_when_accepted_or_when_nobody_is_there(
    module: Any, tmp_path: Path, name: str, accepted: str
) -> None:
    params, host = clone(tmp_path)
    shared(tmp_path, name)
    assert module("container_restore", {**params, "shared_categories": accepted}, host=host).result["changed"]


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        ("paused", "container_paused", "Unpause it first (podman unpause web)."),
        ("stopping", "container_ending", "Wait until it has ended; if the status stays"),
        ("removing", "container_ending", "Wait until it has ended; if the status stays"),
    ],
)
@pytest.mark.parametrize("dumped", [True, False], ids=["with-a-checkpoint", "without"])
@pytest.mark.parametrize("check", [True, False], ids=["check", "real"])
def test_a_container_that_has_not_ended_is_refused_with_a_true_line(
    module: Any, tmp_path: Path, status: str, reason: str, advice: str, dumped: bool, check: bool
) -> None:
    made = world(tmp_path)
    if dumped:
        made.dump()
    entry = json.loads(made.inspected("paused"))
    entry[0]["State"]["Status"] = status
    made.script(Reply(INSPECT, out=json.dumps(entry)))
    run = module("container_restore", {"name": "web"}, host=made.host, check=check)
    assert run.failed and run.result["reason"] == reason
    assert advice in run.result["msg"] and "Start it" not in run.result["msg"]
    assert made.host.wrote == []


@pytest.mark.parametrize(("same", "reason"), [(True, "container_paused"), (False, "name_in_use")])
def test_a_paused_container_is_not_called_a_stopped_one(module: Any, tmp_path: Path, same: bool, reason: str) -> None:
    made, path = archive(tmp_path)
    entry = json.loads(made.inspected("paused"))
    entry[0]["Id"] = ID if same else "f" * 64
    made.script(Reply(INSPECT, out=json.dumps(entry)))
    run = module("container_restore", {"name": "web", "archive_path": str(path)}, host=made.host)
    assert run.result["reason"] == reason
    assert "a stopped container" not in run.result["msg"]


HEALTH = {"Test": ["CMD", "ls", "/"], "Interval": 30000000000}
UPDATE = ["podman", "update", "--health-interval=30000000001ns", "web"]
TIMERS = ["systemctl", "list-units", "--type=timer", "--no-legend", "--plain", f"{ID}*"]
VERSION = Reply(["podman", "--version"], out=recorded("version.txt"))


def checked(folder: Path, *replies: Any, health: Any = None) -> Host:
    """A stopped container with a health check, on a host with systemd."""
    made = checkpointed(folder)
    (folder / "run/systemd/system").mkdir(parents=True)
    for index, reply in enumerate(made.host.replies):
        if list(reply.argv) == INSPECT:
            entry = json.loads(reply.out)
            entry[0]["Config"]["Healthcheck"] = health or HEALTH
            made.host.replies[index] = Reply(INSPECT, out=json.dumps(entry), state=reply.state)
    made.script(*replies)
    return made.host


def test_podman_checks_the_health_of_a_restored_container_again(module: Any, tmp_path: Path) -> None:
    host = checked(tmp_path, VERSION, Write(UPDATE), Reply(TIMERS, out=f"{ID}-1f.timer loaded active waiting x\n"))
    predicted = module("container_restore", {"name": "web"}, host=host, check=True)
    assert UPDATE in predicted.result["commands"] and host.wrote == []
    run = module("container_restore", {"name": "web"}, host=host)
    assert run.result["commands"] == predicted.result["commands"]
    assert host.wrote.index(UPDATE) > host.wrote.index([*RESTORE, "--keep", "web"])
    assert "warnings" not in run.result


@pytest.mark.parametrize(
    ("replies", "word"),
    [
        pytest.param((VERSION, Write(UPDATE, rc=125, err="Error: no systemd\n")), "no systemd", id="update-fails"),
        pytest.param((VERSION, Write(UPDATE), Reply(TIMERS)), "podman has made no timer", id="no-timer"),
        pytest.param((Reply(["podman", "--version"], out="podman version 5.2.1\n"),), "podman 5.2 cannot", id="5.2"),
    ],
)
def test_health_checks_that_cannot_be_made_are_a_warning(module: Any, tmp_path: Path, replies: Any, word: str) -> None:
    host = checked(tmp_path, *replies)
    run = module("container_restore", {"name": "web"}, host=host)
    assert run.result["restore"]["state"] == "running" and run.result["label_proof"] == "enforcing"
    (warning,) = run.result["warnings"]
    assert word in str(warning) and "Restart the container" in str(warning)
    assert not (tmp_path / f"var/lib/criu-hosts/checkpoints/{ID}.json").exists(), "the restore is complete"


@pytest.mark.parametrize(
    "health",
    [
        pytest.param({"Test": ["NONE"]}, id="no-healthcheck"),
        pytest.param({"Test": ["CMD-SHELL", "ls /"], "Timeout": 30000000000}, id="interval-disabled"),
    ],
)
def test_without_health_checks_by_podman_none_are_made(module: Any, tmp_path: Path, health: Any) -> None:
    host = checked(tmp_path, health=health)
    run = module("container_restore", {"name": "web"}, host=host)
    assert not run.failed and "warnings" not in run.result
    assert not [argv for argv in run.result["commands"] if argv[1] == "update"]


def test_health_check_of_an_archived_container_is_in_its_record(module: Any, tmp_path: Path) -> None:
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    made = world(tmp_path)
    dummy, path = archive(tmp_path, made, health={"command": ["CMD", "ls", "/"], "interval": 30000000000})
    made.script(GONE, VERSION)
    params = {"name": "web", "archive_path": str(path)}
    run = module("container_restore", params, host=made.host, check=True)
    assert UPDATE in run.result["commands"]


@pytest.mark.parametrize("check", [HEALTH, None], ids=["with-a-health-check", "without"])
def test_health_check_that_no_record_names_is_a_warning(module: Any, tmp_path: Path, check: Any) -> None:
    params, host = imported(tmp_path)
    for index, reply in enumerate(host.replies):
        if list(reply.argv) == INSPECT and reply.out:
            entry = json.loads(reply.out)
            entry[0]["Config"]["Healthcheck"] = check
            host.replies[index] = Reply(INSPECT, out=json.dumps(entry), state="after")
    result = module("container_restore", params, host=host).result
    assert result["restore"]["state"] == "running"
    assert ("does not name the health check" in str(result.get("warnings"))) is (check is not None)
