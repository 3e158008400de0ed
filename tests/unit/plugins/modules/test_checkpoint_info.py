# SPDX-License-Identifier: GPL-3.0-or-later
"""What checkpoint_info says about real images of CRIU is what checkpointctl 1.3.0 and crit 4.2.1 say about them.

The two archives were packed from dumps of plain processes, with podman's recorded config.dump. Their pages are empty,
but for those with command lines and environments.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.contents import read_contents
from ansible_collections.criu.hosts.plugins.module_utils._store import listing
from ansible_collections.criu.hosts.plugins.module_utils._store.entries import KEYS
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host
from ansible_collections.criu.hosts.tests.unit.tars import END, entry, header

FIXTURES = Path(__file__).parents[2] / "fixtures"
DETAILS = ["environment", "files", "memory", "mounts", "processes", "sockets", "statistics"]
RECORD = {
    "schema": 1,
    "engine": "podman",
    "id": "a" * 64,
    "name": "web",
    "image": "w",
    "image_id": "b" * 64,
    "runtime": "runc",
    "process_label": "",
    "criu": "4.2.1",
    "options": {"tcp_established": True},
}


def archive(version: str) -> Path:
    return FIXTURES / f"criu/{version}-archive.tar.gz"


def recorded(version: str) -> dict[str, Any]:
    text = (FIXTURES / f"checkpointctl/1.3.0-inspect-{version}.json").read_text(encoding="utf-8")
    return dict(json.loads(text)[0])


def put(folder: Path, name: str = "web.tar.gz", record: dict[str, Any] | None = None) -> Path:
    path = folder / name
    shutil.copyfile(archive("4.2.1"), path)
    if record is not None:
        own = {"size_bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        put_record(path, {**RECORD, **own, **record})
    return path


def put_record(path: Path, record: dict[str, Any]) -> None:
    beside = path.with_name(f"{path.name}.json")
    beside.write_text(json.dumps(record), encoding="utf-8")
    beside.chmod(0o600)


def one_file(folder: Path) -> tuple[dict[str, Any], Host]:
    return {"path": str(put(folder)), "detail": DETAILS}, Host()


def some_files(folder: Path) -> tuple[dict[str, Any], Host]:
    put(folder, record={})
    (folder / "half.tar").write_bytes(b"no archive")
    return {"path": str(folder), "verify": True}, Host()


CONTRACT_CASES = [
    Case("one", one_file, changed=False),
    Case("folder", some_files, changed=False),
    Case("empty", lambda folder: ({"path": str(folder)}, Host()), changed=False),
]


@pytest.fixture(name="inspect")
def inspect_fixture(module: Any) -> Any:
    """Inspects one archive with all details."""

    def run(path: Path, **more: Any) -> dict[str, Any]:
        (found,) = module("checkpoint_info", {"path": str(path), "detail": DETAILS, **more}).result["checkpoints"]
        return dict(found)

    return run


@pytest.mark.parametrize("version", ["4.1.1", "4.2.1"])
def test_the_summary_is_that_of_checkpointctl(inspect: Any, version: str) -> None:
    found, theirs = inspect(archive(version)), recorded(version)
    assert found["container"] == theirs["container_name"]
    for key in ("image", "id", "runtime", "created", "engine", "ip", "mounts"):
        assert found[key] == theirs.get(key, found[key] if key == "ip" else None), key
    sizes = dict(found["checkpoint_size"])
    assert sizes.pop("amd_gpu_memory_pages_size") == 0
    assert sizes == theirs["checkpoint_size"]
    assert {key: value for key, value in found["statistics"].items() if value} == theirs["statistics"]


def _tree(one: dict[str, Any], depth: int = 0) -> list[tuple[int, int, str]]:
    rows = [(depth, one["pid"], one["command"])]
    for child in one.get("children", ()):
        rows += _tree(child, depth + 1)
    return rows


@pytest.mark.parametrize("version", ["4.1.1", "4.2.1"])
def test_the_processes_are_those_of_checkpointctl(inspect: Any, version: str) -> None:
    found = inspect(archive(version))["processes"]
    assert [(one["depth"], one["pid"], one["command"]) for one in found] == _tree(recorded(version)["process_tree"])


def test_the_command_line_is_that_of_checkpointctl_and_no_value_is_returned(inspect: Any) -> None:
    root, (found,) = recorded("4.1.1")["process_tree"], inspect(archive("4.1.1"))["processes"]
    assert found["cmdline"] == root["cmdline"].rstrip(" ").replace("\t", "\\t")
    assert sorted(found["environment_variables"]) == sorted(root["environment_variables"])
    assert root["environment_variables"]["PASSWORD"] not in json.dumps(found)


def test_the_command_lines_of_newer_images(inspect: Any) -> None:
    """CRIU 4.2.1 counts pages in a field that checkpointctl 1.3.0 does not know: it shows blanks."""
    assert recorded("4.2.1")["process_tree"]["cmdline"].strip() == ""
    found = inspect(archive("4.2.1"))["processes"]
    assert [one["cmdline"] for one in found] == ["python3 victim.py a b c", "sleep 86400"]
    assert [one["environment_variables"] for one in found] == [
        ["PASSWORD", "HOME", "LANG"],
        ["SECRET", "PATH", "EMPTY"],
    ]
    assert [[thread["tid"] for thread in one["threads"]] for one in found] == [[14011, 14040, 14041], [14042]]


@pytest.mark.parametrize("version", ["4.1.1", "4.2.1"])
def test_the_files_are_those_of_checkpointctl(inspect: Any, version: str) -> None:
    theirs = [
        (of["pid"], one["type"], one["fd"].split(" ")[-1], one["path"].replace("\0", ""))
        for of in recorded(version)["file_descriptors"]
        for one in of["open_files"]
    ]
    found = [(one["pid"], one["type"], one["fd"], one["path"]) for one in inspect(archive(version))["open_files"]]
    assert sorted(found) == sorted(theirs)


def _bytes_of(text: str) -> tuple[float, str]:
    number, unit = text.split(" ")
    return float(number), unit


def _shown(size: int) -> tuple[float, str]:
    unit = 0
    value = float(size)
    while value >= 1024:
        value, unit = value / 1024, unit + 1
    return round(value, 1), ("B", "KB", "MB")[unit]


def test_the_sockets_are_those_of_checkpointctl(inspect: Any) -> None:
    found = inspect(archive("4.2.1"))
    theirs = [one for of in recorded("4.2.1")["sockets"] for one in of["open_sockets"]]
    assert len(found["sockets"]) == len(theirs) > 8
    for ours, their in zip(found["sockets"], theirs):
        data = their["data"]
        if ours["kind"] == "INETSK":
            assert (ours["protocol"], ours["state"]) == (their["protocol"], data["state"])
            assert (ours["src_port"], ours["dst_port"]) == (data.get("src_port", 0), data.get("dst_port", 0))
            if ":" not in ours["src"]:  # checkpointctl 1.3.0 shows one word of four of an IPv6 address
                assert (ours["src"], ours["dst"]) == (data["src"], data["dst"])
        if ours["kind"] == "UNIXSK":
            assert ours["address"] == data.get("address", "").replace("\0", "")
        if "send_buf" in data:
            assert _shown(ours["send_buf"]) == _bytes_of(data["send_buf"])
            assert _shown(ours["recv_buf"]) == _bytes_of(data["recv_buf"])
    assert [one["src"] for one in found["sockets"] if ":" in one["src"]] == ["::1"]
    assert [(one["fd"], one["dst_port"]) for one in found["tcp_connections"]] == [(4, 7777), (5, 43872)]


def test_the_locks_are_those_of_crit(inspect: Any) -> None:
    theirs = json.loads((FIXTURES / "crit/4.2.1-filelocks.json").read_text(encoding="utf-8"))["entries"]
    found = inspect(archive("4.2.1"))
    assert found["lock_count"] == len(theirs)
    assert [
        {
            "flag": {"POSIX": 1, "FLOCK": 2}[one["kind"]],
            "type": int(one["mode"] == "write"),
            "pid": one["pid"],
            "fd": one["fd"],
            "start": one["start"],
            "len": one["length"],
        }
        for one in found["locks"]
    ] == theirs
    assert [one["path"] for one in found["locks"]] == ["/tmp/cpctl/data", "/tmp/cpctl/data2"]


def test_the_memory_is_that_of_crit(inspect: Any) -> None:
    sizes: dict[int, int] = {}
    pid = 0
    for line in (FIXTURES / "crit/4.2.1-mems.txt").read_text(encoding="utf-8").splitlines():
        if line.strip().isdigit():
            pid = int(line)
        elif "-" in line.split()[0]:
            start, end = (int(one, 16) for one in line.split()[0].split("-"))
            sizes[pid] = sizes.get(pid, 0) + end - start
    found = inspect(archive("4.2.1"))
    private = [one for one in found["memory"] if one["pid"] is not None]
    ours = {pid: sum(one["virtual_size"] for one in private if one["pid"] == pid) for pid in sizes}
    assert ours == sizes
    assert sum(one["saved_size"] for one in private) == recorded("4.2.1")["statistics"]["pages_written"] * 4096
    assert [one["saved_size"] for one in found["memory"] if one["pid"] is None] == [4096]
    assert sum(one["virtual_size"] for one in private if one["kind"] == "shared") == 1 << 20


def test_only_what_was_asked_for(module: Any) -> None:
    run = module("checkpoint_info", {"path": str(archive("4.2.1"))})
    (found,) = run.result["checkpoints"]
    assert [key for key in KEYS if found[key] is None] == [
        *("checkpointed", "open_files", "locks", "sockets", "tcp_connections", "memory", "mounts")
    ]
    assert [one["environment_variables"] for one in found["processes"]] == [None, None]


def test_the_keys_are_the_same_for_each(module: Any, tmp_path: Path) -> None:
    with archive("4.2.1").open("rb") as handle:
        assert set(read_contents(handle, ())) == set(KEYS)
    params, dummy = some_files(tmp_path)
    damaged, whole = module("checkpoint_info", params).result["checkpoints"]
    assert set(damaged) == set(whole)
    assert (damaged["reason"], damaged["container"], whole["reason"]) == ("archive_invalid", None, None)
    assert damaged["message"].startswith(f"Cannot read '{tmp_path}/half.tar': ")


def test_the_record_and_the_digest(module: Any, tmp_path: Path) -> None:
    put(tmp_path, "a.tar.gz", {})
    put(tmp_path, "b.tar.gz", {"sha256": "0" * 64})
    put(tmp_path, "c.tar.gz", {"size_bytes": 5})
    put(tmp_path, "d.tar.gz")
    put(tmp_path, "e", {})
    (tmp_path / ".f.tar.gz").write_bytes(b"unfinished")
    (tmp_path / "g.txt").write_bytes(b"no archive")
    found = module("checkpoint_info", {"path": str(tmp_path), "verify": True}).result["checkpoints"]
    assert [(os.path.basename(one["path"]), one["verified"]) for one in found] == [
        *(("a.tar.gz", True), ("b.tar.gz", False), ("c.tar.gz", None), ("d.tar.gz", None), ("e", True))
    ]
    assert found[0]["record"]["options"] == {"tcp_established": True}
    assert found[2]["record"] is None and "its record says 5" in found[2]["record_fault"]
    assert found[3]["record"] is found[3]["record_fault"] is None


def test_a_record_that_others_may_write_is_not_believed(module: Any, tmp_path: Path) -> None:
    (tmp_path / f"{put(tmp_path, record={}).name}.json").chmod(0o666)
    (found,) = module("checkpoint_info", {"path": str(tmp_path)}).result["checkpoints"]
    assert found["record"] is None and "may write" in found["record_fault"]


def small(*more: bytes, config: bytes = b'{"name": "web"}', spec: bytes = b"{}") -> bytes:
    folder = header(b"checkpoint/", kind=b"5")
    inventory = entry(b"checkpoint/inventory.img", bytes.fromhex("16313158") + bytes.fromhex("02000000") + b"\x08\x01")
    return b"".join((entry(b"config.dump", config), entry(b"spec.dump", spec), folder, inventory, *more, END))


REFUSED = [
    pytest.param(b"", "it has no config.dump", id="empty"),
    pytest.param(entry(b"config.dump", b"{}") + END, "it has no spec.dump", id="no-spec"),
    pytest.param(small(entry(b"config.dump", b"{}")), "its config.dump is twice there", id="twice"),
    pytest.param(small(entry(b"checkpoint/../x", b"")), "a name with '..'", id="up"),
    pytest.param(small(config=b"[]"), "its config.dump cannot be read", id="no-object"),
    pytest.param(small(entry(b"checkpoint/pstree.img", b"x")), "pstree.img cannot be read", id="no-image"),
    pytest.param(small()[:-1540], "it is cut off", id="cut-off"),
    pytest.param(
        small(entry(b"checkpoint/\x1b[31m.img", b"") * 2), r"its checkpoint/\x1b[31m.img is twice there", id="control"
    ),
]


@pytest.mark.parametrize(("data", "why"), REFUSED)
def test_what_is_refused(module: Any, tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "web.tar").write_bytes(data)
    run = module("checkpoint_info", {"path": str(tmp_path / "web.tar")})
    assert run.failed and run.result["reason"] == "archive_invalid"
    assert why in run.result["msg"]


def test_nothing_but_regular_files_is_opened(module: Any, tmp_path: Path) -> None:
    (tmp_path / "link.tar").symlink_to(put(tmp_path, "real"))
    os.mkfifo(tmp_path / "pipe.tar")
    found = module("checkpoint_info", {"path": str(tmp_path)}).result["checkpoints"]
    assert [one["reason"] for one in found] == ["archive_invalid"] * 2
    assert all("symbolic link, or no regular file" in one["message"] for one in found)


def test_a_folder_is_looked_through_once(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"{number}.tar").write_bytes(b"")
    seen: list[int] = []
    real = listing.archives_in
    monkeypatch.setattr(listing, "archives_in", lambda names: (seen.append(len(names)), real(names))[1])
    assert len(module("checkpoint_info", {"path": str(tmp_path)}).result["checkpoints"]) == 20
    assert seen == [20]


def test_a_missing_archive(module: Any, tmp_path: Path) -> None:
    run = module("checkpoint_info", {"path": str(tmp_path / "web.tar")})
    assert run.failed and run.result["reason"] == "archive_missing"


def test_control_characters_are_escaped(module: Any, tmp_path: Path) -> None:
    (tmp_path / "web.tar").write_bytes(small(config=b'{"name": "a\\u001b[2Jb"}', spec=b'{"annotations": null}'))
    (found,) = module("checkpoint_info", {"path": str(tmp_path / "web.tar")}).result["checkpoints"]
    # Without podman's annotation, the container is one of containerd, and its name is there.
    assert (found["engine"], found["container"]) == ("containerd", None)
    libpod = b'{"annotations": {"io.container.manager": "libpod"}}'
    (tmp_path / "web.tar").write_bytes(small(config=b'{"name": "a\\u001b[2Jb"}', spec=libpod))
    (found,) = module("checkpoint_info", {"path": str(tmp_path / "web.tar")}).result["checkpoints"]
    assert (found["engine"], found["container"]) == ("Podman", r"a\x1b[2Jb")


def test_a_host_network_has_no_status(module: Any, tmp_path: Path) -> None:
    (tmp_path / "web.tar").write_bytes(small(entry(b"network.status", b"null")))
    (found,) = module("checkpoint_info", {"path": str(tmp_path / "web.tar")}).result["checkpoints"]
    assert (found["ip"], found["mac"]) == (None, None)
