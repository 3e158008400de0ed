# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a record of auditd in each form that hosts and tools have."""

from __future__ import annotations

import datetime
import re
from typing import Callable

from ansible_collections.criu.hosts.plugins.module_utils._denials.records import unhex

_RECORD = re.compile(r"type=(\w+) msg=audit\((\d+)\.(\d+):(\d+)\): (.*)")
_NUMBERS = {"AVC": "1400", "SELINUX_ERR": "1401", "SYSCALL": "1300"}


def parts(record: str) -> tuple[str, str, str, str, str]:
    found = _RECORD.fullmatch(record)
    assert found is not None, record
    kind, seconds, fraction, serial, said = found.groups()
    return kind, seconds, fraction, serial, said


def moment(seconds: str) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds))


def kernel(record: str) -> str:
    kind, seconds, fraction, serial, said = parts(record)
    return f"audit: type={_NUMBERS[kind]} audit({seconds}.{fraction}:{serial}): {said}"


def dmesg(record: str) -> str:
    return f"[  123.456789] {kernel(record)}"


def journal(stamp: Callable[[str, str], str], pid: str = "[31]") -> Callable[[str], str]:
    def rendered(record: str) -> str:
        kind, seconds, fraction, dummy_serial, said = parts(record)
        return f"{stamp(seconds, fraction)} host audit{pid}: {kind} {said}"

    return rendered


def short(seconds: str, dummy_fraction: str) -> str:
    """The form without a year: this year, or the one before."""
    return moment(seconds).strftime("%b %d %H:%M:%S")


def iso(seconds: str, dummy_fraction: str) -> str:
    return moment(seconds).astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")


def interpreted(form: str) -> Callable[[str], str]:
    def rendered(record: str) -> str:
        kind, seconds, fraction, serial, said = parts(record)
        plain = re.sub(r'(comm|path|name|exe)=("[^"]*"|\S+)', lambda found: f"{found[1]}={clear(found[2])}", said)
        return f"type={kind} msg=audit({moment(seconds).strftime(form)}.{fraction}:{serial}) : {plain} "

    return rendered


def clear(value: str) -> str:
    """Returns a value as ausearch prints it: an abstract name without its sign."""
    return unhex(value).lstrip("@")


FORMS: dict[str, Callable[[str], str]] = {
    "audit": str,
    "node": lambda record: f"node=web1 {record}",
    "enriched": lambda record: f'{record}\x1dARCH=x86_64 AUID="root"',
    "syslog": lambda record: f"Nov 22 21:54:16 host audisp-syslog[9]: {record}",
    "kernel": kernel,
    "dmesg": dmesg,
    "journal-of-the-kernel": lambda record: f"Nov 22 21:54:16 host kernel: {kernel(record)}",
    "short-unix": journal(lambda seconds, fraction: f"{seconds}.{fraction}000"),
    "short": journal(short),
    "short-iso": journal(iso, ""),
    "short-full": journal(lambda seconds, dummy: moment(seconds).astimezone().strftime("%a %Y-%m-%d %H:%M:%S UTC")),
    "ausearch-c": interpreted("%m/%d/%y %H:%M:%S"),
    "ausearch-us": interpreted("%m/%d/%Y %H:%M:%S"),
    "ausearch-de": interpreted("%d.%m.%Y %H:%M:%S"),
    "ausearch-iso": interpreted("%Y-%m-%d %H:%M:%S"),
    "copied": lambda record: record.replace("avc:  denied  {", "avc: denied {"),
}
