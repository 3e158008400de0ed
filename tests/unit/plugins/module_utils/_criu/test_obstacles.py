# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused before a dump, against what CRIU 4.2.1 did with the same processes.

The fixture has a line for each program: what it had open and mapped (files below /usr left out), the namespaces of
the task and of the program, and the exit status and first error of ``criu dump``. Root had no CAP_SYS_RESOURCE.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu import obstacles
from ansible_collections.criu.hosts.plugins.module_utils._criu.obstacles import OBSTACLES, Around, find_obstacles
from ansible_collections.criu.hosts.plugins.module_utils._host.proc_files import File, Sight
from ansible_collections.criu.hosts.tests.unit.apparmor import with_apparmor

FIXTURE = Path(__file__).parents[3] / "fixtures/criu/4.2.1-obstacles.jsonl"
RECORDED = {entry["case"]: entry for entry in map(json.loads, FIXTURE.read_text().splitlines())}
# The reasons of the programs that CRIU refused.
REASONS = {
    **dict.fromkeys(("io_uring", "io_uring_mapped"), "io_uring"),
    "sysv": "sysv_memory",
    **dict.fromkeys(("ghost", "ghost_mapped", "ghost_shm"), "ghost_limit"),
    "link": "link_remap_needed",
    **dict.fromkeys("fuse tun kvm block perf userfaultfd vsock bpf_prog pidfd_foreign".split(), "device_open"),
    "traced": "process_traced",
    "other_user": "limits_unreadable",
    **dict.fromkeys(("mnt_huge", "mnt_fd"), "mount_namespace"),
}


def seen(name: str, folder: Path) -> tuple[Around, Sight]:
    """Returns a recorded program, and puts what else is read of it below ``folder``."""
    entry = RECORDED[name]
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in entry["sight"].items()}
    sight = Sight(**{**fields, "files": tuple(File(**one) for one in entry["sight"]["files"])})
    own, base = folder / "proc/self", folder / f"proc/{sight.pid}"
    for place in (own, base):
        (place / "ns").mkdir(parents=True)
    for kind, pair in entry["namespaces"].items():
        for place, value in zip((own, base), pair):
            (place / "ns" / kind).symlink_to(value)
    (own / "status").write_text(entry["self"])
    (base / "mountinfo").write_text(entry.get("mountinfo", ""))
    (base / "fdinfo").mkdir()
    for descriptor, number in entry.get("mnt_ids", {}).items():
        (base / "fdinfo" / descriptor).write_text(f"pos:\t0\nflags:\t0100000\nmnt_id:\t{number}\n")
    # The foreign pidfd is of process 1, which has no parent.
    (folder / "proc/1").mkdir()
    (folder / "proc/1/stat").write_text("1 (init) S 0 1 1 0 -1 0\n")
    return Around(Paths(str(folder)), sight.pid, tuple(entry["pids"]), (4, 2, 1), mounts=True), sight


def found(around: Around, *sights: Sight) -> list[str]:
    return [one.reason for one in find_obstacles(around, sights)]


@pytest.mark.parametrize("name", RECORDED)
def test_what_criu_refuses_is_refused_and_nothing_else(name: str, tmp_path: Path) -> None:
    assert (RECORDED[name]["rc"] != 0) == (name in REASONS)
    assert found(*seen(name, tmp_path)) == ([REASONS[name]] if name in REASONS else [])


# CRIU dumps these, and their restore fails or is wrong; the tests with AppArmor are in test_container_apparmor.py.
WRONG_AFTER_A_RESTORE = {"apparmor_profile_name", "apparmor_profile_stacked"}


def test_every_row_has_a_recorded_refusal() -> None:
    assert {row.reason for row in OBSTACLES} == set(REASONS.values()) | WRONG_AFTER_A_RESTORE


@pytest.mark.parametrize(
    ("text", "criu", "reasons"),
    [
        ("lab two words (enforce)", (4, 2, 1), ["apparmor_profile_name"]),
        ("lab two words (enforce)", (5, 0), []),
        ("a//&b (enforce)", (4, 2, 1), ["apparmor_profile_stacked"]),
        ("a//&b (enforce)", (5, 0), ["apparmor_profile_stacked"]),
        ("a//&:box:b (enforce)", (4, 2, 1), []),
        ("lab//HAT (complain)", (4, 2, 1), []),
    ],
)
def test_profiles_of_apparmor(text: str, criu: tuple[int, ...], reasons: list[str], tmp_path: Path) -> None:
    """The kernel decides on stacks. A newer CRIU may save whole names; if not, the proof after the restore finds it."""
    with_apparmor(tmp_path)
    attributes = tmp_path / "proc/7/task/8/attr"
    attributes.mkdir(parents=True)
    (attributes / "current").write_text(f"{text}\n")
    around = Around(Paths(str(tmp_path)), 7, (7,), criu)
    sight = Sight(7, "a", 0, (), (), ())
    assert found(around, sight) == reasons
    assert found(replace(around, pre_dump=True), sight) == []
    (tmp_path / "sys/module/apparmor/parameters/enabled").write_text("N\n")
    assert found(around, sight) == []


@pytest.mark.parametrize("row", OBSTACLES, ids=lambda row: row.reason)
def test_rows_are_for_people(row: obstacles.Row) -> None:
    assert row.advice.endswith(".") and row.sign and not row.sign.endswith(".")


@pytest.mark.parametrize("name", sorted(REASONS))
def test_a_newer_criu_decides_itself(name: str, tmp_path: Path) -> None:
    """Only what the kernel does not allow is certain for a CRIU whose source nobody has read."""
    around, sight = seen(name, tmp_path)
    kept = {"process_traced", "limits_unreadable"} & {REASONS[name]}
    assert found(replace(around, criu=(5, 0)), sight) == [*kept]


def pre_dumped(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    around, sight = seen(name, folder)
    around = replace(around, pre_dump=True, pids=(sight.pid,))
    monkeypatch.setattr(obstacles, "read_sight", lambda dummy_paths, dummy_pid: sight)
    return found(around, *obstacles.read_sights(around))


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("io_uring", []),
        ("io_uring_mapped", ["io_uring"]),
        ("traced", ["process_traced"]),
        ("mnt_huge", ["mount_namespace"]),
        ("ghost", []),
        ("fuse", []),
    ],
)
def test_a_pre_dump_looks_at_no_open_files(
    name: str, reasons: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pre_dumped(name, tmp_path, monkeypatch) == reasons


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("ghost", {"ghost_limit": 4 << 20}),
    ("ghost_mapped", {"external_files": True}),
    ("link", {"link_remap": True}),
    ("kvm", {"plugins": True}),
    ("perf", {"plugins": True}),
    ("mnt_huge", {"mounts": False}),
    ("pidfd_foreign", {"pids": (176, 1)}),
]


@pytest.mark.parametrize(("name", "changes"), OPTIONS)
def test_what_an_option_allows_is_not_refused(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    around, sight = seen(name, tmp_path)
    assert found(replace(around, **changes), sight) == []


@pytest.mark.parametrize(("name", "kind"), [("sysv", "ipc"), ("tun", "net"), ("other_user", "user")])
@pytest.mark.parametrize("own", ["other:[1]", None])
def test_a_namespace_of_its_own_or_an_unknown_one_is_not_refused(
    name: str, kind: str, own: str | None, tmp_path: Path
) -> None:
    around, sight = seen(name, tmp_path)
    link = tmp_path / f"proc/{sight.pid}/ns/{kind}"
    link.unlink()
    if own:
        link.symlink_to(own)
    assert found(around, sight) == []


def test_root_with_all_capabilities_reads_every_limit(tmp_path: Path) -> None:
    around, sight = seen("other_user", tmp_path)
    status = tmp_path / "proc/self/status"
    status.write_text(status.read_text().replace("000001fffeffffff", "000001ffffffffff"))
    assert found(around, sight) == []


def test_a_user_is_not_refused_for_limits(tmp_path: Path) -> None:
    around, sight = seen("other_user", tmp_path)
    status = tmp_path / "proc/self/status"
    status.write_text(status.read_text().replace("Uid:\t0", "Uid:\t1000"))
    assert found(around, sight) == []


def one_file(link: str, **changes: Any) -> Sight:
    return Sight(7, "a", 0, (), (), (File(**{"descriptor": 3, "link": link, **changes}),))


LEFT_TO_CRIU = [
    one_file("/dev/nvidia0", mode=0o20666, device=195 << 8),
    one_file("/dev/dri/renderD128", mode=0o20666, device=(226 << 8) + 128),
    one_file("anon_inode:sync_file"),
    one_file("/dev/ttyS0", mode=0o20666, device=(4 << 8) + 64),
    one_file("/dev/unknown"),
    one_file("socket:[7]", protocol="TCP"),
    one_file("/memfd:x (deleted)", mode=0o100600, links=0, size=9 << 20),
    one_file("/dev/hugepages/x (deleted)", mode=0o100600, links=0, size=9 << 20),
    one_file("/not (deleted)", mode=0o40755, links=0, size=9 << 20),
    one_file("/SYSV is a file", descriptor=-1),
    one_file("pidfd:[7]"),
]


@pytest.mark.parametrize("sight", LEFT_TO_CRIU, ids=lambda sight: sight.files[0].link)
def test_what_is_not_certain_is_left_to_criu(sight: Sight, tmp_path: Path) -> None:
    assert found(Around(Paths(str(tmp_path)), 7, (7,), (4, 2, 1), mounts=True), sight) == []


def test_names_of_others_are_quoted_and_short(tmp_path: Path) -> None:
    sight = one_file("/a\n\x1b[31m\udc80" + "b" * 5000 + " (deleted)", mode=0o100600, links=0, size=9 << 20)
    around = Around(Paths(str(tmp_path)), 7, (7,), (4, 2, 1))
    (obstacle,) = find_obstacles(around, (replace(sight, comm="x\n' y"),))
    assert obstacle.text.isprintable() and obstacle.text.isascii() and len(obstacle.text) < 400
    assert 'process 7 ("x\\n\' y")' in obstacle.text


@pytest.mark.parametrize(
    ("names", "known"),
    [((), True), (("cuda_plugin.so", "amdgpu_plugin.so"), True), (("own.so",), False), (("README",), True)],
)
def test_a_plugin_of_others_may_dump_devices(names: tuple[str, ...], known: bool, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/criu"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text("")
    assert obstacles.has_unknown_plugins(Paths(str(tmp_path))) is not known


@pytest.mark.parametrize(
    "line",
    [
        "40 29 8:1 / /again rw - ext4 /dev/vda1 rw",  # the root's own file system
        "40 29 8:2 /part /part rw - ext4 /dev/vda2 rw",  # CRIU may find the rest of it elsewhere
        "40 29 0:9 / /s rw - fuse.sshfs x rw",
        "40 29 0:9 / /t rw - tmpfs x rw",
    ],
)
def test_mounts_that_criu_may_dump(line: str, tmp_path: Path) -> None:
    around, sight = seen("mnt_huge", tmp_path)
    sight = replace(sight, files=())
    (tmp_path / f"proc/{sight.pid}/mountinfo").write_text(f"29 1 8:1 / / rw - ext4 /dev/vda1 rw\n{line}\n")
    assert found(around, sight) == []


def test_the_name_of_a_mount_is_shown_as_it_is(tmp_path: Path) -> None:
    around, sight = seen("mnt_huge", tmp_path)
    mounts = "29 1 8:1 / / rw - ext4 /dev/vda1 rw\n40 29 0:9 / /a\\040b rw shared:2 - hugetlbfs none rw\n"
    (tmp_path / f"proc/{sight.pid}/mountinfo").write_text(mounts)
    (obstacle,) = find_obstacles(around, (sight,))
    assert "cannot dump its mount '/a b' (hugetlbfs)" in obstacle.text
