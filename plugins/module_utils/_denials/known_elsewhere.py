# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists denials that containers and engines are known to cause without any checkpoint, and after a restore.

A container or an engine loses something; no dump or restore fails because of it.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import (
    ANY,
    ANY_CONTAINER,
    CONTAINER,
    ENGINE,
    ENGINE_SOCKET,
    ENGINE_SOCKET_ID,
    GITHUB,
    SELF,
    SERVICE,
    SHELL,
    Asked,
    Known,
    words,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.records import SELINUX

_SELINUX = f"{GITHUB}containers/container-selinux"
_PODMAN = f"{GITHUB}podman-container-tools/podman"

# They come before all others.
FIRST: tuple[Known, ...] = (
    Known(
        ENGINE_SOCKET_ID,
        Asked(ANY_CONTAINER, ANY, "unix_stream_socket sock_file", ANY),
        "The container asks for the socket that controls a container engine. With it a process can do all that the "
        "engine may: if that runs as root, everything on this host.",
        remedy.ENGINE_SOCKET,
        (f"{_SELINUX}/issues/366", f"{GITHUB}SELinuxProject/refpolicy/issues/1008"),
        path=ENGINE_SOCKET,
        elsewhere=True,
    ),
)
ELSEWHERE: tuple[Known, ...] = (
    Known(
        "restored_socket",
        Asked(
            ANY_CONTAINER,
            ENGINE | SHELL,
            "unix_stream_socket unix_dgram_socket",
            words("accept listen getattr getopt setopt shutdown ioctl"),
        ),
        "A Unix socket that the container holds has the label of the engine: CRIU gives its own label to the Unix "
        "sockets that it restores, and an engine may pass on a socket of its own.",
        remedy.RESTORED_SOCKET,
        (f"{_PODMAN}/issues/13902", f"{_PODMAN}/issues/13907"),
        fallback=True,
        elsewhere=True,
    ),
    Known(
        "volume_label",
        Asked(ANY_CONTAINER, words("container_var_lib_t"), "file dir lnk_file sock_file fifo_file", ANY),
        "The file has the label of the engine's storage, which no container may use: it is in a volume that was not "
        "labelled for the container, or the labels of the storage are wrong.",
        remedy.VOLUME_LABEL,
        (f"{_PODMAN}/issues/1782",),
        elsewhere=True,
    ),
    Known(
        "storage_label",
        Asked(
            ANY_CONTAINER,
            words("var_lib_t var_t data_home_t"),
            "file dir lnk_file",
            words("read execute open map getattr entrypoint execute_no_trans search"),
        ),
        "A program or library of the container has a label that images do not have: the engine's storage is labelled "
        "wrongly.",
        remedy.STORAGE_LABEL,
        (f"{_SELINUX}/issues/169", f"{_SELINUX}/issues/182"),
        path=r"\A/(?:usr/)?(?:bin|sbin|lib|lib64)(?:/|\Z)",
        elsewhere=True,
    ),
    Known(
        "keyring",
        Asked(ENGINE, ANY, "key", ANY),
        "The runtime may not make the session keyring of a container, so it cannot start it.",
        remedy.KEYRING,
        (f"{GITHUB}containers/udica/pull/20", f"{GITHUB}opencontainers/selinux/pull/51"),
        comm=("runc", "crun"),
        elsewhere=True,
    ),
    Known(
        "runtime_label",
        Asked(SERVICE, ANY_CONTAINER, "process", words("transition")),
        "The runtime runs in the domain of a service instead of an engine's, so it may not start containers: the "
        "program of the engine or of the runtime has a wrong label.",
        remedy.RUNTIME_LABEL,
        (f"{_SELINUX}/issues/61", f"{_SELINUX}/issues/96", f"{GITHUB}cri-o/cri-o/issues/987"),
        comm=("runc", "crun"),
        elsewhere=True,
    ),
    Known(
        "nnp_transition",
        Asked(ANY, ANY, "process2", words("nnp_transition nosuid_transition")),
        "A program was started with no_new_privs, or from a file system that is mounted with nosuid, and the policy "
        "does not let it change its domain there.",
        remedy.NNP_TRANSITION,
        (f"{_SELINUX}/pull/370", f"{_SELINUX}/pull/473"),
        otherwise="unrelated",
        elsewhere=True,
    ),
    Known(
        "container_cgroup",
        Asked(ANY_CONTAINER, words("cgroup_t"), "file dir", words("write add_name create remove_name setattr rmdir")),
        "The container writes to the file system of cgroups, as systemd in a container does.",
        remedy.CGROUP,
        (f"{_PODMAN}/issues/1652",),
        elsewhere=True,
    ),
    Known(
        "systemcfg",
        Asked(ANY_CONTAINER, words("proc_t"), "file", words("map")),
        "Java maps a file about the processor, and works without it. But images of a Java that has mapped it, under "
        "another policy, cannot be restored here.",
        remedy.SYSTEMCFG,
        (f"{GITHUB}OpenLiberty/ci.docker/issues/540", f"{GITHUB}eclipse-openj9/openj9/issues/19511"),
        path=r"\A/proc/(?:powerpc|ppc64)/systemcfg\Z",
    ),
    Known(
        "userfaultfd",
        Asked(CONTAINER | ENGINE, words("userfaultfd_t"), "anon_inode", ANY),
        "A program other than CRIU needs userfaultfd, which has its own type since RHEL 10.2: container-selinux before "
        "2.248 has no rule for it.",
        remedy.UPDATE_POLICY,
        ("public-container-selinux-452.txt",),
        matters="unknown",
        elsewhere=True,
    ),
    Known(
        "device_program",
        Asked(words("init_t"), ENGINE, "bpf", words("prog_run")),
        "systemd may not use the program that the runtime has loaded to guard a container's devices: container-selinux "
        "before 2.241 has no rule for that.",
        remedy.UPDATE_POLICY,
        (f"{_SELINUX}/issues/389",),
        elsewhere=True,
    ),
    Known(
        "mmap_zero",
        Asked(ENGINE | words("spc_t"), SELF, "memprotect", words("mmap_zero")),
        "A program of the engine tries whether it may map the lowest memory; it works without. container-selinux since "
        "2.249 does not log it.",
        remedy.NOTHING,
        (f"{_SELINUX}/pull/471", f"{_SELINUX}/pull/328"),
        matters="no",
        elsewhere=True,
    ),
)


_ELSEWHERE_IDS = frozenset(known.id for known in (*FIRST, *ELSEWHERE) if known.elsewhere)


def of_checkpoints(denial: dict[str, Any]) -> bool:
    """Returns whether a checkpoint or restore can fail because of an explained denial."""
    if denial["matters"] != "yes" or denial["id"] in _ELSEWHERE_IDS:
        return False
    if denial["lsm"] == SELINUX:
        return True
    from ansible_collections.criu.hosts.plugins.module_utils._denials._apparmor.known import ELSEWHERE_IDS

    return denial["id"] not in ELSEWHERE_IDS
