# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoint and restore of bundles, from end to end: runc and crun have the same results."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.tests.unit.bundle_host import BUNDLE, BundleHost, bundle_host
from ansible_collections.criu.hosts.tests.unit.containers import LABEL, OFF, ON
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun, Reply
from ansible_collections.criu.hosts.tests.unit.podman_host import Killed, give_markers_away, kill_after, left_over

Run = Callable[..., ModuleRun]
RUNTIMES = ("runc", "crun")
FOREIGN = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"


@pytest.fixture(name="host", params=RUNTIMES)
def host_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> BundleHost:
    return bundle_host(tmp_path, request.param)


def place(host: BundleHost) -> Path:
    return host.world.folder / f"var/lib/criu-hosts/engines/{host.runtime}/bundles/web"


def both(module: Run, name: str, params: dict[str, Any], host: BundleHost) -> dict[str, Any]:
    """Runs a task in check mode, really, and again; returns the result of the real run."""
    checked = module(name, params, host=host, check=True)
    assert not checked.failed, checked.result
    real = module(name, params, host=host)
    assert not real.failed, real.result
    assert real.result["changed"]
    for key in ("changed", "commands", "diff"):
        assert real.result[key] == checked.result[key], key
    again = module(name, params, host=host)
    assert not again.failed and not again.result["changed"], again.result
    return real.result


def test_in_place_and_back(module: Run, host: BundleHost) -> None:
    params, folder = {"name": "web", "engine": host.runtime}, place(host)
    made = both(module, "container_checkpoint", params, host)
    argv = [host.runtime, f"--root=/run/{host.runtime}", "checkpoint"]
    assert made["commands"] == [[*argv, f"--image-path={folder}/checkpoint", f"--work-path={folder}/work", "web"]]
    assert made["checkpoint"]["container_state"] == "exited" and made["checkpoint"]["engine"] == host.runtime
    assert made["statistics"]["written_pages"] > 0
    assert not host.runs() and oct(folder.stat().st_mode)[-3:] == "700"
    back = both(module, "container_restore", params, host)
    assert back["commands"][0] == ON and back["commands"][2] == OFF
    words = back["commands"][1]
    assert words[2:5] == ["restore", "--detach", f"--bundle={BUNDLE}"] and words[-1] == "web"
    assert back["restore"]["id"] == made["checkpoint"]["id"] and back["restore"]["source"] == "container"
    assert back["label_proof"] == "enforcing"
    assert host.runs() and not (folder / "checkpoint").exists(), "the used checkpoint"
    assert list(left_over(host.world.folder)) == []


def test_a_second_run_of_the_container_is_not_the_first(module: Run, host: BundleHost) -> None:
    """The runtime has no ids: what a person starts under the same name has to be a different container."""
    params = {"name": "web", "engine": host.runtime, "archive_path": str(host.world.folder / "cp/web.tar.zst")}
    first = module("container_checkpoint", params, host=host).result["checkpoint"]
    host.start()
    second = module("container_restore", params, host=host)
    assert second.failed and second.result["reason"] == "name_in_use"
    assert module("container_checkpoint", params, host=host).result["checkpoint"]["id"] != first["id"]


def test_archive_holds_the_state_alone(module: Run, host: BundleHost) -> None:
    archive = host.world.folder / "cp/web.tar"
    params = {"name": "web", "engine": host.runtime, "archive_path": str(archive), "compression": "none"}
    made = both(module, "container_checkpoint", params, host)
    assert made["checkpoint"]["container_state"] == "absent"
    assert not (place(host) / "checkpoint").exists(), "the copy in place, which nobody would remove"
    with tarfile.open(archive) as opened:
        names = {one.name for one in opened.getmembers()}
        config = json.loads(opened.extractfile("config.dump").read())  # type: ignore[union-attr]
    assert {"config.dump", "spec.dump", "stats-dump", "checkpoint/inventory.img", "checkpoint/pages-1.img"} <= names
    assert (config["engine"], config["name"], config["rootfsImageName"]) == (host.runtime, "web", BUNDLE)
    assert config["rootfs"] == f"{BUNDLE}/rootfs"

    params.pop("compression")
    back = both(module, "container_restore", params, host)
    assert back["restore"]["id"] == made["checkpoint"]["id"] and back["restore"]["source"] == "archive"
    assert host.runs() and not (place(host) / "import").exists()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_archive_of_each_compression_is_restored(module: Run, tmp_path: Path, compression: str) -> None:
    host = bundle_host(tmp_path, "runc")
    params = {"name": "web", "engine": "runc", "archive_path": str(tmp_path / "cp/web.tar")}
    made = module("container_checkpoint", {**params, "compression": compression}, host=host)
    assert not made.failed, made.result
    restored = module("container_restore", params, host=host)
    assert not restored.failed and restored.result["changed"], restored.result


def test_leave_running(module: Run, host: BundleHost) -> None:
    archive = host.world.folder / "cp/web.tar.zst"
    params = {"name": "web", "engine": host.runtime, "archive_path": str(archive), "leave_running": True}
    made = both(module, "container_checkpoint", params, host)
    assert "--leave-running" in made["commands"][0] and host.runs()
    assert "has none of its files" in str(made["warnings"])
    assert not (place(host) / "checkpoint").exists()
    del params["leave_running"]
    assert module("container_restore", params, host=host).result["changed"] is False


def test_store(module: Run, host: BundleHost) -> None:
    params = {"name": "web", "engine": host.runtime, "store": str(host.world.folder / "store")}
    made = both(module, "container_checkpoint", params, host)
    assert made["checkpoint"]["checkpoint_id"]
    back = both(module, "container_restore", {**params, "engine": "auto"}, host)
    assert back["restore"]["engine"] == host.runtime and host.runs()


def test_options_become_flags(module: Run, tmp_path: Path) -> None:
    host = bundle_host(tmp_path, "runc")
    params = {"name": "web", "engine": "runc", "tcp_established": True, "file_locks": True}
    made = module("container_checkpoint", params, host=host)
    assert made.result["commands"][0][5:] == ["--tcp-established", "--file-locks", "web"]
    back = module("container_restore", params, host=host)
    assert back.result["commands"][1][-3:] == ["--tcp-established", "--file-locks", "web"]


def test_root_of_its_own(module: Run, host: BundleHost) -> None:
    """Containers in another folder are different ones, and our notes about them are in another folder, too."""
    host.end()
    host.forget()
    host.root = "/run/mine"
    host.start()
    params = {"name": "web", "engine": host.runtime, "engine_root": "/run/mine/"}
    assert both(module, "container_checkpoint", params, host)["commands"][0][1] == "--root=/run/mine"
    assert not place(host).exists()
    assert both(module, "container_restore", params, host)["restore"]["source"] == "container"
    default = module("container_checkpoint", {**params, "engine_root": None}, host=host)
    assert default.result["reason"] == "container_missing"


REFUSED = [
    pytest.param({"new_name": "b", "archive_path": "/a/x"}, "container_restore", "ability_missing", id="new-name"),
    pytest.param({"publish": ["80:80"]}, "container_restore", "ability_missing", id="publish"),
    pytest.param({"create_image": "localhost/x:y"}, "container_checkpoint", "ability_missing", id="image"),
    pytest.param({"ignore_rootfs": True}, "container_checkpoint", "ability_missing", id="files"),
    pytest.param({"engine_root": "run/runc"}, "container_checkpoint", "option_invalid", id="relative-root"),
    pytest.param({"engine_root": "/x", "engine": "podman"}, "container_checkpoint", "ability_missing", id="no-root"),
]


@pytest.mark.parametrize(("params", "task", "reason"), REFUSED)
def test_what_it_cannot_is_refused_first(
    module: Run, host: BundleHost, params: dict[str, Any], task: str, reason: str
) -> None:
    run = module(task, {"name": "web", "engine": host.runtime, **params}, host=host, check=True)
    assert (run.failed, run.result.get("reason")) == (True, reason), run.result
    assert host.ran == []


@pytest.mark.parametrize(("runtime", "reason"), [("runc", "ability_missing"), ("crun", "ability_missing")])
def test_tcp_close_needs_a_crun_that_has_it(module: Run, tmp_path: Path, runtime: str, reason: str) -> None:
    host = bundle_host(tmp_path, runtime)
    assert module("container_checkpoint", {"name": "web", "engine": runtime}, host=host).result["changed"]
    run = module("container_restore", {"name": "web", "engine": runtime, "tcp_close": True}, host=host)
    assert (run.failed, run.result["reason"]) == (True, reason)
    assert not host.runs()


def terminal(host: BundleHost) -> None:
    host.configure(terminal=True)


def piped(host: BundleHost) -> None:
    link = host.world.folder / f"proc/{host.pids['web']}/fd/1"
    link.unlink()
    link.symlink_to("pipe:[1177940]")


def without_cgroup(host: BundleHost) -> None:
    """crun --cgroup-manager=disabled leaves it in the cgroup of the process that has started it."""
    host.world.process(99, [LABEL])
    for pid, space in ((99, "pid:[1]"), (host.pids["web"], "pid:[2]")):
        folder = host.world.folder / f"proc/{pid}"
        (folder / "ns").mkdir()
        (folder / "ns/pid").symlink_to(space)
        (folder / "stat").write_text(f"{pid} (sh) S 0 0\n")
    group = host.world.folder / "sys/fs/cgroup/system.slice/web"
    (group / "cgroup.procs").write_text(f"99\n{host.pids['web']}\n")


def owned(host: BundleHost) -> None:
    file = host.below(BUNDLE) / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "annotations": {"io.container.manager": "libpod"}}))


def in_service(host: BundleHost) -> None:
    """The runtime was not detached: it is the parent, in a unit that may start the container again."""
    parent = host.world.folder / "proc/4000"
    parent.mkdir()
    (parent / "comm").write_text(f"{host.runtime}\n")
    (parent / "cgroup").write_text("0::/system.slice/web.service\n")
    pid = host.pids["web"]
    (host.world.folder / f"proc/{pid}/stat").write_text(f"{pid} (python3) S 4000 0\n")


LOST = [
    pytest.param(terminal, "console_needed", id="terminal"),
    pytest.param(piped, "streams_are_pipes", id="pipes"),
    pytest.param(without_cgroup, "cgroup_shared", id="cgroup"),
    pytest.param(owned, "engine_mismatch", id="podman's"),
    pytest.param(in_service, "unit_managed", id="service"),
]


@pytest.mark.parametrize(("prepare", "reason"), LOST)
def test_dump_that_would_do_harm_is_refused(
    module: Run, host: BundleHost, prepare: Callable[[BundleHost], None], reason: str
) -> None:
    prepare(host)
    host.world.script(Reply(["systemctl", "is-active", "--quiet", "--", "web.service"]))
    for check in (True, False):
        run = module("container_checkpoint", {"name": "web", "engine": host.runtime}, host=host, check=check)
        assert (run.failed, run.result.get("reason")) == (True, reason), run.result
    assert host.runs() and host.wrote == []


def test_failed_dump_leaves_the_container_and_its_log(module: Run, host: BundleHost) -> None:
    host.fails = {"dump"}
    run = module("container_checkpoint", {"name": "web", "engine": host.runtime}, host=host)
    assert run.failed and run.result["container_state"] == "running" and host.runs()
    assert run.result["log_path"] == str(place(host) / "work/dump.log")
    assert not (place(host) / "checkpoint").exists(), "memory of a dump that failed"
    assert list(left_over(host.world.folder)) == []


def test_failed_restore_keeps_the_checkpoint_and_the_next_succeeds(module: Run, host: BundleHost) -> None:
    params = {"name": "web", "engine": host.runtime}
    assert module("container_checkpoint", params, host=host).result["changed"]
    host.fails = {"restore"}
    run = module("container_restore", params, host=host)
    assert run.failed and "Its checkpoint is kept." in run.result["msg"]
    assert run.result["log_path"] == str(place(host) / "work/restore.log")
    assert not host.state_of("web").exists(), "crun leaves its folder, and would refuse the name"
    host.fails = set()
    restored = module("container_restore", params, host=host)
    assert not restored.failed and host.runs(), restored.result


def test_failed_import_leaves_nothing(module: Run, host: BundleHost) -> None:
    params = {"name": "web", "engine": host.runtime, "archive_path": str(host.world.folder / "cp/web.tar")}
    assert module("container_checkpoint", {**params, "compression": "none"}, host=host).result["changed"]
    host.fails = {"restore"}
    run = module("container_restore", params, host=host)
    assert run.failed and "The archive is unchanged." in run.result["msg"]
    assert not (place(host) / "import").exists() and not host.state_of("web").exists()
    host.fails = set()
    assert module("container_restore", params, host=host).result["changed"] and host.runs()


def test_archive_that_cannot_be_unpacked_leaves_nothing(module: Run, host: BundleHost) -> None:
    """A link in it leads out of its folder: none of what was unpacked before it stays."""
    archive = host.world.folder / "cp/web.tar"
    params = {"name": "web", "engine": host.runtime, "archive_path": str(archive)}
    assert module("container_checkpoint", {**params, "compression": "none"}, host=host).result["changed"]
    with tarfile.open(archive, "a") as opened:
        link = tarfile.TarInfo("checkpoint/x")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/shadow"
        opened.addfile(link)
    Path(f"{archive}.json").unlink()
    run = module("container_restore", params, host=host)
    assert (run.failed, run.result["reason"]) == (True, "unpack_failed")
    assert not (place(host) / "import").exists() and not host.runs()
    assert list(left_over(host.world.folder)) == []


def test_foreign_label_ends_the_restored_container(module: Run, host: BundleHost) -> None:
    params = {"name": "web", "engine": host.runtime}
    assert module("container_checkpoint", params, host=host).result["changed"]
    host.label = FOREIGN
    run = module("container_restore", params, host=host)
    assert run.result["reason"] == "label_changed" and not host.runs()
    host.label = LABEL
    assert module("container_restore", params, host=host).result["changed"] and host.runs()


def test_bundle_of_others_is_not_restored(module: Run, host: BundleHost) -> None:
    """Its configuration may have hooks, which root would run."""
    params = {"name": "web", "engine": host.runtime}
    assert module("container_checkpoint", params, host=host).result["changed"]
    (host.below(BUNDLE) / "config.json").chmod(0o666)
    run = module("container_restore", params, host=host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "bundle_unsafe")
    (host.below(BUNDLE) / "config.json").unlink()
    assert module("container_restore", params, host=host).result["reason"] == "bundle_missing"
    assert not host.runs()


def test_users_are_refused(module: Run, host: BundleHost) -> None:
    params = {"name": "web", "engine": host.runtime}
    host.end()
    host.forget()
    folder = host.world.folder / f"run/user/4242/{host.runtime}/web"
    folder.mkdir(parents=True)
    run = module("container_checkpoint", params, host=host)
    assert (run.result["reason"], "of the user '4242'" in run.result["msg"]) == ("rootless_unsupported", True)
    folder.rename(folder.parents[2] / "0")
    (folder.parents[2] / "0").rename(host.world.folder / "run/user/x")
    (host.world.folder / f"run/user/0/{host.runtime}/web").mkdir(parents=True)
    run = module("container_checkpoint", params, host=host)
    assert f"Give engine_root: /run/user/0/{host.runtime}." in run.result["msg"]
    (host.world.folder / f"run/user/0/{host.runtime}").chmod(0o777)
    run = module("container_checkpoint", {**params, "engine_root": f"/run/user/0/{host.runtime}"}, host=host)
    assert run.result["reason"] == "rootless_unsupported" and "others may have written" in run.result["msg"]


TASKS = [
    pytest.param({}, id="in-place"),
    pytest.param({"archive_path": "cp/web.tar.gz", "compression": "gzip"}, id="archive"),
    pytest.param({"store": "store"}, id="store"),
]


def below(host: BundleHost, params: dict[str, Any]) -> dict[str, Any]:
    paths = {key: str(host.world.folder / params[key]) for key in ("archive_path", "store") if key in params}
    return {"name": "web", "engine": host.runtime, **params, **paths}


@pytest.mark.parametrize("params", TASKS)
@pytest.mark.parametrize("task", ["container_checkpoint", "container_restore"])
def test_kill_at_each_step_loses_nothing(module: Run, tmp_path: Path, params: dict[str, Any], task: str) -> None:
    """Whatever the step: the next tasks bring the container into its checkpoint, and back, as the same container."""
    died = 0
    for steps in range(1, 60):
        folder = tmp_path / str(steps)
        folder.mkdir()
        host = bundle_host(folder, "crun")
        given = below(host, params)
        restore = {key: value for key, value in given.items() if key != "compression"}
        first = given
        if task == "container_restore":
            identity = module("container_checkpoint", given, host=host).result["checkpoint"]["id"]
            first = restore
        with pytest.MonkeyPatch.context() as patch:
            kill_after(patch, steps)
            try:
                done = module(task, first, host=host)
            except Killed:
                died += 1
            else:
                assert not done.failed
                break
        give_markers_away(folder)
        if task == "container_restore":
            back = module("container_restore", restore, host=host)
            assert not back.failed and back.result["restore"]["id"] == identity, back.result
        else:
            again = module("container_checkpoint", given, host=host)
            if again.failed:
                # The dump had ended the container before there was an archive: its state is in place.
                assert again.result["reason"] == "container_not_running", again.result
                back = module("container_restore", {"name": "web", "engine": "crun"}, host=host)
            else:
                back = module("container_restore", restore, host=host)
            assert not back.failed, back.result
        assert host.runs(), steps
        assert list(left_over(folder)) == [], steps
        assert list(folder.glob("var/lib/criu-hosts/engines/*/begun/*")) == [], steps
        assert not (place(host) / "import").exists() and not (place(host) / "checkpoint").exists(), steps
    assert died > 5
