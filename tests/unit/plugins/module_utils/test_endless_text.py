# SPDX-License-Identifier: GPL-3.0-or-later
"""Long texts that make a pattern try everything: each takes many minutes if a parser reads it again and again."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version
from ansible_collections.criu.hosts.plugins.module_utils._criu import features, readiness
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import (
    compatibility,
    needs,
    package_archive,
    package_debian,
    package_redhat,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_build import (
    compile as build,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu_config import config_file
from ansible_collections.criu.hosts.plugins.module_utils._host import distribution, kernel
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux import host as selinux
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux import labels, module

SIZE = 200_000


def failed(text: str) -> Completed:
    return Completed(("make",), 2, "", text)


PARSERS: dict[str, Callable[[str], Any]] = {
    "check": lambda text: features.parse_check(failed(text)),
    "complaint": lambda text: selinux.complaint(failed(text)),
    "setting": lambda text: selinux._setting(text, "SELINUXTYPE", "x"),
    "lock": readiness.LOCK_OPTION.search,
    "version": parse_version,
    "criu-version": config_file.parse_criu_version,
    "release": lambda text: kernel.parse_release(text, text),
    "os-release": distribution.parse_os_release,
    "ldconfig": compatibility.parse_ldconfig,
    "makefile": build.parse_version,
    "url": build.version_of_url,
    "series": build.parse_series,
    "build": lambda text: needs.explain_build(failed(text), "debian"),
    "package-build": lambda text: package_archive.explain(failed(text), lambda dummy: []),
    "rpm-missing": package_redhat.missing_packages,
    "sourcerpm": package_redhat.parse_sourcerpm,
    "spec": lambda text: package_redhat.edit_spec(text, ["a"], "x"),
    "deb-missing": package_debian.missing_packages,
    "depends": package_debian.strict_depends,
    "uris": package_debian.parse_uris,
    "madison": lambda text: package_debian.parse_madison(text, "x"),
    "changelog": lambda text: package_debian.add_entry(text, "1", ["a"]),
    "control": lambda text: package_debian.add_build_depends(text, ["a"]),
    "mounts": labels.parse_mounts,
    "cil": module.declared_booleans,
}
PIECES = [
    *("\n", " ", "\t", "x", ".", "1.", "(", ")", '"', "'", ",", "=", "a b ", "Error (", "make", "x: ", ".so", "../"),
    *("SELINUXTYPE\n", "SELINUXTYPE ", "network-lock ", "Release: a ", "Release:\n", "Epoch: 1 ", "BuildRequires:\n"),
    *("Depends: ", "context=", 'context="', " - a b context=", "(boolean ", "unmet build dependencies: a (", "criu-"),
    *("'' criu_", "Version: ", "CRIU_VERSION_MAJOR ", "v1.1", " at /tmp/modules/", "\udcff", "\u2028", "\0"),
]


@pytest.mark.parametrize("name", PARSERS)
def test_one_pass(name: str) -> None:
    said = []
    for piece in PIECES:
        text = piece * (SIZE // len(piece))
        for one in (text, f"a{text}!\n"):
            try:
                PARSERS[name](one)
            except CheckpointError as error:
                said.append(error.message)
    assert not any("\n" in one for one in said)
