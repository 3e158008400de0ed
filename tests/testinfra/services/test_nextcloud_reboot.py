# SPDX-License-Identifier: GPL-3.0-or-later
"""Nextcloud with its database, its cache and its secrets through a reboot of the host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nextcloud_checks import Cloud, wait_for

ROOT = Path(__file__).resolve().parents[3]
BOOT = "cat /proc/sys/kernel/random/boot_id"


@pytest.fixture(scope="module")
def rebooted(host: Any, inventory: Path) -> dict[str, Any]:
    """The observations of a visitor before and after reboot_host."""
    cloud = Cloud(host)
    host.run("rm -f /var/tmp/lab.jar; systemctl start nextcloud.service")
    wait_for("an answer of Nextcloud", lambda: host.service("apache2").is_running and cloud.is_up())
    cloud.login()
    before, boot = cloud.state(), host.check_output(BOOT)
    program = shutil.which("ansible-playbook")
    assert program, "ansible-playbook is not in PATH"
    argv = [program, "-i", str(inventory), "-l", host.backend.get_hostname(), str(ROOT / "playbooks/reboot_host.yml")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    wait_for("an answer of Nextcloud", lambda: host.service("apache2").is_running and cloud.is_up())
    return {
        "before": before,
        "after": cloud.state(),
        "boots": {boot, host.check_output(BOOT)},
        "last": cloud.last(),
        "enforcing": host.check_output("getenforce"),
    }


def test_the_host_was_rebooted(rebooted: dict[str, Any]) -> None:
    assert len(rebooted["boots"]) == 2
    assert rebooted["enforcing"] == "Enforcing"


def test_it_was_restored_with_its_labels(rebooted: dict[str, Any]) -> None:
    assert (rebooted["last"]["action"], rebooted["last"]["label_proof"]) == ("restored", "enforcing")


def test_session_and_memory_continue(rebooted: dict[str, Any]) -> None:
    before, after = rebooted["before"], rebooted["after"]
    assert (after["user"], after["session"]) == (before["user"], before["session"])
    assert after["memory"] > before["memory"]
