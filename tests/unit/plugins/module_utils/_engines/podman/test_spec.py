# SPDX-License-Identifier: GPL-3.0-or-later
"""What a container of podman would bring to a host: of recordings, and of archives that hide it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.answers import parse_inspect
from ansible_collections.criu.hosts.plugins.module_utils._engines.podman.spec import (
    check_pre_checkpoint,
    parse_spec,
    read_archive_spec,
    read_folder_spec,
    read_spec,
)
from ansible_collections.criu.hosts.plugins.module_utils._formats.criu_images import (
    COMMON_MAGIC,
    CORE_MAGIC,
    INVENTORY_MAGIC,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec
from ansible_collections.criu.hosts.tests.unit.conftest import FIXTURES
from ansible_collections.criu.hosts.tests.unit.containers import recorded
from ansible_collections.criu.hosts.tests.unit.tars import END, entry, header

CONFIG: dict[str, Any] = json.loads(recorded("config.dump.json"))
BINDS: dict[str, Any] = json.loads(recorded("oci-binds.json"))
OWNER = "6570b5b5cacfc9f6c246f36e306385e7c49c89cd785f498d361a31b796c8181a"
USERDATA = f"/var/lib/containers/storage/overlay-containers/{OWNER}/userdata"
PLAIN: dict[str, Any] = {"process": {"selinuxLabel": "system_u:system_r:container_t:s0:c1,c2"}, "linux": {}}


def spec_with(**changed: Any) -> dict[str, Any]:
    return {**PLAIN, **changed}


def mounting(source: Any, kind: str = "bind", options: Any = ("rbind",)) -> dict[str, Any]:
    return spec_with(mounts=[{"destination": "/x", "type": kind, "source": source, "options": list(options)}])


def test_recorded_container() -> None:
    found = parse_spec(CONFIG, CONFIG["spec"])
    assert found.images == ("localhost/w:latest",) and found.labels == ("container_t",)
    assert found.capabilities == tuple(CONFIG["spec"]["process"]["capabilities"]["bounding"])
    assert (found.mounts, found.devices) == ((), ())


def test_recorded_binds() -> None:
    """Podman's own files of this container are none of the host's, a named volume is where podman keeps it."""
    found = parse_spec({"id": OWNER}, BINDS).mounts
    assert found == (
        *("/srv/conf/app.conf", "/srv/conf/d", "/srv/conf/moved", "/srv/link", "/srv/t/a b", "/srv/t/a b/x"),
        "/var/lib/containers/storage/volumes/vol/_data",
    )


@pytest.mark.parametrize(
    ("config", "spec", "mounts"),
    [
        pytest.param({"id": OWNER}, mounting(f"{USERDATA}/shm"), (), id="own"),
        pytest.param({"id": "0" * 64}, mounting(f"{USERDATA}/shm"), (f"{USERDATA}/shm",), id="of-another-container"),
        pytest.param({"id": ""}, mounting(f"{USERDATA}/shm"), (f"{USERDATA}/shm",), id="no-id"),
        pytest.param({"id": ".*"}, mounting(f"{USERDATA}/shm"), (f"{USERDATA}/shm",), id="id-is-a-pattern"),
        pytest.param({"id": OWNER}, mounting(f"/evil{USERDATA}/a"), (f"/evil{USERDATA}/a",), id="same-name-elsewhere"),
        pytest.param({}, mounting("/"), ("/",), id="root"),
        pytest.param({}, mounting("/srv/"), ("/srv",), id="slash"),
        pytest.param({}, mounting("/dev/sda1", "ext4", ()), ("/dev/sda1",), id="file-system-of-a-disk"),
        pytest.param({}, mounting("debugfs", "debugfs", ()), ("debugfs",), id="kind-that-no-container-has"),
        pytest.param({}, mounting("tmpfs", "tmpfs", ()), (), id="tmpfs"),
        pytest.param({"rootfs": "/"}, PLAIN, ("/",), id="folder-of-the-host-as-root"),
    ],
)
def test_mounts(config: dict[str, Any], spec: dict[str, Any], mounts: tuple[str, ...]) -> None:
    assert parse_spec(config, spec).mounts == mounts


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(mounting("/srv/../etc"), id="dots"),
        pytest.param(mounting("/srv//etc"), id="slashes"),
        pytest.param(mounting("etc"), id="relative"),
        pytest.param(mounting("etc", "none", ["bind"]), id="relative-by-option"),
        pytest.param(mounting(""), id="no-source"),
        pytest.param(mounting(7), id="number"),
        pytest.param(mounting("/a\nb"), id="line-feed"),
        pytest.param(spec_with(mounts="/etc"), id="mounts-is-a-text"),
        pytest.param(spec_with(process=[]), id="process-is-a-list"),
        pytest.param(spec_with(process={"capabilities": {"effective": "CAP_SYS_ADMIN"}}), id="capabilities-is-a-text"),
        pytest.param(spec_with(linux={"devices": [7]}), id="device-is-a-number"),
        pytest.param(spec_with(hooks={"poststop": [{"path": "/bin/sh"}]}), id="program-of-the-host"),
    ],
)
def test_what_cannot_be_judged_is_an_error(spec: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(it mounts|it has hooks|\w+ is no|it has something else)"):
        parse_spec({"id": OWNER}, spec)


def fuse(**more: Any) -> dict[str, Any]:
    return {"type": "c", "major": 10, "minor": 229, **more}


@pytest.mark.parametrize(
    ("devices", "rules", "found"),
    [
        pytest.param([fuse(path="/dev/fuse")], [fuse(allow=True)], ("/dev/fuse c 10:229",), id="device"),
        pytest.param([], [fuse(allow=True)], ("c 10:229",), id="only-permitted"),
        pytest.param([], [{"allow": True, "access": "rwm"}], ("*",), id="all"),
        pytest.param([], [{"access": "rwm"}], ("*",), id="not-said-to-be-denied"),
        pytest.param([], [{"allow": True, "type": "a"}], ("*",), id="all-by-kind"),
        pytest.param([], [{"allow": True, "type": "c", "major": 136}], ("c 136:*",), id="all-of-a-major"),
        pytest.param([], [{"allow": False, "access": "rwm"}], (), id="denied"),
    ],
)
def test_devices(devices: list[Any], rules: list[Any], found: tuple[str, ...]) -> None:
    spec = spec_with(linux={"devices": devices, "resources": {"devices": rules}})
    assert parse_spec({}, spec).devices == found


@pytest.mark.parametrize(
    ("process", "labels"),
    [
        pytest.param({}, ("unconfined",), id="none"),
        pytest.param({"apparmorProfile": "containers-default-0.62.2"}, ("containers-default-0.62.2",), id="apparmor"),
        pytest.param({"selinuxLabel": "u:r:spc_t:s0"}, ("spc_t",), id="selinux"),
        pytest.param({"selinuxLabel": "u:r:spc_t:s0", "apparmorProfile": "lab"}, ("lab", "spc_t"), id="both"),
    ],
)
def test_labels(process: dict[str, Any], labels: tuple[str, ...]) -> None:
    assert parse_spec({}, {"process": process}).labels == labels


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def part(field: int, value: int | bytes) -> bytes:
    """Returns a field of a protobuf message."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    return varint(field << 3 | 2) + varint(len(value)) + value


def image(message: bytes, *magic: int) -> bytes:
    return struct.pack(f"<{len(magic)}I", *magic) + struct.pack("<I", len(message)) + message


def core(label: str, effective: int = 0, bounding: int = 0) -> bytes:
    """Returns the image of a thread, as images/core.proto and images/creds.proto define it."""
    halves = [(field, bits >> shift) for field, bits in ((11, effective), (12, bounding)) for shift in (0, 32)]
    creds = b"".join(part(field, half & 0xFFFFFFFF) for field, half in halves)
    creds += part(15, label.encode()) if label else b""
    return image(part(5, part(10, creds)), COMMON_MAGIC, CORE_MAGIC)


INVENTORY = image(part(1, 1) + part(6, 1), INVENTORY_MAGIC)


def archive(tmp_path: Path, *more: bytes, spec: Any = None, first: bytes = b"") -> str:
    parts = [
        first,
        entry(b"config.dump", json.dumps({**CONFIG, "id": OWNER}).encode()),
        entry(b"spec.dump", json.dumps(PLAIN if spec is None else spec).encode()),
        header(b"checkpoint/", kind=b"5"),
        entry(b"checkpoint/inventory.img", INVENTORY),
    ]
    (tmp_path / "web.tar").write_bytes(b"".join((*parts, *more, END)))
    return str(tmp_path / "web.tar")


def test_archive(tmp_path: Path) -> None:
    same = core("system_u:system_r:container_t:s0:c1,c2", 1 << 0, 1 << 0 | 1 << 40)
    found = read_archive_spec(archive(tmp_path, entry(b"checkpoint/core-1.img", same), spec=BINDS | PLAIN))
    assert found.labels == ("container_t",) and found.images == ("localhost/w:latest",)
    assert found.capabilities == ("CAP_CHECKPOINT_RESTORE", "CAP_CHOWN")
    assert "/srv/link" in found.mounts


def test_images_that_contradict_the_description_count(tmp_path: Path) -> None:
    threads = [core("system_u:system_r:container_t:s0:c1,c2"), core("u:r:unconfined_t:s0", 1 << 21)]
    members = [entry(b"checkpoint/core-%d.img" % number, data) for number, data in enumerate(threads, 1)]
    found = read_archive_spec(archive(tmp_path, *members))
    assert found.labels == ("container_t", "unconfined_t") and found.capabilities == ("CAP_SYS_ADMIN",)


def test_recorded_archive_of_criu() -> None:
    """Its processes ran on a host without an LSM, as root in their own pid namespace."""
    found = read_archive_spec(str(FIXTURES / "criu/4.2.1-archive.tar.gz"))
    assert "unconfined" in found.labels and "CAP_SYS_ADMIN" in found.capabilities


@pytest.mark.parametrize(
    ("members", "says"),
    [
        pytest.param([entry(b"spec.dump", b"{}")], "twice", id="second-description"),
        pytest.param([entry(b"./spec.dump", b"{}")], "twice", id="second-description-by-another-name"),
        pytest.param([entry(b"checkpoint//core-1.img", core("")), entry(b"checkpoint/core-1.img")], "twice", id="core"),
        pytest.param([header(b"a", kind=b"2", target=b"checkpoint")], "the link 'a'", id="link"),
        pytest.param([header(b"a", kind=b"1", target=b"spec.dump")], "the hard link 'a'", id="hard-link"),
        pytest.param([header(b"a", kind=b"6")], "the pipe 'a'", id="pipe"),
        pytest.param([entry(b"../a", b"")], "leads out", id="dots"),
        pytest.param([entry(b"/a", b"")], "leads out", id="absolute"),
        pytest.param([entry(b"checkpoint/core-1.img", b"junk")], "core-1.img", id="damaged-image"),
    ],
)
def test_archives_that_hide_something_are_refused(tmp_path: Path, members: list[bytes], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_archive_spec(archive(tmp_path, *members))


LINK = header(b"checkpoint/parent", kind=b"2", target=b"../pre-checkpoint")


def test_the_link_to_a_pre_checkpoint(tmp_path: Path) -> None:
    assert read_archive_spec(archive(tmp_path, LINK)).images == ("localhost/w:latest",)


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(header(b"checkpoint/parent", kind=b"2", target=b"../../other"), id="elsewhere"),
        pytest.param(header(b"checkpoint/parent", kind=b"1", target=b"../pre-checkpoint"), id="hard-link"),
        pytest.param(header(b"parent", kind=b"2", target=b"../pre-checkpoint"), id="another-name"),
    ],
)
def test_no_other_link(tmp_path: Path, member: bytes) -> None:
    with pytest.raises(ValueError, match=r"it has the (hard )?link"):
        read_archive_spec(archive(tmp_path, member))


def pre_archive(tmp_path: Path, *more: bytes) -> str:
    names = (b"config.dump", b"spec.dump", b"network.status", b"stats-dump", b"pre-checkpoint/inventory.img")
    parts = [header(b"./", kind=b"5"), header(b"pre-checkpoint/", kind=b"5"), header(b"artifacts/", kind=b"5")]
    parts += [entry(name, b"{}") for name in names]
    (tmp_path / "pre.tar").write_bytes(b"".join((*parts, *more, END)))
    return str(tmp_path / "pre.tar")


def test_an_archive_of_a_pre_checkpoint(tmp_path: Path) -> None:
    check_pre_checkpoint(pre_archive(tmp_path, entry(b"pre-checkpoint/pages-1.img", b"memory")))


@pytest.mark.parametrize(
    ("member", "says"),
    [
        pytest.param(entry(b"checkpoint/core-1.img", b""), "which no pre-checkpoint has", id="image"),
        pytest.param(entry(b"deleted.files", b"[]"), "which no pre-checkpoint has", id="deleted-files"),
        pytest.param(entry(b"rootfs-diff.tar", b""), "which no pre-checkpoint has", id="files"),
        pytest.param(entry(b"volumes/data.tar", b""), "which no pre-checkpoint has", id="volume"),
        pytest.param(entry(b"pre-checkpoint/a/b", b""), "which no pre-checkpoint has", id="folder-below"),
        pytest.param(LINK, "which no pre-checkpoint has", id="link"),
        pytest.param(header(b"pre-checkpoint/a", kind=b"2", target=b"/etc"), "the link", id="link-elsewhere"),
        pytest.param(entry(b"../a", b""), "leads out", id="dots"),
    ],
)
def test_more_than_a_pre_checkpoint_has(tmp_path: Path, member: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_pre_checkpoint(pre_archive(tmp_path, member))


def test_no_pre_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "pre.tar").write_bytes(entry(b"config.dump", b"{}") + END)
    with pytest.raises(ValueError, match="it has no pre-checkpoint"):
        check_pre_checkpoint(str(tmp_path / "pre.tar"))


@pytest.mark.parametrize("cut", [0, 100, 512, 1024, 5000])
def test_cut_off(tmp_path: Path, cut: int) -> None:
    path = Path(archive(tmp_path))
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"^it (has no|is cut off)"):
        read_archive_spec(str(path))


def test_container(tmp_path: Path) -> None:
    container = parse_inspect(recorded("inspect-running.json"))
    container = replace(container, id=OWNER, own={**container.own, "work_dir": str(tmp_path)})
    assert read_spec(container) is None
    (tmp_path / "config.json").write_text(json.dumps(BINDS | PLAIN), encoding="utf-8")
    found = read_spec(container)
    assert found is not None and found.images == (container.image,) and "/srv/link" in found.mounts
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    assert read_spec(container) is None
    assert read_spec(replace(container, own={**container.own, "work_dir": ""})) is None


def test_nothing_is_nothing() -> None:
    assert parse_spec({}, {}) == Spec(labels=("unconfined",))


def test_the_files_of_an_image_count_as_those_of_an_archive(tmp_path: Path) -> None:
    images = tmp_path / "checkpoint"
    images.mkdir()
    (images / "inventory.img").write_bytes(INVENTORY)
    (images / "core-1.img").write_bytes(core("u:r:unconfined_t:s0", 1 << 21))
    dumps = {"config.dump": {**CONFIG, "id": OWNER}, "spec.dump": PLAIN}
    found = read_folder_spec(str(tmp_path), dumps)
    assert found.labels == ("container_t", "unconfined_t") and found.capabilities == ("CAP_SYS_ADMIN",)
    (images / "core-2.img").symlink_to("/etc/shadow")
    with pytest.raises(ValueError, match="no file"):
        read_folder_spec(str(tmp_path), dumps)
    (images / "core-2.img").unlink()
    (images / "core-2.img").write_bytes(b"junk")
    with pytest.raises(ValueError, match=r"core-2\.img"):
        read_folder_spec(str(tmp_path), dumps)
    images.rename(tmp_path / "elsewhere")
    images.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="no folder"):
        read_folder_spec(str(tmp_path), dumps)
