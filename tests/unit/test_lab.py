# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the pure parts of the lab: the key of an image, QEMU's arguments, the inventory and the ssh configuration."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

LAB = Path(__file__).parents[2] / "extensions" / "molecule" / "lab"
if not LAB.exists():
    pytest.skip("the lab is not part of an installed collection", allow_module_level=True)
if sys.version_info < (3, 11):
    pytest.skip("the lab runs beside the tools, on Python 3.11 and newer", allow_module_level=True)
sys.path.insert(0, str(LAB))

import artifact  # noqa: E402
import base  # noqa: E402
import image  # noqa: E402
import machine  # noqa: E402
import node  # noqa: E402

ALPHA = machine.Machine(name="alpha", port=2201, image="image-1", accel="tcg")
BETA = machine.Machine(name="beta", port=2202, image="image-1", accel="kvm")


def following(argv: list[str], option: str) -> list[str]:
    return [argv[at + 1] for at, word in enumerate(argv[:-1]) if word == option]


def test_the_image_key_is_the_same_for_the_same_sources():
    assert image.image_key("key") == image.image_key("key")
    assert len(image.image_key("key")) == 12


def test_the_image_key_changes_with_the_public_key():
    assert image.image_key("one") != image.image_key("another")


@pytest.mark.parametrize("changed", ["threads.py", "client.py"])
def test_the_image_key_changes_with_each_payload(changed, monkeypatch, tmp_path):
    before = image.image_key("key")
    copies = []
    for path in image.payload_files():
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes() + (b"# other\n" if path.name == changed else b""))
        copies.append(copy)
    assert changed in {copy.name for copy in copies}
    monkeypatch.setattr(image, "payload_files", lambda: copies)
    assert image.image_key("key") != before


def test_digest_keeps_neighbours_apart():
    assert base.digest(["ab", "c"]) != base.digest(["a", "bc"])


def test_the_virgin_host_has_neither_iptables_nor_anything_of_ours():
    assert "iptables" not in image.PACKAGES
    assert not [name for name in image.FILES if "criu" in name or "containers" in name]
    assert "SELINUX=enforcing\n" in image.FILES["etc/selinux/config"]


def test_a_machine_under_emulation_has_one_processor_and_boots_into_enforcing():
    argv = machine.qemu_argv(ALPHA, Path("/images/image-1"))
    assert following(argv, "-smp") == ["1"]
    assert following(argv, "-accel")[0].startswith("tcg")
    assert {"security=selinux", "selinux=1", "enforcing=1", "panic=1"} <= set(following(argv, "-append")[0].split())
    assert following(argv, "-kernel") == ["/images/image-1/vmlinuz"]
    assert "-loadvm" not in argv


def test_a_machine_is_reached_from_this_host_only():
    assert "hostfwd=tcp:127.0.0.1:2201-:22" in following(machine.qemu_argv(ALPHA, Path("/i")), "-netdev")[0]


def test_a_snapshot_is_loaded_with_the_arguments_it_was_saved_with():
    cold = machine.qemu_argv(ALPHA, Path("/i"))
    assert machine.qemu_argv(ALPHA, Path("/i"), "virgin") == [*cold, "-loadvm", "virgin"]


def test_kvm_uses_the_processor_of_the_host():
    argv = machine.qemu_argv(BETA, Path("/i"))
    assert following(argv, "-accel") == ["kvm"]
    assert following(argv, "-cpu") == ["host"]


def test_the_inventory_names_every_machine_with_its_port():
    inventory = json.loads(machine.render_inventory([ALPHA, BETA], Path("/k/id")))
    lab = inventory["all"]["children"]["lab"]
    assert {name: host["ansible_port"] for name, host in lab["hosts"].items()} == {"alpha": 2201, "beta": 2202}
    assert {host["ansible_host"] for host in lab["hosts"].values()} == {"127.0.0.1"}
    assert lab["vars"]["ansible_ssh_private_key_file"] == "/k/id"
    assert lab["vars"]["ansible_pipelining"] is True


def test_ssh_leaves_no_trace_in_the_users_files():
    options = shlex.split(
        json.loads(machine.render_inventory([ALPHA], Path("/k")))["all"]["children"]["lab"]["vars"][
            "ansible_ssh_common_args"
        ]
    )
    assert "UserKnownHostsFile=/dev/null" in options
    assert "StrictHostKeyChecking=no" in options


def test_the_ssh_configuration_has_one_block_a_machine():
    blocks = machine.render_ssh_config([ALPHA, BETA], Path("/k/id")).split("Host ")[1:]
    assert [block.split()[0] for block in blocks] == ["alpha", "beta"]
    assert "  Port 2202\n" in blocks[1]
    assert "  IdentityFile /k/id\n" in blocks[1]


def test_no_machine_no_host():
    assert json.loads(machine.render_inventory([], Path("/k")))["all"]["children"]["lab"]["hosts"] == {}
    assert machine.render_ssh_config([], Path("/k")) == ""


@pytest.mark.parametrize(
    "folder, shared",
    [
        pytest.param("/short", True, id="short-path-shared"),
        pytest.param("/" + "x" * 90, False, id="long-path-not-shared"),
    ],
)
def test_ssh_shares_connections_where_a_socket_can_be(folder, shared, monkeypatch):
    monkeypatch.setattr(machine, "BUILD", Path(folder))
    assert ("ControlPath" in machine.ssh_options()) is shared


def test_a_stale_process_number_is_not_taken_for_a_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "BUILD", tmp_path)
    ALPHA.folder.mkdir()
    (ALPHA.folder / "qemu.pid").write_text("1\n")
    assert machine.pid_of(ALPHA) is None


def test_removing_what_is_not_there_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "BUILD", tmp_path)
    assert machine.stop("alpha") is False


def test_only_what_nobody_needs_is_removed(monkeypatch, tmp_path):
    monkeypatch.setattr(image, "BUILD", tmp_path)
    for name in ("image-1", "image-2", "virgin-1", "image.part", "build.part", "artifact-1", "log"):
        (tmp_path / name).mkdir()
    image.remove_old({"image-2"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifact-1", "build.part", "image-2", "log"]


def test_the_code_of_the_artifact_is_there_and_includes_whole_folders():
    names = {path.relative_to(artifact.PROJECT).as_posix() for path in artifact.code_files()}
    assert {"plugins/modules/criu_build.py", "plugins/module_utils/_criu_build/compile.py"} <= names


def test_a_missing_name_in_the_code_of_the_artifact_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(base.LabError, match="'empty' does not exist"):
        artifact.code_files(tmp_path, ["empty"])


def test_the_build_root_has_the_packages_of_the_role():
    text = "---\n# a comment\n__criu_build_packages:\n  - gcc\n  - libselinux1-dev\n"
    assert artifact.build_packages(text) == ["gcc", "libselinux1-dev"]


@pytest.mark.parametrize(
    "versions, chosen",
    [
        pytest.param(["4.1-1", "4.2.1-2"], "4.2.1-2", id="wanted-there"),
        pytest.param(["4.3-1"], "4.3-1", id="suite-moved-on-newest"),
        pytest.param(["4.2.10-1", "4.2.1-1"], "4.2.1-1", id="longer-number-is-another-version"),
    ],
)
def test_choose_version(versions, chosen):
    assert artifact.choose_version("".join(f"Package: criu\nVersion: {one}\n\n" for one in versions)) == chosen


def test_no_source_is_an_error_that_names_the_suite():
    with pytest.raises(base.LabError, match="sid has no source of criu"):
        artifact.choose_version("")


def test_a_failed_program_shows_the_end_of_its_log(monkeypatch, tmp_path):
    monkeypatch.setattr(base, "BUILD", tmp_path)
    with pytest.raises(base.LabError, match=r"(?s)exit status 3.*the reason"):
        base.run("trying", [sys.executable, "-c", "print('the reason'); raise SystemExit(3)"])


def test_an_unknown_suite_has_no_node():
    with pytest.raises(base.LabError, match=r"node of 'sid': the suite is unknown. Choose from bookworm"):
        node.node_dir("sid")


def test_each_suite_has_an_artifact_of_its_own():
    assert artifact.artifact_link(image.SUITE) != artifact.artifact_link("bookworm")


def test_the_workload_of_a_node_is_that_of_the_image(monkeypatch, tmp_path):
    source = tmp_path / "image/root/var/lib/lab"
    source.mkdir(parents=True)
    (source / "workload.tar").write_text("one")
    monkeypatch.setattr(node, "ensure_image", lambda: tmp_path / "image")
    copy = tmp_path / "node/var/lib/lab/workload.tar"
    node.workload(tmp_path / "node")
    assert copy.read_text() == "one"
    (source / "workload.tar").write_text("another")
    node.workload(tmp_path / "node")
    assert copy.read_text() == "another"


def test_the_page_about_selinux_has_the_steps_of_the_image():
    page = (LAB.parents[2] / "docs/selinux-on-debian.md").read_text(encoding="utf-8")
    blocks = [" ".join(block.split()) for block in re.findall(r"```\w+\n(.*?)```", page, re.DOTALL)]
    install, config, label, arguments = (block.replace("\\ ", "") for block in blocks)
    assert set(install.removeprefix("# apt install ").split()) <= set(image.PACKAGES)
    assert config == " ".join(image.FILES["etc/selinux/config"].split())
    assert set(arguments.split()) <= set(machine.KERNEL_ARGUMENTS.format(lsm=machine.SELINUX).split())
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "run", lambda what, argv: ran.append(argv))
        image.seal(Path("/image"), Path("/part"))
    labelled = ran[0][ran[0].index("setfiles") :]
    outside = "-e /proc -e /sys -e /dev"
    assert label == f"# setfiles -F {outside} /etc/selinux/default/contexts/files/file_contexts /"
    assert " ".join(labelled) == label.removeprefix("# ")
