# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from ansible_collections.criu.hosts.plugins.module_utils._criu import offer, readiness
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import FEATURE_NAMES
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import host_report
from ansible_collections.criu.hosts.plugins.modules import criu_info
from ansible_collections.criu.hosts.tests.unit import criu_host as fake
from ansible_collections.criu.hosts.tests.unit import recorded_hosts
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, Case, Host, Reply, put_host

# All that is read without asking the kernel, as the role criu does first.
QUICK = ["binary", "config", "runtimes", "kernel", "readiness"]


def text(name: str) -> str:
    return (fake.FIXTURES / name).read_text(encoding="utf-8")


def host_below(folder: Path, binary: bytes = fake.WITHOUT_SELINUX) -> list[Any]:
    """A Debian host with podman, runc, crun and CRIU; what its commands print."""
    put_host(folder, uid=0)
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


def check(folder: Path, name: str, rc: int = 0, err: str = "") -> Reply:
    return Reply([f"{folder}/usr/sbin/criu", "check", "--no-default-config", "--feature", name], "", err, rc)


def all_that_readiness_asks(folder: Path) -> list[Reply]:
    plain = Reply([f"{folder}/usr/sbin/criu", "check", "--no-default-config"], "Looks good.\n")
    return [plain, *(check(folder, name) for name in readiness.FEATURES)]


def without_features(folder: Path) -> Any:
    return {"gather": QUICK}, Host(host_below(folder))


def without_criu(folder: Path) -> Any:
    replies = host_below(folder)
    (folder / "usr/sbin/criu").unlink()
    return {}, Host(replies[1:])


def recorded(name: str, **params: Any) -> Any:
    return lambda folder: (params, recorded_hosts.place(folder, name))


CONTRACT_CASES = [
    Case("without-features", without_features, changed=False),
    Case("without-criu", without_criu, changed=False),
    Case("binary-only", recorded("debian13-enabled", gather=["binary"]), changed=False),
    Case("virgin", recorded("debian13-virgin"), changed=False),
    Case("enabled", recorded("debian13-enabled"), changed=False),
    Case("without-selinux", recorded("kernel618-criu421"), changed=False),
]


@pytest.fixture(name="ask")
def ask_fixture(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What criu_info says of a recorded host on which crun finds its library."""

    def ask(name: str, *, ours: bool = False, files: dict[str, str] | None = None, **params: Any) -> dict[str, Any]:
        monkeypatch.setattr(host_report, "load_library", lambda dummy_name: None)
        host = recorded_hosts.place(tmp_path, name, files=files)
        if ours:
            recorded_hosts.install_ours(tmp_path)
        run = module("criu_info", params, host=host)
        return {**run.result["criu"], "ran": host.ran}

    return ask


def codes(found: dict[str, Any], intent: str, level: str = "blocks") -> list[str]:
    reasons = reasons_of(found)
    levels = {code: reasons[code]["level"] for code in found["readiness"][intent]["reasons"]}
    levels.update({code: "warns" for code in levels if intent in reasons[code]["only_warns"]})
    return [code for code, one in levels.items() if one == level]


def reasons_of(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The reasons by code."""
    return {one["code"]: one for one in found["reasons"]}


def test_tells_what_is_there(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_report, "load_library", lambda name: None)
    params, host = without_features(tmp_path)
    found = module("criu_info", params, host=host).result["criu"]
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
    found = module("criu_info", params, host=host).result["criu"]
    assert found["path"] is None and found["version"] is None and found["selinux"] is None
    assert found["features"] == {} and [one["checkpoint"] for one in found["runtimes"]] == [False, False]


def test_asks_for_each_feature(tmp_path: Path, module: Callable[..., Any]) -> None:
    unknown = text("criu/4.2.1-check-unknown-feature.stderr.txt")
    replies = [
        *host_below(tmp_path),
        *all_that_readiness_asks(tmp_path),
        check(tmp_path, "mnt_id"),
        check(tmp_path, "compat_cr", 1, "Error\n"),
        check(tmp_path, "bogus", 1, unknown),
    ]
    run = module("criu_info", {"features": ["mnt_id", "compat_cr", "bogus"]}, host=Host(replies))
    features = run.result["criu"]["features"]
    assert {name: features[name] for name in ("mnt_id", "compat_cr", "bogus")} == {
        "mnt_id": True,
        "compat_cr": False,
        "bogus": None,
    }
    assert set(features) == {"mnt_id", "compat_cr", "bogus", *readiness.FEATURES}


def test_asks_for_all_when_told(tmp_path: Path, module: Callable[..., Any]) -> None:
    replies = host_below(tmp_path) + all_that_readiness_asks(tmp_path)
    replies += [check(tmp_path, name) for name in FEATURE_NAMES]
    found = module("criu_info", {"features": ["all"]}, host=Host(replies)).result["criu"]
    assert len(found["features"]) == 45 and all(found["features"].values())


def test_an_enabled_host_is_ready(ask: Callable[..., Any]) -> None:
    found = ask("debian13-enabled", ours=True)
    blocked = {intent for intent, answer in found["readiness"].items() if not answer["ready"]}
    assert blocked == {"rootless", "non_root"}, "nobody gave CRIU a file capability there"
    assert codes(found, "non_root") == ["file_capability_missing"]
    assert found["network_lock"] == {"backend": "nftables", "source": "build", "usable": True}
    assert found["check"] == {"passed": True, "log": []} and found["kdat"]["stale"] is None
    assert len(found["ran"]) == 10, "each process is slow on small machines"


def test_a_virgin_host_is_told_what_to_do(ask: Callable[..., Any]) -> None:
    found = ask("debian13-virgin")
    assert codes(found, "container") == ["labels_lost", "policy_missing", "network_lock_missing"]
    assert codes(found, "file_locks") == ["labels_lost", "policy_missing"]
    assert not any(answer["ready"] for answer in found["readiness"].values())
    assert found["features"] == dict.fromkeys(readiness.FEATURES)
    asked = [argv for argv in found["ran"] if "check" in argv]
    assert len(asked) == 1, "where CRIU may not look at the kernel, no second question helps"


def test_the_distributions_criu_loses_labels(ask: Callable[..., Any]) -> None:
    found = ask("debian13-own-criu")
    assert codes(found, "container") == ["labels_lost", "network_lock_missing"]
    assert found["network_lock"] == {"backend": "iptables", "source": "package", "usable": False}


def test_a_permissive_host_is_ready_and_proves_nothing(ask: Callable[..., Any]) -> None:
    found = ask("debian13-enabled", ours=True, files={"/sys/fs/selinux/enforce": "0"})
    assert found["readiness"]["container"]["ready"] is True
    assert codes(found, "container", "warns") == ["selinux_permissive"]


def test_a_host_without_selinux(ask: Callable[..., Any]) -> None:
    found = ask("kernel618-criu421", ours=True)
    assert found["readiness"]["file_locks"] == {"ready": True, "reasons": []}
    assert codes(found, "pre_dump") == ["dirty_tracking_missing"]
    assert codes(found, "container") == ["podman_missing", "runtime_missing"]
    assert "criu_artifact" in reasons_of(found)["podman_missing"]["task"]["vars"], "this CRIU is one of criu_build"


APPARMOR = {
    "/sys/module/apparmor/parameters/enabled": "Y\n",
    "/sys/kernel/security/lsm": "lockdown,capability,landlock,yama,apparmor,tomoyo,bpf,ipe,ima,evm",
    "/sys/kernel/security/apparmor/profiles": "lsb_release (enforce)\n",
}


def test_a_host_with_apparmor_after_a_boot(ask: Callable[..., Any], tmp_path: Path) -> None:
    fake.put(tmp_path / "usr/sbin/apparmor_parser", "", 0o755)
    found = ask("kernel618-criu421", ours=True, files=APPARMOR)
    assert found["support"]["text"].startswith("Debian 13 with AppArmor is supported: ")
    assert found["lsm"]["ruling"] == "apparmor" and "tomoyo" in found["lsm"]["active"]
    assert codes(found, "container", "warns") == ["apparmor_profile_missing"]
    assert codes(found, "file_locks", "warns") == [], "a plain process has a profile of its own, or none"
    profiles = "containers-default-0.62.2 (enforce)\nlsb_release (enforce)\n"
    found = ask("kernel618-criu421", files={**APPARMOR, "/sys/kernel/security/apparmor/profiles": profiles})
    assert found["lsm"]["apparmor"]["container_profiles"] == ["containers-default-0.62.2"]
    assert "apparmor_profile_missing" not in reasons_of(found)


@pytest.mark.parametrize(
    ("files", "code"),
    [
        pytest.param({**APPARMOR, "/sys/fs/selinux/enforce": "1"}, "lsm_stacked", id="both"),
        pytest.param({"/sys/kernel/security/lsm": "capability,selinux,apparmor"}, "lsm_stacked", id="both-in-the-list"),
        pytest.param({"/sys/kernel/security/lsm": "capability,smack"}, "lsm_unknown", id="smack"),
        pytest.param({"/etc/os-release": "ID=opensuse-leap\nVERSION_ID=15.6\n"}, "host_refused", id="suse"),
    ],
)
def test_a_host_of_which_nothing_is_known(files: dict[str, str], code: str, ask: Callable[..., Any]) -> None:
    found = ask("kernel618-criu421" if code == "lsm_unknown" else "debian13-enabled", ours=True, files=files)
    assert found["support"]["level"] == "refused" and "host_refused" in reasons_of(found)
    assert found["readiness"]["file_locks"]["ready"] is None and code in codes(found, "file_locks", "unknown")


def test_where_podman_keeps_its_containers(ask: Callable[..., Any]) -> None:
    conf = '[storage]\ndriver = "btrfs"\ngraphroot = "/srv/podman"\n'
    found = ask("debian13-enabled", ours=True, files={"/etc/containers/storage.conf": conf})
    assert found["podman"]["storage"] == {"root": "/srv/podman", "driver": "btrfs"}
    assert codes(found, "container", "warns") == ["storage_untried"]


def test_without_selinux_the_distributions_package_is_advised(ask: Callable[..., Any]) -> None:
    found = ask("kernel618-criu421")
    assert reasons_of(found)["podman_missing"]["task"]["vars"] == {"criu_method": "distribution_package"}


def test_known_faults_are_told_with_their_source(ask: Callable[..., Any]) -> None:
    found = ask("kernel618-criu411")
    assert codes(found, "tcp_established")[0] == "known_bad_pair"
    (source,) = reasons_of(found)["known_bad_pair"]["sources"]
    assert source.endswith("/criu/issues/2705")
    assert found["readiness"]["file_locks"]["ready"] is True


def test_a_failing_check_is_told_with_its_cause(ask: Callable[..., Any]) -> None:
    found = ask("kernel618-criu3171")
    assert found["check"]["log"][0] == "vdso: Unexpected rt vDSO area bounds"
    assert codes(found, "file_locks") == ["check_failed", "known_bad_pair"]
    assert "Unexpected rt vDSO area bounds" in reasons_of(found)["check_failed"]["message"]


@pytest.mark.parametrize("gather", [QUICK, ["readiness"]], ids=["quick", "readiness"])
def test_the_readiness_without_the_features(gather: list[str], ask: Callable[..., Any]) -> None:
    found = ask("debian13-enabled", ours=True, gather=gather)
    assert found["check"] is None and found["features"] is None
    assert found["readiness"]["file_locks"]["ready"] is None
    assert codes(found, "file_locks", "unknown") == ["not_asked"]
    assert found["version"] and found["runtimes"] and found["kernel"] and found["config"] is not None
    assert len(found["ran"]) == 4 and not [argv for argv in found["ran"] if "check" in argv], "the role's first look"


def test_a_user_checks_no_feature(tmp_path: Path, module: Callable[..., Any]) -> None:
    host = Host(host_below(tmp_path))
    PLACE.uid = 1000
    found = module("criu_info", {"features": ["mnt_id"]}, host=host).result["criu"]
    assert found["check"] == {"passed": None, "log": []} and found["features"] == {}
    assert codes(found, "file_locks", "unknown") == ["not_asked"]


@pytest.mark.parametrize("subset", [*criu_info.SUBSETS])
def test_a_subset_sets_its_keys_and_no_others(subset: str, ask: Callable[..., Any]) -> None:
    found = ask("debian13-enabled", ours=True, gather=[subset])
    del found["ran"]
    everything = {key for keys in criu_info.SUBSETS.values() for key in keys}
    gathered = {
        "readiness": everything - {*criu_info.SUBSETS["features"], "offer"},
        "offer": {*criu_info.SUBSETS["offer"], *criu_info.SUBSETS["binary"], *criu_info.SUBSETS["kernel"]},
    }.get(subset, set(criu_info.SUBSETS[subset]))
    assert set(found) == {"path", *everything} and found["path"]
    may_be_null = {"capabilities", "config_error"}
    assert {key for key, value in found.items() if value is not None} >= {"path", *gathered} - may_be_null
    assert {key for key, value in found.items() if value is not None} <= {"path", *gathered}


def test_subsets_are_documented() -> None:
    described = yaml.safe_load(criu_info.DOCUMENTATION)["options"]["gather"]["description"]
    for subset, keys in criu_info.SUBSETS.items():
        (text,) = [text for text in described if text.startswith(f"V({subset})")]
        assert set(re.findall(r"RV\(criu\.(\w+)\)", text)) == set(keys)
    documented = set(yaml.safe_load(criu_info.RETURN)["criu"]["contains"])
    assert documented == {"path", *(key for keys in criu_info.SUBSETS.values() for key in keys)}


def test_the_offer_of_an_enabled_host_costs_no_question(ask: Callable[..., Any]) -> None:
    found = ask("debian13-enabled", ours=True, gather=["offer"])
    assert found["offer"]["why_not"] is None and found["offer"]["package"] is None
    assert not [argv for argv in found["ran"] if "apt-cache" in argv[0]]
    assert found["offer"]["built"] is False and found["offer"]["platform"].startswith("debian 13 ")


def test_the_offer_of_a_host_without_criu(tmp_path: Path, module: Callable[..., Any]) -> None:
    replies = host_below(tmp_path)
    (tmp_path / "usr/sbin/criu").unlink()
    fake.put(tmp_path / "var/lib/criu-hosts/criu.tar.gz", "")
    shown = Reply([*offer.ASK], text("apt/2.6.1-show-criu.txt"))
    found = module("criu_info", {"gather": ["offer"]}, host=Host([*replies[1:], shown])).result["criu"]["offer"]
    assert found["why_not"] == "CRIU is not installed" and found["built"] is True
    assert found["package"]["version"] == "3.17.1-2+deb12u2"


def test_features_need_their_subset(tmp_path: Path, module: Callable[..., Any]) -> None:
    run = module("criu_info", {"gather": ["binary"], "features": ["mnt_id"]}, host=Host(host_below(tmp_path)))
    assert run.result["reason"] == "options_conflict"


def test_an_empty_gather_returns_the_path(tmp_path: Path, module: Callable[..., Any]) -> None:
    host = Host(host_below(tmp_path))
    found = module("criu_info", {"gather": []}, host=host).result["criu"]
    assert {key: value for key, value in found.items() if value is not None} == {"path": f"{tmp_path}/usr/sbin/criu"}
    assert host.ran == []


def test_a_bad_configuration_is_told_and_gone_around(tmp_path: Path, module: Callable[..., Any]) -> None:
    path = f"{tmp_path}/usr/sbin/criu"
    err, out = text("criu/4.2.1-bad-config.stderr.txt"), text("criu/4.2.1-bad-config.stdout.txt")
    replies = [
        Reply([path, "--version"], out, err, 1),
        Reply([path, "--no-default-config", "--version"], text("criu/4.2.1-version.txt")),
        *host_below(tmp_path)[1:],
    ]
    fake.put(tmp_path / "etc/criu/default.conf", "network-lok nftables\n")
    found = module("criu_info", {"gather": QUICK}, host=Host(replies)).result["criu"]
    assert found["config_error"] == "criu: unrecognized option '--network-lok'" and found["version"] == "4.2.1"
    assert found["config"] == {f"{tmp_path}/etc/criu/default.conf": "network-lok nftables"}


def test_crun_without_its_library(tmp_path: Path, module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_report, "load_library", lambda name: f"{name}: cannot open shared object file")
    params, host = without_features(tmp_path)
    runtimes = module("criu_info", params, host=host).result["criu"]["runtimes"]
    crun = next(one for one in runtimes if one["name"] == "crun")
    assert crun["checkpoint"] is False and "libcriu2" in crun["why_not"]


def test_tells_our_build_and_what_it_hides(tmp_path: Path, module: Callable[..., Any]) -> None:
    replies = host_below(tmp_path)
    tree = fake.unpacked(tmp_path, fake.manifest(), "a" * 64)
    active = tmp_path / "opt/criu-hosts/current/sbin/criu"
    fake.link(tmp_path / "opt/criu-hosts/current", fake.manifest().tree)
    fake.link(tmp_path / "usr/local/sbin/criu", active)
    replies.append(Reply([f"{tmp_path}/usr/local/sbin/criu", "--version"], text("criu/4.2.1-version.txt")))
    found = module("criu_info", {"gather": QUICK}, host=Host(replies)).result["criu"]
    assert found["installed"]["artifact_sha256"] == "a" * 64 and found["selinux"] is True
    assert found["installed"]["intact"] is False, "the distribution's path is not diverted"
    assert found["shadowed"] == [f"{tmp_path}/usr/sbin/criu"]
    (tmp_path / "usr/sbin/criu").rename(tmp_path / "usr/sbin/criu.distrib")
    fake.link(tmp_path / "usr/sbin/criu", active)
    fake.put(tmp_path / "var/lib/dpkg/diversions", f"{tmp_path}/usr/sbin/criu\n{tmp_path}/usr/sbin/criu.distrib\n:\n")
    assert module("criu_info", {"gather": QUICK}, host=Host(replies)).result["criu"]["installed"]["intact"] is True
    fake.put(tree / "sbin/criu", "replaced", 0o755)
    found = module("criu_info", {"gather": QUICK}, host=Host(replies)).result["criu"]
    assert found["installed"]["intact"] is False and found["selinux"] is None, "a script names no libraries"
