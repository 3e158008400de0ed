# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the denials that checkpoints and restores are known to cause, each with the place where it was recorded.

The file own_rules.py explains the denials that our own policy module prevents; this table has all others. The first
entry that fits is used, so special entries come before general ones.
``recorded`` names a file of tests/unit/fixtures/audit, or an address.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials.remedies import Remedy

ANY = frozenset({"*"})
SELF = frozenset({"self"})


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONTAINER = _set("container_t container_init_t container_kvm_t container_user_t criu_container_t svirt_lxc_net_t spc_t")
ENGINE = _set("podman_t container_runtime_t container_engine_t")
SHELL = _set("unconfined_t")
SERVICE = _set("unconfined_service_t initrc_t")
USER = _set("user_t staff_t sysadm_t")
_GITHUB = "https://github.com/"


@dataclass(frozen=True)
class Asked:
    """The denials that an entry is about: types of source and target, class, permissions (any of them)."""

    source: frozenset[str]
    target: frozenset[str]
    tclass: str
    permissions: frozenset[str]


@dataclass(frozen=True)
class Known:
    """A denial and its meaning. ``matters``: yes (the operation fails) or no; ``comm``: start of the command's name.

    With ``fallback``, the rules of our own policy module come first.
    """

    id: str
    asked: Asked
    cause: str
    remedy: Remedy
    recorded: tuple[str, ...]
    matters: str = "yes"
    comm: str = ""
    fallback: bool = False


KNOWN: tuple[Known, ...] = (
    Known(
        "criu_without_libselinux",
        Asked(CONTAINER, ENGINE | SHELL | SERVICE, "unix_stream_socket", _set("connectto")),
        "CRIU is not linked with libselinux: its socket has CRIU's own label, and the container may not connect to it.",
        remedy.CRIU,
        (
            "debian13-criu-4.1.1-dump-refused.txt",
            "public-podman-2334.txt",
            f"{_GITHUB}checkpoint-restore/criu/issues/2392",
        ),
    ),
    Known(
        "dyntransition_spc",
        Asked(ENGINE, _set("spc_t"), "process", _set("dyntransition")),
        "The engine may not restore a privileged container: container-selinux before 2.215 has no rule for that.",
        remedy.UPDATE_POLICY,
        (f"{_GITHUB}containers/container-selinux/pull/248",),
    ),
    Known(
        "dyntransition_service",
        Asked(SERVICE, ANY, "process", _set("dyntransition")),
        "CRIU was started by a service, whose domain may not give a process a different label; the boolean "
        "unconfined_dyntrans_all of Fedora's policy applies to unconfined_t only.",
        remedy.RESTORE_PROCESS,
        (f"{_GITHUB}checkpoint-restore/criu/issues/1585",),
        fallback=True,
    ),
    Known(
        "setcurrent_confined",
        Asked(ANY, SELF, "process", _set("setcurrent")),
        "A process in this domain may not change its own label, so CRIU cannot restore there.",
        remedy.ROOT_SHELL,
        ("debian13-user-criu-permissive.txt",),
        fallback=True,
    ),
    Known(
        "non_root",
        Asked(USER, ANY, "*", ANY),
        "A user whose domain has no rules for CRIU ran it.",
        remedy.NON_ROOT,
        ("debian13-user-criu-permissive.txt",),
        comm="criu",
        fallback=True,
    ),
    Known(
        "execmem_other",
        Asked(ANY, SELF, "process", _set("execmem")),
        "CRIU maps its restorer writable and executable, which this domain may not do.",
        remedy.ROOT_SHELL,
        ("debian13-service-permissive.txt",),
        comm="criu",
        fallback=True,
    ),
    Known(
        "namespace_thread_ids",
        Asked(ANY, SELF, "cap2_userns", _set("checkpoint_restore")),
        "CRIU sets process ids in a user namespace, for which the policy has no rule.",
        remedy.REVIEW,
        (f"{_GITHUB}fedora-selinux/selinux-policy/issues/1603",),
    ),
    Known(
        "shell_pipe",
        Asked(CONTAINER, SHELL, "fifo_file", _set("append getattr ioctl read write open")),
        "The container was started from a root shell and may not write to conmon's pipes, which have all categories: "
        'its output goes to /null, and a dump fails with "Can\'t lookup mount".',
        remedy.POLICY_AND_RECREATE,
        ("debian13-no-policy-shell.txt",),
    ),
    Known(
        "labels_of_shell",
        Asked(ENGINE, _set("var_t var_lib_t var_lock_t user_tmpfs_t"), "*", ANY),
        "A root shell ran Podman before a unit did, so its folders have labels that Podman in a unit may not use.",
        remedy.POLICY,
        ("debian13-shell-first.txt",),
    ),
    Known(
        "archive_in_home",
        Asked(ENGINE, _set("user_home_t admin_home_t user_home_dir_t user_tmp_t"), "file", ANY),
        "The archive is in a folder that Podman in a unit may not read or write.",
        remedy.ARCHIVE_PLACE,
        ("debian13-archive-in-home.txt",),
    ),
    Known(
        "ns_last_pid",
        Asked(ANY, _set("sysctl_kernel_ns_last_pid_t"), "file", ANY),
        "CRIU sets process ids through ns_last_pid: the kernel is older than 5.5, and container-selinux than 2.96.",
        remedy.UPDATE_POLICY,
        (f"{_GITHUB}containers/container-selinux/issues/71",),
    ),
    Known(
        "iptables_log",
        Asked(_set("iptables_t"), ANY, "file", _set("append read write getattr open")),
        "The iptables that CRIU runs for the network lock inherits CRIU's open log; it works without it.",
        remedy.NFTABLES,
        ("public-container-selinux-68.txt",),
        matters="no",
        comm="ip",
    ),
    Known(
        "iptables_folder",
        Asked(_set("iptables_t"), ANY, "dir", ANY),
        "The iptables that CRIU runs for the network lock inherits CRIU's open working folder; it works without it.",
        remedy.NFTABLES,
        ("public-container-selinux-68.txt",),
        matters="no",
        comm="ip",
    ),
    Known(
        "dump_log",
        Asked(CONTAINER, _set("container_var_lib_t"), "file", _set("append open write")),
        "The container may not write to a file with the label of CRIU's log: Podman is older than 1.2, or the log was "
        "moved.",
        remedy.LOG_FILE,
        ("public-podman-1891.txt", f"{_GITHUB}checkpoint-restore/criu/issues/2735"),
    ),
    Known(
        "lazy_pages",
        Asked(CONTAINER | ENGINE, _set("userfaultfd_t"), "anon_inode", ANY),
        "Lazy pages need userfaultfd, which has its own type since RHEL 10.2: container-selinux before 2.248 has no "
        "rule for it.",
        remedy.UPDATE_POLICY,
        ("public-container-selinux-452.txt",),
    ),
    Known(
        "criu_in_container",
        Asked(CONTAINER, ANY, "*", ANY),
        "CRIU runs inside a container whose domain has no rules for it.",
        remedy.IN_CONTAINER,
        ("debian13-criu-in-container.txt",),
        comm="criu",
    ),
    Known(
        "engine_selinuxfs",
        Asked(ENGINE, _set("security_t urandom_device_t"), "*", ANY),
        "Podman in a unit asks SELinux whether a label is valid; it works without the answer.",
        remedy.NOTHING,
        ("debian13-no-policy-permissive-unit.txt",),
        matters="no",
        fallback=True,
    ),
    Known(
        "generator",
        Asked(_set("systemd_generator_t"), _set("container_runtime_t"), "dir", _set("search")),
        "Podman's generator of units looks for containers when systemd reloads; it makes the units nevertheless.",
        remedy.NOTHING,
        ("debian13-quadlet-generator.txt",),
        matters="no",
    ),
    Known(
        "policy_commit",
        Asked(_set("semanage_t"), ANY, "*", ANY),
        "A change of the policy copies the policy store; it works without this access.",
        remedy.NOTHING,
        ("debian13-policy-commit.txt",),
        matters="no",
    ),
    Known(
        "exec_noise",
        Asked(ANY, ANY, "process", _set("noatsecure rlimitinh siginh")),
        "A program was started in a different domain; these three permissions are refused on purpose, and logged only "
        "while dontaudit rules are off.",
        remedy.NOTHING,
        ("public-clip-195.txt",),
        matters="no",
    ),
)
