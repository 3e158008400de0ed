# SPDX-License-Identifier: GPL-3.0-or-later
"""Opens the page of real dumps in Debian's Chromium, without scripts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Iterator

import pytest

from ansible_collections.criu.hosts.plugins.filter.checkpoint_report import checkpoint_report
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.contents import read_contents
from ansible_collections.criu.hosts.plugins.module_utils._store.listing import list_checkpoints

FIXTURES = Path(__file__).parents[2] / "fixtures"
DETAIL = ["files", "memory", "processes", "sockets", "statistics"]
MISSING = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed here")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed (Debian: chromium, chromium-driver): {', '.join(MISSING)}"
    ),
]


@pytest.fixture(name="page", scope="module")
def page_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about two archives with images of real dumps, on two hosts, one of which could not restore them."""
    archives = [str(FIXTURES / f"criu/{version}-archive.tar.gz") for version in ("4.1.1", "4.2.1")]
    listed = [
        dict(one.entry) for path in archives for one in list_checkpoints(path, read_contents, DETAIL, verify=True)
    ]
    for hour, one in enumerate(listed):
        one["record"] = {"checkpointed_at": f"2026-11-30T1{hour}:00:00Z"}
    blocker = {"reason": "kernel_older", "message": "The kernel is older.", "remedy": "Install a newer one."}
    hosts = {
        "web1": [{**one, "restorable": True, "reasons": []} for one in listed],
        "web2": [{**one, "restorable": False, "reasons": [blocker]} for one in listed],
    }
    path = tmp_path_factory.mktemp("page") / "checkpoints.html"
    path.write_text(checkpoint_report(hosts, title="<script>document.title='no'</script>"), encoding="utf-8")
    return path


@pytest.fixture(name="browser", scope="module")
def browser_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The tests may run as root, for whom its sandbox does not work.
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_page_load_timeout(120)
    yield driver
    driver.quit()


def opened(browser: Any, page: Path, *, scheme: str = "light", media: str = "screen", width: int = 1280) -> Any:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page.as_uri())
    return browser


def value_of(browser: Any, expression: str) -> Any:
    """The driver evaluates this beside the page, whose own scripts stay off."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    return browser.execute_script(f"return {expression}")


def test_it_loads_nothing_and_has_nothing_to_complain_about(browser: Any, page: Path) -> None:
    browser.get_log("performance")
    opened(browser, page)
    events = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    asked = [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]
    # chrome: is in the browser itself, which may still draw its own first page.
    assert [url for url in asked if not url.startswith("chrome:")] == [page.as_uri()]
    assert browser.get_log("browser") == []
    assert browser.title == "<script>document.title='no'</script>"


def test_a_script_would_not_run(browser: Any, page: Path, tmp_path: Path) -> None:
    """Even if one got into the page: its policy forbids it, and the browser says so."""
    bad = tmp_path / "bad.html"
    text = page.read_text(encoding="utf-8")
    bad.write_text(
        text.replace("</main>", "<script>document.title='ran'</script><img src=x.png></main>"), encoding="utf-8"
    )
    opened(browser, bad)
    browser.get_log("browser")
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    browser.get(bad.as_uri())
    assert browser.title != "ran"
    refused = [line["message"] for line in browser.get_log("browser")]
    assert len(refused) == 2 and all("Content Security Policy" in one for one in refused)


def test_it_is_styled_and_drawn(browser: Any, page: Path) -> None:
    opened(browser, page)
    assert value_of(browser, "getComputedStyle(document.querySelector('.value.bad')).color") == "rgb(179, 35, 28)"
    bars = "[...document.querySelectorAll('details[open] .kinds rect')].map(one => one.getBoundingClientRect().width)"
    widths = value_of(browser, bars)
    assert len(widths) >= 5 and sum(widths) > 1000
    marks = value_of(browser, "[...document.querySelectorAll('circle')].map(one => one.getBoundingClientRect().x)")
    assert len(marks) == 2 and marks[0] > marks[1]


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(17, 21, 27)")])
def test_it_follows_the_scheme(browser: Any, page: Path, scheme: str, paper: str) -> None:
    opened(browser, page, scheme=scheme)
    assert value_of(browser, "getComputedStyle(document.documentElement).backgroundColor") == paper


@pytest.mark.parametrize("width", [360, 800, 1280, 2200])
def test_no_width_makes_the_page_scroll_sideways(browser: Any, page: Path, width: int) -> None:
    opened(browser, page, width=width)
    assert value_of(browser, "document.documentElement.scrollWidth") <= width


def test_a_closed_part_opens_without_scripts(browser: Any, page: Path) -> None:
    opened(browser, page)
    closed = browser.find_elements("css selector", "details:not([open]) summary")
    assert len(closed) == 1
    closed[0].click()
    assert browser.find_elements("css selector", "details:not([open])") == []


def test_on_paper_all_parts_are_open(browser: Any, page: Path) -> None:
    opened(browser, page, media="print", scheme="dark")
    heights = value_of(
        browser, "[...document.querySelectorAll('.processes')].map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) == 2 and min(heights) > 50
    assert value_of(browser, "getComputedStyle(document.documentElement).backgroundColor") == "rgb(255, 255, 255)"
