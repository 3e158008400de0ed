# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads zstd streams with the system's libzstd: Python before 3.14 cannot, and hosts with Podman may lack zstd."""

from __future__ import annotations

import ctypes
from typing import BinaryIO

MAGIC = b"\x28\xb5\x2f\xfd"
LIBRARY = "libzstd.so.1"


class ZstdError(OSError):
    """The stream is damaged, or libzstd is not on this host."""


class ZstdMissing(ZstdError):
    """libzstd is not on this host."""


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
