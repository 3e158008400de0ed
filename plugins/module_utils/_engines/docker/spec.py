# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Gathers what a Docker container would bring to a host, for the trust policy.

A restore from an archive makes the container from docker.dump, so that counts, whatever spec.dump says; and CRIU's
images, which decide about labels and capabilities.
"""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._engines.docker.archive import read_description
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, objects, word, words
from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import read_archive_spec
from ansible_collections.criu.hosts.plugins.module_utils._formats.capabilities import capability_names
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import UNCONFINED, Spec, label_names

ALL = (1 << 41) - 1
# moby, oci/caps/defaults.go
DEFAULT = (
    *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
    *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
)


def archive_spec(path: str) -> Spec:
    """Returns what an archive has.

    Raises:
        ValueError: it is damaged, or has what no archive of ours has.
        OSError: it cannot be read, or is compressed with zstd and this host lacks libzstd.
        CheckpointError: archive_invalid, archive_unreadable.
    """
    restored, made = read_archive_spec(path), parse_spec(read_description(path))
    return Spec(
        images=made.images,
        labels=_sorted((*made.labels, *restored.labels)),
        mounts=made.mounts,
        capabilities=_sorted((*made.capabilities, *restored.capabilities)),
        devices=_sorted((*made.devices, *restored.devices)),
    )


def parse_spec(kept: dict[str, Any]) -> Spec:
    """Returns what Docker gives a container by its Config and HostConfig.

    Raises:
        ValueError: they are not what Docker prints.
    """
    host = inner(kept, "HostConfig")
    label, profile = word(kept, "ProcessLabel"), word(kept, "AppArmorProfile")
    return Spec(
        images=tuple(one for one in (word(inner(kept, "Config"), "Image"),) if one),
        labels=_sorted((*label_names((label or profile, profile or None)), *_labels(host))),
        mounts=_sorted(_mounts(host)),
        capabilities=_sorted(_capabilities(host)),
        devices=_sorted(_devices(host)),
    )


def _sorted(found: Any) -> tuple[str, ...]:
    return tuple(sorted(set(found)))


def _labels(host: dict[str, Any]) -> Iterator[str]:
    for option in words(host, "SecurityOpt"):
        key, dummy, value = option.replace(":", "=", 1).partition("=")
        if key == "apparmor" or (key, value) == ("label", "disable"):
            yield from label_names((value if key == "apparmor" else UNCONFINED,))
        elif key == "label" and value.startswith("type"):
            yield value[5:]
    if host.get("Privileged") is True:
        yield UNCONFINED


def _mounts(host: dict[str, Any]) -> Iterator[str]:
    """Yields the paths of the host; a container whose volumes it takes is ``container:NAME``."""
    for bind in words(host, "Binds"):
        source = bind.partition(":")[0]
        if source.startswith("/"):
            yield _plain(source)
    for mount in objects(host.get("Mounts"), "Mounts"):
        # The driver local mounts any path of the host, if a volume that is to be made has such options.
        driver = inner(inner(inner(mount, "VolumeOptions"), "DriverConfig"), "Options")
        sources = (word(mount, "Source") if mount.get("Type") == "bind" else "", word(driver, "device"))
        yield from (_plain(one) for one in sources if one.startswith("/"))
    for name in words(host, "VolumesFrom"):
        yield f"container:{name.partition(':')[0]}"


def _plain(path: str) -> str:
    if ".." in path.split("/") or "//" in path:
        raise ValueError(f"it mounts {path!r}, which is no plain path")
    return path.rstrip("/") or "/"


def _capabilities(host: dict[str, Any]) -> Iterator[str]:
    added, dropped = ({one.upper().replace("CAP_", "", 1) for one in words(host, key)} for key in ("CapAdd", "CapDrop"))
    if host.get("Privileged") is True or "ALL" in added:
        yield from capability_names(ALL)
        return
    kept = () if "ALL" in dropped else (one for one in DEFAULT if one not in dropped)
    yield from (f"CAP_{one}" for one in (*kept, *added))


def _devices(host: dict[str, Any]) -> Iterator[str]:
    if host.get("Privileged") is True:
        yield "*"
    for device in objects(host.get("Devices"), "Devices"):
        yield word(device, "PathOnHost")
    yield from words(host, "DeviceCgroupRules")
    if objects(host.get("DeviceRequests"), "DeviceRequests"):
        yield "*"
