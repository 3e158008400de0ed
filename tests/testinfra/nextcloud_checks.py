# SPDX-License-Identifier: GPL-3.0-or-later
"""Access to Nextcloud on the host, as a visitor and as an administrator."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

VARIABLES = yaml.safe_load((Path(__file__).parent / "services/nextcloud.yml").read_text(encoding="utf-8"))
SITE = "http://localhost"
USER = "admin"
PASSWORD = VARIABLES["nextcloud_admin_password"]
FILES = f"/srv/nextcloud/data/{USER}/files"
FILE, CODE = "/var/tmp/lab-upload", "/var/tmp/lab-upload.code"
BEGUN_MIB = 8
# Long enough for systems without KVM, where everything takes ten times as long
PATIENCE_SECONDS = 300


def wait_for(what: str, found: Callable[[], Any]) -> Any:
    """Return the first true answer; the time limit only ends a test that hangs."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        answer = found()
        if answer:
            return answer
        time.sleep(2)
    return pytest.fail(f"{what}: nothing within {PATIENCE_SECONDS} s", pytrace=False)


class Cloud:
    """One visitor with a cookie jar, and the unit nextcloud."""

    def __init__(self, host: Any, jar: str = "/var/tmp/lab.jar") -> None:
        self.host = host
        self.curl = f"curl --silent --show-error --max-time 240 --cookie {jar} --cookie-jar {jar} "

    def get(self, path: str, options: str = "--fail") -> str:
        text: str = self.host.check_output(f"{self.curl} {options} '{SITE}{path}'")
        return text

    def code(self, path: str, options: str = "") -> str:
        return self.get(path, f"--output /dev/null --write-out '%{{http_code}}' {options}")

    def login(self) -> None:
        found = re.search(r'name="requesttoken" type="hidden" value="(\w+)"', self.get("/index.php/login"))
        assert found
        fields = {"user": USER, "password": PASSWORD, "requesttoken": found.group(1)}
        data = " ".join(f"--data-urlencode '{name}={value}'" for name, value in fields.items())
        assert self.code("/index.php/login", data) == "303"

    def state(self) -> dict[str, Any]:
        """Return the application's data of the session; each call increments its counters."""
        found: dict[str, Any] = json.loads(self.get("/index.php/apps/lab/state"))
        return found

    def backends(self) -> set[str]:
        """Return the server processes of PostgreSQL that serve the application."""
        sql = "SELECT pid FROM pg_stat_activity WHERE usename = 'nextcloud'"
        return set(self.host.check_output(f'cd /; runuser -u postgres -- psql -Atc "{sql}"').split())

    def workers(self) -> list[str]:
        """Return the processes of FPM, with their ids inside the container."""
        return sorted(self.host.check_output("podman top nextcloud pid comm").splitlines()[1:])

    def systemctl(self, verb: str) -> None:
        self.host.check_output(f"systemctl {verb} nextcloud.service")

    def last(self) -> dict[str, Any]:
        """Return the unit's record of its last start or stop."""
        found: dict[str, Any] = json.loads(self.host.file("/var/lib/criu-hosts/units/nextcloud/last.json").content)
        return found

    def upload_over_restart(self, mib: int) -> dict[str, Any]:
        """Stop and start the unit during an upload; return what a visitor and the unit's record show."""
        host = self.host
        seen: dict[str, Any] = {"state": self.state(), "backends": self.backends(), "workers": self.workers()}
        host.check_output(f"head --bytes={mib}M /dev/urandom > {FILE}; rm -f {CODE} {FILES}/upload.bin")
        seen["sum"] = host.check_output(f"sha256sum {FILE}").split()[0]
        host.check_output(
            f"setsid --fork curl --silent --show-error --user {USER}:{PASSWORD} --upload-file {FILE} "
            "--output /dev/null --write-out '%{http_code}' "
            f"{SITE}/remote.php/dav/files/{USER}/upload.bin > {CODE} 2>&1"
        )
        wait_for("the first part of the upload", lambda: self.part_mib() >= BEGUN_MIB)
        self.systemctl("stop")
        seen["dumped"] = self.last()
        seen["stopped"] = {"mib": self.part_mib(), "backends": self.backends(), "code": self.code("/status.php")}
        seen["stopped"]["upload"] = host.run(f"cat {CODE}").stdout
        self.systemctl("start")
        seen["restored"] = self.last()
        seen["code"] = wait_for("the end of the upload", lambda: host.run(f"cat {CODE}").stdout)
        seen["received"] = host.check_output(f"sha256sum {FILES}/upload.bin").split()[0]
        wait_for("an answer of Nextcloud", lambda: self.code("/status.php") == "200")
        seen["after"] = {"state": self.state(), "backends": self.backends(), "workers": self.workers()}
        return seen

    def part_mib(self) -> int:
        """Return the MiB of the upload that the application has written."""
        sizes = self.host.run(f"stat --format=%s {FILES}/*.part").stdout.split()
        return int(sizes[0]) >> 20 if sizes else 0

    def is_up(self) -> bool:
        return self.host.service("nextcloud").is_running and self.code("/status.php", "--retry 0") == "200"
