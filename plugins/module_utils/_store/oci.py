# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes and reads the OCI image that carries a checkpoint of a container.

The image has one layer, the archive as it lies in the store, so that the digest of the layer is the one in the
manifest, and an engine that restores from such images can use it. The other files of the checkpoint, which are small
texts, are annotations of the image: they are known before anything is downloaded.
OCI image-spec 1.0: image-layout.md, manifest.md, config.md. The annotations org.criu.checkpoint.* are those of
checkpoint-restore/checkpointctl, lib/metadata.go.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest, Part

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
# An encrypted archive is no layer that an engine could unpack.
LAYER_TYPES = {
    "archive.tar": _LAYER,
    "archive.tar.gz": f"{_LAYER}+gzip",
    "archive.tar.zst": f"{_LAYER}+zstd",
    **{f"archive.tar{one}{two}": "application/octet-stream" for one in ("", ".gz", ".zst") for two in (".age", ".gpg")},
}
TITLE = "org.opencontainers.image.title"
# What follows is the name of the file in the checkpoint's folder, and the value is its text.
FILE = "io.github.criu-hosts.checkpoint.file."
CRIU = "org.criu.checkpoint."
# Registries accept manifests of 4 MiB.
TEXT_LIMIT = 3 << 20
IMAGE_LIMIT = 4 << 20
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,254}")


@dataclass(frozen=True)
class Image:
    """What an image says about its checkpoint: its layer, and the texts by the names of their files."""

    layer: Part
    texts: dict[str, str]


@dataclass(frozen=True)
class Layout:
    """An image as a folder: its small files by their paths, and the path that is to lead to the archive."""

    files: dict[str, str]
    layer: str
    digest: str


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def annotations_of(manifest: Manifest) -> dict[str, str]:
    """Returns the annotations of checkpointctl, without those whose values are not known."""
    record, host = manifest.record, manifest.host
    found = {
        "container.name": manifest.name,
        "engine.name": host.engine,
        "engine.version": host.engine_version,
        "rootfsImageName": record.get("image"),
        "rootfsImageID": record.get("image_id"),
        "rawImageName": record.get("image"),
        "runtime.name": host.runtime or record.get("runtime"),
        "runtime.version": host.runtime_version,
        "criu.version": host.criu or record.get("criu"),
        "host.arch": host.architecture,
        "host.kernel": host.kernel,
        "cgroup.version": str(host.cgroup_version or ""),
    }
    return {f"{CRIU}{key}": str(value) for key, value in found.items() if value}


def _config(manifest: Manifest, unpacked: str) -> str:
    architecture = manifest.host.architecture
    return _json(
        {
            "architecture": ARCHITECTURES.get(architecture, architecture or "unknown"),
            "os": "linux",
            "created": manifest.made_at,
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{unpacked}"]},
            "history": [{"created": manifest.made_at, "created_by": "criu.hosts.checkpoint_copy"}],
        }
    )


def render_layout(
    manifest: Manifest, archive: Part, unpacked: str, texts: Mapping[str, str], engines: Mapping[str, str]
) -> Layout:
    """Returns the image of a checkpoint; the same for the same checkpoint.

    Args:
        unpacked: the SHA-256 of the archive without its compression.
        texts: the other files of the checkpoint.
        engines: the annotations of the engine.
    """
    config = _config(manifest, unpacked)
    layer = {
        "mediaType": LAYER_TYPES[archive.name],
        "digest": f"sha256:{archive.sha256}",
        "size": archive.size_bytes,
        "annotations": {TITLE: archive.name},
    }
    files = {f"{FILE}{name}": text for name, text in texts.items()}
    image = _json(
        {
            "schemaVersion": 2,
            "mediaType": IMAGE_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": f"sha256:{_sha256(config)}", "size": len(config.encode())},
            "layers": [layer],
            "annotations": {**annotations_of(manifest), **engines, **files},
        }
    )
    entry = {
        "mediaType": IMAGE_TYPE,
        "digest": f"sha256:{_sha256(image)}",
        "size": len(image.encode()),
        "annotations": {"org.opencontainers.image.ref.name": manifest.id},
    }
    return Layout(
        files={
            "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
            "index.json": _json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}),
            blob(_sha256(config)): config,
            blob(_sha256(image)): image,
        },
        layer=blob(archive.sha256),
        digest=f"sha256:{_sha256(image)}",
    )


def blob(digest: str) -> str:
    """Returns the path of a blob in a layout."""
    return f"blobs/sha256/{digest}"


def parse_image(text: str | bytes) -> Image:
    """Returns what the manifest of an image says about its checkpoint.

    Raises:
        ValueError: with the reason, if it is no image of a checkpoint that this module has pushed.
    """
    if len(text) > IMAGE_LIMIT:
        raise ValueError("its manifest is too large")
    entries = parse_object(text)
    if entries.get("schemaVersion") != 2 or entries.get("mediaType", IMAGE_TYPE) != IMAGE_TYPE:
        raise ValueError("it is not an OCI image")
    layers, notes = entries.get("layers"), entries.get("annotations", {})
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        raise ValueError("it does not have one layer")
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise ValueError("its annotations are not texts")
    texts = {key[len(FILE) :]: value for key, value in notes.items() if key.startswith(FILE)}
    if not texts:
        raise ValueError("it is not an image that checkpoint_copy has pushed")
    if not all(_FILE_NAME.fullmatch(name) for name in texts):
        raise ValueError("it names a file that no checkpoint has")
    return Image(_layer(layers[0]), texts)


def _layer(entry: Mapping[str, Any]) -> Part:
    digest, size, notes = entry.get("digest"), entry.get("size"), entry.get("annotations")
    title = notes.get(TITLE) if isinstance(notes, dict) else None
    found = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    if found is None:
        raise ValueError("its layer has no SHA-256")
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 63:
        raise ValueError("its layer has no size")
    if not isinstance(title, str) or title not in LAYER_TYPES:
        raise ValueError("its layer is no archive of a checkpoint")
    return Part(title, size, found.group(1))
