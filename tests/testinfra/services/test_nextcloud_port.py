# SPDX-License-Identifier: GPL-3.0-or-later
"""Nextcloud with php-fpm at an address: a request in progress survives a checkpoint, and each user reaches PHP."""

from __future__ import annotations

from typing import Any, Callable, Iterator

import pytest
from nextcloud_checks import BEGUN_MIB, Cloud, wait_for

UPLOAD_MIB = 200


@pytest.fixture(scope="module")
def upload(host: Any, seen_by: Callable[..., dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Stop the unit, which dumps, and start it, which restores, during an upload."""
    seen_by("../services/port.yml", port_listen="127.0.0.1:9000")
    cloud = Cloud(host)
    host.run("rm -f /var/tmp/lab.jar")
    wait_for("an answer of Nextcloud", cloud.is_up)
    cloud.login()
    yield cloud.upload_over_restart(UPLOAD_MIB)
    seen_by("../services/port.yml", port_listen="")


def test_the_stop_was_a_dump_and_the_start_a_restore(upload: dict[str, Any]) -> None:
    assert (upload["dumped"]["action"], upload["restored"]["action"]) == ("dumped", "restored")
    assert upload["stopped"]["code"] == "503"


def test_the_upload_continues(upload: dict[str, Any]) -> None:
    assert upload["stopped"]["upload"] == "" and BEGUN_MIB <= upload["stopped"]["mib"] < UPLOAD_MIB
    assert upload["code"] == "201"
    assert upload["received"] == upload["sum"]


def test_memory_and_workers_continue(upload: dict[str, Any]) -> None:
    assert upload["after"]["state"]["memory"] == upload["state"]["memory"] + 1
    assert set(upload["workers"]) <= set(upload["after"]["workers"])


def test_the_unit_of_the_socket_is_gone(host: Any, upload: dict[str, Any]) -> None:
    assert upload["code"]
    assert not host.file("/etc/systemd/system/nextcloud-web.service").exists
