# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes the image from which ctr restores a container, out of the folder of a checkpoint (place.py).

It is an index with the changes to the image's files, CRIU's images, the OCI configuration and the options of the shim
(containerd 1.7, container_checkpoint_opts.go and container_restore_opts.go); its import takes no notice of the names of
files (images/archive/importer.go). CRIU's images are links: containerd unpacks them into a folder for temporary files,
and so the memory is not copied twice, and not left there. The links climb to the root first, since CRIU opens them when
it has already entered the container's mount namespace: the folder with the links is below the root of the host's. That
the changes are called compressed is what the restore asks for; containerd finds out itself whether they are.
"""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from functools import partial
from typing import TYPE_CHECKING, Any

from ansible_collections.criu.hosts.plugins.module_utils._core.digest import file_sha256
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, MakeDir, Step, WriteFile
from ansible_collections.criu.hosts.plugins.module_utils._engines.archive import DUMP_LIMIT, IMAGES, SPEC
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.answers import CREATED, runtime_of
from ansible_collections.criu.hosts.plugins.module_utils._engines.containerd.place import LAYER, read_config
from ansible_collections.criu.hosts.plugins.module_utils._engines.fields import inner, word
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.paths import read_below

if TYPE_CHECKING:
    from typing import Mapping

IMPORT = "import"
ARCHIVE = "import.tar"
_LAYOUT = '{"imageLayoutVersion": "1.0.0"}\n'
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONTAINERD = "application/vnd.containerd.container."
# The files of the import, each with its media type (containerd 1.7, images/mediatypes.go).
_LINKS = ("criu.tar", f"{_CONTAINERD}criu.checkpoint.criu.tar")
_CONFIG = ("config", f"{_CONTAINERD}checkpoint.config.v1+proto")
_OPTIONS = ("options", f"{_CONTAINERD}checkpoint.runtime.options+proto")
_CHANGES = (LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")
# The type of an OCI configuration in an Any of protobuf (typeurl of specs.Spec).
_SPEC_TYPE = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
# More than any folder for temporary files is deep.
_UP = "../" * 32


def reference(name: str) -> str:
    """Returns the name of the image, which is there only during a restore."""
    return f"criu-hosts/restore:{name}"


def _varint(number: int) -> bytes:
    head, rest = number & 0x7F, number >> 7
    return bytes([head | 0x80]) + _varint(rest) if rest else bytes([head])


def any_of(kind: str, value: bytes) -> bytes:
    """Returns an Any of protobuf: field 1 is the type, field 2 the value."""
    name = kind.encode()
    return b"\x0a" + _varint(len(name)) + name + b"\x12" + _varint(len(value)) + value


def links_to(folder: str, names: list[str]) -> bytes:
    """Returns a tar archive of links to the files ``names`` in a folder."""
    box = io.BytesIO()
    with tarfile.open(fileobj=box, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(names):
            member = tarfile.TarInfo(name)
            member.type = tarfile.SYMTYPE
            member.linkname = f"{_UP}{os.path.join(folder, name).lstrip('/')}"
            archive.addfile(member)
    return box.getvalue()


def spec_of(text: bytes | None, created: str) -> bytes:
    """Returns the OCI configuration for the restored container, which notes when the original was created.

    Raises:
        ValueError: the text is no configuration.
    """
    spec = parse_object(text)
    spec["annotations"] = {**inner(spec, "annotations"), CREATED: created}
    return json.dumps(spec).encode("utf-8", "surrogateescape")


def index_of(config: Mapping[str, Any], parts: list[dict[str, Any]]) -> str:
    """Returns the index of the image, with the annotations that ``ctr containers restore`` reads."""
    more = inner(dict(config), "containerd")
    notes = {
        "io.containerd.checkpoint.runtime": word(more, "shim"),
        "io.containerd.checkpoint.snapshotter": word(more, "snapshotter"),
        "org.opencontainers.image.ref.name": word(dict(config), "rootfsImageName"),
    }
    return json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": parts, "annotations": notes})


def _part(path: str, kind: str) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{file_sha256(path)}", "size": os.stat(path).st_size}


def _read(folder: str, make: Any) -> Any:
    """Calls ``make`` with the description of the checkpoint; what cannot be used is one clear failure."""
    try:
        config = read_config(folder)
        if config is None:
            raise ValueError("it has no description of the container")
        more = inner(config, "containerd")
        # Of an archive, it says which programs root runs.
        if runtime_of(word(more, "shim"), inner(more, "options")) != "runc":
            raise ValueError("its OCI runtime is not runc, with its own places")
        return make(config)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot use the checkpoint in {folder!r}: {error}. Make a new one.", reason="archive_invalid", path=folder
        ) from error


def _links(folder: str, dummy: dict[str, Any]) -> bytes:
    images = os.path.join(folder, IMAGES)
    return links_to(images, os.listdir(images))


def _config(folder: str, config: dict[str, Any]) -> bytes:
    text = read_below(folder, SPEC, limit=DUMP_LIMIT)
    return any_of(_SPEC_TYPE, spec_of(text, word(config, "createdTime")))


def _options(dummy: str, config: dict[str, Any]) -> bytes:
    options = inner(inner(config, "containerd"), "options")
    return any_of(word(options, "type_url"), base64.b64decode(word(options, "value"), validate=True))


def _index(folder: str, config: dict[str, Any]) -> str:
    made = os.path.join(folder, IMPORT)
    parts = [_part(os.path.join(folder, LAYER), _CHANGES[1])]
    parts += [_part(os.path.join(made, name), kind) for name, kind in (_LINKS, _CONFIG)]
    if inner(inner(config, "containerd"), "options"):
        parts.append(_part(os.path.join(made, _OPTIONS[0]), _OPTIONS[1]))
    return index_of(config, parts)


def import_steps(folder: str, name: str, ctr: tuple[str, ...]) -> tuple[Step, ...]:
    """Plans the import of the checkpoint in a folder, whose files are all there when the steps run."""
    made, archive = os.path.join(folder, IMPORT), os.path.join(folder, ARCHIVE)
    makers = ((_LINKS[0], _links), (_CONFIG[0], _config), (_OPTIONS[0], _options), ("index.json", _index))
    written = tuple(
        WriteFile(
            os.path.join(made, one), partial(_read, folder, partial(make, folder)), why="write a part of the image"
        )
        for one, make in makers
    )
    files = (f"--directory={folder}", LAYER, f"--directory={made}", "oci-layout", *(one for one, dummy in makers))
    return (
        MakeDir(made, why="make the folder of the image"),
        WriteFile(
            os.path.join(made, "oci-layout"), '{"imageLayoutVersion": "1.0.0"}\n', why="write a part of the image"
        ),
        *written,
        Command(("tar", "--create", f"--file={archive}", *files), why=f"pack the image for {name!r}", finish=True),
        Command(
            (*ctr, "images", "import", "--no-unpack", f"--index-name={reference(name)}", archive),
            why=f"import the checkpoint of container {name!r}",
            finish=True,
        ),
    )
