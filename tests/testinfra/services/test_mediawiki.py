# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's mediawiki behind nginx: its sessions exist only in the memory of PHP, so only a restore can keep them."""

from __future__ import annotations

import json
from typing import Any, Callable

import pytest
from nextcloud_checks import wait_for

JAR = "/var/tmp/lab-wiki.jar"
API = (
    f"curl --silent --show-error --fail --max-time 240 --cookie {JAR} --cookie-jar {JAR} http://localhost:8080/api.php"
)


class Wiki:
    """A client of the wiki's API."""

    def __init__(self, host: Any) -> None:
        self.host = host

    def ask(self, **fields: str) -> dict[str, Any]:
        data = " ".join(f"--data-urlencode '{name}={value}'" for name, value in {**fields, "format": "json"}.items())
        found: dict[str, Any] = json.loads(self.host.check_output(f"{API} {data}"))
        return found

    def token(self, kind: str) -> str:
        found: str = self.ask(action="query", meta="tokens", type=kind)["query"]["tokens"][f"{kind}token"]
        return found

    def name(self) -> str:
        found: str = self.ask(action="query", meta="userinfo")["query"]["userinfo"]["name"]
        return found

    def edit(self, text: str) -> str:
        found: str = self.ask(action="edit", title="Lab", text=text, token=self.token("csrf"))["edit"]["result"]
        return found

    def text(self) -> str:
        found: str = self.ask(action="parse", page="Lab", prop="wikitext")["parse"]["wikitext"]["*"]
        return found

    def workers(self) -> list[str]:
        return sorted(self.host.check_output("podman top mediawiki pid comm").splitlines()[1:])


@pytest.fixture(scope="module")
def seen(host: Any, seen_by: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Log in, write a page, restart the unit, write again."""
    assert seen_by("../services/mediawiki.yml")["made"]
    wiki = Wiki(host)
    host.run(f"rm -f {JAR}")
    wait_for("an answer of mediawiki", lambda: host.run(f"{API} --data action=query").rc == 0)
    login = {"username": "Admin", "password": "only-in-the-lab-5", "loginreturnurl": "http://localhost:8080/"}
    answer = wiki.ask(action="clientlogin", logintoken=wiki.token("login"), **login)
    assert answer["clientlogin"]["status"] == "PASS"
    found: dict[str, Any] = {"edit": wiki.edit("before"), "workers": wiki.workers()}
    host.check_output("systemctl restart mediawiki.service")
    found["last"] = json.loads(host.file("/var/lib/criu-hosts/units/mediawiki/last.json").content)
    return {**found, "name": wiki.name(), "text": wiki.text(), "again": wiki.edit("after"), "after": wiki.workers()}


def test_it_was_restored_with_its_labels(seen: dict[str, Any]) -> None:
    assert (seen["last"]["action"], seen["last"]["label_proof"]) == ("restored", "enforcing")
    assert seen["after"] == seen["workers"]


def test_the_session_continues(seen: dict[str, Any]) -> None:
    assert seen["name"] == "Admin"


def test_pages_can_be_written_before_and_after(seen: dict[str, Any]) -> None:
    assert (seen["edit"], seen["text"], seen["again"]) == ("Success", "before", "Success")
