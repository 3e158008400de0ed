# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers what criu_info says of a host: its CRIU, its engine and runtimes, its kernel, and its readiness."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, AbstractSet, Any, Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import parse_version, version_number
from ansible_collections.criu.hosts.plugins.module_utils._criu import readiness
from ansible_collections.criu.hosts.plugins.module_utils._criu.features import FEATURE_NAMES, read_check
from ansible_collections.criu.hosts.plugins.module_utils._criu.inspect import (
    find,
    find_all,
    linkage,
    read_binary,
    read_config,
    read_lsm,
    read_version,
)
from ansible_collections.criu.hosts.plugins.module_utils._criu.kernel_cache import read_kdat
from ansible_collections.criu.hosts.plugins.module_utils._criu.offer import read_offer
from ansible_collections.criu.hosts.plugins.module_utils._criu_build.layout import Layout
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.storage import storage_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.runtimes import load_library, read_runtimes
from ansible_collections.criu.hosts.plugins.module_utils._host.distribution import read_system
from ansible_collections.criu.hosts.plugins.module_utils._host.kernel import read_kernel
from ansible_collections.criu.hosts.plugins.module_utils._host.support import support_of
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.loaded_policy import LoadedPolicy

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context

# The subsets of gather, and the keys that each of them sets.
SUBSETS = {
    "binary": (
        *("version", "version_number", "sha256", "libraries", "selinux", "nftables", "gnutls"),
        *("capabilities", "shadowed", "installed"),
    ),
    "config": ("config", "config_error"),
    "runtimes": ("runtimes", "podman", "tools"),
    "kernel": ("kernel", "lsm", "system", "support", "kdat"),
    "features": ("check", "features"),
    "readiness": ("network_lock", "readiness", "reasons"),
    "offer": ("offer",),
}
DEFAULT = [subset for subset in SUBSETS if subset != "offer"]
# The readiness depends on all the others, but the features may be unknown.
NEEDED_FOR_READINESS = {"binary", "config", "runtimes", "kernel"}
NEEDED_FOR_OFFER = {"binary", "kernel"}
NOT_ASKED: dict[str, Any] = {"check": {"passed": None, "log": []}, "features": {}}
# The artifact of a build, as the role criu and the playbook build_criu write it by default.
ARTIFACT = "criu.tar.gz"
# The label of a user's shell, by the default of every targeted policy and of Debian's.
USER_CONTEXT = "unconfined_u:unconfined_r:unconfined_t:s0"


def _features(ctx: Context, path: str | None, asked: Sequence[str]) -> dict[str, Any]:
    """Checks the features: those that the readiness depends on, then those that the task names."""
    if path is None or not ctx.is_root:
        return NOT_ASKED
    names = dict.fromkeys((*readiness.FEATURES, *(FEATURE_NAMES if asked == ["all"] else asked)))
    check, features = read_check(ctx.runner, path, names)
    return {"check": check, "features": features}


def is_ours(paths: Paths, path: str | None) -> bool:
    """Returns whether criu_build installed the CRIU in use."""
    return path is not None and os.path.realpath(path) == os.path.realpath(Layout(paths).active)


def _build(paths: Paths, path: str | None) -> dict[str, Any] | None:
    """Describes the build of criu_build that is in use."""
    if not is_ours(paths, path):
        return None
    # Hosts without a build of criu_build need not compile this.
    from ansible_collections.criu.hosts.plugins.module_utils._criu_build.installed import describe, read_installed

    layout = Layout(paths)
    installed = read_installed(layout)
    described = describe(installed.active, layout.active)
    family = read_system(paths)[0]
    return {**described, "intact": installed.right(divert=family == "debian")} if described else None


def _file(paths: Paths, found: list[str], version: str | None) -> dict[str, Any]:
    """Describes the file of the CRIU in use."""
    path = found[0] if found else None
    binary = read_binary(path) if path else None
    return {
        "version": version,
        "version_number": version_number(version),
        "sha256": file_sha256(path) if path else None,
        **linkage(binary.elf if binary else None),
        "capabilities": binary.capabilities if binary else None,
        "shadowed": found[1:],
        "installed": _build(paths, path),
    }


def _engine(ctx: Context, path: str | None) -> dict[str, Any]:
    """Describes Podman, its runtimes, and the tools that checkpoints need."""
    podman = find(ctx.paths, "podman")
    printed = ctx.runner.run([podman, "--version"]).out if podman else ""
    return {
        "runtimes": read_runtimes(ctx.paths, ctx.runner, path, load_library),
        "podman": {
            "path": podman,
            "version": parse_version(printed),
            "storage": storage_of(ctx.paths) if podman else None,
        },
        "tools": {name: find(ctx.paths, name) for name in ("nft", "tar", "zstd")},
    }


def _around(paths: Paths, path: str | None) -> dict[str, Any]:
    """Describes the kernel, its security modules, the distribution, and CRIU's cache of the kernel."""
    lsm = read_lsm(paths)
    policy = LoadedPolicy(paths.selinuxfs)
    lets = policy.lets(USER_CONTEXT, USER_CONTEXT, "process", ("execmem", "dyntransition"))
    lsm["selinux"]["lets_users"] = lets
    family, name = read_system(paths)
    distribution, dummy, release = name.partition(" ")
    return {
        "kernel": read_kernel(paths),
        "lsm": lsm,
        "system": {"family": family, "name": name},
        "support": support_of(distribution, family, release, lsm["ruling"]),
        "kdat": read_kdat(paths, lsm["selinux"]["policy"], ours=is_ours(paths, path)),
    }


def gather(ctx: Context, wanted: AbstractSet[str], features: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the value of criu_info: the keys of the subsets, None for those that are not wanted.

    ``features`` are those to check beside the ones that the readiness depends on.
    """
    found = find_all(ctx.paths, "criu")
    path = found[0] if found else None
    value: dict[str, Any] = {"path": path, **{key: None for keys in SUBSETS.values() for key in keys}}
    version, error = read_version(ctx.runner, path) if path and wanted & {"binary", "config"} else (None, None)
    if "binary" in wanted:
        value.update(_file(ctx.paths, found, version))
    if "config" in wanted:
        value.update(config=read_config(ctx.paths), config_error=error)
    if "runtimes" in wanted:
        value.update(_engine(ctx, path))
    if "features" in wanted:
        value.update(_features(ctx, path, features))
    if "kernel" in wanted:  # after the features, as CRIU replaces a cache of another build when it checks them
        value.update(_around(ctx.paths, path))
    if "readiness" in wanted:
        known = value if "features" in wanted else {**value, **NOT_ASKED}
        lock = readiness.network_lock(known, iptables=find(ctx.paths, "iptables-restore") is not None)
        value.update(readiness.judge({**known, "network_lock": lock}), network_lock=lock)
    if "offer" in wanted:
        built = os.path.exists(f"{ctx.paths.state}/{ARTIFACT}")
        value["offer"] = read_offer(ctx.runner, value, machine=os.uname().machine, built=built)
    return value


def is_ready(ctx: Context, intent: str) -> bool | None:
    """Returns whether the host is ready for an intent, as criu_info judges it; None if that is not known."""
    ready: bool | None = gather(ctx, {*NEEDED_FOR_READINESS, "features", "readiness"})["readiness"][intent]["ready"]
    return ready
