# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the denials that checkpoints and restores are known to cause, each with the place where it was recorded.

known_elsewhere.py has the denials that containers and engines cause without a checkpoint. An entry states a cause as a
fact, so it demands the marks of that cause: types, command, path.

The file own_rules.py explains the denials that our own policy module prevents; this table has all others. The first
entry that fits is used, so special entries come before general ones.
``recorded`` names a file of tests/unit/fixtures/audit, or an address.
"""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._denials import remedies as remedy
from ansible_collections.criu.hosts.plugins.module_utils._denials.kinds import (
    ANY,
    ANY_CONTAINER,
    CONTAINER,
    ENGINE,
    GITHUB,
    SELF,
    SERVICE,
    SHELL,
    USER,
    Asked,
    Known,
    words,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.known_elsewhere import ELSEWHERE, FIRST

# CRIU's socket has an abstract name, which ausearch prints without the @.
CRIU_SOCKET = r"\A@?/crtools-pr-"
CRIU_LOG = r"/userdata/[^/]{1,255}\.log\Z|(?:\A|/)(?:dump|restore|criu)\.log\Z"
# What a root shell's Podman creates; the named transitions of our policy are about the same names.
PODMAN_FILES = (
    r"(?:\A|/)(?:containers|libpod|libpod_lock|netavark\.lock|crun|runc|overlay[\w-]{0,20}|volumes|storage[\w.]{0,20}"
    r"|db\.sql|short-name-aliases\.conf[\w.]{0,10}|blob-info-cache[\w.-]{0,20})(?:/|\Z)"
)
IPTABLES = ("iptables", "ip6tables", "xtables")

KNOWN: tuple[Known, ...] = (
    *FIRST,
    Known(
        "criu_without_libselinux",
        Asked(ANY, ANY, "unix_stream_socket", words("connectto")),
        "CRIU's socket has CRIU's own label, and the process that is dumped may not connect to it: this CRIU is not "
        "linked with libselinux, or older than 3.12.",
        remedy.CRIU,
        (
            "debian13-criu-4.1.1-dump-refused.txt",
            "public-podman-2334.txt",
            f"{GITHUB}checkpoint-restore/criu/issues/2392",
        ),
        path=CRIU_SOCKET,
        foreign=True,
    ),
    Known(
        "dyntransition_spc",
        Asked(ENGINE, words("spc_t"), "process", words("dyntransition")),
        "The engine may not restore a privileged container: container-selinux before 2.215 has no rule for that.",
        remedy.UPDATE_POLICY,
        (f"{GITHUB}containers/container-selinux/pull/248",),
    ),
    Known(
        "dyntransition_service",
        Asked(SERVICE, ANY, "process", words("dyntransition")),
        "A process of a service may not take a different label, which a process that CRIU restores there has to do; "
        "the boolean unconfined_dyntrans_all of Fedora's policy applies to unconfined_t only.",
        remedy.RESTORE_PROCESS,
        (f"{GITHUB}checkpoint-restore/criu/issues/1585",),
        fallback=True,
    ),
    Known(
        "setcurrent_confined",
        Asked(ANY, SELF, "process", words("setcurrent")),
        "A process in this domain may not change its own label, so CRIU cannot restore there.",
        remedy.ROOT_SHELL,
        ("debian13-user-criu-permissive.txt",),
        otherwise="unknown",
        fallback=True,
    ),
    Known(
        "non_root",
        Asked(USER, ANY, "*", ANY),
        "A user whose domain has no rules for CRIU ran it.",
        remedy.NON_ROOT,
        ("debian13-user-criu-permissive.txt",),
        comm=("criu",),
        fallback=True,
    ),
    Known(
        "execmem_other",
        Asked(ANY, SELF, "process", words("execmem")),
        "CRIU maps its restorer writable and executable, which this domain may not do.",
        remedy.ROOT_SHELL,
        ("debian13-service-permissive.txt",),
        comm=("criu",),
        fallback=True,
    ),
    Known(
        "namespace_thread_ids",
        Asked(ANY, SELF, "cap2_userns", words("checkpoint_restore")),
        "A process, such as CRIU, sets process ids in a user namespace, for which the policy has no rule.",
        remedy.NOT_KNOWN,
        (f"{GITHUB}fedora-selinux/selinux-policy/issues/1603",),
    ),
    Known(
        "shell_pipe",
        Asked(CONTAINER, SHELL, "fifo_file", words("append getattr ioctl read write open")),
        "The container was started from a shell and may not write to conmon's pipes, which have all categories: "
        'its output goes to /null, and a dump fails with "Can\'t lookup mount".',
        remedy.POLICY_AND_RECREATE,
        ("debian13-no-policy-shell.txt",),
    ),
    Known(
        "labels_of_shell",
        Asked(ENGINE, words("var_t var_lib_t var_lock_t user_tmpfs_t"), "*", ANY),
        "A root shell ran Podman before a unit did, so its folders have labels that Podman in a unit may not use.",
        remedy.POLICY,
        ("debian13-shell-first.txt",),
        path=PODMAN_FILES,
    ),
    Known(
        "archive_in_home",
        Asked(ENGINE, words("user_home_t admin_home_t user_home_dir_t user_tmp_t"), "file", ANY),
        "The archive is in a folder that Podman in a unit may not read or write.",
        remedy.ARCHIVE_PLACE,
        ("debian13-archive-in-home.txt",),
        path=r"\.tar(?:\.\w{1,5})?\Z",
    ),
    Known(
        "ns_last_pid",
        Asked(ANY, words("sysctl_kernel_ns_last_pid_t"), "file", ANY),
        "CRIU sets process ids through ns_last_pid: the kernel is older than 5.5, and container-selinux than 2.96.",
        remedy.UPDATE_POLICY,
        (f"{GITHUB}containers/container-selinux/issues/71",),
    ),
    Known(
        "iptables_log",
        Asked(words("iptables_t"), ANY, "file", words("append read write getattr open")),
        "The iptables that CRIU runs for the network lock inherits CRIU's open log; it works without it.",
        remedy.NFTABLES,
        ("public-container-selinux-68.txt",),
        matters="no",
        comm=IPTABLES,
        path=CRIU_LOG,
    ),
    Known(
        "iptables_folder",
        Asked(words("iptables_t"), ANY, "dir", ANY),
        "The iptables that CRIU runs for the network lock inherits CRIU's open working folder; it works without it.",
        remedy.NFTABLES,
        ("public-container-selinux-68.txt",),
        matters="no",
        comm=IPTABLES,
        path=r"/userdata(?:/|\Z)|/\.criu\.",
    ),
    Known(
        "dump_log",
        Asked(ANY_CONTAINER, words("container_var_lib_t"), "file", words("append open write")),
        "The container may not write to CRIU's log, which has a label that is not for containers: Podman is older than "
        "1.2, or the log was moved.",
        remedy.LOG_FILE,
        ("public-podman-1891.txt", f"{GITHUB}checkpoint-restore/criu/issues/2735"),
        path=CRIU_LOG,
    ),
    Known(
        "lazy_pages",
        Asked(CONTAINER | ENGINE, words("userfaultfd_t"), "anon_inode", ANY),
        "Lazy pages need userfaultfd, which has its own type since RHEL 10.2: container-selinux before 2.248 has no "
        "rule for it.",
        remedy.UPDATE_POLICY,
        (f"{GITHUB}containers/container-selinux/issues/452",),
        comm=("criu",),
    ),
    Known(
        "criu_of_host",
        Asked(ANY_CONTAINER, ENGINE | SHELL, "*", ANY),
        "The host's CRIU already had the container's label while it still worked with objects of the engine.",
        remedy.HOST_CRIU,
        ("public-criu-648.txt",),
        comm=("criu",),
    ),
    Known(
        "criu_in_container",
        Asked(ANY_CONTAINER, SELF, "netlink_tcpdiag_socket", ANY),
        "CRIU runs inside a container whose domain may not list sockets, which each dump and restore does.",
        remedy.NETLINK,
        ("debian13-criu-in-container.txt", f"{GITHUB}OpenLiberty/open-liberty/issues/24522"),
        comm=("criu",),
    ),
    Known(
        "criu_in_container",
        Asked(
            ANY_CONTAINER,
            words("self hugetlbfs_t sysctl_vm_t"),
            "capability2 cap2_userns file netlink_netfilter_socket anon_inode",
            ANY,
        ),
        "CRIU runs inside a container whose domain has no rules for it.",
        remedy.IN_CONTAINER,
        ("debian13-criu-in-container.txt",),
        comm=("criu",),
    ),
    Known(
        "criu_container_label",
        Asked(ANY_CONTAINER, ANY, "*", ANY),
        "CRIU had the label of a container when it asked. Either it runs inside the container, whose domain has no "
        "rules for it, or the host's CRIU was given that label before its work was done.",
        remedy.CRIU_LABEL,
        ("public-criu-648.txt",),
        comm=("criu",),
    ),
    Known(
        "engine_selinuxfs",
        Asked(ENGINE, words("security_t"), "*", ANY),
        "Podman in a unit asks SELinux whether a label is valid; it works without the answer.",
        remedy.NOTHING,
        ("debian13-no-policy-permissive-unit.txt",),
        matters="no",
        fallback=True,
    ),
    Known(
        "engine_random",
        Asked(ENGINE, words("urandom_device_t"), "chr_file", words("read open")),
        "Podman in a unit reads random numbers; it takes them from the kernel's system call instead.",
        remedy.NOTHING,
        ("debian13-no-policy-permissive-unit.txt",),
        matters="no",
        fallback=True,
    ),
    Known(
        "generator",
        Asked(words("systemd_generator_t"), words("container_runtime_t"), "dir", words("search")),
        "Podman's generator of units looks for containers when systemd reloads; it makes the units nevertheless.",
        remedy.NOTHING,
        ("debian13-quadlet-generator.txt",),
        matters="no",
        comm=("podman-system-g", "podman-user-gene"),
    ),
    Known(
        "policy_commit",
        Asked(words("semanage_t"), words("device_t semanage_store_t"), "*", words("getattr relabelfrom")),
        "A change of the policy copies the policy store; it works without this access.",
        remedy.NOTHING,
        ("debian13-policy-commit.txt",),
        matters="no",
    ),
    Known(
        "exec_noise",
        Asked(ANY, ANY, "process", words("noatsecure rlimitinh siginh")),
        "A program was started in a different domain; these three permissions are refused on purpose, and logged only "
        "while dontaudit rules are off.",
        remedy.NOTHING,
        ("public-clip-195.txt",),
        matters="no",
    ),
    *ELSEWHERE,
)
