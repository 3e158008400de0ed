# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and describes the archives of bundles: CRIU's images, the configuration, and who the container is.

They have no files of the container: the root file system stays in the bundle.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Remove, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import (
    CONFIG,
    IMAGES,
    SPEC,
    STATISTICS,
    described,
    pack_step,
)
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.config import binds_in, read_config, text_in
from ansible_collections.criu.hosts.plugins.module_utils._engines.bundle.places import Place
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Container, to_record
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import word
from ansible_collections.criu.hosts.plugins.module_utils._engines.spec import parse_spec
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
    from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec


def describe(container: Container, config: dict[str, Any]) -> dict[str, str]:
    """Returns config.dump: what an archive says about the container, in podman's words. The bundle is its image."""
    root = text_in(config, "root", "path")
    return {
        "engine": container.runtime,
        "id": container.id,
        "name": container.name,
        "rootfsImageName": container.image,
        "rootfs": root if os.path.isabs(root) else os.path.join(container.image, root),
        "runtime": container.runtime,
        "createdTime": container.created_at,
        "checkpointedTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ProcessLabel": container.process_label,
    }


def export_steps(paths: Paths, place: Place, container: Container, export: str) -> tuple[Step, ...]:
    """Plans to pack the checkpoint in place."""
    config = read_config(paths, container.image)
    described = json.dumps(describe(container, config), indent=1) + "\n"
    return (
        WriteFile(f"{place.folder}/{CONFIG}", described, why="describe the container"),
        WriteFile(f"{place.folder}/{SPEC}", json.dumps(config) + "\n", why="copy its configuration"),
        pack_step(export, {place.folder: (CONFIG, SPEC, IMAGES), place.work: (STATISTICS,)}),
        *(Remove(f"{place.folder}/{name}", why="remove the copy") for name in (CONFIG, SPEC)),
    )


def spec_of(paths: Paths, container: Container) -> Spec | None:
    """Returns what a restore of the container brings to the host; None if its configuration cannot be used."""
    config = read_config(paths, container.image)
    try:
        return parse_spec(describe(container, config), config) if config else None
    except ValueError:
        return None


def read_description(engine: str, path: str) -> Record:
    """Returns what an archive says about itself that has no record.

    Raises:
        CheckpointError: archive_invalid; archive_unreadable, this host lacks libzstd.
    """
    return described(path, lambda dumps: _record(engine, dumps[CONFIG], dumps.get(SPEC, {})))


def _record(engine: str, described: dict[str, Any], config: dict[str, Any]) -> Record:
    if word(described, "runtime") != engine:
        raise ValueError(f"its container is of the runtime {word(described, 'runtime')!r}, not of {engine}")
    return Record(
        engine=engine,
        id=word(described, "id"),
        name=word(described, "name"),
        image=word(described, "rootfsImageName"),
        image_id="",
        runtime=engine,
        process_label=word(described, "ProcessLabel"),
        apparmor_profile=text_in(config, "process", "apparmorProfile"),
        binds=tuple(to_record(binds_in(config))),
    )
