# SPDX-License-Identifier: GPL-3.0-or-later
"""What process_checkpoint, process_restore and container_checkpoint refuse beforehand, in check mode as well."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_files import Listener
from ansible_collections.criu.hosts.plugins.module_utils._process import changed_files, obstacles
from ansible_collections.criu.hosts.tests.unit.containers import World, recorded, running, world
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Reply
from ansible_collections.criu.hosts.tests.unit.processes import PID, ProcessWorld, process_world

FILES = Path(__file__).parents[2] / "fixtures/criu/4.2.1-files"
CHECK = pytest.mark.parametrize("check", [True, False], ids=["check", "real"])


def process(folder: Path) -> ProcessWorld:
    made = process_world(folder)
    made.process()
    (made.folder / f"proc/{PID}/fd").mkdir()
    return made


def uses_io_uring(made: World, pid: int) -> None:
    (made.folder / f"proc/{pid}/fd").mkdir(exist_ok=True)
    (made.folder / f"proc/{pid}/fd/9").symlink_to("anon_inode:[io_uring]")


def names_of(made: ProcessWorld, shared: bool) -> None:
    """Puts the mount namespaces of the task and of the process, with huge pages in the latter."""
    for place, name in (("self", "mnt:[1]"), (str(PID), "mnt:[1]" if shared else "mnt:[2]")):
        (made.folder / f"proc/{place}/ns").mkdir()
        (made.folder / f"proc/{place}/ns/mnt").symlink_to(name)
    text = "29 1 8:1 / / rw - ext4 /dev/vda1 rw\n40 29 0:46 / /dev/hugepages rw - hugetlbfs x rw\n"
    (made.folder / f"proc/{PID}/mountinfo").write_text(text)


def pid_of_container(made: World) -> int:
    running(made)
    return int(json.loads(recorded("inspect-running.json"))[0]["State"]["Pid"])


@CHECK
@pytest.mark.parametrize("options", [{}, {"leave_running": True}])
def test_a_process_with_io_uring(module: Any, tmp_path: Path, check: bool, options: dict[str, bool]) -> None:
    made = process(tmp_path)
    uses_io_uring(made.base, PID)
    before = made.content()
    arguments = {"pid": PID, "images_path": str(made.images), **options}
    ran = module("process_checkpoint", arguments, host=made.base.host, check=check)
    assert ran.result["reason"] == "io_uring", ran.result
    assert ran.result["msg"].startswith(
        "Cannot checkpoint process 1463 ('python3'): process 1463 ('python3') uses io_uring (open as file descriptor 9)"
    )
    assert "UV_USE_IO_URING=0" in ran.result["msg"]
    assert [one["reason"] for one in ran.result["obstacles"]] == ["io_uring"]
    assert ran.host.wrote == [] and made.content() == before


@CHECK
def test_a_container_with_io_uring(module: Any, tmp_path: Path, check: bool) -> None:
    made = world(tmp_path)
    uses_io_uring(made, pid_of_container(made))
    ran = module("container_checkpoint", {"name": "web"}, host=made.host, check=check)
    assert ran.result["reason"] == "io_uring", ran.result
    assert ran.result["msg"].startswith("Cannot checkpoint container 'web': process ")
    assert ran.host.wrote == []


@CHECK
def test_the_settings_that_make_a_mount_namespace_are_named(module: Any, tmp_path: Path, check: bool) -> None:
    made = process(tmp_path)
    names_of(made, shared=False)
    argv = ["systemctl", "show", f"--property={','.join(obstacles.SETTINGS)}", "web.service"]
    made.base.script(Reply(argv, out="PrivateTmp=yes\nProtectSystem=strict\nProtectHome=no\nReadOnlyPaths=\n"))
    arguments = {"pid": PID, "images_path": str(made.images)}
    ran = module("process_checkpoint", arguments, host=made.base.host, check=check)
    assert ran.result["reason"] == "mount_namespace", ran.result
    assert "its mount '/dev/hugepages' (hugetlbfs)" in ran.result["msg"]
    assert "The unit 'web.service' has PrivateTmp=yes, ProtectSystem=strict." in ran.result["msg"]
    assert ran.host.wrote == []


@pytest.mark.parametrize("changes", [{"external": ["mnt[/dev/hugepages]:x"]}, {"shared": True}])
def test_a_mount_namespace_that_criu_may_dump(module: Any, tmp_path: Path, changes: dict[str, Any]) -> None:
    made = process(tmp_path)
    names_of(made, shared=changes.pop("shared", False))
    arguments = {"pid": PID, "images_path": str(made.images), **changes}
    ran = module("process_checkpoint", arguments, host=made.base.host, check=True)
    assert ran.result["changed"] is True, ran.result


def test_systemd_that_does_not_answer_hides_no_refusal(module: Any, tmp_path: Path) -> None:
    made = process(tmp_path)
    names_of(made, shared=False)
    argv = ["systemctl", "show", f"--property={','.join(obstacles.SETTINGS)}", "web.service"]
    made.base.script(Reply(argv, rc=1, err="Failed to connect to bus: Host is down\n"))
    ran = module("process_checkpoint", {"pid": PID, "images_path": str(made.images)}, host=made.base.host)
    assert ran.result["reason"] == "mount_namespace" and "The unit" not in ran.result["msg"]


def broken_config(made: World, name: str, text: str) -> None:
    """CRIU answers as 4.2.1 does if ``name`` has a line that it does not know."""
    criu = str(made.host.tools["criu"])
    (made.folder / "etc/criu").mkdir(parents=True)
    (made.folder / f"etc/criu/{name}").write_text(text)
    made.host.replies = [
        *(one for one in made.host.replies if list(one.argv) != [criu, "--version"]),
        Reply([criu, "--version"], rc=int(name == "default.conf"), out="Version: 4.2.1\n" * (name != "default.conf")),
        Reply([criu, "--no-default-config", "--version"], out="Version: 4.2.1\n"),
        Reply([criu, "--config", "/proc/self/fd/0", "--version"], rc=1, err="criu: unrecognized option '--bogus'\n"),
    ]


@CHECK
@pytest.mark.parametrize("name", ["default.conf", "runc.conf"])
def test_a_broken_configuration_file_of_a_container(module: Any, tmp_path: Path, name: str, check: bool) -> None:
    made = world(tmp_path)
    running(made)
    broken_config(made, name, "bogus\n")
    ran = module("container_checkpoint", {"name": "web"}, host=made.host, check=check)
    assert ran.result["reason"] == "config_broken", ran.result
    assert ran.result["path"] == f"{tmp_path}/etc/criu/{name}"
    assert "line 1" in ran.result["msg"] and "unrecognized option '--bogus'" in ran.result["msg"]


@pytest.mark.parametrize("task", ["process_checkpoint", "process_restore"])
def test_a_broken_default_conf_of_a_process(module: Any, tmp_path: Path, task: str) -> None:
    made = process(tmp_path)
    arguments: dict[str, Any] = {"pid": PID, "images_path": str(made.images)}
    if task == "process_restore":
        made.end()
        made.dumped()
        del arguments["pid"]
    broken_config(made.base, "default.conf", "bogus\n")
    ran = module(task, arguments, host=made.base.host)
    assert ran.result["reason"] == "config_broken", ran.result
    assert ran.result["path"].endswith("/etc/criu/default.conf")


@pytest.mark.parametrize("task", ["process_checkpoint", "process_restore"])
def test_a_criu_without_capabilities(module: Any, tmp_path: Path, task: str) -> None:
    made = process_world(tmp_path, selinux="disabled")
    PLACE.uid = 1000
    arguments: dict[str, Any] = {"images_path": str(made.images)}
    if task == "process_checkpoint":
        made.process()
        arguments["pid"] = PID
    else:
        made.dumped()
    ran = module(task, arguments, host=made.base.host)
    assert ran.result["reason"] == "criu_not_permitted", ran.result
    assert "criu_non_root" in ran.result["msg"] and ran.result["path"] == made.criu
    assert ran.host.wrote == []


@pytest.mark.parametrize("runs", [True, False])
def test_a_program_that_only_others_may_run(module: Any, tmp_path: Path, monkeypatch: Any, runs: bool) -> None:
    made = process(tmp_path)
    Path(made.criu).chmod(0o755)
    monkeypatch.setattr(os, "access", lambda dummy_path, dummy_mode: runs)
    arguments = {"pid": PID, "images_path": str(made.images)}
    ran = module("process_checkpoint", arguments, host=made.base.host, check=True)
    assert ran.result.get("reason") == (None if runs else "criu_not_permitted"), ran.result


@pytest.mark.parametrize(
    ("flags", "uid", "words"),
    [
        (0x208040, 0, "it is a kernel thread. Choose a different process."),
        (0x400100, 0, "this user may not read it. Set become."),
        (0x400100, 4242, "it runs as the user with the id 4242, and this user may not read it. Set become."),
    ],
)
def test_a_process_whose_program_cannot_be_read(module: Any, tmp_path: Path, flags: int, uid: int, words: str) -> None:
    made = process(tmp_path)
    base = made.folder / f"proc/{PID}"
    (base / "exe").unlink()
    (base / "stat").write_text((base / "stat").read_text().replace("4194560", str(flags)))
    status = (base / "status").read_text()
    (base / "status").write_text(f"{status}Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    ran = module("process_checkpoint", {"pid": PID, "images_path": str(made.images)}, host=made.base.host)
    assert ran.result["reason"] == "process_refused" and words in ran.result["msg"], ran.result


NO_SYSTEMD = [
    "System has not been booted with systemd as init system (PID 1). Can't operate.\n"
    "Failed to connect to bus: Host is down\n",
    "Failed to connect to bus: Host is down\n",
]


@pytest.mark.parametrize("err", NO_SYSTEMD)
def test_a_host_without_systemd(module: Any, tmp_path: Path, err: str) -> None:
    made = process(tmp_path)
    argv = list(made.unit(active=True).argv)
    made.base.script(Reply(argv, rc=1, err=err))
    arguments = {"unit": "web", "images_path": str(made.images)}
    ran = module("process_checkpoint", arguments, host=made.base.host)
    assert ran.result["reason"] == "systemd_missing", ran.result
    assert "systemd does not run on this host" in ran.result["msg"]


@CHECK
def test_a_file_that_has_changed_since_the_checkpoint(module: Any, tmp_path: Path, check: bool) -> None:
    """The images name the program /usr/bin/python3.13 with 6832784 bytes, which the folder does not have."""
    made = process_world(tmp_path)
    made.dumped()
    for path in FILES.iterdir():
        shutil.copyfile(path, made.images / path.name)
    ran = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=check)
    assert ran.result["reason"] == "files_changed", ran.result
    assert ran.result["path"] == "/usr/bin/python3.13"
    assert "the file '/usr/bin/python3.13' does not exist any more." in ran.result["msg"]
    assert ran.host.wrote == []


@CHECK
def test_a_port_that_is_taken(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: bool) -> None:
    made = process_world(tmp_path)
    made.dumped()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        listener = Listener(b"\x7f\0\0\1", port, False)
        monkeypatch.setattr(changed_files, "read_listeners", lambda dummy_folder: (listener,))
        ran = module("process_restore", {"images_path": str(made.images)}, host=made.base.host, check=check)
    assert ran.result["reason"] == "port_in_use", ran.result
    assert f"127.0.0.1 port {port}" in ran.result["msg"]
    assert ran.host.wrote == []
