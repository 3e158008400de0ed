# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the archive with which the role unprivileged_container adds CRIU to an image."""

from __future__ import annotations

import importlib.util
import os
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities

PROGRAM = Path(__file__).parents[2] / "roles/unprivileged_container/files/pack_criu.py"
NAMES = ["CHECKPOINT_RESTORE", "SYS_PTRACE", "NET_ADMIN"]
EXPECTED = ["cap_net_admin", "cap_sys_ptrace", "cap_checkpoint_restore"]
# The output of ldd of glibc 2.41.
LDD = """\
\tlinux-vdso.so.1 (0x00007f12aabeb000)
\tlibselinux.so.1 => /lib/x86_64-linux-gnu/libselinux.so.1 (0x00007f12aa9d5000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f12aabed000)
"""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pack_criu", PROGRAM)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_attribute_is_what_the_kernel_reads(program: ModuleType) -> None:
    found = parse_capabilities(program.capability_attribute(NAMES))
    assert found == {"effective": True, "permitted": EXPECTED, "inheritable": EXPECTED}


def test_libraries(program: ModuleType) -> None:
    assert program.libraries(LDD) == ["/lib/x86_64-linux-gnu/libselinux.so.1", "/lib64/ld-linux-x86-64.so.2"]


def test_library_that_is_not_there(program: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"libnet\.so\.1"):
        program.libraries("\tlibnet.so.1 => not found\n")


def test_links_are_packed_with_what_they_lead_to(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "libx.so.1.2").write_bytes(b"")
    (tmp_path / "libx.so.1").symlink_to("libx.so.1.2")
    found = list(program.with_links(str(tmp_path / "libx.so.1")))
    assert found == [str(tmp_path / "libx.so.1"), str(tmp_path / "libx.so.1.2")]


def test_archive(program: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "criu.tar"
    interpreter = os.path.realpath(sys.executable)
    program.pack(str(target), interpreter, NAMES, [])
    with tarfile.open(target) as archive:
        member = archive.getmember("usr/local/bin/criu")
        names = archive.getnames()
    attribute = member.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape")
    assert parse_capabilities(attribute) == {"effective": True, "permitted": EXPECTED, "inheritable": EXPECTED}
    assert (member.uid, member.gid, member.mode, member.size) == (0, 0, 0o755, os.path.getsize(interpreter))
    assert any("libc.so" in name for name in names)
    assert not any(name.startswith("/") for name in names)
