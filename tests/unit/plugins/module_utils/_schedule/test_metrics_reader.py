# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests that Debian's prometheus-node-exporter serves the metrics as they are meant, and that promtool accepts them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.files import write_file
from ansible_collections.criu.hosts.plugins.module_utils._schedule.layout import Places
from ansible_collections.criu.hosts.plugins.module_utils._schedule.metrics import Metrics, render_metrics

EXPORTER = shutil.which("prometheus-node-exporter")
PROMTOOL = shutil.which("promtool")
ALERTS = Path(__file__).parents[5].joinpath("examples/files/checkpoint_alerts.yml")
SECONDS = 60
WEB = Metrics("web", 'we"b\\.service', "done", 1796057100.5, 2.25, 1796053500.0, 4128768, 3, 12386304, 0.158, True)
DB = Metrics("db", "", "failed", 1796057101.0, 0.5, ready=False)


def served(folder: Path) -> str:
    """Returns the page of an exporter that reads the folder, and nothing else of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [
        *(str(EXPORTER), "--collector.disable-defaults", "--collector.textfile"),
        *(f"--collector.textfile.directory={folder}", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with subprocess.Popen(argv, stderr=subprocess.DEVNULL) as exporter:
        try:
            last = time.monotonic() + SECONDS
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SECONDS) as answer:
                        return str(answer.read().decode())
                except urllib.error.URLError:
                    assert exporter.poll() is None and time.monotonic() < last, "the exporter does not answer"
                    time.sleep(0.1)
        finally:
            exporter.terminate()


def samples(page: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(("criu_hosts", "node_textfile"))]
    return {name: float(value) for name, value in lines}


@pytest.mark.skipif(EXPORTER is None, reason="prometheus-node-exporter is not installed")
def test_the_exporter_serves_them(tmp_path: Path) -> None:
    for one in (WEB, DB):
        path = Places().metrics(str(tmp_path), one.container)
        write_file(path, render_metrics(one), 0o644)
    page = served(tmp_path)
    found = samples(page)
    assert found["node_textfile_scrape_error"] == 0
    web = 'container="web",unit="we\\"b\\\\.service"'
    assert found[f"criu_hosts_checkpoint_newest_timestamp_seconds{{{web}}}"] == 1796053500
    assert found[f"criu_hosts_checkpoint_newest_size_bytes{{{web}}}"] == 4128768
    assert found[f"criu_hosts_checkpoint_last_frozen_seconds{{{web}}}"] == 0.158
    assert found[f"criu_hosts_checkpoint_ready{{{web}}}"] == 1
    for result in ("done", "skipped", "failed"):
        for container, unit, wanted in (("web", 'we\\"b\\\\.service', "done"), ("db", "", "failed")):
            # The exporter sorts the labels.
            name = f'criu_hosts_checkpoint_last_result{{container="{container}",result="{result}",unit="{unit}"}}'
            assert found[name] == int(result == wanted)
    assert found['criu_hosts_checkpoint_ready{container="db",unit=""}'] == 0
    assert not any("newest" in name and '"db"' in name for name in found)
    assert page.count("# HELP criu_hosts_checkpoint_stored ") == 1


@pytest.mark.skipif(EXPORTER is None, reason="prometheus-node-exporter is not installed")
def test_a_file_that_is_half_written_would_be_an_error(tmp_path: Path) -> None:
    """The reason for the rename; the temporary name is none that the exporter reads."""
    path = tmp_path / "criu_hosts_checkpoint_web.prom"
    path.write_text(render_metrics(WEB)[:-40], encoding="utf-8")
    assert samples(served(tmp_path))["node_textfile_scrape_error"] == 1
    path.rename(tmp_path / ".criu_hosts_checkpoint_web.prom.criu-hosts")
    assert samples(served(tmp_path))["node_textfile_scrape_error"] == 0


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")
def test_promtool_accepts_them() -> None:
    argv = [str(PROMTOOL), "check", "metrics"]
    for one in (WEB, DB, replace(WEB, ready=None, newest=None)):
        done = subprocess.run(argv, input=render_metrics(one), capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout


@pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.skipif(not ALERTS.exists(), reason="the examples are not part of an installed collection")
def test_promtool_accepts_the_alerts() -> None:
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "4 rules found" in done.stdout, done.stderr
