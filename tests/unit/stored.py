# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes checkpoints in a store for tests."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._store.folder import MANIFEST, stored_path
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host, Manifest, Part, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.process_record import ProcessRecord
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record

ARCHIVE = b"not read by these tests"
RECORD = Record(
    engine="podman",
    id="f00",
    name="web",
    image="localhost/w:latest",
    image_id="1d",
    runtime="crun",
    process_label="system_u:system_r:container_t:s0:c1,c2",
    checkpointed_at="2026-11-30T16:45:00Z",
    size_bytes=len(ARCHIVE),
    sha256=hashlib.sha256(ARCHIVE).hexdigest(),
)
HOST = Host(
    hostname="a",
    architecture="x86_64",
    kernel="6.12.48",
    cpu_features=("fpu", "sse2"),
    criu="4.2",
    engine="podman",
    engine_version="5.4.2",
    runtime="crun",
    runtime_version="1.21",
    cgroup_version=2,
    network_lock="nftables",
    lsm="selinux",
    lsm_mode="enforcing",
    image_digest=f"sha256:{'0' * 64}",
    glibc="2.41",
)


def part_of(name: str, content: bytes = ARCHIVE) -> Part:
    return Part(name, len(content), hashlib.sha256(content).hexdigest())


def manifest_of(identity: str = "20261130T164500Z-1a2b3c4d", name: str = "web", **changed: Any) -> Manifest:
    record = json.loads(json.dumps(vars(replace(RECORD, name=name))))
    parts = (part_of("archive.tar.zst"),)
    return replace(Manifest(identity, "container", name, "2026-11-30T16:45:00Z", parts, record, host=HOST), **changed)


def process_manifest(identity: str = "20261130T164500Z-1a2b3c4d", name: str = "worker", **changed: Any) -> Manifest:
    made = ProcessRecord(7, "8421", "", "worker", "/usr/bin/worker", "/system.slice/worker.service")
    record = json.loads(json.dumps(vars(made)))
    parts = (part_of("images/inventory.img"), part_of("images/core-7.img"))
    return replace(Manifest(identity, "process", name, "2026-11-30T16:45:00Z", parts, record, host=HOST), **changed)


def store_checkpoint(store: Path, manifest: Manifest, content: bytes = ARCHIVE) -> Path:
    """Writes a whole checkpoint, each part with the same content; returns its folder."""
    folder = Path(stored_path(str(store), manifest.kind, manifest.name, manifest.id))
    for part in manifest.parts:
        path = folder / part.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / MANIFEST).write_text(render_manifest(manifest), encoding="utf-8")
    for where, dummy, files in os.walk(store):
        os.chmod(where, 0o700)
        for name in files:
            os.chmod(os.path.join(where, name), 0o600)
    return folder
