# SPDX-License-Identifier: GPL-3.0-or-later
"""container_restore on a host with AppArmor after a boot, and after a restore that has failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import render_record
from ansible_collections.criu.hosts.tests.unit.apparmor import (
    OWN,
    PROFILE,
    apparmor_world,
    inspected,
    list_path,
    load,
    run_container,
    without_sockcreate,
)
from ansible_collections.criu.hosts.tests.unit.containers import ID, INSPECT, World, recorded, tar_archive
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write

IMAGE = "8177af7fce5c44dc2c28897f0dc59bfd96320387eaeb1bbb5e11cdbf0bf1f20c"
RESTORE = ["podman", "container", "restore", "--print-stats", "--keep", "web"]
INIT = ["podman", "init", "criu-hosts-profile-web"]
REMOVE = ["podman", "rm", "--force", "--ignore", "--time=0", "criu-hosts-profile-web"]
SCOPE, WATCHER = f"libpod-{ID}.scope", f"libpod-conmon-{ID}.scope"
KILL = ["systemctl", "kill", "--signal=KILL"]
CLEAR = [
    [*KILL, WATCHER],
    ["runc", "--root=/run/runc", "delete", "--force", ID],
    [*KILL, SCOPE],
    ["systemctl", "stop", SCOPE],
    ["systemctl", "reset-failed", SCOPE],
]


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    without_sockcreate(monkeypatch)


def create(profile: str = OWN) -> list[str]:
    return [
        "podman",
        "--runtime",
        "runc",
        "create",
        "--replace",
        "--name=criu-hosts-profile-web",
        "--pull=never",
        "--network=none",
        "--user=0:0",
        "--image-volume=ignore",
        "--no-healthcheck",
        "--log-driver=none",
        f"--security-opt=apparmor={profile}",
        "--volume=/usr/bin/true:/criu-hosts-true:ro",
        "--entrypoint=/criu-hosts-true",
        IMAGE,
    ]


LOAD = [create(), INIT, REMOVE]


def record(label: str = PROFILE, **changes: Any) -> Record:
    threads = [{"pid": "1", "tid": tid, "comm": "python3", "label": label} for tid in ("1", "6", "7", "8")]
    known: dict[str, Any] = {"labels": threads, "selinux": "disabled", "stamp": "1000000000", **changes}
    return Record("podman", ID, "web", "localhost/w", IMAGE, "runc", "", **known)


def loads(made: World, name: str = OWN) -> None:
    """Lets podman load its profile when it prepares the container."""
    made.script(Write(create(name)), Write(INIT, effect=lambda: load(made.folder, name)), Write(REMOVE))


def checkpointed(folder: Path, label: str = PROFILE, *, known: bool = True, **changes: Any) -> World:
    """The container is stopped in its checkpoint, and the host was booted since."""
    made = apparmor_world(folder)
    made.dump()
    if known:
        place = folder / f"var/lib/criu-hosts/checkpoints/{ID}.json"
        place.parent.mkdir(parents=True)
        place.write_text(render_record(record(label)))
    name = label.partition(" ")[0]

    def restored() -> None:
        assert f"{name} (" in list_path(folder).read_text(), "CRIU: can't write lsm profile -2"
        run_container(made, label, case="restored")

    entry = json.loads(inspected(made, "checkpointed"))
    entry[0].update(changes)
    made.script(
        Reply(INSPECT, out=json.dumps(entry), state="before"),
        Reply(INSPECT, out=inspected(made, "restored"), state="after"),
        Write(RESTORE, out=recorded("restore-in-place.json"), turns=True, effect=restored),
    )
    return made


def after_boot(folder: Path) -> tuple[dict[str, Any], Host]:
    made = checkpointed(folder)
    loads(made)
    return {"name": "web"}, made.host


def archived(folder: Path) -> tuple[dict[str, Any], Host]:
    """The container comes from an archive."""
    made = apparmor_world(folder)
    path = folder / "archives/web.tar.gz"
    tar_archive(path)
    text = render_record(record(size_bytes=path.stat().st_size, sha256=file_sha256(str(path))))
    (folder / "archives/web.tar.gz.json").write_text(text)
    images = folder / "var/lib/containers/storage/overlay-images"
    images.mkdir(parents=True)
    (images / "images.json").write_text(json.dumps([{"id": IMAGE, "names": ["localhost/w:latest"]}]))
    loads(made)
    made.script(
        Reply(INSPECT, err=recorded("inspect-no-such.txt"), rc=125, state="before"),
        Reply(INSPECT, out=inspected(made, "restored"), state="after"),
        Write(
            ["podman", "--runtime", "runc", "container", "restore", "--print-stats", f"--import={path}"],
            out=recorded("restore-in-place.json"),
            turns=True,
            effect=lambda: run_container(made, case="restored"),
        ),
    )
    return {"name": "web", "archive_path": str(path)}, made.host


def left_behind(made: World) -> None:
    """Leaves what a failed restore does: the runtime's state, the two scopes, each with a process."""
    (made.folder / f"run/runc/{ID}").mkdir(parents=True)
    transient = made.folder / f"run/systemd/transient/{SCOPE}"
    transient.parent.mkdir(parents=True)
    transient.write_text("[Scope]\n")
    for scope in (SCOPE, WATCHER):
        folder = made.folder / f"sys/fs/cgroup/machine.slice/{scope}"
        folder.mkdir(parents=True)
        (folder / "cgroup.events").write_text("populated 1\nfrozen 0\n")


def clears(made: World) -> None:
    """Lets the commands remove all of that."""

    def empty(scope: str) -> None:
        (made.folder / f"sys/fs/cgroup/machine.slice/{scope}/cgroup.events").write_text("populated 0\nfrozen 0\n")

    made.script(
        Write(CLEAR[0], effect=lambda: empty(WATCHER)),
        Write(CLEAR[1], effect=(made.folder / f"run/runc/{ID}").rmdir),
        Write(CLEAR[2], effect=lambda: empty(SCOPE)),
        Write(CLEAR[3], effect=(made.folder / f"run/systemd/transient/{SCOPE}").unlink),
        Write(CLEAR[4]),
    )


def after_a_failure(folder: Path) -> tuple[dict[str, Any], Host]:
    made = checkpointed(folder)
    load(folder)
    left_behind(made)
    clears(made)
    return {"name": "web"}, made.host


CONTRACT_CASES = [
    Case("after-a-boot", after_boot),
    Case("archive-after-a-boot", archived),
    Case("after-a-failure", after_a_failure),
]


def test_podman_loads_its_profile_first(module: Any, tmp_path: Path) -> None:
    params, host = after_boot(tmp_path)
    assert module("container_restore", params, host=host, check=True).result["commands"] == [*LOAD, RESTORE]
    assert not host.wrote
    result = module("container_restore", params, host=host).result
    assert result["commands"] == host.wrote == [*LOAD, RESTORE]
    assert result["label_proof"] == "apparmor", "it is compared after it was loaded"
    assert [(one["threads"], one["before"], one["after"]) for one in result["labels"]] == [(4, PROFILE, PROFILE)]


def test_a_loaded_profile_is_left_alone(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    load(tmp_path)
    assert module("container_restore", {"name": "web"}, host=made.host).result["commands"] == [RESTORE]


def test_the_name_of_an_older_podman_is_loaded(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path, "containers-default-0.50.1 (enforce)")
    load(tmp_path)
    loads(made, "containers-default-0.50.1")
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["commands"] == [create("containers-default-0.50.1"), INIT, REMOVE, RESTORE]


@pytest.mark.parametrize("profile", [OWN, "unconfined", ""])
def test_without_a_record_podman_knows_the_profile(module: Any, tmp_path: Path, profile: str) -> None:
    made = checkpointed(tmp_path, known=False, AppArmorProfile=profile, Image=IMAGE, OCIRuntime="runc")
    loads(made)
    commands = [*LOAD, RESTORE] if profile == OWN else [RESTORE]
    assert module("container_restore", {"name": "web"}, host=made.host, check=True).result["commands"] == commands
    load(tmp_path)
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert (result["commands"], result["label_proof"]) == ([RESTORE], "label_unknown")


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(
    "label", ["lab (enforce)", "containers-default-0.62.2{ file, } (enforce)", "one//&two (enforce)"]
)
def test_any_other_profile_is_refused_beforehand(module: Any, tmp_path: Path, label: str, check: bool) -> None:
    made = checkpointed(tmp_path, label)
    result = module("container_restore", {"name": "web"}, host=made.host, check=check).result
    assert result["reason"] == "apparmor_profile_missing"
    assert label.startswith(result["profile"]) and repr(result["profile"]) in result["msg"]
    assert not made.host.wrote and (made.userdata / "checkpoint/inventory.img").exists()


@pytest.mark.parametrize("check", [False, True])
def test_without_the_parser_podman_cannot_load_it(module: Any, tmp_path: Path, check: bool) -> None:
    params, host = after_boot(tmp_path)
    host.missing = ["apparmor_parser"]
    result = module("container_restore", params, host=host, check=check).result
    assert (result["reason"], result["profile"]) == ("apparmor_parser_missing", OWN)
    assert not host.wrote
    parser = tmp_path / "sbin/apparmor_parser"
    parser.parent.mkdir()
    parser.write_text("")
    assert not module("container_restore", params, host=host, check=check).failed, "podman looks there, too"


def test_a_profile_that_podman_does_not_load_is_refused_with_its_words(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    words = f"Error: install profile {OWN}: exit status 1\n"
    made.script(Write(create()), Write(INIT, rc=126, err=words), Write(REMOVE))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "apparmor_profile_missing"
    assert words.strip() in result["msg"]
    assert made.host.wrote == LOAD
    assert not (tmp_path / "var/lib/criu-hosts/begun/container-web.json").exists(), "nothing has begun"


def test_what_counts_is_the_profile(module: Any, tmp_path: Path) -> None:
    """The container that podman prepares fails, for example in the OCI runtime, after its profile was loaded."""
    made = checkpointed(tmp_path)
    failing = Write(INIT, rc=126, err="Error: runc: no\n", effect=lambda: load(tmp_path))
    made.script(Write(create()), failing, Write(REMOVE))
    assert not module("container_restore", {"name": "web"}, host=made.host).failed
    assert made.host.wrote == [*LOAD, RESTORE]


@pytest.mark.parametrize("label", [f"{OWN} (enforce)", "unconfined"])
def test_a_list_that_cannot_be_read_is_a_warning(module: Any, tmp_path: Path, label: str) -> None:
    made = checkpointed(tmp_path, label)
    list_path(tmp_path).unlink()
    result = module("container_restore", {"name": "web"}, host=made.host, check=True).result
    assert result["commands"] == [RESTORE]
    assert (f"Cannot see whether the AppArmor profile '{OWN}'" in str(result.get("warnings"))) is (
        label != "unconfined"
    )


def test_crius_own_words_have_the_reason(module: Any, tmp_path: Path) -> None:
    """The profile was unloaded after the look."""
    made = checkpointed(tmp_path)
    load(tmp_path)
    error = "pie: 1: Error (criu/pie/restorer.c:196): can't write lsm profile -2"
    noise = "Error: ipv4: Address already assigned.\nError: container creation timeout: internal libpod error\n"

    def log() -> None:
        (made.userdata / "restore.log").write_text(f"{error}\n")
        left_behind(made)

    clears(made)
    made.host.replies = [Write(RESTORE, rc=125, err=noise, effect=log), *made.host.replies]
    made.script(Reply([*INSPECT[:3], ID], out=made.inspected("checkpointed")))
    result = module("container_restore", {"name": "web"}, host=made.host).result
    assert result["reason"] == "apparmor_profile_missing"
    assert "its AppArmor profile is not loaded" in result["msg"] and "ipv4" not in result["msg"]
    # "stop" has ended the scope, so there is nothing to reset.
    assert made.host.wrote == [RESTORE, *CLEAR[:4]]


def test_a_container_that_runs_after_a_failure_is_left_alone(module: Any, tmp_path: Path) -> None:
    made = checkpointed(tmp_path)
    load(tmp_path)
    made.host.replies = [
        Write(RESTORE, rc=125, err="Error: no\n", effect=lambda: left_behind(made)),
        *made.host.replies,
    ]
    made.script(Reply([*INSPECT[:3], ID], out=made.inspected("restored")))
    assert module("container_restore", {"name": "web"}, host=made.host).failed
    assert made.host.wrote == [RESTORE]


def test_what_an_earlier_failure_left_is_removed_first(module: Any, tmp_path: Path) -> None:
    params, host = after_a_failure(tmp_path)
    check = module("container_restore", params, host=host, check=True).result
    assert check["commands"] == [*CLEAR, RESTORE]
    assert "An earlier restore of container 'web' failed" in str(check["warnings"])
    assert not host.wrote
    result = module("container_restore", params, host=host).result
    assert result["commands"] == [*CLEAR, RESTORE]
    assert host.wrote == [*CLEAR[:4], RESTORE]


def test_a_conmon_that_cleans_up_is_left_alone(module: Any, tmp_path: Path) -> None:
    """After each end of a container, conmon is there for a moment, and then systemd forgets the scope."""
    made = checkpointed(tmp_path)
    load(tmp_path)
    left_behind(made)
    (tmp_path / f"run/runc/{ID}").rmdir()
    (tmp_path / f"sys/fs/cgroup/machine.slice/{SCOPE}/cgroup.events").write_text("populated 0\n")
    (tmp_path / f"run/systemd/transient/{SCOPE}").unlink()
    result = module("container_restore", {"name": "web"}, host=made.host, check=True).result
    assert result["commands"] == [RESTORE]
