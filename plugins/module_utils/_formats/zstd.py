# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads and writes zstd with the system's libzstd: Python before 3.14 cannot, and hosts with Podman may lack zstd."""

from __future__ import annotations

import ctypes
import os
from typing import BinaryIO

MAGIC = b"\x28\xb5\x2f\xfd"
LIBRARY = "libzstd.so.1"


class ZstdError(OSError):
    """The stream is damaged, or libzstd is not on this host."""


class ZstdMissing(ZstdError):
    """libzstd is not on this host."""


# zstd.h: ZSTD_cParameter and ZSTD_EndDirective, which have kept their numbers since 1.4.0.
_LEVEL, _CHECKSUM, _WORKERS = 100, 201, 400
_CONTINUE, _END = 0, 2


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise ZstdMissing(f"{LIBRARY} is not installed") from error
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
    library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer)]
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return library


class ZstdReader:
    """A file object with only ``read``, which is enough for tarfile's stream mode."""

    def __init__(self, handle: BinaryIO) -> None:
        self._handle = handle
        self._library = _load()
        self._stream = self._library.ZSTD_createDStream()
        self._data = ctypes.create_string_buffer(1 << 17)
        self._out = ctypes.create_string_buffer(1 << 17)
        self._input = _Buffer(ctypes.addressof(self._data), 0, 0)
        self._ready = b""
        self._inside = False

    def read(self, size: int) -> bytes:
        """Returns ``size`` bytes; fewer only at the end.

        Raises:
            ZstdError: the stream is damaged or cut off.
        """
        parts, have = [self._ready], len(self._ready)
        while have < size:
            piece = self._more()
            if not piece:
                break
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        self._ready = data[size:]
        return data[:size]

    def _more(self) -> bytes:
        while True:
            if self._input.pos == self._input.size:
                chunk = self._handle.read(len(self._data))
                if not chunk and not self._inside:
                    return b""
                if not chunk:
                    raise ZstdError("the zstd stream ends too early")
                ctypes.memmove(self._data, chunk, len(chunk))
                self._input.size, self._input.pos = len(chunk), 0
            output = _Buffer(ctypes.addressof(self._out), len(self._out), 0)
            left = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(output), ctypes.byref(self._input))
            if self._library.ZSTD_isError(left):
                raise ZstdError("the zstd stream is damaged")
            self._inside = left != 0
            if output.pos:
                return self._out.raw[: output.pos]

    def close(self) -> None:
        """Frees libzstd's memory."""
        if self._stream:
            self._library.ZSTD_freeDStream(self._stream)
            self._stream = None


def can_compress() -> bool:
    """Returns whether this host has a libzstd that ``ZstdWriter`` can use."""
    try:
        return hasattr(_load(), "ZSTD_compressStream2")
    except ZstdMissing:
        return False


class ZstdWriter:
    """Compresses on all processors, into one frame with a checksum; it has the methods of zlib's compressors."""

    def __init__(self, level: int) -> None:
        self._library = _load()
        self._library.ZSTD_createCCtx.restype = ctypes.c_void_p
        self._library.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self._library.ZSTD_CCtx_setParameter.restype = ctypes.c_size_t
        pointer = ctypes.POINTER(_Buffer)
        self._library.ZSTD_compressStream2.argtypes = [ctypes.c_void_p, pointer, pointer, ctypes.c_int]
        self._library.ZSTD_compressStream2.restype = ctypes.c_size_t
        self._stream = self._library.ZSTD_createCCtx()
        self._out = ctypes.create_string_buffer(1 << 20)
        for parameter, value in ((_LEVEL, level), (_CHECKSUM, 1)):
            if self._library.ZSTD_isError(self._library.ZSTD_CCtx_setParameter(self._stream, parameter, value)):
                raise ZstdError(f"libzstd refuses {value} for its parameter {parameter}")
        # A libzstd that was built without threads refuses this, and compresses all the same.
        self._library.ZSTD_CCtx_setParameter(self._stream, _WORKERS, len(os.sched_getaffinity(0)))

    def compress(self, data: bytes) -> bytes:
        """Returns what is compressed so far; more data may be held back."""
        return self._step(data, _CONTINUE)

    def flush(self) -> bytes:
        """Returns the rest of the frame, after the last data."""
        return self._step(b"", _END)

    def _step(self, data: bytes, directive: int) -> bytes:
        source = _Buffer(ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p), len(data), 0)
        parts = []
        while True:
            output = _Buffer(ctypes.addressof(self._out), len(self._out), 0)
            left = self._library.ZSTD_compressStream2(
                self._stream, ctypes.byref(output), ctypes.byref(source), directive
            )
            if self._library.ZSTD_isError(left):
                raise ZstdError("libzstd cannot compress it")
            parts.append(ctypes.string_at(self._out, output.pos))
            if left == 0 if directive == _END else source.pos == source.size:
                return b"".join(parts)
