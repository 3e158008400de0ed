# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the archive with which the role unprivileged_container adds CRIU to an image."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.plugins.module_utils._formats.file_capabilities import parse_capabilities

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "roles/unprivileged_container/files/pack_criu.py"
NAMES = ["CHECKPOINT_RESTORE", "SYS_PTRACE", "NET_ADMIN"]
EXPECTED = ["cap_net_admin", "cap_sys_ptrace", "cap_checkpoint_restore"]
# The output of ldd of glibc 2.41.
LDD = """\
\tlinux-vdso.so.1 (0x00007f12aabeb000)
\tlibselinux.so.1 => /lib/x86_64-linux-gnu/libselinux.so.1 (0x00007f12aa9d5000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f12aabed000)
"""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pack_criu", PROGRAM)
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_attribute_is_what_the_kernel_reads(program: ModuleType) -> None:
    found = parse_capabilities(program.capability_attribute(NAMES))
    assert found == {"effective": True, "permitted": EXPECTED, "inheritable": EXPECTED}


def test_libraries(program: ModuleType) -> None:
    assert program.libraries(LDD) == ["/lib/x86_64-linux-gnu/libselinux.so.1", "/lib64/ld-linux-x86-64.so.2"]


def test_library_that_is_not_there(program: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"libnet\.so\.1"):
        program.libraries("\tlibnet.so.1 => not found\n")


def test_links_are_packed_with_what_they_lead_to(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "libx.so.1.2").write_bytes(b"")
    (tmp_path / "libx.so.1").symlink_to("libx.so.1.2")
    found = list(program.with_links(str(tmp_path / "libx.so.1")))
    assert found == [str(tmp_path / "libx.so.1"), str(tmp_path / "libx.so.1.2")]


def test_archive(program: ModuleType, tmp_path: Path) -> None:
    target = tmp_path / "criu.tar"
    interpreter = os.path.realpath(sys.executable)
    program.pack(str(target), interpreter, NAMES, [])
    with tarfile.open(target) as archive:
        member = archive.getmember("usr/local/bin/criu")
        names = archive.getnames()
    attribute = member.pax_headers["SCHILY.xattr.security.capability"].encode("utf-8", "surrogateescape")
    assert parse_capabilities(attribute) == {"effective": True, "permitted": EXPECTED, "inheritable": EXPECTED}
    assert (member.uid, member.gid, member.mode, member.size) == (0, 0, 0o755, os.path.getsize(interpreter))
    assert any("libc.so" in name for name in names)
    assert not any(name.startswith("/") for name in names)


PLAY = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: criu.hosts.unprivileged_container, tasks_from: configure}
    - ansible.builtin.copy:
        content: "{{ unprivileged_container_podman_options | to_json }}"
        dest: "{{ folder }}/options.json"
        mode: "0600"
"""


def configured(folder: Path, **variables: Any) -> tuple[list[str], dict[str, Any]]:
    """Returns podman's options and the Pod that the role makes."""
    if os.geteuid():
        pytest.skip("the role gives its files to root, so this test runs as root")
    given = {
        "folder": str(folder),
        "ansible_python_interpreter": sys.executable,
        "unprivileged_container_pod_path": str(folder / "pod.yml"),
        "unprivileged_container_selinux_type": "criu_container_t",
        **variables,
    }
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build"), "ANSIBLE_NOCOLOR": "1"}
    argv += ["-e", json.dumps(given), "play.yml"]
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pod = yaml.safe_load((folder / "pod.yml").read_text(encoding="utf-8"))
    return json.loads((folder / "options.json").read_text(encoding="utf-8")), pod


@pytest.mark.slow
def test_podman_and_kubernetes_get_the_same_permissions(tmp_path: Path) -> None:
    """docs/without-root.md shows both, as they were run."""
    options, pod = configured(tmp_path)
    assert options == [
        *("--user=1000:1000", "--cap-drop=all"),
        *("--cap-add=CHECKPOINT_RESTORE", "--cap-add=SYS_PTRACE", "--cap-add=NET_ADMIN"),
        *("--security-opt=seccomp=unconfined", "--security-opt=label=type:criu_container_t"),
    ]
    assert pod["spec"]["containers"][0]["securityContext"] == {
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "runAsNonRoot": True,
        "privileged": False,
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": ["CHECKPOINT_RESTORE", "SYS_PTRACE", "NET_ADMIN"]},
        "seccompProfile": {"type": "Unconfined"},
        "seLinuxOptions": {"type": "criu_container_t"},
    }


@pytest.mark.slow
def test_users_and_levels_may_be_given(tmp_path: Path) -> None:
    level = "s0:c10,c20"
    dummy, pod = configured(tmp_path, unprivileged_container_user="33", unprivileged_container_selinux_level=level)
    context = pod["spec"]["containers"][0]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["seLinuxOptions"]["level"]) == (33, 1000, level)
