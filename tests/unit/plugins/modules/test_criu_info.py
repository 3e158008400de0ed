# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils import _criu as criu
from ansible_collections.criu.hosts.plugins.modules import criu_info
from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply


def text(name: str) -> str:
    return (fake.FIXTURES / name).read_text(encoding="utf-8")


def host_below(folder: Path, binary: bytes = fake.WITHOUT_SELINUX) -> list[Any]:
    """A Debian host with podman, runc, crun and CRIU; what its commands print."""
    criu_info.ROOT = str(folder)
    fake.put(folder / "etc/os-release", fake.DEBIAN)
    for name in ("podman", "crun", "tar"):
        fake.put(folder / "usr/bin" / name, "", 0o755)
    for name in ("runc", "nft"):
        fake.put(folder / "usr/sbin" / name, "", 0o755)
    fake.put(folder / "usr/sbin/criu", binary, 0o755)
    return [
        Reply([f"{folder}/usr/sbin/criu", "--version"], text("criu/4.2.1-version.txt")),
        Reply([f"{folder}/usr/bin/podman", "--version"], text("podman/5.4.2-version.txt")),
        Reply([f"{folder}/usr/bin/crun", "--version"], text("crun/1.21-version.txt")),
        Reply([f"{folder}/usr/sbin/runc", "--version"], text("runc/1.1.15-version.txt")),
    ]


def check(folder: Path, name: str, rc: int, err: str = "") -> Reply:
    return Reply([f"{folder}/usr/sbin/criu", "check", "--no-default-config", "--feature", name], "", err, rc)


def without_features(folder: Path) -> Any:
    return {"features": []}, Host(host_below(folder))


def without_criu(folder: Path) -> Any:
    replies = host_below(folder)
    (folder / "usr/sbin/criu").unlink()
    return {}, Host(replies[1:])


CONTRACT_CASES = [
    Case("without-features", without_features, changed=False),
    Case("without-criu", without_criu, changed=False),
]


def test_tells_what_is_there(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criu_info, "load_library", lambda name: None)
    params, host = without_features(tmp_path)
    found = module("criu_info", params, host=host).result["criu_info"]
    assert (found["path"], found["version"], found["version_number"]) == (f"{tmp_path}/usr/sbin/criu", "4.2.1", 40201)
    assert (found["selinux"], found["nftables"], found["gnutls"]) == (False, True, False)
    assert found["podman"]["version"] == "5.4.2" and found["tools"]["zstd"] is None
    assert {one["name"]: (one["version"], one["checkpoint"]) for one in found["runtimes"]} == {
        "runc": ("1.1.15", True),
        "crun": ("1.21", True),
    }
    assert found["installed"] is None and found["config_error"] is None and found["config"] == {}
    assert len(host.ran) == 4, "each process is slow on small machines"


def test_a_host_without_criu_is_no_failure(tmp_path: Path, module: Callable[..., Any]) -> None:
    params, host = without_criu(tmp_path)
    found = module("criu_info", params, host=host).result["criu_info"]
    assert found["path"] is None and found["version"] is None and found["selinux"] is None
    assert found["features"] == {} and [one["checkpoint"] for one in found["runtimes"]] == [False, False]


def test_asks_for_each_feature(tmp_path: Path, module: Callable[..., Any]) -> None:
    unknown = text("criu/4.2.1-check-unknown-feature.stderr.txt")
    replies = [
        *host_below(tmp_path),
        check(tmp_path, "mnt_id", 0),
        check(tmp_path, "compat_cr", 1, "Error\n"),
        check(tmp_path, "bogus", 1, unknown),
    ]
    run = module("criu_info", {"features": ["mnt_id", "compat_cr", "bogus"]}, host=Host(replies))
    assert run.result["criu_info"]["features"] == {"mnt_id": True, "compat_cr": False, "bogus": None}


def test_asks_for_all_by_default(tmp_path: Path, module: Callable[..., Any]) -> None:
    replies = host_below(tmp_path) + [check(tmp_path, name, 0) for name in criu.FEATURE_NAMES]
    found = module("criu_info", {}, host=Host(replies)).result["criu_info"]
    assert len(found["features"]) == 45 and all(found["features"].values())


def test_a_bad_configuration_is_told_and_gone_around(tmp_path: Path, module: Callable[..., Any]) -> None:
    path = f"{tmp_path}/usr/sbin/criu"
    err, out = text("criu/4.2.1-bad-config.stderr.txt"), text("criu/4.2.1-bad-config.stdout.txt")
    replies = [
        Reply([path, "--version"], out, err, 1),
        Reply([path, "--no-default-config", "--version"], text("criu/4.2.1-version.txt")),
        *host_below(tmp_path)[1:],
    ]
    fake.put(tmp_path / "etc/criu/default.conf", "network-lok nftables\n")
    found = module("criu_info", {"features": []}, host=Host(replies)).result["criu_info"]
    assert found["config_error"] == "criu: unrecognized option '--network-lok'" and found["version"] == "4.2.1"
    assert found["config"] == {f"{tmp_path}/etc/criu/default.conf": "network-lok nftables"}


def test_crun_without_its_library(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(criu_info, "load_library", lambda name: f"{name}: cannot open shared object file")
    params, host = without_features(tmp_path)
    runtimes = module("criu_info", params, host=host).result["criu_info"]["runtimes"]
    crun = next(one for one in runtimes if one["name"] == "crun")
    assert crun["checkpoint"] is False and "libcriu2" in crun["why_not"]


def test_load_library_tells_the_loaders_message() -> None:
    assert criu_info.load_library("libc.so.6") is None
    assert "cannot open shared object" in str(criu_info.load_library("libnot-there.so.9"))


def test_tells_our_build_and_what_it_hides(tmp_path: Path, module: Callable[..., Any]) -> None:
    replies = host_below(tmp_path)
    tree = fake.unpacked(tmp_path, fake.manifest(), "a" * 64)
    active = tmp_path / "opt/criu-hosts/current/sbin/criu"
    fake.link(tmp_path / "opt/criu-hosts/current", fake.manifest().tree)
    fake.link(tmp_path / "usr/local/sbin/criu", active)
    replies.append(Reply([f"{tmp_path}/usr/local/sbin/criu", "--version"], text("criu/4.2.1-version.txt")))
    found = module("criu_info", {"features": []}, host=Host(replies)).result["criu_info"]
    assert found["installed"]["artifact_sha256"] == "a" * 64 and found["selinux"] is True
    assert found["installed"]["intact"] is False, "the distribution's path is not diverted"
    assert found["shadowed"] == [f"{tmp_path}/usr/sbin/criu"]
    (tmp_path / "usr/sbin/criu").rename(tmp_path / "usr/sbin/criu.distrib")
    fake.link(tmp_path / "usr/sbin/criu", active)
    fake.put(tmp_path / "var/lib/dpkg/diversions", f"{tmp_path}/usr/sbin/criu\n{tmp_path}/usr/sbin/criu.distrib\n:\n")
    assert module("criu_info", {"features": []}, host=Host(replies)).result["criu_info"]["installed"]["intact"] is True
    fake.put(tree / "sbin/criu", "replaced", 0o755)
    found = module("criu_info", {"features": []}, host=Host(replies)).result["criu_info"]
    assert found["installed"]["intact"] is False and found["selinux"] is None, "a script names no libraries"
