# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the libraries that CRIU and its plugins need, with the package of each distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Iterable


def linked_features(needed: Iterable[str]) -> tuple[str, ...]:
    """Returns the features of FEATURES whose library is among the ``needed`` ones."""
    return tuple(name for name, need in FEATURES.items() if any(lib.startswith(need.library) for lib in needed))


@dataclass(frozen=True)
class Need:
    """A build dependency: its program or header, its packages, and the library that is linked with it."""

    probe: str
    deb: str
    rpm: str
    library: str = ""

    def package(self, family: str) -> str:
        return {"debian": self.deb, "redhat": self.rpm}.get(family, f"{self.deb} (Debian) or {self.rpm} (Fedora)")


FEATURES = {
    "selinux": Need("selinux/selinux.h", "libselinux1-dev", "libselinux-devel", "libselinux.so."),
    "nftables": Need("nftables/libnftables.h", "libnftables-dev", "nftables-devel", "libnftables.so."),
    "gnutls": Need("gnutls/gnutls.h", "libgnutls28-dev", "gnutls-devel", "libgnutls.so."),
}
# library: Debian's package, Fedora's package
LIBRARIES = {
    "libbsd": ("libbsd0", "libbsd"),
    "libdrm": ("libdrm2", "libdrm"),
    "libdrm_amdgpu": ("libdrm-amdgpu1", "libdrm"),
    "libgnutls": ("libgnutls30t64", "gnutls"),
    "libnet": ("libnet1", "libnet"),
    "libnftables": ("libnftables1", "nftables-libs"),
    "libnl-3": ("libnl-3-200", "libnl3"),
    "libprotobuf-c": ("libprotobuf-c1", "protobuf-c"),
    "libselinux": ("libselinux1", "libselinux"),
    "libuuid": ("libuuid1", "libuuid"),
}


def library_packages(names: Iterable[str], family: str) -> list[str]:
    """Returns the packages that ship the libraries ``names``, as far as they are known."""
    column = {"debian": 0, "redhat": 1}.get(family)
    if column is None:
        return []
    return [LIBRARIES[name.split(".so", 1)[0]][column] for name in names if name.split(".so", 1)[0] in LIBRARIES]
