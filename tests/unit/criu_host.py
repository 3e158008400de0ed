# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulates a host in a folder for the tests of criu_build and criu_info: a distribution, programs, artifacts."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

from ansible_collections.criu.hosts.plugins.module_utils._criu.libraries import linked_features
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import manifest as manifests
from ansible_collections.criu.hosts.plugins.module_utils._formats.elf import read_elf

FIXTURES = Path(__file__).parent / "fixtures"
WITH_SELINUX = (FIXTURES / "elf/gcc-14.2.0-selinux-nftables-x86_64.bin").read_bytes()
WITHOUT_SELINUX = (FIXTURES / "elf/gcc-14.2.0-nftables-x86_64.bin").read_bytes()
DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nVERSION_ID="13"\nID=debian\n'
FEDORA = "ID=fedora\nVERSION_ID=43\n"
OLD_MAKEFILE = "CRIU_VERSION_MAJOR\t:= 3\nCRIU_VERSION_MINOR\t:= 17\nCRIU_VERSION_SUBLEVEL\t:= 1\n"
MAKEFILE = "CRIU_VERSION_MAJOR\t:= 4\nCRIU_VERSION_MINOR\t:= 2\nCRIU_VERSION_SUBLEVEL\t:= 1\nCRIU_VERSION_EXTRA\t:=\n"


def put(path: Path, content: bytes | str, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def tarball(path: Path, members: dict[str, bytes], kind: str = "w:gz") -> Path:
    """Makes a tar archive of plain files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, kind) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name == manifests.BINARY else 0o644
            archive.addfile(member, io.BytesIO(content))
    return path


def source(path: Path) -> Path:
    return tarball(path, {"criu-4.2.1/Makefile.versions": MAKEFILE.encode(), "criu-4.2.1/COPYING": b"GPL\n"}, "w:xz")


def patches(path: Path) -> Path:
    """Makes a distribution's archive of two patches."""
    series = b"# first\none\n\ntwo -p1\n"
    names = {"debian/patches/series": series, "debian/patches/one": b"", "debian/patches/two": b""}
    return tarball(path, names, "w:xz")


def manifest(
    job_id: str = "0123456789ab", *, version: str = "4.2.1", binary: bytes = WITH_SELINUX
) -> manifests.Manifest:
    elf = read_elf(io.BytesIO(binary))
    return manifests.Manifest(
        id=job_id,
        version=version,
        features=linked_features(elf.needed),
        libraries=elf.needed,
        architecture=elf.machine,
        built_on="debian 13",
        source_sha256="5" * 64,
        libc="2.34",
        files={
            "COPYING": hashlib.sha256(b"GPL\n").hexdigest(),
            manifests.BINARY: hashlib.sha256(binary).hexdigest(),
        },
    )


def artifact(path: Path, of: manifests.Manifest, binary: bytes = WITH_SELINUX) -> Path:
    members = {"COPYING": b"GPL\n", "manifest.json": manifests.render_manifest(of).encode(), manifests.BINARY: binary}
    return tarball(path, members)


def unpacked(root: Path, of: manifests.Manifest, artifact_sha256: str, binary: bytes = WITH_SELINUX) -> Path:
    """Makes an installed build as criu_build leaves it, without the links."""
    tree = root / "opt/criu-hosts" / of.tree
    put(tree / "COPYING", "GPL\n")
    put(tree / "manifest.json", manifests.render_manifest(of))
    put(tree / "installed.json", json.dumps({"artifact_sha256": artifact_sha256}))
    put(tree / manifests.BINARY, binary, 0o755)
    return tree


def link(path: Path, target: Path | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
