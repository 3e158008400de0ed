# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies checkpoints with scripted commands; test_copy_for_real.py does so with the real tools."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.annotations import annotations_of
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import find_stored
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest, render_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.oci import Layout, blob, render_layout
from ansible_collections.criu.hosts.plugins.module_utils._store.remote import sums_of
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host, Reply, Write
from ansible_collections.criu.hosts.tests.unit.stored import (
    ARCHIVE,
    manifest_of,
    part_of,
    process_manifest,
    store_checkpoint,
)

FIXTURES = Path(__file__).parents[2] / "fixtures/skopeo"
ID, OLDER = "20261130T164500Z-1a2b3c4d", "20261129T164500Z-00000001"
IMAGE = "127.0.0.1:5000/checkpoints/web"
SKOPEO = ("--retry-times=3", "--tls-verify=true")
INSPECT = ["skopeo", "inspect", "--raw", *SKOPEO, f"docker://{IMAGE}:{ID}"]
LIST = ["skopeo", "list-tags", *SKOPEO, f"docker://{IMAGE}"]
SSH = ["ssh", "-o", "BatchMode=yes"]
HOST = "root@web2"
CHECK = [*SSH, HOST, "sha256sum --check --status --strict"]
# An archive that is not compressed: it needs no library.
MANIFEST = manifest_of(parts=(part_of("archive.tar"),))
MISSING = Reply(INSPECT, err=(FIXTURES / "1.9.3-inspect-missing.stderr.txt").read_text(encoding="utf-8"), rc=1)


def layout_of(manifest: Manifest = MANIFEST) -> Layout:
    part, texts = manifest.parts[0], {"manifest.json": render_manifest(manifest)}
    return render_layout(manifest, part, part.sha256, texts, annotations_of(manifest))


def image_of(manifest: Manifest = MANIFEST) -> str:
    layout = layout_of(manifest)
    return layout.files[blob(layout.digest.partition(":")[2])]


def params(store: Path, **changed: Any) -> dict[str, Any]:
    return {"store": str(store), "name": "web", **changed}


def partial(store: Path, kind: str = "containers/web") -> Path:
    return store / kind / f".part-{ID}"


def push_argv(store: Path) -> list[str]:
    options = ["--retry-times=3", "--dest-tls-verify=true", "--preserve-digests"]
    return ["skopeo", "copy", *options, f"oci:{partial(store)}.push:{ID}", f"docker://{IMAGE}:{ID}"]


def pull_argv(store: Path) -> list[str]:
    options = ["--retry-times=3", "--src-tls-verify=true", "--preserve-digests"]
    return ["skopeo", "copy", *options, f"docker://{IMAGE}:{ID}", f"oci:{partial(store)}.pull:{ID}"]


def a_push(folder: Path, *, there: bool = False) -> tuple[dict[str, Any], Host]:
    store = folder / "store"
    store_checkpoint(store, MANIFEST)
    replies = [
        replace(MISSING, state="before"),
        Reply(INSPECT, out=image_of(), state="after"),
        Write(push_argv(store), turns=True),
    ]
    return params(store, image=IMAGE), Host(replies=replies, state="after" if there else "before")


def downloaded(store: Path, content: bytes = ARCHIVE) -> Callable[[], None]:
    """What skopeo leaves when it has copied an image into a folder."""

    def write() -> None:
        blobs = Path(f"{partial(store)}.pull/blobs/sha256")
        blobs.mkdir(parents=True)
        (blobs / MANIFEST.parts[0].sha256).write_bytes(content)

    return write


def a_pull(folder: Path, content: bytes = ARCHIVE) -> tuple[dict[str, Any], Host]:
    store = folder / "store"
    replies = [
        Reply(LIST, out=(FIXTURES / "1.9.3-list-tags.json").read_text(encoding="utf-8")),
        Reply(INSPECT, out=image_of()),
        Write(pull_argv(store), effect=downloaded(store, content)),
    ]
    return params(store, state="pulled", image=IMAGE), Host(replies=replies)


def rsync_argv(source: str, target: str) -> list[str]:
    options = [
        "--recursive",
        "--times",
        "--perms",
        "--chmod=D0700,F0600",
        "--delete",
        "--exclude=/pinned",
        "--exclude=/.images.criu",
    ]
    shell = "--rsh=ssh -o BatchMode=yes"
    return [
        "rsync",
        *options,
        "--partial-dir=.rsync-partial",
        "--info=stats1",
        "--protect-args",
        shell,
        source,
        target,
    ]


def on_host(*words: str) -> list[str]:
    return [*SSH, HOST, shlex.join(words)]


def a_copy_to_a_host(folder: Path) -> tuple[dict[str, Any], Host]:
    store = folder / "store"
    path = store_checkpoint(store, process_manifest())
    above, target, part = "/s/processes/worker", f"/s/processes/worker/{ID}", f"/s/processes/worker/.part-{ID}"
    replies = [
        Reply(CHECK, rc=1, state="before"),
        Reply(CHECK, state="after"),
        Reply(on_host("test", "-e", target), rc=1),
        Write(on_host("mkdir", "-p", "-m", "0700", "--", "/s", "/s/processes", above, part)),
        Write(rsync_argv(f"{path}/", f"{HOST}:{part}/")),
        Write(on_host("sha256sum", "--check", "--quiet", "--strict")),
        Write(on_host("sync", "-f", part)),
        Write(on_host("mv", "-T", "--", part, target), turns=True),
        Write(on_host("sync", "-f", target)),
    ]
    changed = {"kind": "process", "name": "worker", "host": HOST, "host_store": "/s"}
    return params(store, **changed), Host(replies=replies)


def a_copy_from_a_host(folder: Path) -> tuple[dict[str, Any], Host]:
    manifest = process_manifest()
    store, other = folder / "store", folder / "other"
    there = store_checkpoint(other, manifest)
    source = f"/s/processes/worker/{ID}"
    part = partial(store, "processes/worker")
    replies = [
        Reply(on_host("ls", "-1", "--", "/s/processes/worker"), out=f"{OLDER}\n{ID}\n.part-{ID}\nnotes\n"),
        Reply(on_host("cat", "--", f"{source}/manifest.json"), out=render_manifest(manifest)),
        Reply(on_host("test", "-e", f"{source}/manifest.json.sig"), rc=1),
        Reply(CHECK),
        Write(
            rsync_argv(f"{HOST}:{source}/", f"{part}/"), effect=lambda: shutil.copytree(there, part, dirs_exist_ok=True)
        ),
    ]
    changed = {"kind": "process", "name": "worker", "host": HOST, "host_store": "/s", "state": "pulled"}
    return params(store, **changed), Host(replies=replies)


MADE = "127.0.0.1:5000/podman/web:v1"
PODMAN = FIXTURES.parent / "podman"
REAL = (FIXTURES.parent / "criu/4.2.1-archive.tar.gz").read_bytes()
REAL_SHA256 = hashlib.sha256(REAL).hexdigest()
MADE_ID = f"20261130T175435Z-{REAL_SHA256[:8]}"


def made_image(name: str = "web") -> str:
    """The manifest of an image that podman 5.4.2 made and pushed, with the archive of the fixtures as its layer."""
    image = json.loads((PODMAN / "5.4.2-checkpoint-image.json").read_text(encoding="utf-8"))
    image["layers"][0].update(digest=f"sha256:{REAL_SHA256}", size=len(REAL))
    image["annotations"]["io.podman.annotations.checkpoint.name"] = name
    return json.dumps(image)


def made_pull(folder: Path, image: str | None = None, content: bytes = REAL) -> tuple[dict[str, Any], Host]:
    store = folder / "store"
    part = store / f"containers/web/.part-{MADE_ID}"

    def write() -> None:
        blobs = Path(f"{part}.pull/blobs/sha256")
        blobs.mkdir(parents=True)
        (blobs / REAL_SHA256).write_bytes(content)

    config = (PODMAN / "5.4.2-checkpoint-image-config.json").read_text(encoding="utf-8")
    copy = ["skopeo", "copy", "--retry-times=3", "--src-tls-verify=true", "--preserve-digests"]
    replies = [
        Reply(["skopeo", "inspect", "--raw", *SKOPEO, f"docker://{MADE}"], out=image or made_image()),
        Reply(["skopeo", "inspect", "--config", "--raw", *SKOPEO, f"docker://{MADE}"], out=config),
        Write([*copy, f"docker://{MADE}", f"oci:{part}.pull:{MADE_ID}"], effect=write),
    ]
    return params(store, state="pulled", image=MADE), Host(replies=replies)


CONTRACT_CASES = [
    Case("an-image-of-podman", made_pull),
    Case("push", a_push),
    Case("pushed-before", lambda folder: a_push(folder, there=True), changed=False),
    Case("pull", a_pull),
    Case("to-a-host", a_copy_to_a_host),
    Case("from-a-host", a_copy_from_a_host),
]


def test_the_image_has_the_archive_as_its_layer(module: Any, tmp_path: Path) -> None:
    given, host = a_push(tmp_path)
    seen: dict[str, bytes] = {}

    def look() -> None:
        folder = Path(f"{partial(tmp_path / 'store')}.push")
        seen.update({str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()})

    host.replies = [replace(one, effect=look) if isinstance(one, Write) else one for one in host.replies]
    ran = module("checkpoint_copy", given, host=host)
    assert ran.result["checkpoint"] == {
        "kind": "container",
        "name": "web",
        "id": ID,
        "path": str(tmp_path / "store/containers/web" / ID),
        "size_bytes": len(ARCHIVE),
        "signed": False,
        "image": f"{IMAGE}:{ID}",
        "host": None,
        "host_path": None,
    }
    layout = layout_of()
    assert seen == {**{name: text.encode() for name, text in layout.files.items()}, layout.layer: ARCHIVE}
    for name, data in seen.items():
        if name.startswith("blobs/"):
            assert name == blob(hashlib.sha256(data).hexdigest())


def test_the_logins_are_not_shown(module: Any, tmp_path: Path) -> None:
    store_checkpoint(tmp_path / "store", MANIFEST)
    secret = "/root/very/secret/auth.json"
    argv = ["skopeo", "inspect", "--raw", "--retry-times=3", f"--authfile={secret}", "--tls-verify=true"]
    replies = [Reply([*argv, f"docker://{IMAGE}:{ID}"], out=image_of())]
    ran = module("checkpoint_copy", params(tmp_path / "store", image=IMAGE, auth_file=secret), commands=replies)
    assert ran.result["changed"] is False and secret not in str(ran.result)


def test_another_image_under_the_tag_is_replaced(module: Any, tmp_path: Path) -> None:
    given, host = a_push(tmp_path, there=True)
    host.replies = [replace(host.replies[1], out=image_of(replace(MANIFEST, why="else"))), host.replies[2]]
    assert module("checkpoint_copy", given, host=host, check=True).result["commands"] == [push_argv(tmp_path / "store")]
    host.replies = [replace(host.replies[0], out="{}"), host.replies[1]]
    assert module("checkpoint_copy", given, host=host, check=True).result["changed"] is True


BAD_OPTIONS = [
    pytest.param({"image": "web"}, "image", id="no-host"),
    pytest.param({"image": "registry.example.com/web:latest"}, "image", id="a-tag"),
    pytest.param({"image": "registry.example.com/web@sha256:0"}, "image", id="a-digest"),
    pytest.param({"image": "docker://registry.example.com/web"}, "image", id="a-transport"),
    pytest.param({"image": "--tls-verify=false/a.b/c"}, "image", id="an-option-of-skopeo"),
    pytest.param({"host": "-oProxyCommand=id"}, "host", id="an-option-of-ssh"),
    pytest.param({"host": "web2:/srv"}, "host", id="a-path"),
    pytest.param({"host": "web2", "host_store": "srv"}, "host_store", id="a-relative-store"),
    pytest.param({"host": "web2", "ssh_options": ["-i", "it's"]}, "ssh_options", id="a-quote"),
    pytest.param({"image": IMAGE, "name": "../web"}, "name", id="out-of-the-store"),
    pytest.param({"image": IMAGE, "checkpoint": "newest"}, "checkpoint", id="no-id"),
]


@pytest.mark.parametrize(("changed", "option"), BAD_OPTIONS)
def test_an_option_that_cannot_be_used(module: Any, tmp_path: Path, changed: dict[str, Any], option: str) -> None:
    ran = module("checkpoint_copy", params(tmp_path / "store", **changed))
    assert (ran.result["reason"], ran.result["option"]) == ("option_invalid", option)
    assert ran.host.ran == []


def test_a_store_that_others_can_change(module: Any, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o777)
    assert module("checkpoint_copy", params(tmp_path / "store", image=IMAGE)).result["reason"] == "store_unsafe"


def test_a_store_beside_which_others_may_make_files(module: Any, tmp_path: Path) -> None:
    """As container_checkpoint, which refuses it, too."""
    (tmp_path / "store").mkdir(0o700)
    tmp_path.chmod(0o1777)
    assert module("checkpoint_copy", params(tmp_path / "store", image=IMAGE)).result["reason"] == "store_unsafe"


def test_what_no_registry_takes(module: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store_checkpoint(store, process_manifest())
    given = params(store, kind="process", name="worker", image=IMAGE)
    assert module("checkpoint_copy", given).result["reason"] == "ability_missing"
    store_checkpoint(store, replace(MANIFEST, id=OLDER, record={**MANIFEST.record, "pre_dump": True}))
    store_checkpoint(store, replace(MANIFEST, parent=OLDER))
    for there in ({"image": IMAGE}, {"host": HOST}):
        for wanted, said in ((MANIFEST.id, "one that needs another"), (OLDER, "it is a pre-checkpoint")):
            refused = module("checkpoint_copy", params(store, checkpoint=wanted, **there)).result
            assert refused["reason"] == "ability_missing" and said in refused["msg"]
    large = store_checkpoint(store, MANIFEST) / "archive.tar.json"
    large.write_bytes(bytes(4 << 20))
    large.chmod(0o600)
    assert module("checkpoint_copy", params(store, image=IMAGE)).result["reason"] == "ability_missing"


def test_nothing_to_push(module: Any, tmp_path: Path) -> None:
    ran = module("checkpoint_copy", params(tmp_path / "store", image=IMAGE))
    assert ran.result["reason"] == "checkpoint_missing"


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ('{"Tags": ["latest"]}', "checkpoint_missing"),
        ('{"Tags": {}}', "checkpoint_damaged"),
        ("", "checkpoint_damaged"),
    ],
)
def test_nothing_to_pull(module: Any, tmp_path: Path, out: str, reason: str) -> None:
    ran = module(
        "checkpoint_copy", params(tmp_path / "store", state="pulled", image=IMAGE), commands=[Reply(LIST, out)]
    )
    assert ran.result["reason"] == reason


def test_a_registry_that_does_not_answer(module: Any, tmp_path: Path) -> None:
    error = (FIXTURES / "1.9.3-list-tags-missing.stderr.txt").read_text(encoding="utf-8")
    given = params(tmp_path / "store", state="pulled", image=IMAGE)
    ran = module("checkpoint_copy", given, commands=[Reply(LIST, err=error, rc=1)])
    assert ran.result["reason"] == "tool_failed" and "404" in ran.result["msg"]
    ran = module("checkpoint_copy", {**given, "checkpoint": ID}, commands=[MISSING])
    assert ran.result["reason"] == "tool_failed" and "manifest unknown" in ran.result["msg"]


@pytest.mark.parametrize("content", [b"", b"x" + ARCHIVE[1:]], ids=["empty", "changed"])
def test_a_layer_that_is_not_what_it_should_be(module: Any, tmp_path: Path, content: bytes) -> None:
    given, host = a_pull(tmp_path, content)
    ran = module("checkpoint_copy", given, host=host)
    assert ran.result["reason"] == "checkpoint_damaged" and "SHA-256" in ran.result["msg"]
    assert not (tmp_path / "store/containers/web" / ID).exists()


IMAGES = [
    pytest.param(replace(MANIFEST, name="mail"), id="of-another-container"),
    pytest.param(replace(MANIFEST, id=OLDER), id="of-another-time"),
    pytest.param(replace(MANIFEST, parts=(*MANIFEST.parts, part_of("more"))), id="with-more-parts"),
]


@pytest.mark.parametrize("manifest", IMAGES)
def test_an_image_that_is_not_the_checkpoint(module: Any, tmp_path: Path, manifest: Manifest) -> None:
    given, host = a_pull(tmp_path)
    host.replies = [host.replies[0], replace(host.replies[1], out=image_of(manifest))]
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_damaged"


def test_the_sums_have_no_empty_line() -> None:
    """Ansible adds a line feed, and sha256sum of coreutils 8 refuses an empty line (--strict)."""
    assert sums_of("/s/a", MANIFEST, {"manifest.json": "0" * 64}).splitlines() == [
        f"{MANIFEST.parts[0].sha256}  /s/a/archive.tar",
        f"{'0' * 64}  /s/a/manifest.json",
    ]
    assert not sums_of("/s/a", MANIFEST, {}).endswith("\n")


def test_a_host_that_has_another_one(module: Any, tmp_path: Path) -> None:
    given, host = a_copy_to_a_host(tmp_path)
    host.replies = [replace(one, rc=0) if one.argv[-1].startswith("test -e") else one for one in host.replies]
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_differs"
    given, host = a_copy_from_a_host(tmp_path / "b")
    assert module("checkpoint_copy", given, host=host).result["changed"]
    host.replies = [replace(one, rc=1) if one.argv == CHECK else one for one in host.replies]
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_differs"


def test_a_host_without_checkpoints(module: Any, tmp_path: Path) -> None:
    given, host = a_copy_from_a_host(tmp_path)
    host.replies = [replace(host.replies[0], out="notes\n")]
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_missing"
    host.replies = [replace(host.replies[0], rc=2, err="ls: cannot access")]
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_missing"
    host.replies = [replace(host.replies[0], rc=255, err="ssh: connect to host web2 port 22: Connection refused\n")]
    ran = module("checkpoint_copy", given, host=host)
    assert ran.result["reason"] == "host_unreachable" and "Connection refused" in ran.result["msg"]


def test_a_part_that_was_changed_is_not_copied(module: Any, tmp_path: Path) -> None:
    given, host = a_copy_to_a_host(tmp_path)
    (tmp_path / "store/processes/worker" / ID / "images/core-7.img").write_bytes(ARCHIVE[::-1])
    assert module("checkpoint_copy", given, host=host).result["reason"] == "checkpoint_damaged"
    assert host.wrote == []


def test_an_image_of_podman_becomes_a_checkpoint(module: Any, tmp_path: Path) -> None:
    given, host = made_pull(tmp_path)
    ran = module("checkpoint_copy", given, host=host)
    assert (ran.result["checkpoint"]["id"], ran.result["checkpoint"]["image"]) == (MADE_ID, MADE)
    stored = find_stored(given["store"], "container", "web", "latest")
    assert stored.manifest is not None and stored.manifest.parts == (part_of("archive.tar.gz", REAL),)
    assert stored.manifest.record["image"] == "localhost/w:latest" and stored.manifest.host.kernel
    assert Path(stored.part("archive.tar.gz")).read_bytes() == REAL


FOREIGN = [
    pytest.param({"image": made_image("mail")}, "it is of the container 'mail'", id="of-another-container"),
    pytest.param({"image": "{}"}, "it has no annotation of a checkpoint", id="no-checkpoint"),
    pytest.param({"content": REAL[:5000]}, "cannot be read as a checkpoint archive", id="cut-off"),
    pytest.param({"content": REAL + bytes(1)}, "has a different SHA-256", id="other-bytes"),
]


@pytest.mark.parametrize(("changed", "why"), FOREIGN)
def test_an_image_that_cannot_be_taken(module: Any, tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    given, host = made_pull(tmp_path, **changed)
    ran = module("checkpoint_copy", given, host=host)
    assert why in ran.result["msg"] and ran.result["reason"] in ("checkpoint_damaged", "archive_invalid")
    assert not (tmp_path / "store/containers/web" / MADE_ID).exists()


def test_an_image_of_podman_has_one_id(module: Any, tmp_path: Path) -> None:
    given, host = made_pull(tmp_path)
    ran = module("checkpoint_copy", {**given, "checkpoint": ID}, host=host)
    assert ran.result["reason"] == "checkpoint_missing" and MADE_ID in ran.result["msg"]
    ran = module("checkpoint_copy", {**given, "state": "pushed"}, host=host)
    assert (ran.result["reason"], ran.result["option"]) == ("option_invalid", "image")


def test_an_image_in_the_storage_of_podman(module: Any, tmp_path: Path) -> None:
    given, host = made_pull(tmp_path)
    source = "containers-storage:localhost/web:latest"
    replies = [
        Reply(["skopeo", "inspect", *words, source], out=host.replies[at].out)
        for at, words in enumerate((["--raw"], ["--config", "--raw"]))
    ]
    ran = module("checkpoint_copy", {**given, "image": source}, commands=replies, check=True)
    assert ran.result["changed"] and ran.result["commands"][0][-2] == source


def test_ssh_options_reach_rsync(module: Any, tmp_path: Path) -> None:
    given, host = a_copy_to_a_host(tmp_path)
    given["ssh_options"] = ["-i", "/a key"]
    swap = {" ".join(SSH): "ssh -o BatchMode=yes -i '/a key'"}

    def with_key(argv: Any) -> list[str]:
        if argv[0] == "ssh":
            return [*SSH, "-i", "/a key", *argv[3:]]
        return [one.replace(*next(iter(swap.items()))) if one.startswith("--rsh=") else one for one in argv]

    host.replies = [replace(one, argv=with_key(one.argv)) for one in host.replies]
    assert module("checkpoint_copy", given, host=host).result["changed"]
