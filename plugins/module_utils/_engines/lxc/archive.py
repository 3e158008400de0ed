# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Describes a container of LXC in podman's words, and reads such a description: for archives, and the trust policy.

An archive has no files of the container: its root file system stays where it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import CONFIG, SPEC, described
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._engines.lxc.answers import (
    APPARMOR,
    LIMITS,
    MOUNTS,
    ROOTFS,
    SELINUX,
    parse_limits,
    parse_mounts,
    target_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.oci import parse_binds
from ansible_collections.criu.hosts.plugins.module_utils._formats.capabilities import capability_names
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_text
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container

ENGINE = "lxc"
_RULE = re.compile(r"([abc])(?: +(\d{1,9}|\*):(\d{1,9}|\*))?(?: +([rwm]{1,3}))?")


def describe(container: Container, when: str) -> dict[str, str]:
    """Returns config.dump: what an archive says about the container, made at the time ``when``."""
    return {
        "engine": ENGINE,
        "id": container.id,
        "name": container.name,
        "rootfs": container.image,
        "createdTime": container.created_at,
        "checkpointedTime": when,
        "ProcessLabel": container.process_label,
    }


def configuration(paths: Paths, container: Container) -> dict[str, Any]:
    """Returns spec.dump: what the container gets from the host, as the OCI runtime specification writes it.

    Its capabilities are those that the kernel says: lxc-info prints the same list for those that are kept and those
    that are dropped (6.0.4).
    """
    own = container.own
    return {
        "ociVersion": "1.0.2",
        "hostname": container.name,
        "process": {
            "capabilities": {"bounding": sorted(_capabilities(paths, container.pid))},
            "apparmorProfile": own[APPARMOR],
            "selinuxLabel": own[SELINUX],
        },
        "root": {"path": own[ROOTFS]},
        "mounts": [
            {
                "destination": target_of(one, own[ROOTFS]),
                "type": "bind",
                "source": one.source,
                "options": ["bind", *(["optional"] if one.optional else [])],
            }
            for one in parse_mounts(own[MOUNTS])
        ],
        "linux": {"resources": {"devices": list(_devices(own[LIMITS]))}},
    }


def _capabilities(paths: Paths, pid: int) -> Iterator[str]:
    found = re.search(
        r"^CapBnd:\s*([0-9a-f]{1,16})$", read_text(f"{paths.proc}/{pid}/status", may_fail=True) or "", re.M
    )
    return capability_names(int(found[1], 16)) if found is not None else iter(())


def _devices(setting: str) -> Iterator[dict[str, Any]]:
    """Yields the rules about devices; without one, all are allowed."""
    rules = [(key, value) for key, value in parse_limits(setting) if key in ("devices.allow", "devices.deny")]
    for key, value in rules or [("devices.allow", "a")]:
        found = _RULE.fullmatch(value.strip())
        if found is None:
            continue
        kind, major, minor, access = found.groups()
        numbers = {name: int(one) for name, one in (("major", major), ("minor", minor)) if one and one != "*"}
        yield {"allow": key == "devices.allow", "type": kind, **numbers, "access": access or "rwm"}


def read_description(path: str) -> Record:
    """Returns what an archive says about itself that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    return described(path, _record)


def _record(dumps: dict[str, dict[str, Any]]) -> Record:
    told, config = dumps[CONFIG], dumps.get(SPEC, {})
    if word(told, "engine") != ENGINE:
        raise ValueError(f"its container is of the engine {word(told, 'engine')!r}, not of {ENGINE}")
    return Record(
        engine=ENGINE,
        id=word(told, "id"),
        name=word(told, "name"),
        image=word(told, "rootfs"),
        image_id="",
        runtime="",
        process_label=word(told, "ProcessLabel"),
        apparmor_profile=word(inner(config, "process"), "apparmorProfile"),
        binds=tuple(to_record(parse_binds(config, lambda dummy: False))),
    )
