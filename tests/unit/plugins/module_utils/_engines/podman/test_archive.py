# SPDX-License-Identifier: GPL-3.0-or-later
"""Archives without a record: those of podman are read, all else is refused in one line."""

from __future__ import annotations

import io
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman import archive
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.archive import read_config_dump
from ansible_collections.criu.hosts.plugins.module_utils._store.record import Record
from ansible_collections.criu.hosts.tests.unit.containers import recorded
from ansible_collections.criu.hosts.tests.unit.tars import COMPRESSIONS, END, entry, header, pax, zeros

CONFIG = recorded("config.dump.json").encode()
INVENTORY = entry(b"checkpoint/inventory.img", b"inventory")
BINARY = b"\x80" + (1 << 62).to_bytes(11, "big")
BLOCK = 1 << 17


def zstd(*parts: bytes | tuple[bytes, int]) -> bytes:
    """Returns a stream of zstd: bytes as they are, and (byte, n): n blocks of 128 KiB of that byte, 4 bytes each."""
    blocks = []
    for part in parts:
        if isinstance(part, tuple):
            blocks += [(1, BLOCK, part[0])] * part[1]
        else:
            blocks += [(0, len(piece), piece) for piece in (part[at : at + BLOCK] for at in range(0, len(part), BLOCK))]
    heads = [(size << 3 | kind << 1).to_bytes(3, "little") + data for kind, size, data in blocks]
    return b"\x28\xb5\x2f\xfd\x00\x38" + b"".join(heads) + b"\x01\0\0"


def archived(*changed: bytes, config: bytes = CONFIG, spec: bytes = b"{}") -> bytes:
    """Returns an archive in podman's order, with more entries at its end."""
    parts = (entry(b"config.dump", config), entry(b"spec.dump", spec), header(b"checkpoint/", kind=b"5"), INVENTORY)
    return b"".join((*parts, entry(b"checkpoint/pages-1.img", b"memory"), *changed, END))


def config(**changes: Any) -> bytes:
    return json.dumps({**json.loads(CONFIG), **changes}).encode()


def read(folder: Path, data: bytes) -> Record:
    (folder / "web.tar").write_bytes(data)
    return read_config_dump(str(folder / "web.tar"))


@pytest.mark.parametrize("compress", [*COMPRESSIONS, "zstd"])
def test_what_podman_writes(tmp_path: Path, compress: str) -> None:
    pack = {**COMPRESSIONS, "zstd": zstd}[compress]
    large = header(b"devshm-checkpoint.tar", 1 << 20) + bytes(1 << 20)
    found = read(tmp_path, pack(large + archived(entry(b"rootfs-diff.tar", b"x" * 5000))))
    assert (found.name, found.runtime, found.image, found.volumes) == ("web", "runc", "localhost/w:latest", ("vv",))


def test_before_podman_4_the_memory_came_first(tmp_path: Path) -> None:
    """More of it than the reader keeps: it is skipped."""
    path, size = tmp_path / "web.tar", 1 << 36
    with path.open("wb") as handle:
        handle.write(INVENTORY + pax(size=b"%d" % size) + header(b"checkpoint/pages-1.img"))
        handle.seek(size, io.SEEK_CUR)
        handle.write(entry(b"./config.dump", CONFIG) + END)
    assert read_config_dump(str(path)).name == "web"


def test_the_label_of_an_archive_of_podman_4(tmp_path: Path) -> None:
    spec = json.dumps({"process": {"selinuxLabel": "a:b:c:s0"}}).encode()
    assert read(tmp_path, archived(config=config(ProcessLabel=None), spec=spec)).process_label == "a:b:c:s0"


def test_the_apparmor_profile_of_an_archive(tmp_path: Path) -> None:
    spec = json.dumps({"process": {"apparmorProfile": "containers-default-0.62.2"}}).encode()
    assert read(tmp_path, archived(spec=spec)).apparmor_profile == "containers-default-0.62.2"


BAD = [
    pytest.param(b"", id="empty"),
    pytest.param(END, id="no-members"),
    pytest.param(os.urandom(4096), id="noise"),
    pytest.param(archived()[:-9000], id="cut-off"),
    pytest.param(header(b"a", BINARY) + END, id="claims-far-beyond-the-end"),
    pytest.param(header(b"a", b"\xff" * 12) + END, id="negative-size"),
    pytest.param(header(b"config.dump", 512 << 20) + END, id="dump-of-512-mb"),
    pytest.param(zstd(header(b"config.dump", 512 << 20), (b" ", 4096)), id="dump-of-512-mb-in-16-kb-of-zstd"),
    pytest.param(zstd(header(b"x", 512 << 20, kind=b"x"), (b" ", 4096)), id="extended-header-of-512-mb-in-zstd"),
    pytest.param(zstd(header(b"a", BINARY), (b" ", 4096)), id="claims-far-beyond-the-end-in-zstd"),
    pytest.param(zeros("gzip", 4, before=header(b"spec.dump", 4 << 20)), id="spec-of-4-mb-in-gzip"),
    pytest.param(zeros("xz", 4, before=header(b"x", 4 << 20, kind=b"x")), id="extended-header-of-4-mb-in-xz"),
    pytest.param(zstd(archived())[:-700], id="cut-off-zstd"),
    pytest.param(b"\x28\xb5\x2f\xfd" + os.urandom(500), id="noise-as-zstd"),
    pytest.param(archived(entry(b"config.dump", CONFIG)), id="twice"),
    pytest.param(archived(entry(b"./spec.dump", b"{}")), id="twice-by-another-name"),
    pytest.param(archived(entry(b"/config.dump", b"{}")), id="twice-by-an-absolute-name"),
    pytest.param(archived(entry(b"checkpoint/../config.dump", b"{}")), id="twice-by-a-way-back"),
    pytest.param(archived(pax(path=b"config.dump") + entry(b"a", b"{}")), id="twice-by-an-extended-name"),
    pytest.param(archived(header(b"spec.dump", kind=b"2", target=b"/etc/passwd")), id="dump-as-a-link-too"),
    pytest.param(header(b"config.dump", kind=b"2", target=b"/etc/passwd") + INVENTORY + END, id="dump-as-a-link"),
    pytest.param(header(b"config.dump", kind=b"5") + INVENTORY + END, id="dump-as-a-folder"),
    pytest.param(header(b"config.dump", kind=b"6") + INVENTORY + END, id="dump-as-a-pipe"),
    pytest.param(archived(header(b"checkpoint", kind=b"2", target=b"/tmp")), id="checkpoint-as-a-link"),
    pytest.param(archived(pax(GNU__sparse__size=b"9" * 18) + entry(b"a")), id="sparse"),
    pytest.param(archived(pax(path=b"a\0b") + entry(b"a")), id="nul-in-a-name"),
    *[
        pytest.param(archived(config=text), id=f"config-{name}")
        for name, text in {
            "empty": b"",
            "list": b"[]",
            "null": b"null",
            "deep": b"[" * 100_000,
            "deep-object": b'{"a":' * 2000 + b"1" + b"}" * 2000,
            "nan": b'{"id": NaN}',
            "digits": b'{"id": ' + b"9" * 5000 + b"}",
            "not-utf-8": b"\xff\xfe{}",
            "nul": b"{}\0",
            "id-number": config(id=5),
            "id-list": config(id=["a"]),
            "id-path": config(id="../../etc"),
            "id-option": config(id="--all"),
            "name-object": config(name={}),
            "name-newline": config(name="web\nx"),
            "name-option": config(name="-web"),
            "name-path": config(name="../web"),
            "name-true": config(name=True),
            "image-list": config(rootfsImageName=[]),
            "image-newline": config(rootfsImageName="a\nb"),
            "image-id-option": config(rootfsImageID="--help"),
            "image-id-number": config(rootfsImageID=1e300),
            "runtime-list": config(runtime=["runc"]),
            "runtime-nul": config(runtime="runc\0"),
            "label-number": config(ProcessLabel=7),
            "volumes-object": config(namedVolumes={"a": 1}),
            "volumes-text": config(namedVolumes="vv"),
            "volumes-numbers": config(namedVolumes=[1]),
            "volume-name-list": config(namedVolumes=[{"volumeName": []}]),
            "volume-path": config(namedVolumes=[{"volumeName": "../../etc"}]),
            "half-a-character": config(name="\ud800"),
        }.items()
    ],
    pytest.param(archived(config=config(ProcessLabel=""), spec=b'{"process": "a"}'), id="process-text"),
    pytest.param(archived(config=config(ProcessLabel=""), spec=b'{"process": []}'), id="process-list"),
    pytest.param(
        archived(config=config(ProcessLabel=""), spec=b'{"process": {"selinuxLabel": {}}}'), id="process-label"
    ),
    pytest.param(archived(spec=b"[]"), id="spec-list"),
    pytest.param(archived(spec=b"[" * 100_000), id="spec-deep"),
]


@pytest.mark.parametrize("data", BAD)
def test_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(tmp_path, data)
    assert caught.value.reason == "archive_invalid" and caught.value.message.isprintable()


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "web.tar"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError) as caught:
        read_config_dump(str(path))
    assert caught.value.reason == "archive_invalid"


def test_a_bomb_after_the_dumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """256 MiB of zeros in 8 KiB: no more than the limit is expanded, and all of it would be."""
    monkeypatch.setattr(archive, "EXPANDED_LIMIT", 1 << 20)
    monkeypatch.setattr(archive, "EXPANDED_RATIO", 1)
    with pytest.raises(CheckpointError, match="claims to expand"):
        read(tmp_path, zstd(archived()[:-1024], header(b"rootfs-diff.tar", 1 << 28), (b"\0", 2048)))


def test_an_archive_expands_to_more_the_larger_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "EXPANDED_LIMIT", 0)
    memory = header(b"checkpoint/pages-2.img", 8 * BLOCK)
    data = zstd(archived()[:-1024], memory, (b"m", 8), END)
    assert 8 * BLOCK / len(data) < archive.EXPANDED_RATIO
    assert read(tmp_path, data).name == "web"


def test_damage_at_any_place(tmp_path: Path) -> None:
    dice = random.Random(20261201)
    said = []
    for number in range(600):
        data = bytearray(archived())
        for dummy in range(dice.randint(1, 3)):
            place = dice.randrange(len(data))
            data[place : place + dice.randint(1, 3)] = dice.randbytes(dice.randint(0, 3))
        try:
            read(tmp_path, zstd(bytes(data)) if number % 2 else bytes(data))
        except CheckpointError as error:
            said.append((error.reason, error.message.isprintable()))
    assert set(said) == {("archive_invalid", True)} and len(said) < 600


def _mutants(value: Any, dice: random.Random) -> Any:
    """Returns the value with a different type at some places."""
    if dice.random() < 0.02:
        return dice.choice([None, True, -1, 1 << 70, 1.5, "", "x\n", [], {}, [1], {"a": 1}, "\0"])
    if isinstance(value, dict):
        return {key: _mutants(one, dice) for key, one in value.items()}
    return [_mutants(one, dice) for one in value] if isinstance(value, list) else value


def test_wrong_types_at_any_place(tmp_path: Path) -> None:
    dice = random.Random(20261202)
    said = []
    whole = json.loads(CONFIG)
    for dummy in range(200):
        try:
            found = read(tmp_path, archived(config=json.dumps(_mutants(whole, dice)).encode()))
        except CheckpointError as error:
            said.append((error.reason, error.message.isprintable()))
        else:
            assert all(isinstance(one, str) for one in (found.id, found.name, found.image, *found.volumes))
    assert set(said) == {("archive_invalid", True), ("has_dependencies", True)} and len(said) < 200
