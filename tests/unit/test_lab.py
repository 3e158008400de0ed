# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the pure parts of the lab: the key of an image, QEMU's arguments, the inventory and the ssh configuration."""

from __future__ import annotations

import json
import marshal
import re
import shlex
import subprocess
import sys
import zipfile
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
import bookworm_image  # noqa: E402
import image  # noqa: E402
import kinds  # noqa: E402
import machine  # noqa: E402
import native  # noqa: E402
import node  # noqa: E402
import zip_bytecode  # noqa: E402

ALPHA = machine.Machine(name="alpha", port=2201, image="image-1", accel="tcg")
NODE = machine.Machine(name="node-trixie", port=0, image="trixie", accel="namespaces")
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


@pytest.mark.parametrize(
    "name, kind",
    [
        pytest.param("lab1", ("trixie", "base", "enforcing"), id="any-other-name"),
        pytest.param("web", ("trixie", "services", "enforcing"), id="services"),
        pytest.param("apparmor-host", ("trixie", "apparmor", "apparmor"), id="apparmor"),
        pytest.param("trixie-plain", ("trixie", "apparmor", "none"), id="plain"),
        pytest.param("bookworm-permissive", ("bookworm", "bookworm", "permissive"), id="debian-12"),
    ],
)
def test_the_name_of_a_machine_chooses_its_kind(name, kind):
    found = kinds.kind_of(name)
    assert (found.suite, found.image, found.lsm) == kind


@pytest.mark.parametrize("name", kinds.KINDS)
def test_each_kind_has_an_image_and_a_security_module(name):
    kind = kinds.KINDS[name]
    assert kind.image in machine.IMAGES
    assert kind.lsm in kinds.LSMS
    assert kind.suite in (image.SUITE, *node.PACKAGES)


def test_both_suites_have_a_machine_with_each_security_module():
    found = {(kind.suite, kind.lsm) for kind in (kinds.kind_of("lab1"), *kinds.KINDS.values())}
    assert found == {(suite, lsm) for suite in ("trixie", "bookworm") for lsm in kinds.LSMS}


@pytest.mark.parametrize("lsm", kinds.LSMS)
def test_the_kernel_starts_with_the_security_module_of_the_machine(lsm):
    one = machine.Machine("alpha", 2201, "image-1", "tcg", lsm)
    words = following(machine.qemu_argv(one, Path("/i")), "-append")[0].split()
    assert [word for word in words if word in kinds.LSMS[lsm].split()] == kinds.LSMS[lsm].split()
    assert sum(word.startswith(("security=", "lsm=")) for word in words) == 1


def test_a_machine_without_security_modules_lists_the_others():
    assert kinds.LSMS["none"].startswith("lsm=")
    assert not {"selinux", "apparmor", "smack", "tomoyo"} & set(kinds.LSMS["none"].partition("=")[2].split(","))


def test_the_image_of_debian_12_has_what_each_security_module_needs():
    assert {"apparmor", "selinux-policy-default", "auditd", "iptables", "podman"} <= set(bookworm_image.PACKAGES)
    assert not {"libcriu2", "libgnutls30t64"} & set(bookworm_image.PACKAGES)


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


@pytest.mark.parametrize(
    ("name", "suite"), [("node-bookworm", "bookworm"), ("node-trixie", "trixie"), ("node-trixie-a-b", "trixie")]
)
def test_the_name_of_a_node_has_its_suite(name, suite):
    assert native.is_node(name)
    assert native.suite_of(name) == suite


@pytest.mark.parametrize("name", ["node-sid", "node-", "node-bookworms"])
def test_a_node_of_an_unknown_suite_is_an_error(name):
    with pytest.raises(base.LabError, match=r"suite .* is unknown. Begin the name with node-bookworm or node-trixie"):
        native.suite_of(name)


def test_a_node_is_reached_without_a_port():
    (block,) = machine.render_ssh_config([NODE], Path("/k/id")).split("Host ")[1:]
    assert re.search(r"^  ProxyCommand sh \S+/native\.sh session \S+ \S+/machine-node-trixie$", block, re.MULTILINE)
    assert "Port" not in block and "HostName" not in block
    inventory = json.loads(machine.render_inventory([ALPHA, NODE], Path("/k")))["all"]["children"]["lab"]
    assert shlex.split(inventory["hosts"]["node-trixie"]["ansible_ssh_common_args"]) == [
        "-F",
        f"{base.BUILD}/ssh_config",
    ]
    assert "ansible_port" not in inventory["hosts"]["node-trixie"]


def test_nodes_do_not_share_a_connection(monkeypatch):
    monkeypatch.setattr(machine, "BUILD", Path("/short"))
    other = machine.Machine(name="node-bookworm", port=0, image="bookworm", accel="namespaces")
    paths = re.findall(r"ControlPath (\S+)", machine.render_ssh_config([NODE, other], Path("/k")))
    assert paths == ["/short/ssh-node-trixie", "/short/ssh-node-bookworm"]


def test_the_network_of_a_node_does_not_lead_to_this_machine():
    argv = native.slirp_argv(77, 5, 6)
    assert argv[0] == "slirp4netns" and argv[-2:] == ["77", "eth0"]
    assert {"--disable-host-loopback", "--exit-fd=5", "--ready-fd=6"} <= set(argv)


def test_a_node_gets_the_way_to_the_mirror_and_nothing_of_ours():
    dump = 'Acquire::http::Proxy "http://proxy.example:3142";\nAPT::Install-Recommends "0";\n'
    files = native.seed_files("node-trixie", "192.0.2.1 mirror\n", dump)
    assert files["etc/hosts"] == "192.0.2.1 mirror\n"
    assert files["etc/apt/apt.conf.d/99lab"] == 'Acquire::http::Proxy "http://proxy.example:3142";\n'
    assert files["etc/resolv.conf"] == "nameserver 10.0.2.3\n"
    assert not {"podman", "criu", "runc", "crun", "iptables", "nftables"} & set(native.PACKAGES)


@pytest.mark.parametrize("text", ["", "1", "x y", "1 pid:[1]", "999999999 pid:[1]"])
def test_a_process_outside_of_the_node_is_not_its_systemd(tmp_path, text):
    (tmp_path / "init").write_text(text)
    assert native.pid_of(tmp_path) is None
    done = subprocess.run(native.script_argv("session", tmp_path), capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "does not run. Start it with lab.py up.\n" in done.stderr


def test_each_node_has_a_control_group_of_its_own():
    groups = {native.control_group(Path(path)) for path in ("/a/node-1", "/a/node-2", "/b/node-1")}
    assert len(groups) == 3


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
    assert set(arguments.split()) <= set(machine.KERNEL_ARGUMENTS.format(lsm=kinds.LSMS["enforcing"]).split())
    ran = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "run", lambda what, argv: ran.append(argv))
        image.seal(Path("/image"), Path("/part"))
    labelled = ran[0][ran[0].index("setfiles") :]
    outside = "-e /proc -e /sys -e /dev"
    assert label == f"# setfiles -F {outside} /etc/selinux/default/contexts/files/file_contexts /"
    assert " ".join(labelled) == label.removeprefix("# ")


def run_zip(folder: Path, text: str) -> str:
    """Returns what a module in a zip archive prints when a Python with kept bytecode imports it."""
    with zipfile.ZipFile(folder / "payload.zip", "w") as archive:
        archive.writestr("shown.py", text)
    script = "import sys, zip_bytecode; zip_bytecode.keep(sys.argv[1]); sys.path.insert(0, sys.argv[2]); import shown"
    argv = [sys.executable, "-c", script, str(folder / "kept"), str(folder / "payload.zip")]
    env = {"PYTHONPATH": str(LAB)}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_the_bytecode_of_a_zip_archive_is_kept_and_used(tmp_path):
    assert run_zip(tmp_path, "print('one')") == "one"
    (kept,) = (tmp_path / "kept").iterdir()
    kept.write_bytes(marshal.dumps(compile("print('kept')", "shown", "exec")))
    assert run_zip(tmp_path, "print('one')") == "kept"
    assert run_zip(tmp_path, "print('two')") == "two"


@pytest.mark.parametrize("damage", [b"", b"\0" * 40, b"\xe3cut", None], ids=["empty", "zeros", "cut", "folder"])
def test_damaged_bytecode_is_left_aside(tmp_path, damage):
    assert run_zip(tmp_path, "print('one')") == "one"
    (kept,) = (tmp_path / "kept").iterdir()
    kept.unlink()
    kept.mkdir() if damage is None else kept.write_bytes(damage)
    assert run_zip(tmp_path, "print('one')") == "one"


def test_the_bytecode_is_kept_from_the_start_of_python(tmp_path):
    zip_bytecode.install(str(tmp_path))
    script = "import site, sys; site.addsitedir(sys.argv[1]); import zipimport; print(zipimport._compile_source)"
    argv = [sys.executable, "-c", script, str(tmp_path)]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "keep.<locals>.compile_source" in shown


def test_only_a_machine_that_runs_is_reset(monkeypatch):
    called = []
    monkeypatch.setattr(machine, "machines", lambda: [ALPHA, NODE, BETA])
    monkeypatch.setattr(machine, "pid_of", lambda one: 7 if one is not BETA else None)
    monkeypatch.setattr(machine, "monitor", lambda one, *commands: called.append((one.name, *commands)))
    monkeypatch.setattr(machine, "wait_until_ready", lambda one: called.append((one.name, "ready")))
    monkeypatch.setattr(machine.subprocess, "run", lambda argv, **options: called.append((argv[-1], argv[-2])))
    machine.reset("alpha")
    assert called == [("alpha", "system_reset"), ("alpha", "exit"), ("alpha", "ready")]
    for name in ("beta", "node-trixie", "gamma"):
        with pytest.raises(base.LabError, match="no machine that runs"):
            machine.reset(name)
    assert len(called) == 3
