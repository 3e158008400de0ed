# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives of other origin: one kind of failure and limits, whatever they contain."""

from __future__ import annotations

import io
import lzma
import random
import tarfile
from pathlib import Path

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core import streams
from ansible_collections.criu.hosts.plugins.module_utils._core import tar as tars
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import Expanded, StreamError, open_stream
from ansible_collections.criu.hosts.plugins.module_utils._core.tar import Member, open_tar
from ansible_collections.criu.hosts.tests.unit.tars import COMPRESSIONS, END, entry, header, octal, padded, pax, zeros

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def members(path: Path, data: bytes, limit: int = 1 << 30) -> list[tuple[Member, bytes]]:
    path.write_bytes(data)
    with path.open("rb") as handle:
        archive = open_tar(handle, limit)
        return [(one, archive.content(1 << 20)) for one in archive]


def names(path: Path, data: bytes, limit: int) -> list[str]:
    path.write_bytes(data)
    with path.open("rb") as handle:
        return [one.name for one in open_tar(handle, limit)]


def made(kind: int) -> bytes:
    """Returns an archive of Python's own module, with all kinds of names."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=kind, pax_headers={"comment": "c0ffee"}) as archive:
        for name, content in (("a", b"x" * 1000), ("./b/c", b""), ("long/" * 30 + "\u00e9", b"y" * 512)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1_700_000_000
            archive.addfile(info, io.BytesIO(content))
        for name, flag, link in (("d", tarfile.DIRTYPE, ""), ("e", tarfile.SYMTYPE, "to/" * 33 + "a")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = flag, link
            archive.addfile(info)
    return target.getvalue()


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("kind", FORMATS, ids=["ustar", "gnu", "pax"])
def test_reads_as_other_programs_do(tmp_path: Path, kind: int, compress: str) -> None:
    found = members(tmp_path / "a", COMPRESSIONS[compress](made(kind)))
    assert [(one.name, one.kind, len(content)) for one, content in found] == [
        ("a", "file", 1000),
        ("./b/c", "file", 0),
        ("long/" * 30 + "\u00e9", "file", 512),
        ("d/", "dir", 0),
        ("e", "link", 0),
    ]
    assert found[0][0].mtime == 1_700_000_000 and found[0][1] == b"x" * 1000
    assert found[1][0].parts == ("b", "c") and found[4][0].target == "to/" * 33 + "a"


def test_large_members_are_skipped_without_reading_them(tmp_path: Path) -> None:
    path = tmp_path / "a"
    size = 1 << 40
    with path.open("wb") as handle:
        handle.write(pax(size=b"%d" % size) + header(b"memory"))
        handle.seek(size, io.SEEK_CUR)
        handle.write(entry(b"config", b"{}") + END)
    with path.open("rb") as handle:
        archive = open_tar(handle)
        assert [(one.name, one.size) for one in archive] == [("memory", size), ("config", 2)]


BINARY = b"\x80" + (1 << 62).to_bytes(11, "big")
BAD = [
    pytest.param(b"\xff" * 512, id="noise"),
    pytest.param(b"x", id="one-byte"),
    pytest.param(entry(b"a", b"x" * 600)[:-600], id="cut-off"),
    pytest.param(entry(b"a", b"x" * 600)[:300], id="cut-off-header"),
    pytest.param(header(b"a", 1 << 32) + END, id="claims-beyond-the-end"),
    pytest.param(header(b"a", BINARY) + END, id="claims-far-beyond-the-end"),
    pytest.param(header(b"a", b"\xff" * 12) + END, id="negative-size"),
    pytest.param(header(b"a", b"\x81" + b"\0" * 11) + END, id="size-of-88-bits"),
    pytest.param(header(b"a", b"-0000000001\0") + END, id="minus-in-octal"),
    pytest.param(header(b"a", b"99999999999\0") + END, id="no-octal"),
    pytest.param(header(b"a", mtime=b"\xff" * 12) + END, id="time-before-1970"),
    pytest.param(header(b"a", mtime=BINARY) + END, id="time-after-all"),
    pytest.param(header(b"a", checksum=b"0000000\0") + END, id="checksum"),
    pytest.param(header(b"a", 5, kind=b"2", target=b"b") + END, id="link-with-a-size"),
    pytest.param(header(b"a", 5, kind=b"5") + END, id="folder-with-a-size"),
    pytest.param(header(b"a", 0, kind=b"S") + END, id="sparse-of-gnu"),
    pytest.param(header(b"a", 0, kind=b"Z") + END, id="unknown-kind"),
    pytest.param(pax(GNU__sparse__size=b"1" + b"0" * 18, GNU__sparse__major=b"1") + entry(b"a") + END, id="sparse"),
    pytest.param(pax(path=b"a\0b") + entry(b"a") + END, id="nul-in-a-name"),
    pytest.param(pax(path=b"") + entry(b"a") + END, id="empty-name"),
    pytest.param(pax(linkpath=b"a\0b") + header(b"a", kind=b"2") + END, id="nul-in-a-target"),
    pytest.param(entry(b"L", b"a\0b\0", kind=b"L") + entry(b"a") + END, id="nul-in-a-long-name"),
    pytest.param(pax(size=b"-1") + entry(b"a") + END, id="negative-extended-size"),
    pytest.param(pax(size=b"9" * 5000) + entry(b"a") + END, id="size-of-5000-digits"),
    pytest.param(pax(size=b"1e3") + entry(b"a") + END, id="size-with-an-exponent"),
    pytest.param(pax(mtime=b"nan") + entry(b"a") + END, id="time-nan"),
    pytest.param(pax(mtime=b"inf") + entry(b"a") + END, id="time-infinite"),
    pytest.param(pax(mtime=b"-1") + entry(b"a") + END, id="negative-time"),
    pytest.param(pax(mtime=b"1e300") + entry(b"a") + END, id="huge-time"),
    pytest.param(pax(mtime=b"\xff") + entry(b"a") + END, id="time-that-is-none"),
    pytest.param(pax(a=b"b") + END, id="extended-header-of-nothing"),
    pytest.param(pax(a=b"b"), id="extended-header-at-the-end"),
    pytest.param(pax(a=b"b") * 9 + entry(b"a") + END, id="too-many-extended-headers"),
    pytest.param(entry(b"x", b"9999999 a=b\n", kind=b"x") + entry(b"a") + END, id="record-beyond-its-header"),
    pytest.param(entry(b"x", b"0 a=b\n", kind=b"x") + entry(b"a") + END, id="record-without-a-length"),
    pytest.param(entry(b"x", b"-5 a=b\n", kind=b"x") + entry(b"a") + END, id="record-of-negative-length"),
    pytest.param(entry(b"x", b"6 abc\n", kind=b"x") + entry(b"a") + END, id="record-without-a-value"),
    pytest.param(header(b"x", 512 << 20, kind=b"x") + END, id="extended-header-of-512-mb"),
    pytest.param(header(b"L", 512 << 20, kind=b"L") + END, id="long-name-of-512-mb"),
    pytest.param(entry(b"g", b"10 path=a\n", kind=b"g") + entry(b"a") + END, id="a-name-for-all"),
    pytest.param(bytes(512) + entry(b"a") + END, id="something-after-its-end"),
]


@pytest.mark.parametrize("compress", COMPRESSIONS)
@pytest.mark.parametrize("data", BAD)
def test_one_kind_of_failure(tmp_path: Path, data: bytes, compress: str) -> None:
    with pytest.raises(StreamError) as caught:
        members(tmp_path / "a", COMPRESSIONS[compress](data))
    assert str(caught.value).isprintable()


def test_a_file_that_is_empty_has_no_members(tmp_path: Path) -> None:
    assert members(tmp_path / "a", b"") == []


@pytest.mark.parametrize("compress", ["gzip", "bzip2", "xz"])
def test_a_bomb_is_refused_before_it_has_expanded(tmp_path: Path, compress: str) -> None:
    """Sizes are compared with the limit before anything is expanded; what is read is counted, too."""
    with pytest.raises(StreamError, match="claims to expand"):
        names(tmp_path / "a", COMPRESSIONS[compress](header(b"a", 1 << 32) + END), 1 << 30)
    some = (header(b"a", 1 << 20) + bytes(1 << 20)) * 3 + END
    assert names(tmp_path / "a", COMPRESSIONS[compress](some), 4 << 20) == ["a"] * 3
    with pytest.raises(StreamError, match="claims to expand"):
        names(tmp_path / "a", COMPRESSIONS[compress](some), 2 << 20)
    (tmp_path / "b").write_bytes(zeros(compress, 64))
    with (tmp_path / "b").open("rb") as handle, pytest.raises(StreamError, match="expands to far more"):
        open_stream(handle, 8 << 20).read(9 << 20)


@pytest.mark.parametrize("compress", ["gzip", "bzip2", "xz"])
def test_no_more_is_expanded_than_is_asked_for(tmp_path: Path, compress: str) -> None:
    (tmp_path / "a").write_bytes(zeros(compress, 64))
    with (tmp_path / "a").open("rb") as handle:
        stream = open_stream(handle, 1 << 30)
        assert isinstance(stream, Expanded)
        assert stream.read(10) == bytes(10)
        assert len(stream._piece) <= 1 << 16


@pytest.mark.parametrize("compress", ["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("place", [20, -20], ids=["begin", "end"])
def test_damaged_compression(tmp_path: Path, compress: str, place: int) -> None:
    whole = COMPRESSIONS[compress](made(tarfile.GNU_FORMAT) + random.Random(1).randbytes(5000))
    for data in (whole[:place], whole[: place - 1] + bytes([whole[place - 1] ^ 255]) + whole[place:]):
        (tmp_path / "a").write_bytes(data)
        with (tmp_path / "a").open("rb") as handle:
            stream = open_stream(handle, 1 << 30)
            with pytest.raises(StreamError):
                stream.read(1 << 20)


@pytest.mark.parametrize("compress", ["gzip", "bzip2", "xz"])
def test_several_streams_are_one(tmp_path: Path, compress: str) -> None:
    """pigz and pxz write such files, and tapes end with zeros."""
    pack = COMPRESSIONS[compress]
    (tmp_path / "a").write_bytes(pack(b"one ") + pack(b"") + pack(b"two") + bytes(200_000))
    with (tmp_path / "a").open("rb") as handle:
        assert open_stream(handle, 100).read(100) == b"one two"


def test_xz_that_wants_much_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "XZ_MEMORY", 1 << 20)
    (tmp_path / "a").write_bytes(lzma.compress(b"x"))  # asks for 8 MiB
    with (tmp_path / "a").open("rb") as handle, pytest.raises(StreamError, match="damaged"):
        open_stream(handle, 10).read(1)


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "MEMBER_LIMIT", 3)
    assert len(members(tmp_path / "a", entry(b"a") * 2 + END)) == 2
    with pytest.raises(StreamError, match="more than 3 members"):
        members(tmp_path / "a", entry(b"a") * 4 + END)


def test_extended_headers_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tars, "EXTENDED_TOTAL", 5000)
    with pytest.raises(StreamError, match="extended headers have more than 5000 bytes"):
        members(tmp_path / "a", (pax(comment=b"x" * 400) + entry(b"a")) * 20 + END)


def test_content_has_a_limit(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(entry(b"a", b"x" * 11) + END)
    with (tmp_path / "a").open("rb") as handle:
        archive = open_tar(handle)
        next(iter(archive))
        with pytest.raises(StreamError, match="11 bytes, more than the 10"):
            archive.content(10)


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    ((one, content),) = members(tmp_path / "a", entry(b"na\xefve\n", b"x") + END)
    assert (one.name, content) == ("na\udcefve\n", b"x")


def test_damage_at_any_place(tmp_path: Path) -> None:
    """The reader ends, with members or with its one exception."""
    dice = random.Random(20261129)
    whole = [made(kind) for kind in FORMATS]
    said = []
    for number in range(1500):
        data = bytearray(whole[number % 3])
        for dummy in range(dice.randint(1, 4)):
            place = dice.randrange(len(data))
            data[place : place + dice.randint(1, 3)] = dice.randbytes(dice.randint(0, 3))
        if number % 2:  # with the right checksum, more is looked at
            data[148:156] = octal(sum(data[:148]) + sum(data[156:512]) + 256, 7) + b" "
        try:
            members(tmp_path / "a", bytes(data))
        except StreamError as error:
            said.append(str(error))
    assert 0 < len(said) < 1500 and all(one.isprintable() for one in said)


def test_helpers_make_what_others_read() -> None:
    data = pax(path=b"named") + entry(b"a", b"content") + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.getnames() == ["named"] and archive.extractfile("named").read() == b"content"  # type: ignore[union-attr]
    assert padded(b"") == b""
