# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._host.names import HEADER
from ansible_collections.criu.hosts.tests.unit.container_units import UnitHost, make_quadlet_file
from ansible_collections.criu.hosts.tests.unit.harness import Case


def stateful(folder: Path, last: str | None = '{"action": "restored"}') -> UnitHost:
    """A host with a stateful unit whose container runs."""
    host = UnitHost(folder=folder, active="active", loaded=True, enabled=True)
    files = {
        "etc/systemd/system/web.service": f"{HEADER}\n[Service]\n",
        "etc/systemd/system/ssh.service": "[Service]\n",
        "etc/criu-hosts/units/web.json": json.dumps(
            {"tcp_established": True, "file_locks": False, "on_restore_failure": "fresh"}
        ),
        "proc/1207/task/1207/children": "1210 1211",
        "proc/1211/cgroup": "0::/machine.slice/libpod-91.scope\n",
        "sys/fs/cgroup/machine.slice/libpod-91.scope/memory.current": "4096\n",
    }
    if last is not None:
        files["var/lib/criu-hosts/units/web/last.json"] = last
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return host


def quadlet(folder: Path) -> UnitHost:
    make_quadlet_file(folder)
    return UnitHost(folder=folder, loaded=True)


CONTRACT_CASES = [
    Case("none", lambda folder: ({}, UnitHost(folder=folder)), changed=False),
    Case("all", lambda folder: ({}, stateful(folder)), changed=False),
    Case("one", lambda folder: ({"name": "web"}, quadlet(folder)), changed=False),
    Case("one-that-is-not-there", lambda folder: ({"name": "web"}, UnitHost(folder=folder)), changed=False),
]


def test_stateful_unit(tmp_path: Path, module: Any) -> None:
    run = module("container_unit_info", {}, host=stateful(tmp_path))
    assert run.result["container_units"] == [
        {
            "name": "web",
            "path": str(tmp_path / "etc/systemd/system/web.service"),
            "kind": "plain",
            "state": "active",
            "enabled": True,
            "main_pid": 1207,
            "stateful": True,
            "container": "web",
            "tcp_established": True,
            "file_locks": False,
            "on_restore_failure": "fresh",
            "memory_bytes": 4096,
            "restart_due": False,
            "last": {"action": "restored"},
        }
    ]


def test_record_that_is_no_record(tmp_path: Path, module: Any) -> None:
    run = module("container_unit_info", {}, host=stateful(tmp_path, "[half"))
    assert run.result["container_units"][0]["last"] is None


def test_quadlet(tmp_path: Path, module: Any) -> None:
    found = module("container_unit_info", {"name": "web"}, host=quadlet(tmp_path)).result["container_units"]
    assert [(unit["kind"], unit["stateful"], unit["memory_bytes"], unit["last"]) for unit in found] == [
        ("quadlet", False, None, None)
    ]


def test_foreign_unit(tmp_path: Path, module: Any) -> None:
    make_quadlet_file(tmp_path, "[Container]\n")
    run = module("container_unit_info", {"name": "web"}, host=UnitHost(folder=tmp_path))
    assert run.result["reason"] == "unit_foreign"


def test_bad_name(tmp_path: Path, module: Any) -> None:
    run = module("container_unit_info", {"name": "../web"}, host=UnitHost(folder=tmp_path))
    assert run.result["reason"] == "name_invalid"
