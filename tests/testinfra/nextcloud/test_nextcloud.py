# SPDX-License-Identifier: GPL-3.0-or-later
"""Nextcloud through checkpoints: visitors, uploads and databases, and the state after failures."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nextcloud_checks import USER, Cloud, wait_for

FOLDER = "/srv/nextcloud/fpm"
SOCKET = f"{FOLDER}/php-fpm.sock"
# An emulated machine needs less than a minute for the rest, which is the time that a request in progress has.
UPLOAD_MIB = 64


@pytest.fixture(scope="module")
def upload(cloud: Cloud) -> dict[str, Any]:
    """Stop the unit, which dumps, and start it, which restores, during an upload."""
    return cloud.upload_over_restart(UPLOAD_MIB)


def test_selinux_is_enforcing(host: Any, upload: dict[str, Any]) -> None:
    assert host.check_output("getenforce") == "Enforcing"
    labels = host.check_output("ps -o label= -C php-fpm,php-fpm8.4").splitlines()
    assert labels and all(re.match(r"system_u:system_r:criu_nextcloud_t:s0:c\d+,c\d+$", label) for label in labels)
    assert upload["restored"]["label_proof"] == "enforcing"


def test_the_stop_was_a_dump_and_the_start_a_restore(upload: dict[str, Any]) -> None:
    assert (upload["dumped"]["action"], upload["restored"]["action"]) == ("dumped", "restored")
    assert upload["stopped"]["code"] == "503"


def test_the_session_continues(upload: dict[str, Any]) -> None:
    before, after = upload["state"], upload["after"]["state"]
    assert (after["user"], after["session"]) == (USER, before["session"])
    assert after["count"] == before["count"] + 1


def test_the_memory_of_fpm_continues(upload: dict[str, Any]) -> None:
    """The counter exists only in FPM's shared memory."""
    assert upload["after"]["state"]["memory"] == upload["state"]["memory"] + 1


def test_the_upload_ends_before_the_dump(upload: dict[str, Any]) -> None:
    """CRIU cannot dump its connection through the Unix socket; so the stop waits for it."""
    assert upload["stopped"]["upload"] == upload["code"] == "201"
    assert upload["received"] == upload["sum"]


def test_only_the_web_server_reaches_php(host: Any, upload: dict[str, Any]) -> None:
    assert upload["code"]
    modes = host.check_output(f"stat --format='%a %U %G %F' {FOLDER} {SOCKET}").splitlines()
    assert modes == ["2750 root www-data directory", "660 root www-data socket"]
    connect = f"curl --silent --max-time 5 --unix-socket {SOCKET} http://localhost/"
    assert host.run(f"runuser -u nobody -- {connect}").rc == 7  # could not connect
    assert "php-fpm" not in host.check_output("ss --listening --tcp --numeric --processes")


def test_web_server_may_not_reach_it_while_nextcloud_is_stopped(host: Any, cloud: Cloud) -> None:
    cloud.systemctl("stop")
    assert host.check_output(f"stat --format=%a {FOLDER}") == "2700"
    assert cloud.code("/status.php") == "503"
    cloud.systemctl("start")
    assert wait_for("an answer of Nextcloud", cloud.is_up)
    assert host.check_output(f"stat --format=%a {FOLDER}") == "2750"


def test_the_database_keeps_its_processes(upload: dict[str, Any]) -> None:
    assert upload["backends"]
    assert upload["backends"] <= upload["stopped"]["backends"]
    assert upload["backends"] <= upload["after"]["backends"]


def test_the_workers_are_the_same(upload: dict[str, Any]) -> None:
    assert set(upload["workers"]) <= set(upload["after"]["workers"])


def test_a_restart_keeps_the_state(cloud: Cloud, upload: dict[str, Any]) -> None:
    before = cloud.state()
    cloud.systemctl("restart")
    wait_for("an answer of Nextcloud", cloud.is_up)
    after = cloud.state()
    assert cloud.last()["action"] == "restored"
    assert (after["session"], after["memory"]) == (before["session"], before["memory"] + 1)


def test_the_database_may_restart_while_nextcloud_is_frozen(host: Any, cloud: Cloud) -> None:
    before, old = cloud.state(), cloud.backends()
    cloud.systemctl("stop")
    host.check_output("systemctl restart postgresql.service")
    cloud.systemctl("start")
    # Each worker gets one error, because its connection is closed; then it opens a new one.
    wait_for("an answer over a new connection", lambda: cloud.code("/index.php/apps/lab/state") == "200")
    after = cloud.state()
    assert after["session"] == before["session"]
    assert after["memory"] > before["memory"]
    assert not old & cloud.backends()


def test_a_full_disk_loses_the_memory_but_nothing_else(host: Any, cloud: Cloud) -> None:
    before = cloud.state()
    kib = int(host.check_output("df --output=avail / | tail -n 1"))
    try:
        host.check_output(f"fallocate --length {kib - 8 * 1024}KiB /var/tmp/lab-filler")
        cloud.systemctl("stop")
    finally:
        host.check_output("rm -f /var/tmp/lab-filler")
    stopped = cloud.last()
    assert (stopped["action"], stopped["reason"]) == ("clean_stop", "disk_full")
    box = host.check_output("podman container inspect --format '{{.Id}}' nextcloud")
    assert not host.file(f"/var/lib/containers/storage/overlay-containers/{box}/userdata/checkpoint").exists
    cloud.systemctl("start")
    wait_for("an answer of Nextcloud", cloud.is_up)
    after = cloud.state()
    assert cloud.last()["action"] == "fresh"
    assert (after["session"], after["memory"]) == (before["session"], 1)


def test_systemd_restarts_a_killed_fpm(host: Any, cloud: Cloud) -> None:
    before = cloud.state()
    pid = host.check_output("podman container inspect --format '{{.State.Pid}}' nextcloud")
    host.check_output(f"kill -KILL {pid}")
    wait_for("a new FPM", lambda: host.run(f"test -d /proc/{pid}").rc and cloud.is_up())
    after = cloud.state()
    assert cloud.last()["action"] == "fresh"
    assert (after["session"], after["memory"]) == (before["session"], 1)


def test_nothing_secret_is_in_the_journal(host: Any, upload: dict[str, Any]) -> None:
    assert upload["code"]
    assert host.run("journalctl --boot --no-pager --output=cat | grep -c only-in-the-lab").stdout.strip() == "0"
