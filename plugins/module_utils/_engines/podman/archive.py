# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads an archive of podman that has no record of ours.

Podman writes config.dump and spec.dump before CRIU's images, and the changed files and volumes last. Only releases
before 4.0 wrote the images, with all memory, first. So the whole archive is read, as podman itself will: its memory
is skipped, and what a later member could replace is seen.
"""

from __future__ import annotations

import re
from typing import Any, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import StreamError
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
    NETWORK,
    PARENT,
    find_dumps,
    opened_archive,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.binds import parse_binds
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.networks import dumped_networks, dumped_ports
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import ZstdError, ZstdMissing
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record import UNKNOWN, Record

_IMAGE_ID = r"[0-9a-f]{0,128}"
_NAME = r"(?:[a-zA-Z0-9][a-zA-Z0-9_.-]*)?"


def read_config_dump(path: str) -> Record:
    """Reads the container's own description out of an archive that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    try:
        with opened_archive(path) as archive:
            dumps = find_dumps(archive)
        refuse_foreign(path, dumps.get("spec.dump", {}))
        refuse_tied(path, dumps["config.dump"])
        return record_in(dumps)
    except ZstdMissing as error:
        raise CheckpointError(
            f"Cannot read the archive {path!r}, which has no record: {error}. Install that library (Debian: libzstd1, "
            "Red Hat: libzstd), or copy the record to the archive.",
            reason="archive_unreadable",
            path=path,
        ) from error
    except (StreamError, ZstdError) as error:
        raise invalid(path, f"it cannot be read as a checkpoint archive ({error})") from error
    except ValueError as error:
        raise invalid(path, str(error)) from error
    except OSError as error:
        raise invalid(path, f"it cannot be read ({error.strerror})") from error


def refuse_foreign(path: str, spec: dict[str, Any]) -> None:
    """Refuses an archive of CRI-O or containerd: its files have the same names, but their contents are not podman's.

    Podman looks at none of the annotations (pkg/checkpoint/checkpoint_restore.go) and would begin the restore.

    Raises:
        CheckpointError: archive_invalid.
    """
    notes = spec.get("annotations")
    notes = notes if isinstance(notes, dict) else {}
    manager = notes.get("io.container.manager")
    if manager == "libpod" or (manager is None and "io.kubernetes.cri.container-type" not in notes):
        return
    maker = "CRI-O" if manager == "cri-o" else "an engine of Kubernetes"
    raise invalid(path, f"{maker} made it, and podman restores its own archives only", "Restore it with that engine.")


def refuse_tied(path: str, config: dict[str, Any]) -> None:
    """Refuses an archive that podman refuses, too, but only when a restore has begun.

    Raises:
        CheckpointError: in_pod, has_dependencies.
    """
    what = f"Cannot restore from {path!r}: its container"
    if config.get("pod"):
        raise CheckpointError(
            f"{what} was in a pod, which needs 'podman container restore --pod'. Make the container without the pod, "
            "and a new archive of it.",
            reason="in_pod",
            path=path,
        )
    if config.get("Dependencies"):
        raise CheckpointError(
            f"{what} depends on a different one, and podman imports no such container. Make the container with a "
            "network of its own, and a new archive of it.",
            reason="has_dependencies",
            path=path,
        )


def _word(entries: Any, key: str, pattern: str = "") -> str:
    """Returns the text of a field; empty if it is missing. Podman's texts here have no line feeds."""
    value = entries.get(key) if isinstance(entries, dict) else None
    if value is None and (entries is None or isinstance(entries, dict)):
        return ""
    if not isinstance(value, str) or not value.isprintable() or (pattern and not re.fullmatch(pattern, value)):
        raise ValueError(f"its description has an unusable {key}")
    return value


def _volumes(config: dict[str, Any]) -> Iterator[str]:
    listed = config.get("namedVolumes") or []
    if not isinstance(listed, list):
        raise ValueError("its description has an unusable namedVolumes")
    for volume in listed:
        name = _word(volume, "volumeName", _NAME)
        if name:
            yield name


def record_in(dumps: dict[str, dict[str, Any]]) -> Record:
    """Returns what the descriptions, by their names, say about the container; raises ValueError."""
    config, process = dumps["config.dump"], dumps.get("spec.dump", {}).get("process")
    return Record(
        engine="podman",
        id=_word(config, "id", _IMAGE_ID),
        name=_word(config, "name", _NAME),
        image=_word(config, "rootfsImageName"),
        image_id=_word(config, "rootfsImageID", _IMAGE_ID),
        runtime=_word(config, "runtime"),
        process_label=_word(config, "ProcessLabel") or _word(process, "selinuxLabel"),
        apparmor_profile=_word(process, "apparmorProfile"),
        volumes=tuple(_volumes(config)),
        binds=tuple(to_record(parse_binds(dumps.get("spec.dump", {})))),
        health=_health(config),
        ports=dumped_ports(config),
        networks=dumped_networks(config, dumps.get(NETWORK, {})),
        parent=UNKNOWN if PARENT in dumps else "",
    )


def _health(config: dict[str, Any]) -> dict[str, Any]:
    if not config.get("healthcheck"):
        return {}
    from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_health

    found = parse_health({"Healthcheck": config["healthcheck"]})
    return {"command": list(found.command), "interval": found.interval} if found is not None else {}
