# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed restore leaves beside podman, and by which command each of it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.leftovers import leftover_steps, runtime_argv
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.harness import put_host

SCOPE, WATCHER = f"libpod-{ID}.scope", f"libpod-conmon-{ID}.scope"


def put(folder: Path, runtime: str = "", *scopes: str, unit: bool = False) -> None:
    if runtime:
        (folder / f"run/{runtime}/{ID}").mkdir(parents=True)
    for scope in scopes:
        events = folder / f"sys/fs/cgroup/machine.slice/{scope}/cgroup.events"
        events.parent.mkdir(parents=True)
        events.write_text("populated 1\nfrozen 0\n")
    if unit:
        (folder / "run/systemd/transient").mkdir(parents=True)
        (folder / f"run/systemd/transient/{SCOPE}").write_text("[Scope]\n")


def planned(folder: Path, runtime: str, *, container_id: str = ID, alive: bool = False) -> list[str]:
    steps = leftover_steps(put_host(folder), container_id, runtime, lambda: alive)
    return [" ".join(step.argv) for step in steps if step.unless is not None and not step.unless()]


def test_nothing_is_there(tmp_path: Path) -> None:
    assert planned(tmp_path, "crun") == []


def test_the_state_of_crun_by_its_path(tmp_path: Path) -> None:
    put(tmp_path, "crun")
    assert planned(tmp_path, "/usr/bin/crun") == [f"/usr/bin/crun --root=/run/crun delete --force {ID}"]


def test_the_state_of_a_runtime_that_keeps_it_elsewhere_is_not_looked_for(tmp_path: Path) -> None:
    put(tmp_path, "crun")
    assert planned(tmp_path, "youki") == []


def test_a_scope_without_processes(tmp_path: Path) -> None:
    put(tmp_path, unit=True)
    assert planned(tmp_path, "crun") == [f"systemctl stop {SCOPE}", f"systemctl reset-failed {SCOPE}"]


def test_a_scope_with_processes_and_its_conmon(tmp_path: Path) -> None:
    put(tmp_path, "", SCOPE, WATCHER)
    assert planned(tmp_path, "crun") == [
        f"systemctl kill --signal=KILL {WATCHER}",
        f"systemctl kill --signal=KILL {SCOPE}",
        f"systemctl stop {SCOPE}",
        f"systemctl reset-failed {SCOPE}",
    ]


def test_a_conmon_alone_is_cleaning_up(tmp_path: Path) -> None:
    put(tmp_path, "", WATCHER)
    assert planned(tmp_path, "crun") == []


def test_a_container_that_runs_keeps_all(tmp_path: Path) -> None:
    put(tmp_path, "runc", SCOPE, WATCHER, unit=True)
    assert len(planned(tmp_path, "runc")) == 5
    assert planned(tmp_path, "runc", alive=True) == []


@pytest.mark.parametrize("container_id", ["", "..", "web", f"{ID}/..", ID[:12]])
def test_what_is_no_id_names_no_folder(tmp_path: Path, container_id: str) -> None:
    put(tmp_path, "runc", SCOPE, unit=True)
    assert planned(tmp_path, "runc", container_id=container_id) == []


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ("crun", ("crun", "--root=/run/crun")),
        ("/usr/sbin/runc", ("/usr/sbin/runc", "--root=/run/runc")),
        ("youki", ("youki",)),
    ],
)
def test_a_runtime_is_called_with_the_root_that_podman_leads_it_to(runtime: str, expected: tuple[str, ...]) -> None:
    assert runtime_argv(runtime) == expected
