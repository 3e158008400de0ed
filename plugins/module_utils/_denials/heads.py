# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses type and time of a record, in each form in which hosts keep it and tools print it.

Any program can log the words of a denial. Therefore the type counts, and who wrote the line: auditd, the kernel or
journald.
"""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass

# The types of records that may hold a denial. auditd writes the names of types, the kernel their numbers.
_TYPES = {
    b"AVC": "avc",
    b"1400": "avc",
    b"USER_AVC": "user_avc",
    b"1107": "user_avc",
    b"SELINUX_ERR": "selinux_err",
    b"1401": "selinux_err",
}
_SYSCALLS = (b"SYSCALL", b"1300")
SYSCALL = "syscall"
# The kind of a record that holds no denial, or that a program wrote.
OTHER = "other"
# The forms. The same denial may be in several: journald gets it from the audit subsystem and, without auditd, from the
# ring buffer, too.
AUDITD, SYSLOG, INTERPRETED = "auditd", "syslog", "interpreted"
KERNEL, KERNEL_JOURNAL, JOURNAL = "kernel", "kernel_journal", "journal"
# type=AVC msg=audit(TIME:SERIAL): as auditd writes it; audit: type=1400 audit(TIME:SERIAL): as the kernel prints it;
# type=AVC msg=audit(DATE TIME:SERIAL) : as `ausearch --interpret` prints it.
_HEAD = re.compile(rb"(?:^|[ :])type=(\w{1,40}) (?:msg=)?audit\(([^()\n]{1,60})\) ?: ")
# Eleven digits are a time up to the year 5138; more is no time.
_EPOCH = re.compile(rb"(\d{1,11})\.(\d{1,9}):(\d{1,20})")
_DATED = re.compile(rb"(\d{1,4})([-./])(\d{1,2})[-./](\d{1,4}) (\d\d):(\d\d):(\d\d)\.(\d{1,3}):(\d{1,20})")
# 1795384456.390184 host audit[1169]: AVC avc:  denied ... as journalctl prints it, with any of its stamps.
_STAMP = (
    rb"\d{1,11}\.\d{1,9}"
    rb"|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"
    rb"|(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?: ?(?:[A-Z]{1,5}|[-+]\d\d:?\d\d))?"
)
_JOURNAL = re.compile(rb"^(" + _STAMP + rb") \S{1,255} ([\w./@-]{1,64})(?:\[\d{1,10}\])?: (\w{1,40})")
_SHORT = re.compile(r"([A-Z][a-z]{2}) ([ \d]\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?\d{0,3} ?(\S{0,6})")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = 86400
# Who spoke, in a line of syslog: the kernel and the tools of audit pass on what the kernel said.
_SPEAKER = re.compile(rb"(?:^|\s)([\w./@-]{1,64})(?:\[\d{1,10}\])?: ")
_TRUSTED = (b"kernel", b"audit")
_PASSING_ON = (b"auditd", b"audispd", b"audisp-syslog")
# What auditd itself writes first.
QUICK = re.compile(rb"type=AVC msg=audit\((\d{1,11}\.\d{1,9}):\d{1,20}\): ")
# The part of a line that its type and time are in.
_LENGTH = 400


@dataclass(frozen=True)
class Head:
    """Type, time and serial number of a record, and the form of the line."""

    kind: str
    time: float
    serial: bytes
    form: str = AUDITD


def _kind(word: bytes) -> str:
    return SYSCALL if word in _SYSCALLS else _TYPES.get(word, OTHER)


def parse_any_head(line: bytes) -> Head | None:
    """Parses type and time of a line of any log; None if the line is in none of the forms."""
    start = line[:_LENGTH]
    found = _HEAD.search(start)
    return _record_head(start, found) if found else _journal_head(start)


def parse_head(line: bytes) -> Head | None:
    """Parses type and time of a record; None if it has a different type."""
    head = parse_any_head(line)
    return None if head is None or head.kind in (OTHER, SYSCALL) else head


def parse_time(line: bytes) -> float:
    """Parses the time of a line that contains a record; quickly for those of auditd."""
    quick = QUICK.match(line)
    if quick:
        return float(quick.group(1))
    head = parse_head(line)
    return head.time if head is not None else 0.0


def _record_head(start: bytes, found: re.Match[bytes]) -> Head | None:
    word, stamp = found.groups()
    speaker = _SPEAKER.search(start[: found.start() + 1])
    said = speaker.group(1) if speaker else b""
    if said and said not in (*_TRUSTED, *_PASSING_ON):
        return Head(OTHER, 0.0, b"")
    form = SYSLOG if said in _PASSING_ON else AUDITD
    if word.isdigit():
        form = KERNEL_JOURNAL if said == b"kernel" else KERNEL
    epoch = _EPOCH.fullmatch(stamp)
    if epoch:
        seconds, fraction, serial = epoch.groups()
        return Head(_kind(word), float(seconds + b"." + fraction), serial, form)
    dated = _DATED.fullmatch(stamp)
    moment = _dated(*(part.decode() for part in dated.groups()[:-1])) if dated else None
    return Head(_kind(word), moment, dated.groups()[-1], INTERPRETED) if dated and moment is not None else None


def _journal_head(start: bytes) -> Head | None:
    found = _JOURNAL.match(start)
    if found is None:
        return None
    stamp, speaker, word = found.groups()
    moment = parse_stamp(stamp.decode("ascii", "replace"), time.time())
    if moment is None or speaker == b"kernel":
        return None
    return Head(_kind(word) if speaker == b"audit" else OTHER, moment, b"", JOURNAL)


def parse_stamp(text: str, now: float) -> float | None:
    """Parses a time of journalctl; None if there is no such time. Without a zone it is local time.

    The short form has no year: the last year is taken in which the time is not in the future.
    """
    short = _SHORT.fullmatch(text)
    try:
        if short:
            return _without_year(*short.groups(), now=now)
        iso = _ISO.search(text)
        if iso is None:
            return float(text)
        day, clock, fraction, zone = iso.groups()
        moment = datetime.datetime.fromisoformat(f"{day}T{clock}.{(fraction or '').ljust(6, '0')}")
        if zone in ("Z", "UTC", "GMT"):
            return moment.replace(tzinfo=datetime.timezone.utc).timestamp()
        if zone[:1] in ("+", "-"):
            offset = datetime.datetime.strptime(zone.replace(":", ""), "%z").tzinfo
            return moment.replace(tzinfo=offset).timestamp()
        return moment.timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _without_year(month: str, day: str, *clock: str, now: float) -> float | None:
    hour, minute, second, fraction = clock
    # 29 February is in every fourth year, and twice eight years apart.
    for year in range(time.gmtime(now + _DAY).tm_year, time.gmtime(now).tm_year - 9, -1):
        try:
            moment = datetime.datetime(
                *(year, _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)),
                int((fraction or "").ljust(6, "0")),
            ).timestamp()
        except ValueError:
            continue
        if moment <= now + _DAY:
            return moment
    return None


def _dated(one: str, separator: str, two: str, three: str, *clock: str) -> float | None:
    """Returns the time that ausearch prints in the form of the locale, as local time.

    With slashes the month is first, as in the locales C and en_US, unless that cannot be a month.
    """
    first, second, third = int(one), int(two), int(three)
    if len(one) == 4:
        year, month, day = first, second, third
    elif separator == "/" and first <= 12:
        year, month, day = third, first, second
    else:
        year, month, day = third, second, first
    hour, minute, seconds, fraction = (int(part) for part in (*clock[:3], clock[3].ljust(6, "0")))
    try:
        moment = datetime.datetime(year + 2000 * (year < 100), month, day, hour, minute, seconds, fraction)
        return max(moment.timestamp(), 0.0)
    except (ValueError, OverflowError, OSError):
        return None
