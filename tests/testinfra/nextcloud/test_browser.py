# SPDX-License-Identifier: GPL-3.0-or-later
"""A real browser logs in before a checkpoint and still has its session after the restore."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from nextcloud_checks import PASSWORD, USER, Cloud, wait_for
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def site(host: Any) -> Iterator[str]:
    """The host's web server on a local port, forwarded by ssh."""
    port = free_port()
    forward = f"127.0.0.1:{port}:127.0.0.1:80"
    argv = ["ssh", *["-F", host.backend.ssh_config], "-N", "-o", "ExitOnForwardFailure=yes", "-o", "ControlPath=none"]
    with subprocess.Popen([*argv, "-L", forward, host.backend.get_hostname()]) as tunnel:
        for dummy in range(60):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert tunnel.poll() is None, "ssh could not forward the port"
            time.sleep(1)
        yield f"http://localhost:{port}"
        tunnel.terminate()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """Debian's Chromium, without a window."""
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    profile: Path = tmp_path_factory.mktemp("chromium")
    # CI runs the browser as root, for whom its sandbox does not work.
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={profile}")
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    driver.set_page_load_timeout(240)
    yield driver
    driver.quit()


def page(browser: Chrome) -> dict[str, str]:
    """Return the values on the page of the session."""
    return {name: browser.find_element(By.ID, name).text for name in ("user", "session", "count", "memory")}


@pytest.fixture(scope="module")
def seen(cloud: Cloud, site: str, browser: Chrome) -> dict[str, Any]:
    """Log in, restart the unit, reload the page."""
    browser.get(f"{site}/index.php/login")
    browser.find_element(By.ID, "user").send_keys(USER)
    browser.find_element(By.ID, "password").send_keys(PASSWORD)
    browser.find_element(By.ID, "submit-form").click()
    found: dict[str, Any] = {"before": page(browser)}
    cloud.systemctl("restart")
    wait_for("an answer of Nextcloud", cloud.is_up)
    found["last"] = cloud.last()["action"]
    browser.refresh()
    found["after"] = page(browser)
    found["address"] = browser.current_url
    return found


def test_the_form_leads_to_the_dashboard(seen: dict[str, Any]) -> None:
    assert seen["address"].endswith("/apps/dashboard/")
    assert seen["before"]["user"] == USER


def test_the_session_is_the_same(seen: dict[str, Any]) -> None:
    before, after = seen["before"], seen["after"]
    assert (after["user"], after["session"]) == (USER, before["session"])
    assert int(after["count"]) == int(before["count"]) + 1


def test_the_memory_is_the_same(seen: dict[str, Any]) -> None:
    assert seen["last"] == "restored"
    assert int(seen["after"]["memory"]) == int(seen["before"]["memory"]) + 1
