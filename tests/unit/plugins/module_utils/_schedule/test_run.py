# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests whole runs of a schedule on a host whose podman keeps state."""

from __future__ import annotations

import errno
import json
import os
import signal
from calendar import timegm
from pathlib import Path
from time import strptime
from typing import Any, Callable, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._container.checkpoint import checkpoint
from ansible_collections.criu.hosts.plugins.module_utils._container.request import Desired
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.lock import lock_path
from ansible_collections.criu.hosts.plugins.module_utils._core.signals import watched
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Options
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import engine_for
from ansible_collections.criu.hosts.plugins.module_utils._schedule import make, run
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import Schedule, render_schedule
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import list_stored, new_id
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Rules
from ansible_collections.criu.hosts.tests.unit.containers import ID
from ansible_collections.criu.hosts.tests.unit.locks import held_by_another
from ansible_collections.criu.hosts.tests.unit.podman_host import Box, PodmanHost, left_over, podman_host
from ansible_collections.criu.hosts.tests.unit.stored import manifest_of, store_checkpoint


class Runner:
    """Hands commands to the simulated host."""

    def __init__(self, host: PodmanHost) -> None:
        self.host = host

    def run(self, argv: Sequence[str], *, stream: Any = None, **dummy_options: Any) -> Completed:
        if stream is None:
            return Completed(tuple(argv), *self.host.run_command(None, list(argv)))
        rc, out, err, streamed = self.host.stream_to_end(argv, stream=stream, env={})
        return Completed(tuple(argv), rc, out, err, streamed=streamed)

    def which(self, name: str) -> str | None:
        return self.host.get_bin_path(None, name)


class Night:
    """A host with one schedule of the running container web, and the lines of its journal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = podman_host(folder)
        self.host.run_box(Box(ID, "web", created="2026-11-28T09:00:00Z"))
        self.paths = self.host.world.paths
        self.store = folder / "store"
        self.lines: list[tuple[str, str]] = []
        (folder / "metrics").mkdir()
        self.schedule()

    def schedule(self, **changes: Any) -> None:
        given = {"metrics_dir": "/metrics", "rules": Rules(keep_last=2), **changes}
        path = self.folder / "etc/criu-hosts/schedules/web.json"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(render_schedule(Schedule("web", str(self.store), "podman", **given)))
        path.chmod(0o600)

    def run(self, name: str = "web") -> int:
        self.lines.clear()
        ctx = Context({}, Runner(self.host), False, self.paths, 0)
        with watched():
            return run.run(ctx, name, lambda priority, text: self.lines.append((priority, text)))

    def said(self, priority: str) -> str:
        return "\n".join(text for one, text in self.lines if one == priority)

    @property
    def metrics(self) -> dict[str, float]:
        text = (self.folder / "metrics/criu_hosts_checkpoint_web.prom").read_text(encoding="utf-8")
        pairs = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
        short = {
            key.replace("criu_hosts_checkpoint_", "").replace('container="web",unit=""', ""): value
            for key, value in pairs
        }
        return {key.replace("{}", ""): float(value) for key, value in short.items()}


@pytest.fixture(name="night")
def night_fixture(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_each_run_makes_one_and_prunes(night: Night) -> None:
    made = []
    for number in (1, 2, 2, 2):
        assert night.run() == 0, night.lines
        stored = list_stored(str(night.store))
        assert len(stored) == number and not any(one.fault for one in stored)
        made.append(stored[0].id)
    assert night.host.boxes["web"].status == "running"
    assert [priority for priority, dummy in night.lines if priority == "info"] == ["info", "info"]
    assert f"Container 'web' was checkpointed to {stored[0].path!r}: 0 MiB." in night.said("info")
    assert f"Removed the checkpoint {made[1]} of 'web': no keep rule selects it." in night.said("info")
    assert list(left_over(night.folder)) == []
    manifest = stored[0].manifest
    assert manifest is not None and [part.name for part in manifest.parts] == [
        "archive.tar.zst",
        "archive.tar.zst.json",
    ]
    assert (manifest.record["id"], manifest.record["ran_on"], manifest.why) == (ID, True, "checkpoint_schedule")
    assert night.metrics["stored"] == 2 and night.metrics['last_result{,result="done"}'] == 1
    assert night.metrics["newest_timestamp_seconds"] == timegm(strptime(manifest.made_at, "%Y-%m-%dT%H:%M:%SZ"))
    assert night.metrics["newest_size_bytes"] * 2 == pytest.approx(night.metrics["stored_bytes"], abs=10)
    assert night.metrics["last_frozen_seconds"] > 0
    assert night.metrics["ready"] == 0, "the folder has no CRIU where a unit would find one"
    assert (night.folder / "metrics/criu_hosts_checkpoint_web.prom").stat().st_mode & 0o777 == 0o644


def test_a_guard_skips_it(night: Night) -> None:
    assert night.run() == 0
    (night.folder / "proc/loadavg").write_text("99.00 9.00 9.00 1/200 4711\n")
    night.schedule(max_load=0.5)
    assert night.run() == 75
    assert "Skipped the checkpoint of container 'web': the load per processor is" in night.said("notice")
    assert len(list_stored(str(night.store))) == 1
    assert night.metrics['last_result{,result="skipped"}'] == 1 and night.metrics["stored"] == 1
    assert "ready" not in night.metrics
    night.schedule(min_free_bytes=1 << 60)
    assert night.run() == 75 and "min_free_bytes" in night.said("notice")


def test_a_failure_removes_nothing(night: Night) -> None:
    for dummy in range(2):
        assert night.run() == 0
    night.host.fails = {"dump"}
    night.schedule(rules=Rules(keep_last=1))
    assert night.run() == 1
    assert night.said("err").startswith("Cannot checkpoint container 'web'")
    assert "log_tail" not in night.said("err")
    assert len(list_stored(str(night.store))) == 2
    assert night.metrics['last_result{,result="failed"}'] == 1 and "last_frozen_seconds" not in night.metrics
    night.host.fails = set()
    assert night.run() == 0 and len(list_stored(str(night.store))) == 1


def test_a_container_that_is_gone_is_a_failure(night: Night) -> None:
    night.host.drop(night.host.boxes["web"])
    assert night.run() == 1
    assert "there is no such container" in night.said("err")
    assert night.metrics["stored"] == 0 and "newest_size_bytes" not in night.metrics


def test_a_checkpoint_that_the_disk_has_changed_is_removed(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    assert night.run() == 0
    first = list_stored(str(night.store))
    night.schedule(rules=Rules(keep_last=1))
    monkeypatch.setattr(make, "disk_sha256", lambda path: "0" * 64)
    assert night.run() == 1
    assert "the SHA-256 of its part 'archive.tar.zst' is not the one in its manifest.json" in night.said("err")
    assert list_stored(str(night.store)) == first, "the whole one stays"


def test_a_checkpoint_of_another_task_stays_whatever_its_digest(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    """The container is stopped in it, so nothing was made in this run: it may be the only copy of the state."""
    with watched():
        ctx = Context({}, Runner(night.host), False, night.paths, 0)
        checkpoint(ctx, engine_for("podman", ctx), Desired("web", None, Options(), store=str(night.store)))
    stopped = list_stored(str(night.store))
    assert night.run() == 0 and list_stored(str(night.store)) == stopped
    assert night.said("info") == (
        f"Container 'web' does not run, and its checkpoint {stopped[0].path!r} is current: there is nothing to do."
    )
    monkeypatch.setattr(make, "disk_sha256", lambda path: "0" * 64)
    assert night.run() == 1 and "checkpoint" in night.said("err")
    assert "just made" not in night.said("err")
    assert list_stored(str(night.store)) == stopped


def test_it_waits_for_nobody_to_prune(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible_collections.criu.hosts.plugins.module_utils._core.lock.HOLD_SECONDS", 0)
    with held_by_another(lock_path(night.paths, 0, "store", str(night.store))):
        assert night.run() == 0
    assert "The next run prunes the store." in night.said("warning")
    assert len(list_stored(str(night.store))) == 1


def test_all_containers_count_for_the_total(night: Night) -> None:
    for number in range(3):
        store_checkpoint(night.store, manifest_of(new_id(1.6e9 + number, b"\1\2\3\4"), "db"))
    night.schedule(rules=Rules(max_total_bytes=1))
    assert night.run() == 0
    assert [one.name for one in list_stored(str(night.store))] == ["web", "db"]


def test_the_keep_rules_are_those_of_the_container(night: Night) -> None:
    for number in range(3):
        store_checkpoint(night.store, manifest_of(new_id(1.6e9 + number, b"\1\2\3\4"), "db"))
    night.schedule(rules=Rules(keep_last=1, max_age=1, max_total_bytes=1 << 40))
    for dummy in range(2):
        assert night.run() == 0
    assert [one.name for one in list_stored(str(night.store))] == ["web", "db", "db", "db"]


def test_metrics_of_a_store_that_cannot_be_read(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    assert night.run() == 0 and night.metrics["stored"] == 1
    real = os.listdir

    def listdir(path: str) -> list[str]:
        if str(path).startswith(str(night.store)):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert night.run() == 1
    assert night.metrics['last_result{,result="failed"}'] == 1 and "stored" not in night.metrics


def test_a_folder_of_metrics_that_is_missing_is_a_warning(night: Night) -> None:
    night.schedule(metrics_dir="/nowhere")
    assert night.run() == 0 and "There is no folder '/nowhere'" in night.said("warning")
    night.schedule(metrics_dir="")
    assert night.run() == 0 and night.said("warning") == "" and "has no network" in night.said("notice")


def test_a_schedule_that_is_missing_or_cannot_be_used(night: Night) -> None:
    with pytest.raises(CheckpointError) as missing:
        night.run("db")
    assert missing.value.reason == "schedule_missing"
    path = night.folder / "etc/criu-hosts/schedules/web.json"
    path.chmod(0o666)
    with pytest.raises(CheckpointError) as loose:
        night.run()
    assert loose.value.reason == "schedule_invalid" and "may write to it" in loose.value.message
    path.chmod(0o600)
    path.write_text(json.dumps({"version": 1}))
    with pytest.raises(CheckpointError) as invalid:
        night.run()
    assert invalid.value.reason == "schedule_invalid"


def test_a_stop_before_the_dump_is_a_failure_that_leaves_nothing(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect: Callable[..., Any] = night.host.run_command

    def stop(*given: Any, **options: Any) -> Any:
        if "inspect" in given[1]:
            os.kill(os.getpid(), signal.SIGTERM)
        return inspect(*given, **options)

    monkeypatch.setattr(night.host, "run_command", stop)
    assert night.run() == 1
    assert "Stopped by SIGTERM" in night.said("err")
    assert list_stored(str(night.store)) == [] and list(left_over(night.folder)) == []
