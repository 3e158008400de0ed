# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists the rules of our policy module in the policy language, each with its reason and the denial (or CRIU's error)
that occurs without it. docs/selinux-policy.md explains in detail which domains get which access."""

from __future__ import annotations

from ansible_collections.criu.hosts.plugins.module_utils._host.names import DYNTRANS_BOOLEAN, RESTORE_BOOLEAN
from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.policy.generate import Catalog, Rule, rules

# The purposes that an operator can choose, in the order of the policy's text.
PURPOSES = {
    "podman_units": "Podman started by systemd checkpoints and restores its containers",
    "root_shell": "Podman in a root shell (or run by Ansible over ssh) checkpoints and restores containers",
    "established_tcp": "containers keep their TCP connections",
    "processes": "a root shell restores processes that are not containers",
    "non_root": "users run CRIU, with file capabilities, on their own processes",
}
# Purposes that are not in the default: they give access to users other than root.
ON_REQUEST = ("non_root",)
USUAL_PURPOSES = tuple(name for name in PURPOSES if name not in ON_REQUEST)
# The types that a container may be dumped from and restored into. The attribute container_domain would be too wide:
# it holds spc_t, which is nearly unconfined.
CONTAINER = "criu_hosts_container"
CONTAINER_TYPES = ("container_t",)
_UNITS = rules(
    "podman_units",
    "Podman from a unit, with or without CRIU",
    Rule(
        "dontaudit podman_t urandom_device_t:chr_file { open read }",
        "random numbers for names and keys, which getrandom also returns",
        '{ read open } comm="podman" name="urandom"',
    ),
    Rule(
        "dontaudit podman_conmon_t self:capability { net_admin }",
        "conmon enlarges its socket buffers; it works without that, so the denial is only silenced",
        '{ net_admin } comm="conmon" capability=12',
    ),
    Rule(
        'filecon "/usr/lib/podman/(netavark|aardvark-dns)" file bin_t',
        "bridge networks: Debian keeps netavark in /usr/lib, where it would be lib_t, and podman_t may not run that",
        '{ execute_no_trans } comm="podman" path="/usr/lib/podman/netavark" tcontext=lib_t',
    ),
    Rule(
        "dontaudit iptables_t urandom_device_t:chr_file { read }",
        "nft, started by netavark, works without it",
        '{ read } comm="nft" name="urandom"',
    ),
)
_UNIT_DUMP = rules(
    "podman_units",
    "CRIU in podman_t: Podman started by systemd, and all programs that it starts",
    Rule(
        "allow podman_t self:process { setsockcreate }",
        "libselinux gives sockets the container's label; without it the dump fails with \"write "
        '/proc/thread-self/attr/sockcreate: permission denied"',
        '{ setsockcreate } comm="podman"',
    ),
    Rule(
        "allow podman_t self:process { ptrace }",
        "CRIU tries ptrace on a child process to find out which features the kernel has",
        '{ ptrace } comm="criu"',
    ),
    Rule(
        "dontaudit podman_t self:capability2 { checkpoint_restore }",
        "the kernel checks it first; podman_t has sys_admin, with which CRIU continues",
        "{ checkpoint_restore } capability=40",
    ),
    Rule(
        "allow podman_t self:anon_inode { create ioctl }",
        "probe of userfaultfd",
        '{ create } anonclass=[userfaultfd], { ioctl } path="anon_inode:[userfaultfd]"',
    ),
    Rule(
        "allow podman_t self:netlink_netfilter_socket { create getopt read setopt write }",
        "the network lock (nftables over netlink) and the probe for it",
        '{ create setopt getopt read write } comm="criu"',
    ),
    Rule(
        "allow podman_t self:netlink_tcpdiag_socket { create nlmsg_read read write }",
        "sock_diag, to list the container's sockets",
        '{ create write nlmsg_read read } comm="criu"',
    ),
    Rule(
        "allow podman_t kernel_t:system { module_request }",
        "sock_diag and netavark's bridge load kernel modules",
        '{ module_request } kmod="net-pf-16-proto-4-type-2-1"',
    ),
    Rule(
        "allow podman_t kernel_t:system { ipc_info }",
        "CRIU lists the System V memory segments and queues of the container's IPC namespace",
        '{ ipc_info } comm="criu"',
    ),
    Rule(
        "allow podman_t unreserved_port_t:tcp_socket { name_connect }",
        "probe of TCP repair: a connection to itself over loopback",
        '{ name_connect } comm="criu" dest=52085',
    ),
    Rule(
        "allow podman_t hugetlbfs_t:file { map read }",
        "probe of huge pages; without it a restore fails with "
        '"Unexpected result when get hugetlb dev: Permission denied"',
        '{ map read } path=/anon_hugepage dev="hugetlbfs"',
    ),
    Rule(
        "dontaudit podman_t sysctl_fs_t:dir { search }",
        "refpolicy silences it too (while container_use_nfs is off); the files there can be opened nevertheless",
        '{ search } name="fs"',
    ),
    Rule(
        "allow podman_t sysctl_fs_t:file { open read }",
        "/proc/sys/fs/nr_open and mqueue/*, which are saved with the IPC namespace",
        "{ read open }",
    ),
    Rule(
        "dontaudit podman_t sysctl_vm_t:file { open read }",
        "CRIU reads mmap_min_addr, and takes the usual 65536 if it may not",
        '{ read open } path="/proc/sys/vm/mmap_min_addr"',
    ),
    Rule(
        "allow podman_t sysctl_net_unix_t:dir { search }",
        "/proc/sys/net/unix/max_dgram_qlen, which is saved with the network namespace (crun)",
        "{ search }",
    ),
    Rule("allow podman_t sysctl_net_unix_t:file { open read }", "the same", "{ read open }"),
    Rule(
        "dontaudit podman_t var_run_t:file { read unlink }",
        "CRIU's cache of kernel features has the type var_run_t if CRIU in a root shell wrote it (CRIU creates it "
        "without a name, so no named transition applies); CRIU in a unit probes the kernel again instead, so the "
        "denial is only silenced",
        '{ read unlink } comm="criu" name="criu.kdat"',
    ),
    Rule(
        "allow podman_t criu_hosts_container:process { getrlimit getsched ptrace }",
        "the dump itself: stop the processes, inspect them, and inject the parasite",
        "{ ptrace getsched getrlimit } tcontext=container_t",
    ),
    Rule(
        "allow podman_t criu_hosts_container:unix_stream_socket { accept bind create getattr listen read write }",
        "the socket between CRIU and its parasite in the container, which has the container's label",
        "{ create getattr bind listen accept read write } tclass=unix_stream_socket tcontext=container_t",
    ),
    Rule(
        "allow podman_t criu_hosts_container:unix_stream_socket { getopt ioctl }",
        "a container that holds Unix sockets",
        "{ getopt ioctl } ioctlcmd=0x89e0",
    ),
    Rule(
        "allow podman_t criu_hosts_container:unix_dgram_socket { getattr getopt ioctl read write }",
        "the same",
        '{ read write getattr getopt ioctl } comm="criu" tclass=unix_dgram_socket',
    ),
    Rule(
        "allow podman_t criu_hosts_container:udp_socket { getattr getopt read write }",
        "a container that holds UDP sockets",
        '{ read write getattr getopt } comm="criu" tclass=udp_socket',
    ),
    Rule(
        "allow criu_hosts_container podman_t:unix_stream_socket { read write }",
        "CRIU 4.2.1 restores the label only of inet sockets: Unix sockets that a unit restored have podman_t's, and "
        "the container continues to use those that it holds. Not connectto: that would reach Podman's own sockets",
        '{ read write } comm="python3" scontext=container_t tcontext=podman_t',
    ),
    Rule(
        "allow criu_hosts_container podman_t:unix_stream_socket { accept getattr getopt setopt shutdown }",
        "a restored socket that listens (php-fpm, PostgreSQL): without it accept() fails at once and each time, and "
        "many programs try that again without end; a connection has the label of the socket that it came to. "
        "container-selinux allows the same since 2.183 (shutdown since 2.221). Not connectto, for the reason above",
        '{ accept } comm="httpd" path="/run/httpd/cgisock.1" scontext=container_t tcontext=container_runtime_t',
    ),
    Rule(
        "allow criu_hosts_container podman_t:unix_dgram_socket { getattr read write }",
        "the same",
        '{ read write getattr } comm="python3" scontext=container_t tcontext=podman_t',
    ),
    Rule(
        "allow criu_hosts_container container_engine_tmpfs_t:file { getattr map read write }",
        "a memfd that a unit restored has the label of podman_t's memory, and the container continues to use it. Not "
        "open: that would reach Podman's files in the host's /dev/shm if a container has that",
        '{ write } comm="python3" path="/memfd:descriptors" scontext=container_t tcontext=container_engine_tmpfs_t',
    ),
    Rule(
        "allow podman_t criu_hosts_container:fd { use }",
        "file descriptors that the parasite sends",
        '{ use } comm="criu" tclass=fd',
    ),
    Rule(
        "allow podman_t container_tmpfs_t:file { map open read write }",
        "memory shared with the parasite (a memfd made in the container)",
        "{ read write open map } tclass=file",
    ),
    Rule("allow podman_t container_tmpfs_t:file { getattr }", "a memfd of the container's own", "{ getattr }"),
    Rule(
        "allow podman_t criu_hosts_container:fifo_file { getattr read write }",
        "pipes that the container holds",
        "{ getattr read write } tclass=fifo_file",
    ),
    Rule(
        "allow podman_t anon_inodefs_t:filesystem { getattr }",
        "epoll and similar descriptors that the container holds",
        '{ getattr } dev="anon_inodefs" tclass=filesystem',
    ),
)
_UNIT_RESTORE = rules(
    "podman_units",
    "Restore by CRIU in podman_t",
    Rule("allow podman_t self:process { execmem }", "the restorer is mapped writable and executable", "{ execmem }"),
    Rule(
        "dontaudit podman_t self:process { getpgid getsession }",
        "CRIU looks up its own process group and session, and works without them",
        '{ getpgid getsession } comm="criu"',
    ),
    Rule(
        "allow podman_t self:process { setcurrent }",
        "the restored process sets its label by writing attr/current",
        '{ setcurrent } comm="ck"',
    ),
    Rule("allow podman_t self:capability { sys_time }", "time namespace offsets", '{ sys_time } comm="criu"'),
    Rule("allow podman_t sysctl_kernel_t:file { write }", "sysctl of the UTS namespace", '{ write } name="hostname"'),
    Rule("allow podman_t sysctl_fs_t:file { write }", "sysctls of the IPC namespace", '{ write } name="queues_max"'),
    Rule(
        "allow podman_t sysctl_net_unix_t:file { write }",
        "sysctl of the network namespace",
        '{ write } name="max_dgram_qlen"',
    ),
    Rule(
        "allow podman_t var_run_t:dir { mounton }",
        "CRIU mounts the root of the new mount tree over /run",
        '{ mounton } path="/run" dev="tmpfs"',
    ),
    Rule(
        "allow podman_t podman_conmon_t:fifo_file { open }",
        "the output goes to conmon's pipe again, which CRIU opens through /proc",
        '{ open } dev="pipefs" tcontext=podman_conmon_t',
    ),
    Rule(
        "allow podman_t criu_hosts_container:udp_socket { bind create setopt }",
        "UDP sockets of the container",
        '{ create setopt bind } comm="criu" tclass=udp_socket',
    ),
    Rule(
        "allow podman_t criu_hosts_container:process { dyntransition }",
        "each thread takes the container's label",
        "{ dyntransition } tcontext=container_t",
    ),
    boolean=RESTORE_BOOLEAN,
)
_SHELL = rules(
    "root_shell",
    "Podman run in a root shell stays in unconfined_t with the full MCS range",
    Rule(
        "range_transition unconfined_t conmon_exec_t:process s0",
        "a container may not write to the pipes of a conmon with that range: its output becomes /null, and the dump "
        "fails with "
        '"Can\'t lookup mount=22 for fd=1 path=/null"',
    ),
    Rule(
        "range_transition unconfined_t container_engine_exec_t:process s0",
        "`podman checkpoint` starts the runtime itself, without conmon; the same applies to CRIU's own pipes",
    ),
    Rule(
        "allow unconfined_t conmon_exec_t:file { entrypoint }",
        'with a changed range exec is a transition; without it "fork/exec /usr/bin/conmon: permission denied"',
        "{ entrypoint }",
    ),
    Rule("allow unconfined_t container_engine_exec_t:file { entrypoint }", "the same", "{ entrypoint }"),
    Rule(
        "allow criu_hosts_container unconfined_t:fifo_file { append getattr ioctl read write }",
        "the container's standard input and output are pipes of that conmon",
        "{ write } tclass=fifo_file",
    ),
    Rule(
        "allow criu_hosts_container unconfined_t:unix_dgram_socket { getattr read write }",
        "Unix sockets that a root shell restored have unconfined_t's label, and the container continues to use those "
        "that it holds; refpolicy itself allows that for stream sockets",
        '{ write } comm="python3" scontext=container_t tcontext=unconfined_t tclass=unix_dgram_socket',
    ),
    Rule(
        "allow criu_hosts_container user_tmpfs_t:file { getattr map read write }",
        "a memfd that a root shell restored has the label of the shell's memory, and the container continues to use it",
        '{ write } comm="python3" path="/memfd:descriptors" scontext=container_t tcontext=user_tmpfs_t',
    ),
)
# This cannot be limited to users of lazy pages: CRIU accepts only ENOSYS and EPERM as an answer, not EACCES.
_PROBE = rules(
    "root_shell processes",
    "CRIU checks once after each boot whether userfaultfd works, and gives up if SELinux refuses that",
    Rule(
        "allow unconfined_t self:anon_inode { ioctl }",
        'without it "Lazy pages are not available", and no dump or restore works',
        '{ ioctl } path="anon_inode:[userfaultfd]"',
    ),
)
_PROBE_UNIT = rules(
    "processes",
    "The same for systemd, which runs CRIU as initrc_t",
    Rule("allow initrc_t self:anon_inode { ioctl }", "the same", '{ ioctl } path="anon_inode:[userfaultfd]"'),
)
_SHELL_RESTORE = rules(
    "root_shell",
    "Restore by CRIU in a root shell",
    Rule(
        "allow unconfined_t self:process { execmem }",
        '"Can\'t map restorer code: Permission denied"',
        '{ execmem } comm="criu"',
    ),
    Rule(
        "allow unconfined_t criu_hosts_container:process { dyntransition }",
        "each thread takes the container's label",
        "{ dyntransition } tcontext=container_t",
    ),
    boolean=RESTORE_BOOLEAN,
)
_CONTAINER_RESTORE = rules(
    "podman_units root_shell",
    "After the restored process has taken its label and before its own capabilities are set, the kernel checks these "
    "against the container's type",
    Rule(
        "allow criu_hosts_container self:capability { setpcap }",
        "capability sets and bounding set",
        "{ setpcap } capability=8",
    ),
    Rule(
        "allow criu_hosts_container self:capability { setgid setuid }",
        'groups and user of a container that does not run as root; without it "Can\'t setgroups([1 gids]): -1"',
        '{ setgid } comm="php-fpm" capability=6 scontext=container_t tcontext=container_t',
    ),
    Rule(
        "dontaudit criu_hosts_container self:capability { sys_resource }",
        "checked when limits are set, which CRIU has already done under its own label",
        "{ sys_resource } capability=24",
    ),
    Rule(
        "allow criu_hosts_container self:capability { sys_admin }",
        "the seccomp filter (Podman's default profile) without no_new_privs: no denial is logged, but CRIU logs "
        '"seccomp: SECCOMP_SET_MODE_FILTER returned -13"',
    ),
    Rule(
        "dontaudit criu_hosts_container self:capability2 { checkpoint_restore }",
        "thread ids: the kernel checks it first; sys_admin, which is also allowed, is enough",
        "{ checkpoint_restore } capability=40",
    ),
    boolean=RESTORE_BOOLEAN,
)
_TCP = rules(
    "podman_units",
    "Sockets of the container, for --tcp-established",
    Rule(
        "allow podman_t criu_hosts_container:tcp_socket { getattr getopt ioctl read setopt write }",
        "the dump reads and freezes them",
        "{ getattr getopt ioctl read setopt write } tclass=tcp_socket",
    ),
    also="established_tcp",
)
_TCP_RESTORE = rules(
    "podman_units",
    "The same sockets, recreated",
    Rule(
        "allow podman_t criu_hosts_container:tcp_socket { bind connect create listen shutdown }",
        "the restore creates them, and closes those that were closed",
        '{ create bind connect listen shutdown } comm="criu" tclass=tcp_socket',
    ),
    Rule(
        "allow podman_t self:rawip_socket { create setopt write }",
        "for a connection that the other side has closed, CRIU sends a packet to itself; without it "
        '"libnet_open_raw4(): SOCK_RAW allocation failed: Permission denied"',
        '{ create } comm="criu" tclass=rawip_socket scontext=podman_t tcontext=podman_t',
    ),
    also="established_tcp",
    boolean=RESTORE_BOOLEAN,
)
_TCP_CONTAINER = rules(
    "podman_units root_shell",
    "Established TCP connections, checked against the container's type",
    Rule(
        "allow criu_hosts_container self:capability { net_admin }",
        "TCP repair mode ends under the container's label; without it the connection stays in that mode, and CRIU logs "
        '"Failed to turn off repair mode on socket"',
        "{ net_admin } capability=12",
    ),
    also="established_tcp",
    boolean=RESTORE_BOOLEAN,
)
_LABELS = rules(
    "root_shell",
    "The first process that runs Podman creates its folders. A root shell would label them var_run_t, user_tmpfs_t, "
    'var_lib_t and var_t, and Podman in a unit then fails: "unable to open database file: permission denied". These '
    "are the labels that podman_t gives, the same as in the file contexts: without one, the next play finds labels to "
    "correct",
    *(
        Rule(f'type_transition unconfined_t {parent}:{kind} {made} "{name}"', "a folder or file of Podman")
        for parent, kind, name, made in (
            ("var_run_t", "dir", "containers", "container_runtime_t"),
            ("var_run_t", "dir", "libpod", "container_runtime_t"),
            ("var_run_t", "dir", "crun", "container_runtime_t"),
            ("var_run_t", "dir", "runc", "container_runtime_t"),
            ("var_run_t", "dir", "netns", "ifconfig_runtime_t"),
            ("tmpfs_t", "file", "libpod_lock", "container_engine_tmpfs_t"),
            ("var_lib_t", "dir", "containers", "container_var_lib_t"),
            ("container_var_lib_t", "dir", "overlay", "container_ro_file_t"),
            ("container_var_lib_t", "dir", "overlay-images", "container_ro_file_t"),
            ("container_var_lib_t", "dir", "overlay-layers", "container_ro_file_t"),
            ("container_var_lib_t", "dir", "volumes", "container_file_t"),
            ("var_t", "dir", "containers", "container_engine_cache_t"),
            ("var_lock_t", "file", "netavark.lock", "container_engine_lock_t"),
        )
    ),
    Rule(
        r'filecon "/var/lock/netavark\.lock" file container_engine_lock_t',
        "refpolicy has no context for it; restorecon can fix a file that is older than this module",
    ),
    Rule('filecon "/dev/shm/libpod_lock" file container_engine_tmpfs_t', "the same"),
    also="podman_units",
)
_PROCESSES = rules(
    "processes",
    "Plain processes restored by CRIU from a root shell",
    Rule("allow unconfined_t domain:process { dyntransition }", "they take their label again", "{ dyntransition }"),
    Rule(
        "allow unconfined_t self:process { execmem }",
        '"Can\'t map restorer code: Permission denied"',
        '{ execmem } comm="criu"',
    ),
    boolean=DYNTRANS_BOOLEAN,
)
_PROCESSES_UNIT = rules(
    "processes",
    "The same for systemd, which runs CRIU as initrc_t: services, and labels whose user or role differs from a shell's",
    Rule(
        "allow initrc_t domain:process { dyntransition }",
        "they take their label again",
        '{ dyntransition } comm="python3" scontext=initrc_t tcontext=initrc_t',
    ),
    Rule(
        "allow initrc_t self:process { execmem }",
        "the restorer is mapped writable and executable",
        '{ execmem } comm="criu" scontext=initrc_t tcontext=initrc_t',
    ),
    boolean=DYNTRANS_BOOLEAN,
)
_USERS = rules(
    "non_root",
    "A user in a shell (unconfined_t, Debian's default) restores processes with the label of the shell",
    Rule(
        "allow unconfined_t self:process { dyntransition execmem }",
        "each thread takes its label again, which it already has; the restorer is mapped writable and executable",
        '{ execmem } comm="criu" scontext=unconfined_t tcontext=unconfined_t; { dyntransition } comm="thr"',
    ),
)
_CONFINED_USERS = rules(
    "non_root",
    "The same for a confined user (user_t). The capability is useful only to CRIU, whose file has it",
    Rule(
        "allow user_t self:capability2 { checkpoint_restore }",
        "clone3(set_tid), /proc/PID/map_files and PR_SET_MM",
        '{ checkpoint_restore } comm="criu" capability=40 scontext=user_t',
    ),
    Rule(
        "allow user_t self:process { execmem setcurrent }",
        "the restorer is mapped writable and executable, and writes the label that the process has",
        '{ execmem } comm="criu", { setcurrent } comm="python3"',
    ),
    Rule(
        "allow user_t self:netlink_tcpdiag_socket { create nlmsg_read read write }",
        "sock_diag, to list sockets",
        '{ create write nlmsg_read read } comm="criu"',
    ),
    Rule(
        "allow user_t self:netlink_netfilter_socket { create getopt read setopt write }",
        "the probe for the network lock",
        '{ create setopt write read getopt } comm="criu"',
    ),
    Rule(
        "dontaudit user_t kernel_t:system { module_request }",
        "sock_diag requests its kernel modules, which the role criu has loaded",
        '{ module_request } kmod="net-pf-16-proto-4-type-2-1"',
    ),
    Rule(
        "allow user_t hugetlbfs_t:file { map read }",
        'probe of huge pages; without it "Unexpected result when get hugetlb dev: Permission denied"',
        '{ map read } path=/anon_hugepage dev="hugetlbfs"',
    ),
    Rule(
        "allow user_t node_t:tcp_socket { node_bind }",
        "probe of TCP: a socket bound to loopback",
        '{ node_bind } comm="criu" saddr=127.0.0.1',
    ),
    Rule(
        "dontaudit user_t sysctl_vm_t:file { open read }",
        "CRIU reads mmap_min_addr, and takes the usual 65536 if it may not",
        '{ read open } path="/proc/sys/vm/mmap_min_addr"',
    ),
    Rule(
        "allow user_t nsfs_t:file { getattr }",
        "CRIU compares the namespaces of the processes",
        '{ getattr } path="pid:[4026531836]" dev="nsfs"',
    ),
)
RULES = (
    *_UNITS,
    *_UNIT_DUMP,
    *_UNIT_RESTORE,
    *_SHELL,
    *_PROBE,
    *_PROBE_UNIT,
    *_SHELL_RESTORE,
    *_CONTAINER_RESTORE,
    *_TCP,
    *_TCP_RESTORE,
    *_TCP_CONTAINER,
    *_LABELS,
    *_PROCESSES,
    *_PROCESSES_UNIT,
    *_USERS,
    *_CONFINED_USERS,
)
CATALOG = Catalog(
    rules=RULES,
    booleans=(RESTORE_BOOLEAN, DYNTRANS_BOOLEAN),
    attribute=CONTAINER,
    container_types=CONTAINER_TYPES,
    distribution_sign="container_runtime_exec_t",
    distribution_provides=("podman_units", "root_shell", "established_tcp"),
    distribution_boolean=DYNTRANS_BOOLEAN,
    boolean_purpose="processes",
)
