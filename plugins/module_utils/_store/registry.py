# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Pushes a checkpoint to a registry as an image, and pulls it, with skopeo."""

from __future__ import annotations

import os
import re
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Any, Callable, Mapping

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner, check
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import (
    Command,
    Link,
    MakeDir,
    Outcome,
    Plan,
    Remove,
    Rename,
    Step,
    WriteFile,
)
from ansible_collections.criu.hosts.plugins.module_utils._core.streams import CHUNK, open_stream
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object, text_list
from ansible_collections.criu.hosts.plugins.module_utils._formats.zstd import MAGIC, ZstdReader
from ansible_collections.criu.hosts.plugins.module_utils._store.copies import (
    Request,
    arrival_steps,
    demand_alone,
    different,
    find_local,
    own_texts,
    parse_received,
    prove_received,
    shown,
    text_names,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import (
    LATEST,
    MANIFEST,
    SIGNATURE,
    damaged,
    find_stored,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import ID, Manifest, Part
from ansible_collections.criu.hosts.plugins.module_utils._store.oci import (
    TEXT_LIMIT,
    Image,
    blob,
    parse_image,
    render_layout,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.working import archive_part

# A host with a port or a dot, and a repository. Without a host, each engine would search its own registries.
_WORD = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(rf"(?:localhost|(?=[^/]*[.:])[A-Za-z0-9.-]{{1,253}})(?::[0-9]{{1,5}})?(?:/{_WORD})+")
# Whatever a compressed archive expands to: only a digest is made of it.
EXPANDED_LIMIT = 1 << 50
RETRIES = "--retry-times=3"
Annotate = Callable[[Manifest], Mapping[str, str]]


@dataclass(frozen=True)
class Registry:
    """A repository of a registry, and how to get into it. The tag of a checkpoint is its id."""

    image: str
    auth_file: str | None = None
    tls_verify: bool = True

    def tagged(self, identity: str) -> str:
        return f"{self.image}:{identity}"

    def options(self, side: str = "") -> tuple[str, ...]:
        """Returns the options of skopeo; of a copy, for its side ``src-`` or ``dest-``."""
        login = (f"--{side}authfile={self.auth_file}",) if self.auth_file else ()
        return (RETRIES, *login, f"--{side}tls-verify={'true' if self.tls_verify else 'false'}")

    def copy(self, source: str, target: str, side: str) -> tuple[str, ...]:
        # Otherwise skopeo compresses again, and the layer would have another digest than the archive.
        return ("skopeo", "copy", *self.options(side), "--preserve-digests", source, target)


def check_image(image: str) -> None:
    """Refuses what is no name of a repository.

    Raises:
        CheckpointError: option_invalid.
    """
    if not IMAGE.fullmatch(image):
        raise CheckpointError(
            f"Cannot use image {image!r}: it is not the name of a repository with the host of its registry. Give one "
            "such as 'registry.example.com/checkpoints/web', without a tag.",
            reason="option_invalid",
            option="image",
        )


def read_image(runner: Runner, registry: Registry, identity: str) -> tuple[Completed, Image | None]:
    """Returns the image of a checkpoint in the registry; None if there is none, or one of something else."""
    argv = ("skopeo", "inspect", "--raw", *registry.options(), f"docker://{registry.tagged(identity)}")
    completed = runner.run(argv)
    if completed.rc:
        return completed, None
    try:
        return completed, parse_image(completed.out)
    except ValueError:
        return completed, None


def parse_tags(text: str) -> list[str]:
    """Returns the ids of the checkpoints among the tags that ``skopeo list-tags`` printed, the newest first.

    Raises:
        ValueError: it is something else.
    """
    return sorted((one for one in text_list(parse_object(text).get("Tags")) if re.fullmatch(ID, one)), reverse=True)


def unpacked_sha256(handle: IO[bytes]) -> tuple[str, str]:
    """Returns the SHA-256 of a file, and that of what it holds without its compression, in two passes."""
    digest = sha256()
    for piece in iter(lambda: handle.read(1 << 20), b""):
        digest.update(piece)
    handle.seek(0)
    magic = handle.read(len(MAGIC))
    handle.seek(0)
    inner = sha256()
    with closing(_Reader(handle, magic)) as reader:
        for piece in iter(lambda: reader.read(CHUNK), b""):
            inner.update(piece)
    return digest.hexdigest(), inner.hexdigest()


class _Reader:
    """Reads a file without its compression."""

    def __init__(self, handle: Any, magic: bytes) -> None:
        self._zstd = ZstdReader(handle) if magic == MAGIC else None
        self._stream = self._zstd or open_stream(handle, EXPANDED_LIMIT)

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        if self._zstd is not None:
            self._zstd.close()


def _measure(path: str, part: Part) -> str:
    """Returns the digest of the archive without its compression; raises if it is not the archive of the manifest."""
    what, advice = repr(path), "Push another checkpoint, or make a new one."
    try:
        with open(path, "rb") as handle:
            digest, inner = unpacked_sha256(handle)
    except (OSError, ValueError) as error:
        raise damaged(
            f"copy {what}", f"it cannot be read ({getattr(error, 'strerror', None) or error})", advice
        ) from error
    if digest != part.sha256:
        raise damaged(f"copy {what}", f"its SHA-256 is {digest} and its manifest says {part.sha256}", advice)
    return inner


def _archive(manifest: Manifest, what: str) -> Part:
    part = archive_part(manifest)
    if part is None or manifest.kind != "container":
        raise CheckpointError(
            f"Cannot copy {what}: a registry takes only checkpoints of containers that have an archive. Copy it to a "
            "host instead.",
            reason="ability_missing",
        )
    return part


def _texts(found: Mapping[str, bytes], what: str) -> dict[str, str]:
    """Returns the small files as the texts that they are."""
    if sum(map(len, found.values())) > TEXT_LIMIT:
        raise CheckpointError(
            f"Cannot copy {what}: its manifest is too large for a registry. Copy it to a host instead.",
            reason="ability_missing",
        )
    try:
        return {name: data.decode() for name, data in found.items()}
    except UnicodeDecodeError as error:
        raise damaged(
            f"copy {what}", "its manifest or its signature is not a text", "Make a new checkpoint."
        ) from error


def push(ctx: Context, request: Request, registry: Registry, annotate: Annotate) -> Outcome:
    """Pushes the checkpoint, unless the registry has it."""
    stored = find_stored(request.store, request.kind, request.name, request.wanted)
    manifest = stored.manifest
    if manifest is None:
        raise AssertionError("find_stored returns only whole ones")
    what = repr(stored.path)
    demand_alone(manifest, what)
    part, texts = _archive(manifest, what), _texts(own_texts(stored, manifest), what)
    dummy, image = read_image(ctx.runner, registry, stored.id)
    same = image is not None and image.layer == part and image.texts == texts
    place = {"image": registry.tagged(stored.id)}
    value = shown(request, manifest, signed=stored.signed, **place)
    if same:
        return Outcome("checkpoint", value, Plan(before=place, after=place))
    layout = render_layout(manifest, part, _measure(stored.part(part.name), part), texts, annotate(manifest))
    steps = _push_steps(request, registry, stored.part(part.name), layout.files, layout.layer, stored.id)
    plan = Plan(before={}, after=place, steps=steps)
    ctx.apply(plan)
    return Outcome("checkpoint", value, plan)


def _push_steps(
    request: Request, registry: Registry, archive: str, files: Mapping[str, str], layer: str, identity: str
) -> tuple[Step, ...]:
    folder = f"{request.partial(identity)}.push"
    why = f"push the checkpoint {identity!r} to {registry.image!r}"
    return (
        Remove(folder, why="remove the rest of an earlier push"),
        MakeDir(os.path.join(folder, "blobs/sha256"), why="make the folder of the image"),
        *(WriteFile(os.path.join(folder, name), text, why="write the image") for name, text in files.items()),
        Link(os.path.join(folder, layer), archive, why="link the archive into the image"),
        Command(registry.copy(f"oci:{folder}:{identity}", f"docker://{registry.tagged(identity)}", "dest-"), why=why),
        Remove(folder, why="remove the folder of the image", always=True),
    )


def pull(ctx: Context, request: Request, registry: Registry) -> Outcome:
    """Pulls the checkpoint, unless the store has it."""
    identity = request.wanted if request.wanted != LATEST else _newest(ctx.runner, registry)
    what = repr(registry.tagged(identity))
    completed, image = read_image(ctx.runner, registry, identity)
    check(completed, f"read {what}", advice="Check the name, the registry and auth_file.")
    if image is None or MANIFEST not in image.texts:
        raise damaged(f"copy {what}", "it is not an image that checkpoint_copy has pushed", "Give another image.")
    manifest = parse_received(image.texts[MANIFEST], request, identity, what)
    texts = {name: text.encode("utf-8", "surrogateescape") for name, text in image.texts.items()}
    carried = {image.layer, *(Part(name, len(data), sha256(data).hexdigest()) for name, data in texts.items())}
    if not {image.layer} <= set(manifest.parts) <= carried or not set(texts) <= set(text_names(manifest)):
        raise damaged(f"copy {what}", "it does not carry the files in its manifest", "Push it again.")
    place = {"image": registry.tagged(identity)}
    value = shown(request, manifest, signed=SIGNATURE in image.texts, **place)
    after = {"path": request.path(identity)}
    local = find_local(request, identity)
    if local is not None:
        if local.fault or own_texts(local, manifest) != texts:
            raise different(local.path, local.fault or f"it differs from the one in {registry.image!r}")
        return Outcome("checkpoint", value, Plan(before=after, after=after))
    plan = Plan(before={}, after=after, steps=_pull_steps(request, registry, image, identity))
    ctx.apply(plan)
    return Outcome("checkpoint", value, plan)


def _newest(runner: Runner, registry: Registry) -> str:
    argv = ("skopeo", "list-tags", *registry.options(), f"docker://{registry.image}")
    completed = check(
        runner.run(argv),
        f"list the checkpoints in {registry.image!r}",
        advice="Check the name, the registry and auth_file.",
    )
    try:
        found = parse_tags(completed.out)
    except ValueError as error:
        raise damaged(
            repr(registry.image), f"skopeo printed no list of tags ({error})", "Give a checkpoint."
        ) from error
    if not found:
        raise CheckpointError(
            f"Cannot pull a checkpoint from {registry.image!r}: no tag there is the id of one. Push one, or give "
            "another image.",
            reason="checkpoint_missing",
        )
    return found[0]


def _pull_steps(request: Request, registry: Registry, image: Image, identity: str) -> tuple[Step, ...]:
    partial = request.partial(identity)
    folder, archive = f"{partial}.pull", os.path.join(partial, image.layer.name)
    texts = [
        WriteFile(os.path.join(partial, name), text, why="write the manifest") for name, text in image.texts.items()
    ]
    expected = image.texts[MANIFEST].encode("utf-8", "surrogateescape")
    return (
        MakeDir(folder, why="make the folder of the image"),
        # It stays when the task fails: skopeo goes on with what is there.
        Command(
            registry.copy(f"docker://{registry.tagged(identity)}", f"oci:{folder}:{identity}", "src-"),
            why=f"pull the checkpoint {identity!r} from {registry.image!r}",
        ),
        Remove(partial, why="remove the rest of an earlier pull"),
        MakeDir(partial, why="make the folder of the checkpoint"),
        Rename(os.path.join(folder, blob(image.layer.sha256)), archive, 0o600, why="take the archive"),
        *texts,
        *arrival_steps(request, identity, lambda: prove_received(partial, request, identity, expected)),
        Remove(folder, why="remove the folder of the image"),
    )
