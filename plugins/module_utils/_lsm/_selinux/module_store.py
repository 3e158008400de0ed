# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads a policy module of a host, and changes it or predicts the change, for selinux_module and criu_policy."""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import expand
from ansible_collections.criu.hosts.plugins.module_utils._formats.binary_policy import policy_default
from ansible_collections.criu.hosts.plugins.module_utils._host.names import KDAT
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.host import SelinuxHost, disk_policy, read_file
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.module import (
    Source,
    Stored,
    StoredModule,
    Surroundings,
    WantedModule,
    check_result,
    declared_booleans,
    package_name,
    plan_module,
    predict_module,
    semodule_error,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


def change_module(
    ctx: Context, host: SelinuxHost, stored: StoredModule, wanted: WantedModule
) -> tuple[StoredModule, Plan]:
    """Plans and applies the change; returns the module after it (in check mode, as predicted) and the plan.

    Raises:
        CheckpointError: the error of semodule, change_lost.
    """
    cache = host.paths.below(KDAT)
    around = Surroundings(
        loaded=host.mode != "disabled",
        work_dir=work_dir(host, wanted.name),
        probe_cache=cache if os.path.exists(cache) else "",
    )
    plan = plan_module(stored, wanted, around)
    try:
        applied = ctx.apply(plan)
    except CommandError as error:
        raise semodule_error(error.completed, wanted.name) from error
    after = predict_module(stored, wanted)
    if applied is not None:
        after = read_module(host, wanted.name)
        check_result(after, wanted)
    return after, plan


# The largest modules of a distribution have a few MiB.
MODULE_LIMIT = 64 << 20


def _unpack(data: bytes) -> bytes:
    """Returns a module, plain or compressed with bzip2; raises ValueError if it is damaged or expands to too much."""
    return expand(data, MODULE_LIMIT) if data.startswith(b"BZh") else data


def work_dir(host: SelinuxHost, name: str) -> str:
    """Returns the folder that holds the file of the module ``name`` while semodule reads it.

    semodule takes the name of a CIL module from the file name, so the file needs its own folder. Its domain,
    semanage_t, may not map a file with the label of /run or of the rest of /var/lib, so the folder is beside the store.
    """
    return f"{os.path.dirname(host.store or '')}/criu-hosts.{name}"


def _stored(name: str, path: str) -> bytes:
    try:
        return _unpack(read_file(path) or b"")
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"Cannot read the policy module {name!r} in {path!r}: {error}. Install the module again with semodule.",
            reason="policy_invalid",
            path=path,
        ) from error


def read_module(host: SelinuxHost, name: str) -> StoredModule:
    """Reads the module ``name`` at all its priorities.

    Raises:
        CheckpointError: reason store_missing, if the host has no policy store.
    """
    if host.store is None:
        raise CheckpointError(
            f"Cannot look for policy module {name!r}: there is no store for the policy {host.policy_type!r}. "
            f"Install the package selinux-policy-default (Debian) or selinux-policy-targeted (Red Hat family).",
            reason="store_missing",
        )
    folder = f"{host.store}/modules"
    entries = []
    for priority in sorted(int(entry) for entry in os.listdir(folder) if re.fullmatch("[0-9]{1,9}", entry)):
        place = f"{folder}/{priority:03d}/{name}"
        language = read_file(f"{place}/lang_ext")
        if language is None:
            continue
        kind = language.decode("utf-8", "replace").strip("\0\n ")
        data = _stored(name, f"{place}/hll" if kind != "cil" else f"{place}/cil")
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        text = data.decode("utf-8", "replace") if kind == "cil" else ""
        entries.append(Stored(priority, kind, checksum, text))
    return StoredModule(name, tuple(entries), enabled=not os.path.exists(f"{folder}/disabled/{name}"))


def read_source(path: str, name: str) -> Source:
    """Reads the policy module in the file ``path`` on this host: .cil or .pp, plain or compressed with bzip2.

    Raises:
        CheckpointError: reasons source_missing, policy_invalid.
    """
    try:
        data = read_file(path) if not os.path.isdir(path) else None
    except OSError as error:
        raise CheckpointError(
            f"Cannot install policy module {name!r} from {path!r}: {error.strerror}.",
            reason="policy_invalid",
            path=path,
        ) from error
    if data is None:
        raise CheckpointError(
            f"Cannot install policy module {name!r}: there is no file {path!r} on this host. Copy it there first.",
            reason="source_missing",
            path=path,
        )
    try:
        data = _unpack(data)
        language = re.sub(r"\.bz2$", "", path).rsplit(".", 1)[-1]
        if language not in ("cil", "pp"):
            raise ValueError("its name does not end in .cil, .pp or .pp.bz2")
        if language == "pp" and package_name(data) != name:
            raise ValueError(f"it holds the module {package_name(data)!r}; give that as name")
    except (OSError, ValueError, EOFError) as error:
        raise CheckpointError(
            f"Cannot install policy module {name!r} from {path!r}: {error}.", reason="policy_invalid", path=path
        ) from error
    return Source(language, data)


def booleans_of_others(host: SelinuxHost, stored: StoredModule, names: set[str]) -> set[str]:
    """Returns those of ``names`` that the policy has from a source other than the module ``stored``."""
    own: set[str] = set()
    if stored.enabled:
        own = set().union(*(declared_booleans(entry.text) for entry in stored.entries))
    asked = names - own
    policy = disk_policy(host) if asked else b""
    return {name for name in asked if policy_default(policy, name) is not None}
