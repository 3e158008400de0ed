# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the modules with a container of LXC: in place and with an archive, second runs, and what was cut off."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import (
    LIMITS,
    ROOTFS,
    parse_info,
    parse_limits,
)
from ansible_collections.criu.hosts.tests.unit.harness import ModuleRun, Reply, Write, put_host
from ansible_collections.criu.hosts.tests.unit.lxc_host import (
    FREEZE,
    INFO,
    LATER,
    PID,
    TARGET,
    LxcHost,
    lxc_host,
    recorded,
)

Run = Callable[..., ModuleRun]
PARAMS = {"name": "web", "engine": "lxc"}
LIMITED = [
    ["lxc-cgroup", *TARGET, *limit] for limit in parse_limits(parse_info(recorded("info-running.txt")).settings[LIMITS])
]


@pytest.fixture(name="made")
def made_fixture(tmp_path: Path) -> LxcHost:
    return lxc_host(tmp_path)


def both(module: Run, made: LxcHost, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Runs a task in check mode, which writes nothing, and then really; both have the same commands."""
    before = len(made.made.host.wrote)
    checked = module(name, params, host=made.made.host, check=True)
    assert len(made.made.host.wrote) == before, "check mode has changed the host"
    run = module(name, params, host=made.made.host)
    assert not run.failed and not checked.failed, run.result
    assert checked.result["commands"] == run.result["commands"]
    assert checked.result["changed"] is run.result["changed"] is True
    return run.result


def ended_in_its_checkpoint(module: Run, made: LxcHost) -> None:
    made.runs()
    made.answers("running", "stopped")
    made.dump()
    both(module, made, "container_checkpoint", PARAMS)


def comes_back(made: LxcHost, images: str = "checkpoint") -> None:
    """Lets lxc-checkpoint restore the container, and LXC limit it again."""
    made.made.host.replies = [one for one in made.made.host.replies if list(one.argv) != INFO]
    made.answers("stopped", "running")
    made.made.host.state = "before"

    def effect() -> None:
        assert (made.home / "criu-hosts/freeze").stat().st_mode & 0o777 == 0o700
        options = (made.home / "criu-hosts/restore.conf").read_text()
        assert "cgroup-root :/lxc.payload.web\n" in options and "cgroup-root cpuacct:/\n" in options
        made.started("lxc-checkpoint", LATER)
        made.runs(frozen=True)

    made.made.script(Write(made.restore_argv(images), turns=True, effect=effect))
    made.writes(*LIMITED, FREEZE[0])
    made.writes(FREEZE[1], effect=made.runs)


def test_checkpoint_in_place_and_restore(module: Run, made: LxcHost) -> None:
    ended_in_its_checkpoint(module, made)
    again = module("container_checkpoint", PARAMS, host=made.made.host)
    assert again.result["changed"] is False and again.result["checkpoint"]["container_state"] == "exited"
    comes_back(made)
    result = both(module, made, "container_restore", PARAMS)
    assert result["commands"] == [made.restore_argv(), *LIMITED, *FREEZE]
    assert result["restore"]["source"] == "container"
    assert not made.images.exists(), "the used checkpoint"
    assert not (made.home / "criu-hosts/restore.conf").exists() and not (made.home / "criu-hosts/freeze").exists()
    assert module("container_restore", PARAMS, host=made.made.host).result["changed"] is False


def test_options_of_a_dump(module: Run, made: LxcHost) -> None:
    made.runs()
    made.answers("running")
    flags = ["--tcp-established", "--file-locks", "--leave-running"]
    made.dump(*flags, ends=False)
    options = {"tcp_established": True, "file_locks": True, "leave_running": True}
    result = both(module, made, "container_checkpoint", {**PARAMS, **options})
    assert result["commands"] == [[*made.argv, *flags]], "nothing waits for the end"
    assert not (made.home / "criu-hosts/ends").exists()


def test_container_that_ran_on_after_its_checkpoint(module: Run, made: LxcHost) -> None:
    ended_in_its_checkpoint(module, made)
    made.started(at=LATER)
    run = module("container_checkpoint", PARAMS, host=made.made.host)
    assert (run.failed, run.result["reason"]) == (True, "container_not_running")
    restored = module("container_restore", PARAMS, host=made.made.host, check=True)
    assert "ran on after its checkpoint" in str(restored.result["warnings"])


def test_container_that_was_not_restarted_after_the_role(module: Run, made: LxcHost) -> None:
    made.runs()
    made.answers("running")
    (made.home / "criu-hosts.run").unlink()
    run = module("container_checkpoint", PARAMS, host=made.made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "ability_missing")
    assert run.result["msg"].endswith("started without the settings that are in its configuration now. Restart it.")


def test_restore_that_was_cut_off_is_repeated(module: Run, made: LxcHost) -> None:
    ended_in_its_checkpoint(module, made)
    made.runs(frozen=True)
    made.started("lxc-checkpoint", LATER)
    (made.home / "criu-hosts/restore.conf").write_text("")
    made.made.host.replies = [one for one in made.made.host.replies if list(one.argv) != INFO]
    made.answers("running")
    assert module("container_checkpoint", PARAMS, host=made.made.host).result["changed"] is False
    run = module("container_restore", PARAMS, host=made.made.host, check=True)
    assert run.result["commands"][:2] == [["lxc-stop", *TARGET, "--kill"], made.restore_argv()]
    made.started("lxc-start", LATER)
    assert module("container_restore", PARAMS, host=made.made.host).result["changed"] is False, "a person's start"


def test_archive(module: Run, made: LxcHost) -> None:
    archive = made.made.folder / "data/web.tar"
    pipe = archive.parent / ".web.tar.pipe"
    folder = made.home / "criu-hosts"
    made.runs()
    made.answers("running", "stopped")
    made.dump()
    names = ["config.dump", "spec.dump", "checkpoint", f"--directory={folder}/work", "stats-dump"]
    pack = ["tar", "--create", "--numeric-owner", f"--file={pipe}", f"--directory={folder}", *names]
    seen: dict[str, Any] = {}

    def effect() -> None:
        seen.update({name: json.loads((folder / name).read_text()) for name in ("config.dump", "spec.dump")})
        with open(pipe, "wb") as handle:
            handle.write(packed(seen))

    made.made.script(Write(pack, effect=effect))
    params = {**PARAMS, "archive_path": str(archive), "compression": "none"}
    result = both(module, made, "container_checkpoint", params)
    assert result["commands"][-1] == pack and archive.is_file()
    assert (seen["config.dump"]["engine"], seen["config.dump"]["name"]) == ("lxc", "web")
    assert seen["spec.dump"]["mounts"][0]["destination"] == "/sys/fs/fuse/connections"
    assert seen["spec.dump"]["linux"]["resources"]["devices"][0] == {"allow": False, "type": "a", "access": "rwm"}
    assert module("container_checkpoint", params, host=made.made.host).result["changed"] is False
    record = made.engine.describe_archive(str(archive))
    assert (record.engine, record.name, record.image) == ("lxc", "web", "/var/lib/lxc/web/rootfs")


def packed(dumps: dict[str, Any]) -> bytes:
    """Returns the archive that tar makes."""
    files = {**{name: json.dumps(text).encode() for name, text in dumps.items()}, "checkpoint/inventory.img": b"inv"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture(name="archived")
def archived_fixture(made: LxcHost) -> dict[str, Any]:
    """The options of a restore from an archive without a record; the container has ended."""
    dumps = {"config.dump": {"engine": "lxc", "id": "web", "name": "web"}, "spec.dump": {}}
    path = made.made.folder / "data/web.tar"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(packed(dumps))
    path.chmod(0o600)
    made.answers("stopped")
    return {**PARAMS, "archive_path": str(path)}


def test_archive_is_restored_into_its_container(module: Run, made: LxcHost, archived: dict[str, Any]) -> None:
    comes_back(made, "import/checkpoint")
    result = both(module, made, "container_restore", archived)
    assert result["restore"]["source"] == "archive"
    assert result["commands"] == [made.restore_argv("import/checkpoint"), *LIMITED, *FREEZE]
    assert not (made.home / "criu-hosts/import").exists()
    assert module("container_restore", archived, host=made.made.host).result["changed"] is False


def test_failed_restore_from_an_archive_leaves_no_memory(module: Run, made: LxcHost, archived: dict[str, Any]) -> None:
    made.made.script(Write(made.restore_argv("import/checkpoint"), rc=1))
    made.made.script(Write(["lxc-wait", *TARGET, "--state=STOPPED", "--timeout=60"]))
    run = module("container_restore", archived, host=made.made.host)
    assert run.failed and run.result["reason"] == "tool_failed"
    assert "CRIU has failed" in run.result["msg"] and "The archive is unchanged." in run.result["msg"]
    assert not (made.home / "criu-hosts/import").exists()
    assert (made.home / "config").exists(), "the container is a person's"


def test_archive_without_its_container_is_refused(module: Run, made: LxcHost, archived: dict[str, Any]) -> None:
    (made.home / "config").unlink()
    run = module("container_restore", archived, host=made.made.host, check=True)
    assert run.failed and run.result["reason"] == "container_missing"
    assert "LXC has no container 'web' on this host" in run.result["msg"]


def test_archive_and_a_different_checkpoint_in_place(module: Run, made: LxcHost, archived: dict[str, Any]) -> None:
    made.images.mkdir(parents=True)
    made.dumped()
    (made.home / "criu-hosts/ends").write_text("")
    run = module("container_restore", archived, host=made.made.host, check=True)
    assert run.failed and run.result["reason"] == "container_exists"
    assert "ended in a different checkpoint" in run.result["msg"]


def test_container_of_incus(module: Run, made: LxcHost) -> None:
    (made.home / "config").unlink()
    made.answers("missing")
    (made.made.folder / "var/lib/incus/containers/web").mkdir(parents=True)
    run = module("container_checkpoint", PARAMS, host=made.made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "engine_mismatch")


def test_answer_that_cannot_be_read(module: Run, made: LxcHost) -> None:
    made.made.script(Reply(INFO, out="PID: 1\n"))
    run = module("container_checkpoint", PARAMS, host=made.made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "answer_invalid")


def test_failed_command_of_lxc(module: Run, made: LxcHost) -> None:
    made.made.script(Reply(INFO, err=recorded("info-user.txt"), rc=1))
    run = module("container_checkpoint", PARAMS, host=made.made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "tool_failed")
    assert run.result["msg"].startswith("Cannot read container 'web': Failure to retrieve information")


def test_task_of_a_user(module: Run, made: LxcHost) -> None:
    put_host(made.made.folder, 1000)
    run = module("container_checkpoint", PARAMS, host=made.made.host, check=True)
    assert (run.failed, run.result["reason"]) == (True, "rootless_unsupported")


def test_stop_thaw_and_start(made: LxcHost) -> None:
    engine = made.engine
    (stop,) = engine.stop_steps("web", "stop it", seconds=5)
    assert stop.argv == ("lxc-stop", *TARGET, "--timeout=5") and stop.unless is not None and stop.unless()
    made.runs(frozen=True)
    assert not stop.unless()
    (made.cgroup / "cgroup.procs").write_text("70\n71\n0\n")
    assert engine.pids("web") == [70, 71]
    made.answers("running")
    assert [list(one.argv) for one in engine.thaw_steps(container())] == FREEZE
    made.runs()
    assert engine.thaw_steps(container()) == ()
    (start,) = engine.start_steps("web")
    assert start.argv == ("lxc-start", *TARGET)


def test_what_a_restore_brings_to_a_host(made: LxcHost) -> None:
    made.runs()
    (made.made.folder / f"proc/{PID}/status").write_text("CapBnd:\t0000000000000021\n")
    spec = made.engine.spec(container())
    assert spec is not None
    assert spec.capabilities == ("CAP_CHOWN", "CAP_KILL")
    assert spec.mounts == ("/sys/fs/fuse/connections", "/var/lib/lxc/web/rootfs")
    assert {"c 1:3", "c 10:229", "c 136:*", "*"} <= set(spec.devices)


def container() -> Container:
    settings = parse_info(recorded("info-running.txt")).settings
    return Container("web", "web", "running", PID, settings[ROOTFS], "", "", "", own={**settings, "cgroup": ""})
