# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Reads an archive of podman that has no record of ours."""

from __future__ import annotations

import json
import lzma
import tarfile
import zlib
from typing import Any, BinaryIO, cast

from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import MAGIC, ZstdError, ZstdMissing, ZstdReader
from ansible_collections.criu.hosts.plugins.module_utils._store.archive import invalid
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record


def read_config_dump(path: str) -> Record:
    """Read the container's own description out of an archive that has no record.

    An archive that cannot be opened here only for want of libzstd gives an empty record: podman reads it anyway.
    """
    try:
        with open(path, "rb") as handle:
            compressed = handle.read(4) == MAGIC
            handle.seek(0)
            if not compressed:
                with tarfile.open(fileobj=handle, mode="r|*") as archive:
                    return _find_config(path, archive)
            reader = ZstdReader(handle)
            try:
                with tarfile.open(fileobj=cast(BinaryIO, reader), mode="r|") as archive:
                    return _find_config(path, archive)
            finally:
                reader.close()
    except ZstdMissing:
        return Record("", "", "", "", "", "", "")
    except (tarfile.TarError, EOFError, ZstdError, lzma.LZMAError, zlib.error) as error:
        raise invalid(path, f"it cannot be read as a checkpoint archive ({error})") from error


def _find_config(path: str, archive: tarfile.TarFile) -> Record:
    found: dict[str, dict[str, Any]] = {}
    inventory = False
    for member in archive:
        name = member.name[2:] if member.name.startswith("./") else member.name
        inventory = inventory or name == "checkpoint/inventory.img"
        if name in ("config.dump", "spec.dump"):
            handle = archive.extractfile(member)
            try:
                entries = json.loads(handle.read()) if handle else None
            except ValueError as error:
                raise invalid(path, f"its {name} is not JSON") from error
            if isinstance(entries, dict):
                found[name] = entries
    if "config.dump" not in found or not inventory:
        raise invalid(path, f"it has no {'config.dump' if 'config.dump' not in found else 'checkpoint'}")
    config, process = found["config.dump"], found.get("spec.dump", {}).get("process") or {}
    return Record(
        engine="podman",
        id=str(config.get("id", "")),
        name=str(config.get("name", "")),
        image=str(config.get("rootfsImageName", "")),
        image_id=str(config.get("rootfsImageID") or ""),
        runtime=str(config.get("runtime", "")),
        process_label=str(config.get("ProcessLabel") or process.get("selinuxLabel") or ""),
        volumes=tuple(str(volume.get("volumeName", "")) for volume in config.get("namedVolumes") or ()),
    )
