# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the pure parts of schedules: the configuration, the guards, the units and the metrics."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._schedule.description import (
    Schedule,
    parse_schedule,
    render_schedule,
)
from ansible_collections.criu.hosts.plugins.module_utils._schedule.guards import (
    read_load,
    skip_for_load,
    skip_for_space,
)
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import (
    PROGRAM,
    PYTHON,
    SERVICE,
    Places,
    timer_name,
)
from ansible_collections.criu.hosts.plugins.module_utils._schedule.metrics import HELP, Metrics, render_metrics
from ansible_collections.criu.hosts.plugins.module_utils._schedule.units import SERVICE_TEXT, render_timer
from ansible_collections.criu.hosts.plugins.module_utils._store.retention import Rules
from ansible_collections.criu.hosts.tests.unit.harness import put_host

FULL = Schedule(
    *("web", "/var/lib/checkpoints", "podman", True, True, True, True, "gzip"),
    rules=Rules(1, 2, 3, 4, 5, 600, 7, 8),
    max_load=1.5,
    min_free_bytes=9,
    metrics_dir="/var/lib/prometheus/node-exporter",
)
PLAIN = Schedule("web", "/s", "podman")


@pytest.mark.parametrize("schedule", [FULL, PLAIN], ids=["full", "plain"])
def test_a_configuration_is_read_as_it_was_written(schedule: Schedule) -> None:
    assert parse_schedule(render_schedule(schedule), "web", "/p") == schedule


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"version": 2}, "its version or name differs"),
        ({"name": "db"}, "its version or name differs"),
        ({"store": "relative"}, "its field 'store' is not what it should be"),
        ({"tcp_established": 1}, "its field 'tcp_established' is not what it should be"),
        ({"compression": "lz4"}, "its field 'compression' is not what it should be"),
        ({"max_load": 0}, "its field 'max_load' is not what it should be"),
        ({"max_load": True}, "its field 'max_load' is not what it should be"),
        ({"min_free_bytes": -1}, "its field 'min_free_bytes' is not what it should be"),
        ({"more": 1}, "does not know its field 'more'"),
        ({"rules": []}, "it has no rules"),
        ({"rules": {}}, "misses its field 'keep_daily'"),
        ({"rules": {**vars(Rules()), "max_age": "1d"}}, "its field 'max_age' is not what it should be"),
    ],
)
def test_a_configuration_that_cannot_be_used(change: dict[str, Any], why: str) -> None:
    text = json.dumps({**json.loads(render_schedule(FULL)), **change})
    with pytest.raises(CheckpointError) as caught:
        parse_schedule(text, "web", "/p")
    assert caught.value.reason == "schedule_invalid" and why in caught.value.message


@pytest.mark.parametrize(("max_load", "load", "skips"), [(None, 99.0, False), (1.5, None, False), (1.5, 1.5, False)])
def test_the_load_does_not_forbid_it(max_load: float | None, load: float | None, skips: bool) -> None:
    assert bool(skip_for_load(replace(PLAIN, max_load=max_load), load)) is skips


def test_the_load_forbids_it() -> None:
    text = skip_for_load(replace(PLAIN, max_load=1.5), 1.51)
    assert text == "the load per processor is 1.51, and max_load is 1.50"


def test_the_load_is_one_per_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = put_host(tmp_path)
    (tmp_path / "proc").mkdir()
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for text, load in (("6.00 1.00 0.50 1/200 4711\n", 1.5), ("much\n", None), ("", None)):
        (tmp_path / "proc/loadavg").write_text(text)
        assert read_load(paths) == load


def test_the_space_forbids_it() -> None:
    guarded = replace(PLAIN, min_free_bytes=100 << 20)
    assert skip_for_space(guarded, 150 << 20, 50 << 20) == ""
    assert skip_for_space(PLAIN, 0, 50 << 20) == "", "0 is no guard"
    assert skip_for_space(guarded, (150 << 20) - 1, 50 << 20) == (
        "149 MiB are free at '/s', and it needs 150: min_free_bytes, and the memory of the container"
    )


def test_the_files_of_a_schedule() -> None:
    places = Places()
    assert places.timer("my.web-1") == "/etc/systemd/system/criu-hosts-checkpoint@my.web-1.timer"
    assert places.metrics("/m", "web") == "/m/criu_hosts_checkpoint_web.prom"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("calendar", ["daily", "Mon..Fri *-*-* 03:00", "hourly"])
def test_systemd_accepts_the_units(tmp_path: Path, calendar: str) -> None:
    """The program is not on this machine: /bin/true stands for it, with the same arguments."""
    (tmp_path / SERVICE).write_text(SERVICE_TEXT.replace(f"ExecStart={PYTHON} {PROGRAM}", "ExecStart=/bin/true"))
    timer = tmp_path / timer_name("web")
    timer.write_text(render_timer("web", calendar, 900))
    argv = ["systemd-analyze", "verify", "--man=no", str(timer)]
    completed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (completed.returncode, completed.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_refuses_a_wrong_calendar(tmp_path: Path) -> None:
    (tmp_path / SERVICE).write_text(SERVICE_TEXT.replace(f"ExecStart={PYTHON} {PROGRAM}", "ExecStart=/bin/true"))
    timer = tmp_path / timer_name("web")
    timer.write_text(render_timer("web", "soon", 900))
    argv = ["systemd-analyze", "verify", "--man=no", str(timer)]
    completed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert completed.returncode != 0 and "soon" in completed.stderr


VALUES = Metrics(
    container="web",
    unit='we"b\\.service',
    result="skipped",
    ended=1796057100.5,
    seconds=2.25,
    newest=1796053500.0,
    newest_bytes=4128768,
    stored=3,
    stored_bytes=12386304,
    frozen_seconds=0.158,
    ready=True,
)


def test_the_metrics() -> None:
    lines = render_metrics(VALUES).splitlines()
    labels = 'container="web",unit="we\\"b\\\\.service"'
    assert [line for line in lines if not line.startswith("#")] == [
        f"criu_hosts_checkpoint_newest_timestamp_seconds{{{labels}}} 1796053500.000",
        f"criu_hosts_checkpoint_newest_size_bytes{{{labels}}} 4128768",
        f"criu_hosts_checkpoint_stored{{{labels}}} 3",
        f"criu_hosts_checkpoint_stored_bytes{{{labels}}} 12386304",
        f"criu_hosts_checkpoint_last_run_timestamp_seconds{{{labels}}} 1796057100.500",
        f"criu_hosts_checkpoint_last_run_seconds{{{labels}}} 2.250",
        f"criu_hosts_checkpoint_last_frozen_seconds{{{labels}}} 0.158",
        f'criu_hosts_checkpoint_last_result{{{labels},result="done"}} 0',
        f'criu_hosts_checkpoint_last_result{{{labels},result="skipped"}} 1',
        f'criu_hosts_checkpoint_last_result{{{labels},result="failed"}} 0',
        f"criu_hosts_checkpoint_ready{{{labels}}} 1",
    ]
    helps = [line.split()[2] for line in lines if line.startswith("# HELP")]
    assert helps == [f"criu_hosts_checkpoint_{name}" for name in HELP], "once for each"
    assert len([line for line in lines if line.startswith("# TYPE")]) == len(HELP)


def test_what_is_not_known_is_left_out() -> None:
    unknown = replace(VALUES, newest=None, newest_bytes=None, frozen_seconds=None, ready=None)
    text = render_metrics(unknown)
    assert not any(name in text for name in ("newest", "frozen", "ready"))
