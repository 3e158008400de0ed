# SPDX-License-Identifier: GPL-3.0-or-later
"""Provides denials by AppArmor, in each form that hosts and tools have, and a host with AppArmor."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._denials.sources import AUDIT_LOG
from ansible_collections.criu.hosts.tests.unit.denial_forms import FORMS, moment, parts
from ansible_collections.criu.hosts.tests.unit.denials import FIXTURES

Row = tuple[str, str, str, str, str]
ROWS: list[Row] = [
    tuple(line.split("\t"))  # type: ignore[misc]
    for line in (FIXTURES / "apparmor/threads.tsv").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


def interpreted(form: str) -> Callable[[str], str]:
    """Renders a record as ausearch --interpret does: without quotes, and with the names of users."""

    def rendered(record: str) -> str:
        kind, seconds, fraction, serial, said = parts(record)
        plain = re.sub(r'="([^"]*)"', r"=\1", said).replace("fsuid=0", "fsuid=root")
        return f"type={kind} msg=audit({moment(seconds).strftime(form)}.{fraction}:{serial}) : {plain} "

    return rendered


FORMS_HERE: dict[str, Callable[[str], str]] = {
    **{name: render for name, render in FORMS.items() if not name.startswith(("ausearch", "copied"))},
    "ausearch-us": interpreted("%m/%d/%Y %H:%M:%S"),
    "ausearch-de": interpreted("%d.%m.%Y %H:%M:%S"),
}


def record_of(id_: str) -> str:
    """Returns the first record with this explanation."""
    return next(row[4] for row in ROWS if row[1] == id_)


def apparmor_host(folder: Path, audit: bytes) -> None:
    """Writes the files that a failure reads, into the folder of a host with AppArmor instead of SELinux."""
    files = (
        ("sys/module/apparmor/parameters/enabled", b"Y\n"),
        ("proc/stat", b"btime 1\n"),
        (AUDIT_LOG[1:], audit),
    )
    shutil.rmtree(folder / "sys/fs/selinux", ignore_errors=True)
    for path, content in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
