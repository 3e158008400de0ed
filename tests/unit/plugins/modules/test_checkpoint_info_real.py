# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint_info on an archive that podman 5.4.2 made of a container under crun 1.21, and on images of a process.

Both are of one program with threads, locks, sockets and a child, dumped by CRIU 4.2.1 on Debian 13. Beside them is what
checkpointctl 1.3.0 and crit 4.1.1 said there. To be small, they have zeros for memory, but for command lines and
environments, and for images that are not read.
"""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump
from ansible_collections.criu.hosts.tests.unit.plugins.modules.test_checkpoint_info import DETAILS, _tree

FIXTURES = Path(__file__).parents[2] / "fixtures"
ARCHIVE = FIXTURES / "podman/5.4.2-web.tar.gz"
THEIRS = dict(json.loads((FIXTURES / "checkpointctl/1.3.0-inspect-podman-5.4.2.json").read_text(encoding="utf-8"))[0])


def crit(name: str) -> str:
    return (FIXTURES / f"crit/4.1.1-process-{name}").read_text(encoding="utf-8")


@pytest.fixture(name="web")
def web_fixture(module: Any) -> dict[str, Any]:
    (found,) = module("checkpoint_info", {"path": str(ARCHIVE), "detail": DETAILS}).result["checkpoints"]
    return dict(found)


@pytest.fixture(name="process")
def process_fixture(module: Any, tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "images"
    folder.mkdir(mode=0o700)
    with tarfile.open(FIXTURES / "criu/4.2.1-process-images.tar.gz") as packed:
        for member in packed.getmembers():
            data = packed.extractfile(member)
            assert data is not None
            (folder / member.name).write_bytes(data.read())
            (folder / member.name).chmod(0o600)
    (found,) = module("checkpoint_info", {"path": str(folder), "detail": DETAILS}).result["checkpoints"]
    return dict(found)


def test_the_container_is_that_of_checkpointctl(web: dict[str, Any]) -> None:
    assert web["container"] == THEIRS["container_name"]
    for key in ("image", "id", "runtime", "created", "engine", "mounts"):
        assert web[key] == THEIRS[key], key
    sizes = dict(web["checkpoint_size"])
    assert sizes.pop("amd_gpu_memory_pages_size") == 0
    assert sizes == THEIRS["checkpoint_size"]
    assert {key: value for key, value in web["statistics"].items() if value} == THEIRS["statistics"]
    # checkpointctl 1.3.0 shows no address of this archive; its network.status has it.
    assert "ip" not in THEIRS and (web["ip"], web["mac"]) == ("10.88.0.2", "d6:3f:1d:b5:aa:dc")


def test_the_processes_and_files_are_those_of_checkpointctl(web: dict[str, Any]) -> None:
    assert [(one["depth"], one["pid"], one["command"]) for one in web["processes"]] == _tree(THEIRS["process_tree"])
    theirs = [
        (of["pid"], one["type"], one["fd"].split(" ")[-1], one["path"].replace("\0", ""))
        for of in THEIRS["file_descriptors"]
        for one in of["open_files"]
    ]
    found = [(one["pid"], one["type"], one["fd"], one["path"]) for one in web["open_files"]]
    assert sorted(found) == sorted(theirs)


def test_the_sockets_are_those_of_checkpointctl(web: dict[str, Any]) -> None:
    theirs = [one["data"] for of in THEIRS["sockets"] for one in of["open_sockets"]]
    for ours, their in zip(web["sockets"], theirs):
        if ours["kind"] == "INETSK":
            assert (ours["protocol"], ours["state"]) == (their["type"], their["state"])
            assert (ours["src"], ours["dst"]) == (their["src"], their["dst"])
            assert (ours["src_port"], ours["dst_port"]) == (their.get("src_port", 0), their.get("dst_port", 0))
        else:
            assert ours["address"] == their["address"].replace("\0", "")
    assert len(web["sockets"]) == len(theirs) == 6
    assert [(one["src_port"], one["dst_port"]) for one in web["tcp_connections"]] == [(45500, 7777), (7777, 45500)]


def test_what_checkpointctl_does_not_show(web: dict[str, Any]) -> None:
    root, child = web["processes"]
    assert (root["cmdline"], child["cmdline"]) == ("python3 /app.py a b c", "sleep 86400")
    assert root["environment_variables"] == ["PATH", "container", "SECRET", "GREETING", "HOME", "HOSTNAME"]
    assert [one["tid"] for one in root["threads"]] == [1, 2, 3, 4]
    assert [(one["kind"], one["path"], one["start"], one["length"]) for one in web["locks"]] == [
        *(("FLOCK", "/data-flock", 0, 0), ("POSIX", "/data-posix", 5, 10))
    ]
    saved = sum(one["saved_size"] for one in web["memory"] if one["pid"] is not None)
    assert saved == THEIRS["statistics"]["pages_written"] * 4096
    assert "hidden" not in json.dumps(web)


def test_the_record_of_the_archive() -> None:
    record = read_config_dump(str(ARCHIVE))
    assert (record.name, record.runtime, record.ports) == ("web", "crun", ())
    assert record.networks == {"podman": ["10.88.0.2"]}


def test_the_process_is_that_of_crit(process: dict[str, Any]) -> None:
    shown: dict[tuple[int, str], str] = {}
    pid = 0
    for line in crit("fds.txt").splitlines():
        fd, colon, path = line.strip().partition(": ")
        pid = pid if colon else int(fd)
        if colon:
            shown[pid, fd] = path
    for one in process["open_files"]:
        assert one["path"] == re.sub(r"=00\]$", "]", shown.pop((one["pid"], one["fd"])))
    assert shown == {}
    locks = json.loads(crit("filelocks.json"))["entries"]
    assert [(one["pid"], one["fd"], one["start"], one["length"]) for one in process["locks"]] == [
        (one["pid"], one["fd"], one["start"], one["len"]) for one in locks
    ]


def test_the_memory_is_that_of_crit(process: dict[str, Any]) -> None:
    sizes: dict[int, int] = {}
    pid = 0
    for line in crit("mems.txt").splitlines():
        if line.strip().isdigit():
            pid = int(line)
        elif "-" in line.split()[0]:
            start, end = (int(one, 16) for one in line.split()[0].split("-"))
            sizes[pid] = sizes.get(pid, 0) + end - start
    private = [one for one in process["memory"] if one["pid"] is not None]
    assert {pid: sum(one["virtual_size"] for one in private if one["pid"] == pid) for pid in sizes} == sizes
    assert sum(one["saved_size"] for one in private) == process["statistics"]["pages_written"] * 4096


def test_the_process_has_its_record(process: dict[str, Any]) -> None:
    assert (process["kind"], process["record"]["criu"], process["record"]["comm"]) == ("process", "4.2.1", "python3")
    assert (process["record"]["tcp_established"], process["record"]["file_locks"]) == (True, True)
    assert [one["cmdline"] for one in process["processes"]] == ["python3 papp.py x y z", "sleep 86400"]
    assert process["made_at"] == process["record"]["checkpointed_at"] != ""
