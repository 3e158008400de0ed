# SPDX-License-Identifier: GPL-3.0-or-later
"""Nextcloud on the host, and a visitor who has logged in."""

from __future__ import annotations

from typing import Any

import pytest
from nextcloud_checks import Cloud, wait_for


@pytest.fixture(scope="module")
def cloud(host: Any) -> Cloud:
    """Start the unit and return a visitor who has logged in."""
    one = Cloud(host)
    host.run("rm -f /var/tmp/lab.jar; systemctl start nextcloud.service")
    wait_for("an answer of Nextcloud", one.is_up)
    one.login()
    return one
