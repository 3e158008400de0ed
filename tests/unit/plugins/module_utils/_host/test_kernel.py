# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu.kernel_cache import read_kdat
from ansible_collections.criu.hosts.plugins.module_utils._host import kernel
from ansible_collections.criu.hosts.tests.unit.criu_host import link, put


@pytest.mark.parametrize(
    ("release", "version", "expected"),
    [
        ("6.12.117+deb13-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-12)", (6, 12, 117)),
        ("6.1.0-40-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)", (6, 1, 153)),
        ("5.14.0-570.el9.x86_64", "#1 SMP PREEMPT_DYNAMIC Tue Apr 8 2025", (5, 14, 0)),
        ("7.1-rc1", "#1 SMP", (7, 1)),
        ("6", "", ()),
        ("", "", ()),
    ],
)
def test_parse_release(release: str, version: str, expected: tuple[int, ...]) -> None:
    assert kernel.parse_release(release, version) == expected


def test_read_kernel(tmp_path: Path) -> None:
    empty = {"release": None, "version": [], "checkpoint_restore": None, "ptrace_scope": None, "io_uring": None}
    assert kernel.read_kernel(Paths(str(tmp_path))) == {**empty, "architecture": os.uname().machine}
    put(tmp_path / "proc/sys/kernel/osrelease", "6.12.117\n")
    put(tmp_path / "proc/sys/kernel/cap_last_cap", "39\n")
    put(tmp_path / "proc/sys/kernel/yama/ptrace_scope", "1\n")
    put(tmp_path / "proc/sys/kernel/arch", "riscv64\n")
    put(tmp_path / "proc/sys/kernel/io_uring_disabled", "2\n")
    assert kernel.read_kernel(Paths(str(tmp_path))) == {
        "release": "6.12.117",
        "version": [6, 12, 117],
        "architecture": "riscv64",
        "checkpoint_restore": False,
        "ptrace_scope": 1,
        "io_uring": "disabled",
    }
    put(tmp_path / "proc/sys/kernel/io_uring_disabled", "3\n")
    assert kernel.read_kernel(Paths(str(tmp_path)))["io_uring"] is None
    put(tmp_path / "proc/sys/kernel/cap_last_cap", "40\n")
    assert kernel.read_kernel(Paths(str(tmp_path)))["checkpoint_restore"] is True


KDAT = 1_000_000


@pytest.fixture(name="kdat")
def kdat_fixture(tmp_path: Path) -> Path:
    os.utime(put(tmp_path / "run/criu.kdat", "x"), (KDAT, KDAT))
    os.utime(put(tmp_path / "run/early", "x"), (KDAT - 500, KDAT - 500))
    put(tmp_path / "proc/stat", f"cpu  1 2 3\nintr 1 2\nctxt 9\nbtime {KDAT - 600}\nprocesses 7\n")
    return tmp_path


def stale(root: Path, policy: str | None = None, *, ours: bool = True) -> str | None:
    found = read_kdat(Paths(str(root)), policy, ours=ours)["stale"]
    return str(found) if found else None


def test_read_kdat(kdat: Path) -> None:
    assert read_kdat(Paths(str(kdat)), "default", ours=True) == {
        "path": f"{kdat}/run/criu.kdat",
        "present": True,
        "stale": None,
    }
    (kdat / "run/criu.kdat").unlink()
    assert read_kdat(Paths(str(kdat)), None, ours=False) == {
        "path": f"{kdat}/run/criu.kdat",
        "present": False,
        "stale": None,
    }


def test_kdat_of_another_boot(kdat: Path) -> None:
    put(kdat / "proc/stat", f"btime {KDAT + 100}\n")
    assert stale(kdat) is None, "the clock was set: other files of this boot are older still"
    os.utime(kdat / "run/early", (KDAT + 101, KDAT + 101))
    assert stale(kdat) == "boot"
    (kdat / "proc/stat").unlink()
    assert stale(kdat) is None, "not known"


def test_kdat_of_another_build(kdat: Path) -> None:
    link(kdat / "opt/criu-hosts/current", "4.2.1-x")
    os.utime(kdat / "opt/criu-hosts/current", (KDAT - 1, KDAT - 1), follow_symlinks=False)
    assert stale(kdat) is None
    os.utime(kdat / "opt/criu-hosts/current", (KDAT + 1, KDAT + 1), follow_symlinks=False)
    assert stale(kdat) == "build" and stale(kdat, ours=False) is None


def test_kdat_of_another_package(kdat: Path) -> None:
    put(kdat / "var/lib/dpkg/info/criu.list", "/usr/sbin/criu\n")
    assert stale(kdat, ours=False) == "build" and stale(kdat) is None


def test_kdat_of_another_policy(kdat: Path) -> None:
    file = put(kdat / "etc/selinux/default/policy/policy.34", "x")
    assert stale(kdat, "default") == "policy" and stale(kdat, None) is None
    os.utime(file, (KDAT - 1, KDAT - 1))
    assert stale(kdat, "default") is None
