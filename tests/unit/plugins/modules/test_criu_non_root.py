# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._criu import non_root
from ansible_collections.criu.hosts.plugins.module_utils._criu.non_root import Access, Kernel
from ansible_collections.criu.hosts.plugins.modules import criu_non_root
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Write

CAP = "cap_checkpoint_restore"
FRESH = Access("root", 0o755, ())
READY = Access("criu", 0o750, (CAP,))
NEW = Kernel(True, 0)


class Machine:
    """A host whose commands change what is read."""

    def __init__(self, access: Access, kernel: Kernel = NEW, groups: tuple[str, ...] = ("root", "criu")) -> None:
        self.state, self.asked, self.groups = access, kernel, groups

    def access(self, path: str) -> Access:
        return self.state

    def kernel(self) -> Kernel:
        return self.asked

    def has_group(self, name: str) -> bool:
        return name in self.groups

    def take(self, argv: list[str]) -> None:
        if argv[0] == "chgrp":
            self.state = replace(self.state, group=argv[1], capabilities=())
        elif argv[0] == "chmod":
            self.state = replace(self.state, mode=int(argv[1], 8))
        else:
            names = () if argv[1] == "-r" else tuple(argv[1].split("=")[0].split(","))
            self.state = replace(self.state, capabilities=names)

    def host(self, *commands: list[str]) -> Host:
        return Host(replies=[Write(argv, effect=lambda argv=argv: self.take(argv)) for argv in commands])


@pytest.fixture(autouse=True)
def given_back() -> Iterator[None]:
    yield
    criu_non_root.RealSource = non_root.RealSource


def put(machine: Machine) -> None:
    """Lets the module find this machine."""
    criu_non_root.RealSource = lambda dummy_paths: machine


def binary(folder: Path) -> str:
    path = folder / "criu"
    path.write_bytes(b"\x7fELF")
    return str(path)


def case(start: Access, *commands: list[str], kernel: Kernel = NEW, **params: Any) -> Any:
    def build(folder: Path) -> Any:
        path = binary(folder)
        machine = Machine(start, kernel)
        put(machine)
        return {"path": path, **params}, machine.host(*([*argv, path] for argv in commands))

    return build


GROUP, MODE = ["chgrp", "criu"], ["chmod", "0750"]
BACK = [["setcap", "-r"], ["chgrp", "root"], ["chmod", "0755"]]

CONTRACT_CASES = [
    Case("fresh", case(FRESH, GROUP, MODE, ["setcap", f"{CAP}=eip"])),
    Case("ready", case(READY), changed=False),
    Case("yama", case(FRESH, GROUP, MODE, ["setcap", f"{CAP},cap_sys_ptrace=eip"], kernel=Kernel(True, 1))),
    Case(
        "more", case(READY, ["setcap", "-r"], ["setcap", f"{CAP},cap_net_admin=eip"], extra_capabilities=["net_admin"])
    ),
    Case("other-group", case(replace(READY, group="staff"), GROUP, ["setcap", f"{CAP}=eip"])),
    Case("only-mode", case(replace(READY, mode=0o755), MODE)),
    Case(
        "old-kernel",
        case(FRESH, GROUP, MODE, ["setcap", "cap_sys_admin=eip"], kernel=Kernel(False, 0), allow_sys_admin=True),
    ),
    Case("absent", case(READY, *BACK, state="absent")),
    Case("absent-already", case(FRESH, state="absent"), changed=False),
]


def test_nobody_else_may_run_it_before_it_has_capabilities(tmp_path: Path, module: Any) -> None:
    params, host = CONTRACT_CASES[0].build(tmp_path)
    run = module("criu_non_root", params, host=host)
    assert [argv[0] for argv in run.result["commands"]] == ["chgrp", "chmod", "setcap"]
    assert run.result["non_root"]["mode"] == "0750"
    assert run.result["diff"]["before"]["capabilities"] == []


REFUSED = [
    pytest.param({"path": "/nowhere/criu"}, NEW, "criu_missing", id="no-criu"),
    pytest.param({"group": "nobody-knows"}, NEW, "group_missing", id="no-group"),
    pytest.param({}, Kernel(False, 0), "kernel_too_old", id="old-kernel"),
    pytest.param({}, Kernel(True, 3), "ptrace_forbidden", id="yama-3"),
]


@pytest.mark.parametrize(("params", "kernel", "reason"), REFUSED)
def test_refused_before_anything_is_run(
    tmp_path: Path, module: Any, params: dict[str, Any], kernel: Kernel, reason: str
) -> None:
    put(Machine(FRESH, kernel))
    run = module("criu_non_root", {"path": binary(tmp_path), **params})
    assert run.result["reason"] == reason
    assert run.host.ran == []


def test_absent_without_criu(module: Any) -> None:
    run = module("criu_non_root", {"path": "/nowhere/criu", "state": "absent"})
    assert run.result["changed"] is False and run.result["non_root"]["path"] is None


def test_file_system_that_keeps_no_capabilities(tmp_path: Path, module: Any) -> None:
    path = binary(tmp_path)
    put(Machine(replace(READY, capabilities=())))
    run = module("criu_non_root", {"path": path}, commands=[Write(["setcap", f"{CAP}=eip", path])])
    assert run.result["reason"] == "change_lost"


def test_setcap_that_fails(tmp_path: Path, module: Any) -> None:
    path = binary(tmp_path)
    put(Machine(replace(READY, capabilities=())))
    error = f"Failed to set capabilities on file '{path}': Operation not supported\n"
    run = module("criu_non_root", {"path": path}, commands=[Write(["setcap", f"{CAP}=eip", path], rc=1, err=error)])
    assert run.result["reason"] == "tool_failed" and "not supported" in run.result["msg"]


ATTRIBUTES = [
    pytest.param(b"", (), id="none"),
    # As setcap 2.75 writes cap_checkpoint_restore=eip.
    pytest.param(bytes.fromhex("0100000200000000000000000001000000010000"), (CAP,), id="one"),
    pytest.param(
        bytes.fromhex("0000000200000000000000000001000000000000"), (CAP, "not_effective"), id="permitted-only"
    ),
    pytest.param(b"\x01\0\0\x09" + bytes(16), ("unknown",), id="unknown-revision"),
]


@pytest.mark.parametrize(("attribute", "names"), ATTRIBUTES)
def test_attribute(attribute: bytes, names: tuple[str, ...]) -> None:
    assert non_root.parse_effective(attribute) == names


def test_real_host(tmp_path: Path) -> None:
    path, host = binary(tmp_path), non_root.RealSource(Paths())
    found = host.access(path)
    assert found.capabilities == () and found.mode == Path(path).stat().st_mode & 0o7777
    assert isinstance(host.kernel().checkpoint_restore, bool)
    assert host.has_group("root") and not host.has_group("no such group")
