# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs in which a process has written what it likes. The large ones take hours if they are read more than once."""

from __future__ import annotations

import contextlib
import io
import os
import random
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._denials import report, sources
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import read_signs
from ansible_collections.criu.hosts.plugins.module_utils._denials.explain import explain_all, utc
from ansible_collections.criu.hosts.plugins.module_utils._denials.failure import LOG_LIMIT, read_log
from ansible_collections.criu.hosts.plugins.module_utils._denials.groups import GROUPS, Groups
from ansible_collections.criu.hosts.plugins.module_utils._denials.heads import parse_head, parse_time
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import (
    parse_fields,
    parse_line,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.since import LAST, parse_since, read_since
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy
from ansible_collections.criu.hosts.tests.unit.denials import corpus, enforcing_host, lines, soon
from ansible_collections.criu.hosts.tests.unit.harness import PLACE, put_host

AVC = (
    b'type=AVC msg=audit(1795384456.390:184): avc:  denied  { read } for  pid=1 comm="%s" name="x" '
    b"scontext=a:b:c_t:s0 tcontext=a:object_r:d_t:s0 tclass=file permissive=0\n"
)
NOTHING = LoadedPolicy("/nonexistent")


def scanned(data: bytes, since: float = 0.0) -> Groups:
    groups = Groups(since)
    sources.scan(io.BytesIO(data), groups)
    groups.settle_lines({})
    return groups


@pytest.mark.parametrize("since", [0.0, 1.0], ids=["all", "since"])
def test_each_denial_has_another_command(since: float) -> None:
    """8 MiB of them; searching a block again for each took 30 seconds a MiB."""
    count = 45_000
    groups = scanned(b"".join(AVC % b"%08x" % number for number in range(count)), since)
    assert groups.records == count and len(groups.groups) == GROUPS


def test_the_first_and_the_last_of_each_command_are_right() -> None:
    """As without blocks that are counted as a whole."""
    names = [b"a%d" % (number * number % 97) for number in range(4000)]
    data = [(AVC % name).replace(b"456.390", b"%d.390" % number) for number, name in enumerate(names, 100)]
    whole, single = scanned(b"".join(data)), Groups()
    for line in data:
        single.add(line[:-1])
    assert {key: (one.count, one.earlier, one.line) for key, one in whole.groups.items()} == {
        key: (one.count, one.earlier, one.line) for key, one in single.groups.items()
    }


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"type=AVC \n", id="heads-of-records"),
        pytest.param(b"type=AVC msg=audit(1795384456.390:184): avc:  denied  { \n", id="torn"),
        pytest.param(b"type=AVC {} for {} for {} for\n", id="braces"),
        pytest.param(b"type=SELINUX_ERR\n", id="marks-of-errors"),
        pytest.param(b'type=PATH name="type=SELINUX_ERR"\n', id="names-with-marks"),
        pytest.param(b"type=1401 audit(1.1:1): op=a\n", id="errors"),
    ],
)
def test_lines_that_look_like_records(line: bytes) -> None:
    """Beside 60 denials: 48,000 of the first kind took three minutes."""
    groups = scanned((AVC % b"criu") * 60 + line * (2_000_000 // len(line)) + (AVC % b"criu") * 60)
    assert sum(one.count for one in groups.groups.values() if one.record.comm == "criu") == 120


LONG = 400_000
ENDLESS = [
    pytest.param(b"x" * LONG, id="name"),
    pytest.param(b"=" * LONG, id="signs"),
    pytest.param(b'a="' * LONG, id="open-quotes"),
    pytest.param(b"a=[" * LONG, id="open-brackets"),
    pytest.param(b'a=["' * LONG, id="both"),
    pytest.param(b" " * LONG, id="blanks"),
    pytest.param(b"c" * LONG, id="the-letter-of-comm"),
    pytest.param(b"comm=" * LONG, id="commands"),
    pytest.param(b"{" * LONG, id="braces"),
    pytest.param(b" scontext=" * LONG, id="contexts"),
    pytest.param(b"\0" * LONG, id="nul"),
    pytest.param(b"\xff\xfe" * LONG, id="not-utf-8"),
    pytest.param("\u0661=1 ".encode() * LONG, id="digits-of-another-script"),
]


@pytest.mark.parametrize("text", ENDLESS)
@pytest.mark.parametrize(
    "template",
    [b"%s\n", AVC, b"type=AVC msg=audit(1795384456.390:184): avc:  denied  { %s } for  comm=a scontext=b\n"],
    ids=["alone", "comm", "permissions"],
)
def test_endless_lines(text: bytes, template: bytes) -> None:
    groups = scanned((AVC % b"criu") * 60 + template % text + (AVC % b"criu") * 60)
    assert sum(one.count for one in groups.groups.values() if one.record.comm == "criu") == 120


@pytest.mark.parametrize("text", ENDLESS)
def test_endless_fields(text: bytes) -> None:
    fields = parse_fields(text.decode("utf-8", "replace") + " tclass=file")
    assert fields.get("tclass") in ("file", None)


def test_pairs_with_quotes_that_are_not_closed() -> None:
    assert parse_fields('a="b c" d=[e f] g="h i=j k=[l') == {"a": "b c", "d": "e f", "g": "h", "i": "j", "k": "l"}
    assert parse_fields("a= b=c =d e==f") == {"b": "c", "e": "=f"}


@pytest.mark.parametrize(
    "time",
    [
        *(b"9999999999999.1", b"9" * 400 + b".1", b"-1.5", b"1.", b".5", b"nan", b"inf.0", b"1e9.0", b"", b"1.1.1"),
        *("\u0661.1".encode(), b"1." + b"9" * 400, b"0x10.1", b" 1.1", b"\0"),
    ],
)
def test_times_that_are_none(time: bytes) -> None:
    line = (AVC % b"criu").replace(b"1795384456.390", time)
    assert parse_head(line) is None and parse_time(line) == 0.0 and parse_line(line) is None
    assert scanned(line * 100 + AVC % b"a").records == 1


@pytest.mark.parametrize("time", [b"0.000", b"4102444800.000", b"99999999999.999"], ids=["1970", "2100", "5138"])
def test_times_of_other_centuries(time: bytes) -> None:
    groups = scanned((AVC % b"criu").replace(b"1795384456.390", time) * 60)
    (one,) = explain_all(groups, NOTHING)
    assert one["count"] == 60 and one["first"].endswith("Z") and utc(float(LAST)).startswith("9999-12-31")


@pytest.mark.parametrize("cut", range(0, 180, 7))
def test_torn_records(cut: int) -> None:
    line = AVC % b"criu"
    for data in (line[:cut] + b"\n", line[cut:], line[:cut] + line, line[:cut] + b"\0" * 50 + line[cut:]):
        for since in (0.0, 5.0):
            explain_all(scanned(data * 60 + line, since), NOTHING)


def test_damage_at_any_place() -> None:
    dice = random.Random(20261203)
    whole = [line for name in corpus() for line in lines(name)]
    for number in range(1500):
        data = bytearray(dice.choice(whole) + b"\n")
        for dummy in range(dice.randint(1, 4)):
            place = dice.randrange(len(data))
            data[place : place + dice.randint(0, 3)] = dice.choice(
                [b"", b"\0", b"\n", b'"', b"[", b"=", b"{", b"\xff", b"9" * 30]
            )
        groups = scanned(bytes(data) * (60 if number % 9 == 0 else 1), float(number % 2))
        for one in explain_all(groups, NOTHING):
            assert one["first"] <= one["last"] and one["count"] > 0


@pytest.mark.parametrize("word", ["a b", "a)(allow b c", "a;", "", "a/b", "\u00e9"])
def test_a_rule_has_words_of_a_policy_only(word: str) -> None:
    line = (AVC % b"criu").replace(b"tclass=file", b'tclass="%s"' % word.encode())
    found = [one["candidate_rule"] for one in explain_all(scanned(line), NOTHING)]
    assert found in ([], [None])


@pytest.mark.parametrize(
    "text",
    [
        *("1795384456390", "@1795384456390", "99999999999d", "9" * 18 + "d", "9" * 5000, "9" * 5000 + "d", "-1", "@-5"),
        *("-1795384456", "-5m", "1e300", "nan", "inf", "\u0661\u0662m", "\u0661", "0001-01-01T00:00:00+23:59", "5m\n"),
        *("9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z", "99999-01-01", "\0", "\udcff", "12\n", "boot\n"),
    ],
)
def test_since_that_is_no_time(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_since(text, now=1795384456.0, boot=5.0)
    assert caught.value.reason == "since_invalid" and len(caught.value.message) < 500
    assert "\n" not in caught.value.message


def test_since_in_other_centuries() -> None:
    assert parse_since("1970-01-01", now=0, boot=0) == 0.0
    assert parse_since("2199-01-01T00:00:00Z", now=0, boot=0) == 7226582400.0
    assert parse_since("20000d", now=1795384456.0, boot=0) > 0


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


def _sparse(path: Path) -> None:
    with path.open("wb") as handle:
        handle.truncate(1 << 40)


RECORDS = [
    pytest.param(os.mkfifo, id="pipe"),
    pytest.param(_deep, id="deep"),
    pytest.param(_sparse, id="sparse"),
    pytest.param(lambda path: path.symlink_to("/dev/zero"), id="device"),
    pytest.param(lambda path: path.write_bytes(b"\xff\xfe\0"), id="not-utf-8"),
    pytest.param(lambda path: path.write_text('{"checkpointed_at": {"a": 1}}'), id="wrong-type"),
    pytest.param(lambda path: path.write_text('{"checkpointed_at": 1e400}'), id="huge-number"),
    pytest.param(lambda path: path.write_text('{"checkpointed_at": -5}'), id="negative"),
]


@pytest.mark.parametrize("make", RECORDS)
def test_since_of_a_record_that_is_none(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "web.tar.json")
    with pytest.raises(CheckpointError) as caught:
        read_since(None, str(tmp_path / "web.tar"), now=0, boot=0)
    assert caught.value.reason == "record_invalid" and caught.value.message.isprintable()


def test_since_of_a_name_that_no_file_can_have() -> None:
    with pytest.raises(CheckpointError, match="null"):
        read_since(None, "/a\0b", now=0, boot=0)


def test_only_the_end_of_a_log_is_read(tmp_path: Path) -> None:
    """The oldest file first; what no longer fits is the oldest."""
    for number, name in enumerate(("audit.log.2", "audit.log.1", "audit.log")):
        (tmp_path / name).write_bytes(b"".join(AVC % b"n%d.%d" % (number, line) for line in range(10)))
    files = tuple(str(tmp_path / name) for name in ("audit.log.2", "audit.log.1", "audit.log"))
    size = (tmp_path / "audit.log").stat().st_size

    def commands(limit: int) -> list[str]:
        groups = Groups()
        sources.read_audit(files, groups, limit)
        return [one.record.comm for one in groups.groups.values()]

    assert commands(3 * size) == [f"n{number}.{line}" for number in range(3) for line in range(10)]
    assert commands(size + 5 * len(AVC % b"n1.5")) == [f"n1.{line}" for line in range(6, 10)] + [
        f"n2.{line}" for line in range(10)
    ]
    assert commands(size) == [f"n2.{line}" for line in range(10)]
    assert commands(1) == []


def test_a_log_that_grows_while_it_is_read() -> None:
    class Growing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, view: Any) -> int:
            view[:] = bytes(len(view))
            return len(view)

    assert sources.scan(Growing(), Groups(), 10 << 20) == 10 << 20


def test_a_ring_that_is_filled_while_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kmsg").write_bytes(b"")
    answers = [BrokenPipeError(), b"5,1,1,-;a\n"]

    def read(dummy_descriptor: int, dummy_size: int) -> bytes:
        answer = answers.pop(0)
        answers.append(answer)
        if isinstance(answer, bytes):
            return answer
        raise answer

    monkeypatch.setattr(sources.os, "read", read)
    sources.read_kernel(str(tmp_path / "kmsg"), Groups())


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "link-to-a-device"])
def test_a_log_that_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "audit.log"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link-to-a-device":
        path.symlink_to("/dev/zero")
    else:
        path = Path("/dev/zero")
    groups = Groups()
    with contextlib.suppress(OSError):
        sources.read_audit((str(path),), groups)
    assert groups.records == 0
    assert read_log(str(path)) == ""
    with pytest.raises(OSError, match=r"not a regular file|Is a directory"):
        report.read_logs([str(path)])


def test_a_failure_is_explained_without_reading_gigabytes(tmp_path: Path) -> None:
    """Both logs are sparse files of a TiB whose last lines count."""
    put_host(tmp_path, 0)
    enforcing_host(tmp_path, b"")
    audit, log = tmp_path / "var/log/audit/audit.log", tmp_path / "dump.log"
    record = soon(lines("debian13-archive-in-home.txt")[0])
    error = b"(00.1) Error (criu/bfd.c:131): bfd: Error flushing image: No space left on device\n"
    for path, last in ((audit, record), (log, error)):
        with path.open("wb") as handle:
            handle.seek(1 << 40)
            handle.write(b"\n" + last + b"\n")
    found = report.look_back(PLACE.paths, 0.0, [str(log)])
    assert [one["id"] for one in found["denials"]] == ["archive_in_home"]
    assert read_log(str(log)).strip("\0\n") == error.decode().strip()
    assert len(read_log(str(log))) <= 4 * LOG_LIMIT


@pytest.mark.parametrize("text", ENDLESS)
@pytest.mark.parametrize(
    "before", [b"", b"(00.1) Error (criu/x.c:1): ", b"pie: 1: restoring lsm profile (current) ", b"Error "]
)
def test_endless_lines_of_criu(tmp_path: Path, text: bytes, before: bytes) -> None:
    (tmp_path / "dump.log").write_bytes(
        before + text + b"\n(00.1) Error (criu/a.c:1): Can't map restorer code: Permission denied"
    )
    dummy, (finding,) = report.read_logs([str(tmp_path / "dump.log")])
    assert finding.sign.id == "restorer_mapping" and len(finding.line) <= 400


@pytest.mark.parametrize(
    "words",
    [
        "Can't map restorer code: Permission denied",
        "SECCOMP_SET_MODE_FILTER returned -13",
        "can't write lsm profile -13",
        "Unable to connect a transport socket: Permission denied",
    ],
)
@pytest.mark.parametrize("form", ["Can't dump ghost file /tmp/{} of 9 size", "/{}", "open '{}' failed: No such file"])
def test_names_of_files_are_no_sign(words: str, form: str) -> None:
    for line in (f"(00.1)    7: Error (criu/files.c:1): {form.format(words)}", words, f"Warn: {words} Error (a): b"):
        assert [one.sign.id for one in read_signs([line], "x")] in ([], ["unknown"])
    name = "restoring lsm profile (current) evil"
    (one,) = read_signs([f"(1.1) Error (a): /{name}", f"(1.1) Error (a.c:1): {words}"], "x")
    assert one.label == ""
