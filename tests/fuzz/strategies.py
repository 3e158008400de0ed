# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the inputs: recordings of real tools with mutations, JSON with values of wrong types, hostile repetitions."""

from __future__ import annotations

import bz2
import copy
import ctypes
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Callable, Iterable, Union

from hypothesis import strategies as st

FIXTURES = Path(__file__).parents[1] / "unit/fixtures"
# No input grows beyond this in the search; growth has tests of its own.
LIMIT = 1 << 16
# What parsers treat in a special way, or believe.
TOKENS: tuple[bytes, ...] = (
    *(b"\0", b"\n", b"\r", b"\t", b" ", b"\x0b", b"\x1c", b"\x1d", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8", b"\xff"),
    *(b"\xc3", b"\xed\xb3\xbf", b"'", b'"', b"\\", b"%", b"$", b"#", b";", b"/", b"..", b"../", b"=", b":", b",", b"-"),
    *(b"{", b"}", b"[", b"]", b"(", b")", b"<", b">", b"null", b"true", b"{}", b"[]", b'""', b"NaN", b"Infinity"),
    *(b"0", b"-1", b"1e999", b"9" * 25, b"9" * 5000, b"0x1", b"1_0", "²".encode(), "٣".encode(), "①".encode()),
    *(b"\xff" * 8, b"\x80" * 12, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"[" * 50000, b'{"a":' * 10000, b"\n\n", b"\r\n"),
    *(b"type=AVC ", b"msg=audit(99999999999999999999.1:1): ", b"avc:  denied  {", b"scontext=", b"comm=", b"): "),
    *(b"Error (a.c:1): ", b"/* */", b"<!--", b"-->", b"<id>", b"<nextcloud ", b"$OC_Version = [", b"version "),
    *(b"[Service]\n", b"ExecStart=", b"0::/", b" - ", b"0001-", b".service", b"GLIBC_", b"9999-99-99T99:99:99Z"),
)
# Values of every type of JSON, for a key that should have a different one.
WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e300, 2**70, -(2**63), "", "x", "\0", "\udcff", "a\nb", "²", "9" * 5000, "../.."),
    *([], {}, [[]], [None], ["x"], [{}], {"": None}, {"a": [1]}, [[["x"]]], {"x": {"y": {"z": 0}}}),
)


def fixtures(*patterns: str) -> list[bytes]:
    """Reads the recordings whose names match, in a fixed order."""
    found = sorted({path for pattern in patterns for path in FIXTURES.glob(pattern) if path.is_file()})
    assert found, f"no recording is called {patterns}"
    return [path.read_bytes()[:LIMIT] for path in found]


Edit = tuple[str, int, int, bytes]
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(("insert", "replace", "flip", "cut", "drop", "double", "swap")),
        st.integers(0, LIMIT),
        st.integers(0, 255),
        st.sampled_from(TOKENS),
    ),
    max_size=6,
)


def apply_edits(data: bytes, edits: Iterable[Edit]) -> bytes:
    """Carries out the edits one after the other; positions count from the start again beyond the end."""
    for kind, place, size, token in edits:
        place %= len(data) + 1
        if kind == "insert":
            data = data[:place] + token + data[place:]
        elif kind == "replace":
            data = data[:place] + token + data[place + len(token) :]
        elif kind == "flip" and place < len(data):
            data = data[:place] + bytes([data[place] ^ (1 << size % 8)]) + data[place + 1 :]
        elif kind == "cut":
            data = data[:place]
        elif kind == "drop":
            data = data[:place] + data[place + size + 1 :]
        elif kind == "double":
            data = data[: place + size] + data[place:]
        elif kind == "swap":
            data = data[place:] + data[:place]
    return data[:LIMIT]


def mutated(seeds: Iterable[bytes]) -> st.SearchStrategy[bytes]:
    """Returns mutations of one of the seeds, and now and then something else altogether."""
    return st.one_of(
        st.builds(apply_edits, st.sampled_from(list(seeds)), _EDITS),
        st.builds(b"".join, st.lists(st.sampled_from(TOKENS), max_size=12)),
        st.binary(max_size=200),
    )


def as_text(data: bytes) -> str:
    """Decodes as the collection does: bytes that are not UTF-8 are kept."""
    return data.decode("utf-8", "surrogateescape")


def texts(*seeds: Union[bytes, str]) -> st.SearchStrategy[str]:
    """Returns mutations of texts."""
    return mutated([one.encode() if isinstance(one, str) else one for one in seeds]).map(as_text)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Lists the paths to all values below ``value``, itself included."""
    found = [path]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        found += _places(one, (*path, key))
    return found


def _changed(value: Any, changes: list[tuple[int, str, Any]]) -> Any:
    root = {"": copy.deepcopy(value)}
    for number, kind, other in changes:
        places = _places(root[""])
        path = ("", *places[number % len(places)])
        holder: Any = root
        for key in path[:-1]:
            holder = holder[key]
        if kind == "put" or len(path) == 1:
            holder[path[-1]] = copy.deepcopy(other)
        elif kind == "remove":
            del holder[path[-1]]
        else:
            holder[path[-1]] = [holder[path[-1]]]
    return root[""]


def values(*seeds: Any) -> st.SearchStrategy[Any]:
    """Returns the values with others of wrong types in some places, and without some keys."""
    changes = st.lists(
        st.tuples(
            st.integers(0, 4000), st.sampled_from(("put", "put", "put", "remove", "wrap")), st.sampled_from(WRONG)
        ),
        max_size=4,
    )
    return st.builds(_changed, st.sampled_from(list(seeds)), changes)


def json_bytes(*seeds: Any) -> st.SearchStrategy[bytes]:
    """Returns JSON with values of wrong types, and mutations of its text."""
    written = [json.dumps(seed, indent=1).encode() for seed in seeds]
    return st.one_of(values(*seeds).map(lambda value: json.dumps(value).encode()), mutated(written))


def json_texts(*seeds: Any) -> st.SearchStrategy[str]:
    return json_bytes(*seeds).map(as_text)


def tar_bytes(files: dict[str, bytes], *, compress: str = "", kind: int = tarfile.GNU_FORMAT) -> bytes:
    """Returns a tar archive of these files."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode=f"w:{compress}", format=kind) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755
            archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, next(iter(files))
        archive.addfile(link)
    return target.getvalue()


# Where a header has its fields; each is read, and believed, by tarfile.
_FIELDS = {
    "name": (0, 100),
    "mode": (100, 8),
    "size": (124, 12),
    "mtime": (136, 12),
    "type": (156, 1),
    "link": (157, 100),
}
_LIES = (
    *(b"\xff" * 12, b"\x80" + b"\0" * 3 + b"\x40" + b"\0" * 7, b"77777777777\0", b"-1\0", b"", b"x" * 12, b"\0" * 12),
    *(
        b"S",
        b"x",
        b"g",
        b"L",
        b"K",
        b"D",
        b"1",
        b"2",
        b"3",
        b"5",
        b"6",
        b"7",
        b"../../x\0",
        b"/etc/passwd\0",
        b"a//b/./c\0",
    ),
)


def _with_lies(data: bytes, lies: list[tuple[int, str, bytes]]) -> bytes:
    """Writes lies into the headers of a plain tar archive, and a right checksum over them."""
    blocks = bytearray(data)
    for number, name, lie in lies:
        start = number % max(len(blocks) // 512, 1) * 512
        offset, size = _FIELDS[name]
        header = blocks[start : start + 512]
        if len(header) < 512:
            continue
        header[offset : offset + size] = lie[:size].ljust(size, b"\0")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        blocks[start : start + 512] = header
    return bytes(blocks)


def _pax(records: list[tuple[str, str]]) -> bytes:
    """Returns a pax archive of one file whose header has these records."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("config.dump")
        member.pax_headers, member.size = dict(records), 2
        archive.addfile(member, io.BytesIO(b"{}"))
    return target.getvalue()


_PAX = st.lists(
    st.tuples(
        st.sampled_from(
            ("path", "linkpath", "size", "mtime", "mode", "GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major",
             "GNU.sparse.minor", "GNU.sparse.numblocks", "GNU.sparse.name", "GNU.sparse.realsize", "hdrcharset")
        ),
        st.sampled_from(("", "0", "1", "-1", "nan", "inf", "1e400", "9" * 19, "x", "a\0b", "../x", "/x", "1,2,3")),
    ),
    max_size=4,
)  # fmt: skip


def archives(plain: bytes) -> st.SearchStrategy[bytes]:
    """Returns plain tar archives with lies in their headers, pax headers, and mutations."""
    lies = st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(sorted(_FIELDS)), st.sampled_from(_LIES)), min_size=1, max_size=3
    )
    return st.one_of(st.builds(_with_lies, st.just(plain), lies), _PAX.map(_pax), mutated([plain]))


def zstd(data: bytes) -> bytes:
    """Compresses with the system's libzstd; without it, returns the bare magic number and the data."""
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError:
        return b"\x28\xb5\x2f\xfd" + data
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    library.ZSTD_compress.argtypes = [
        *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t),
        ctypes.c_int,
    ]
    target = ctypes.create_string_buffer(library.ZSTD_compressBound(len(data)))
    return target.raw[: library.ZSTD_compress(target, len(target), data, len(data), 3)]


def compressed(inner: st.SearchStrategy[bytes], *ways: Callable[[bytes], bytes]) -> st.SearchStrategy[bytes]:
    """Returns the inputs as they are, and compressed, some of them damaged after that."""
    packed = st.one_of(*(inner.map(way) for way in ways))
    return st.one_of(inner, packed, st.builds(apply_edits, packed, _EDITS))


def bzip2(data: bytes) -> bytes:
    return bz2.compress(data)


# Repetitions that make a careless parser, or a careless pattern, slow: from a size to an input of about that size.
def repeated(token: bytes, head: bytes = b"", tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + token * (size // len(token)) + tail


REPEATED: tuple[bytes, ...] = (
    *(
        b"[",
        b"{",
        b"(",
        b"<",
        b" ",
        b"\n",
        b"a",
        b"0",
        b"9",
        b"/",
        b"\\",
        b'"',
        b"'",
        b"=",
        b"%",
        b";",
        b"#",
        b".",
        b"-",
    ),
    *(b"\0", b"\xff", b"\x80", b"\t \n", b"a=b\n", b"a b ", b"1.", b",1", b"a:b:c:d ", b"../", b"[]", b"{}", b'{"a":'),
    *(b"[0,", b'"a",', b"<!--", b"<id>", b"<nextcloud ", b"$OC_Version=[ ", b"type=AVC ", b"\ntype=AVC { } for comm=a"),
    *(
        b"avc:  denied  {",
        b"Error (",
        b"SELINUX_ERR",
        b" - \n",
        b"0 0 0 0 / - a a context=x\n",
        b"version ",
        b"is needed by",
    ),
)
