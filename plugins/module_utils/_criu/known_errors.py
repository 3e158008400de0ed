# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists CRIU's errors whose cause is known, with the way out. docs/cannot-checkpoint.md is made from this table.

The words were compared with CRIU's source, of 3.17.1 and 4.2; a comment names the file, and what differs.
"""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import (
    LABEL_BOUNDED,
    LABEL_REFUSED,
    LABEL_UNKNOWN,
    PROFILE_MISSING,
    RESTORER_REFUSED,
    SECCOMP_REFUSED,
)


@dataclass(frozen=True)
class KnownError:
    """An error of CRIU and its cause. In the cause, ``{kind}`` stands for container or process.

    ``signs`` are beginnings of what CRIU says. In them, ``{name}`` and ``{path}`` are what ``{name}`` in the cause
    shows, ``{outside}`` as well unless it is /null, ``{number}`` is a number, ``{words}`` anything without a slash,
    and ``{end}`` the end of the line. ``sources`` are the files of CRIU's source that say it, without ``.c``; empty
    for any.
    """

    signs: tuple[str, ...]
    cause: Cause
    kinds: tuple[str, ...] = ("container", "process")
    actions: tuple[str, ...] = ("checkpoint", "restore")
    sources: tuple[str, ...] = ()


PROCESS, CONTAINER = ("process",), ("container",)
DUMP, RESTORE = ("checkpoint",), ("restore",)
APPLY_POLICY = "Apply the role criu.hosts.criu_selinux."
SHELL_JOB = "it is a job of a shell, whose session and terminal are not its own"
# The files that write images, logs and the contents of deleted files. cgroup.c, kerndat.c and others write elsewhere,
# where the kernel says "No space left on device" too: to cpuset.cpus, for example, or for one more inotify watch.
WRITERS = ("bfd", "image", "log", "page-xfer", "protobuf", "util", "files-reg", "stats")

_TRACED = Cause(
    "CRIU cannot trace its process {name}: a debugger such as gdb or strace has it, or the kernel refuses",
    "End the program whose id is TracerPid in /proc/PID/status.",
    reason="process_traced",
)

# The first one that is found in the log counts.
KNOWN_ERRORS: tuple[KnownError, ...] = (
    # tty.c
    KnownError(("Found dangling tty",), Cause(SHELL_JOB, "Set shell_job.", reason="shell_job_needed"), PROCESS, DUMP),
    # pstree.c
    KnownError(
        ("The root process {number} is not a session leader",),
        Cause(
            "it belongs to the session of a process that is not checkpointed",
            "Set shell_job.",
            reason="shell_job_needed",
        ),
        PROCESS,
        DUMP,
    ),
    # cr-dump.c. It says so with --shell-job, too.
    KnownError(
        ("A session leader of {words}is outside of its pid namespace",),
        Cause(
            "the leader of its session is outside of its pid namespace",
            "Start it by setsid inside of that namespace.",
            reason="session_outside",
        ),
        actions=DUMP,
    ),
    # tty.c
    KnownError(
        ("Don't have tty to inherit session from", "ctty inheritance detected"),
        Cause("it had a terminal, which CRIU does not have now", "Set terminal.", reason="terminal_missing"),
        PROCESS,
        RESTORE,
    ),
    # sk-unix.c
    KnownError(
        (
            "External socket is used",
            "Can't dump half of stream unix connection",
            "Can't dump name-less external socket",
            "Unix socket {number} without peer",
            "Unix socket {number} with unreachable peer",
        ),
        Cause(
            "it has a Unix socket whose other end is in none of its processes",
            "List it in external, as unix[INODE]; for a service's output to the journal, set unit instead.",
            reason="external_needed",
        ),
        PROCESS,
        DUMP,
    ),
    KnownError(
        (
            "External socket is used",
            "Can't dump half of stream unix connection",
            "Can't dump name-less external socket",
            "Unix socket {number} without peer",
            "Unix socket {number} with unreachable peer",
        ),
        Cause(
            "it is connected to a Unix socket of the host or of a different container",
            "Let its program end that connection first.",
            reason="external_socket",
        ),
        CONTAINER,
        DUMP,
    ),
    KnownError(
        ("External socket found in image",),
        Cause(
            "the images have a connection to a Unix socket outside of its processes",
            "Set ext-unix-sk with criu_config (kind: default).",
            reason="external_needed",
        ),
        PROCESS,
        RESTORE,
    ),
    KnownError(
        ("External socket found in image",),
        Cause(
            "the images have a connection to a Unix socket outside of the container",
            "Set ext-unix-sk with criu_config (kind: runc or crun).",
            reason="external_socket",
        ),
        CONTAINER,
        RESTORE,
    ),
    # files-reg.c. The size is that of the contents in 3.17.1, that of the blocks on disk in 4.2.
    KnownError(
        ("Can't dump ghost file {path} of {number} size",),
        Cause(
            "it uses the deleted file {name}, which is larger than CRIU's limit for such files",
            "Set ghost-limit with criu_config (kind: runc or crun), for example to 8M.",
            reason="ghost_limit",
        ),
        CONTAINER,
        DUMP,
    ),
    KnownError(
        ("Can't dump ghost file {path} of {number} size",),
        Cause(
            "it uses the deleted file {name}, which is larger than CRIU's limit for such files",
            "Set ghost-limit with criu_config, for example to 8M; if an upgrade has replaced the file, restart the "
            "program first.",
            reason="ghost_limit",
        ),
        PROCESS,
        DUMP,
    ),
    KnownError(
        ("Can't create link remap for {path}. Use link-remap option",),
        Cause(
            "it uses the file {name}, which was deleted and has a different name still",
            "Set link-remap with criu_config (kind: runc or crun).",
            reason="link_remap_needed",
        ),
        CONTAINER,
        DUMP,
    ),
    KnownError(
        ("Can't create link remap for {path}. Use link-remap option",),
        Cause(
            "it uses the file {name}, which was deleted and has a different name still",
            "Set link-remap with criu_config.",
            reason="link_remap_needed",
        ),
        PROCESS,
        DUMP,
    ),
    # fsnotify.c; the first one begins with a tab.
    KnownError(
        ("Can't dump that handle", "Can't find suitable path for handle"),
        Cause(
            "it watches (inotify, fanotify) a file or folder whose path CRIU cannot find",
            "Switch off the watching in its program.",
            reason="inotify_handle",
        ),
        actions=DUMP,
    ),
    # proc_parse.c (mapped), files-ext.c (open), pie/parasite.c (open: Linux refuses to send its descriptor, EINVAL).
    KnownError(
        (
            "Unknown shit {number} (anon_inode:[io_uring]",
            "Can't dump file {number} of that type [{number}] (anon anon_inode:[io_uring]",
            "send_fds failed (-22)",
        ),
        Cause(
            "it uses io_uring, which CRIU cannot save",
            "Switch io_uring off in its program (UV_USE_IO_URING=0 for Node.js), or on the host "
            "(kernel.io_uring_disabled=2), and restart it.",
            reason="io_uring",
        ),
        actions=DUMP,
    ),
    # cr-dump.c
    KnownError(
        ("Task {number} with SysVIPC shmem map",),
        Cause(
            "it uses System V shared memory of the host's IPC namespace",
            "Start it in an IPC namespace of its own: PrivateIPC=yes in its unit, or unshare --ipc.",
            reason="sysv_memory",
        ),
        PROCESS,
        DUMP,
    ),
    KnownError(
        ("Task {number} with SysVIPC shmem map",),
        Cause(
            "it uses System V shared memory of an IPC namespace that is not its own",
            "Make it without --ipc=host.",
            reason="sysv_memory",
        ),
        CONTAINER,
        DUMP,
    ),
    # filesystems.c
    KnownError(
        ("mqueue isn't empty",),
        Cause(
            "there are POSIX message queues in its /dev/mqueue",
            "Remove them first; with --ipc=host they are the host's, so make it without.",
            reason="message_queue",
        ),
        actions=DUMP,
    ),
    # mount.c, mount-v2.c, files-reg.c (4.2 names mount and path of an overmounted file, 3.17.1 does not)
    KnownError(
        (
            "FS mnt {path} dev ",
            "{number}:{path} doesn't have a proper root mount",
            "Mount {number} {path} (master_id",
        ),
        Cause(
            "CRIU cannot save its mount {name}",
            "Make it without that mount: mount a file system below a volume as a volume of its own.",
            reason="mount_unsupported",
        ),
        CONTAINER,
    ),
    KnownError(
        (
            "FS mnt {path} dev ",
            "{number}:{path} doesn't have a proper root mount",
            "Mount {number} {path} (master_id",
            "Can't lookup mount={number} for fd={number} path={path}",
        ),
        Cause(
            "it has a mount namespace of its own, in which CRIU cannot save {name}",
            "Start it without one: unset PrivateTmp, ProtectSystem, DynamicUser and the like in its unit.",
            reason="mount_namespace",
        ),
        PROCESS,
        DUMP,
    ),
    # files-reg.c. SELinux may have cut off the output of a container, whose path is /null then: see criu_logs.py.
    KnownError(
        ("Can't lookup mount={number} for fd={number} path={outside}",),
        Cause(
            "it has the file {name} open, which is on none of its mounts",
            "Let its program close that file first.",
            reason="mount_namespace",
        ),
        CONTAINER,
        DUMP,
    ),
    # mount-v2.c: what CRIU 4.2.1 says of a linked folder, and of a linked file.
    KnownError(
        ("Failed to move_mount from {path} to ", "Can't remount {path} with MS_PRIVATE: No such file or directory"),
        Cause(
            "the source of one of its mounts is a symbolic link, which CRIU 3.17 and newer cannot mount",
            "Set mntns-compat-mode for the restore with criu_config (kind: runc or crun, the OCI runtime; allow: "
            "mntns-compat-mode), and remove it afterwards, since no dump works with it.",
            reason="mount_source_link",
        ),
        CONTAINER,
        RESTORE,
    ),
    # files-reg.c
    KnownError(
        ("Can't re-create deleted file {path}",),
        Cause(
            "a file or folder of the host that it had mounted was replaced before the dump: {name}",
            "No restore of this checkpoint can succeed; start the container without its state.",
            reason="mount_replaced",
        ),
        CONTAINER,
        RESTORE,
    ),
    KnownError(
        ("Open files on overmounted mounts are not supported yet",),
        Cause(
            "it has a file open below a mount that a different mount covers",
            "Let it close the file, or unmount what covers it.",
            reason="mount_unsupported",
        ),
        actions=DUMP,
    ),
    # files-ext.c; pidfd.c is not in 3.17.1, where a pidfd is a file of an unknown type.
    KnownError(
        ("Can't dump file {number} of that type [{number}] ({name})", "Can't dump file {number} of that type"),
        Cause(
            "it has a device or a file of the kernel open that CRIU cannot save: {name}",
            "Let its program close it first.",
            reason="device_open",
        ),
        actions=DUMP,
    ),
    # tun.c
    KnownError(
        ("Net namespace is required to dump tun link",),
        Cause(
            "it has a network interface of the host open (/dev/net/tun)",
            "Start it in a network namespace of its own, or let its program close it first.",
            reason="device_open",
        ),
        actions=DUMP,
    ),
    # sockets.c; 40 is AF_VSOCK.
    KnownError(
        ("BUG! Unknown socket collected (family {name})",),
        Cause(
            "it has a socket of an address family that CRIU cannot save: {name}",
            "Let its program close the socket first.",
            reason="device_open",
        ),
        actions=DUMP,
    ),
    KnownError(
        ("pidfd pid {name} is not a part of process tree",),
        Cause(
            "it has a pidfd of process {name}, which is not saved with it",
            "Let its program close the pidfd first.",
            reason="device_open",
        ),
        actions=DUMP,
    ),
    # cr-dump.c
    KnownError(
        ("Can't get rlimit {number}: Operation not permitted",),
        Cause(
            "root lacks the capability CAP_SYS_RESOURCE here, so CRIU cannot read its resource limits",
            "Give this host the capability: it is a container or a restricted virtual machine.",
            reason="limits_unreadable",
        ),
        actions=DUMP,
    ),
    # lsm.c: what the label of a different security module looks like.
    KnownError(
        ("Invalid selinux context {name}",),
        Cause(
            "CRIU reads {name} as its SELinux label, which is none",
            "Use a CRIU without libselinux on a host without SELinux; see criu_info.",
            reason="label_unreadable",
        ),
        actions=DUMP,
    ),
    KnownError(
        ("Tracking memory is not available",),
        Cause(
            "this kernel cannot track changes of memory (CONFIG_MEM_SOFT_DIRTY)",
            "Do not set pre_dump or parent_path (of a process), pre_checkpoint or with_previous (of a container).",
            reason="memory_tracking_missing",
        ),
        actions=DUMP,
    ),
    KnownError(
        (LABEL_REFUSED,),
        Cause(
            "SELinux does not allow the process to take its label again",
            f"{APPLY_POLICY[:-1]}, or set unit, so that systemd restores it.",
            reason="policy_missing",
        ),
        PROCESS,
    ),
    KnownError(
        (LABEL_REFUSED,),
        Cause("SELinux does not allow the container to take its label again", APPLY_POLICY, reason="policy_missing"),
        CONTAINER,
    ),
    KnownError(
        (LABEL_BOUNDED,),
        Cause(
            "the {kind} had several threads when it changed its label, which SELinux allows only for a bounded label",
            "Use a newer CRIU, which sets labels before it creates threads.",
            reason="policy_missing",
        ),
    ),
    KnownError(
        (LABEL_UNKNOWN,),
        Cause(
            "the loaded SELinux policy does not know the label of the {kind}",
            "Load the policy module that declares it.",
            reason="policy_missing",
        ),
    ),
    KnownError(
        (PROFILE_MISSING,),
        Cause(
            "its AppArmor profile is not loaded",
            "Run the task again: it has the profile loaded, or names the way to load it.",
            reason="apparmor_profile_missing",
        ),
        actions=RESTORE,
    ),
    KnownError(
        (RESTORER_REFUSED,),
        Cause("SELinux does not allow CRIU to map its restorer", APPLY_POLICY, reason="policy_missing"),
    ),
    KnownError(
        (SECCOMP_REFUSED,),
        Cause(
            "SELinux does not allow the {kind} to install its seccomp filter again",
            APPLY_POLICY,
            reason="policy_missing",
        ),
    ),
    # pie/restorer.c: -13 is EACCES (eclipse-openj9/openj9#19511).
    KnownError(
        (
            "Can't restore {number} mapping with 0xfffffffffffffff3",
            "Can't restore {number} mapping with fffffffffffffff3",
        ),
        Cause(
            "the kernel does not allow one of its memory mappings (EACCES)",
            "See denials and silent_denials for what SELinux refused, and whether all its files can be read.",
            reason="mapping_refused",
        ),
        actions=RESTORE,
    ),
    # pie/restorer.c
    KnownError(
        (
            "Unable to restore capabilities",
            "Unable to drop capability {number}",
            "Unable to raise ambient capability {number}",
        ),
        Cause(
            "CRIU may not set the capabilities that it had",
            "Restore as a user, and on a host, that has all of them.",
            reason="capabilities_missing",
        ),
        actions=RESTORE,
    ),
    KnownError(
        ("{words}: No space left on device{end}",),
        Cause("no space is left on the file system", "Free space there.", reason="disk_full"),
        sources=WRITERS,
    ),
    KnownError(
        ("Locking network failed",),
        Cause(
            "CRIU cannot lock its network: it uses iptables, which is not installed",
            "Use a CRIU that locks the network with nftables (role criu.hosts.criu), or install iptables.",
            reason="network_lock_missing",
        ),
    ),
    # sk-inet.c
    KnownError(
        ("Connected TCP socket, consider using --tcp-established",),
        Cause("it has established TCP connections", "Set tcp_established.", reason="tcp_established_needed"),
        actions=DUMP,
    ),
    KnownError(
        ("Connected TCP socket in image",),
        Cause("the images have established TCP connections", "Set tcp_established.", reason="tcp_established_needed"),
        actions=RESTORE,
    ),
    KnownError(
        ("Can't bind inet socket {words}: Address already in use",),
        Cause(
            "a different process listens on one of its ports",
            "Stop that process; 'ss -tulnp' shows it.",
            reason="port_in_use",
        ),
        actions=RESTORE,
    ),
    KnownError(
        ("Some file locks are hold by dumping tasks",),
        Cause("it holds file locks", "Set file_locks.", reason="file_locks_needed"),
        actions=DUMP,
    ),
    # cr-restore.c: the first with clone3, the second on a kernel older than 5.5.
    KnownError(
        ("Can't fork for {name}: File exists", "Pid {number} do not match expected {name}"),
        Cause(
            "a different process has its id {name}",
            "Wait until that process has ended, or stop it.",
            reason="pid_in_use",
        ),
        actions=RESTORE,
    ),
    # files-reg.c
    KnownError(
        ("File {path} has bad size", "File {path} has bad mode", "File {path} has bad build-ID"),
        Cause(
            "the file {name} has changed since the checkpoint",
            "Put back what it was then; for a program, the same version of its package.",
            reason="files_changed",
        ),
        actions=RESTORE,
    ),
    KnownError(
        (
            "Can't open file {path} on restore: No such file or directory",
            "Can't open file {path}: No such file or directory",
        ),
        Cause("the file {name} is gone since the checkpoint", "Put it back as it was then.", reason="files_changed"),
        actions=RESTORE,
        sources=("files-reg",),
    ),
    # seize.c
    KnownError(("Unseizable non-zombie {name} found",), _TRACED, actions=DUMP),
    # seize.c. Seen with podman 5.4.2, runc 1.1.15 and systemd's control groups, at the dump of a clone.
    KnownError(
        ("Neither a cgroupv1 (freezer.state) or cgroupv2 (cgroup.freeze) control file found",),
        Cause(
            "its control group is not there: a clone (new_name) stays in that of the original",
            "A clone can be checkpointed again when it was stopped and started without its state.",
            reason="cgroup_missing",
        ),
        CONTAINER,
        DUMP,
    ),
)
# A cause only if CRIU names no other error.
LAST_RESORTS = (
    # compel/src/lib/infect.c: also the end of each dump that fails before CRIU traces the processes.
    KnownError(("Unable to detach from {name}: No such process",), _TRACED, actions=DUMP),
    # util.c: CRIU goes on without it.
    KnownError(
        ("Can't setup RLIMIT_NOFILE for self",),
        Cause(
            "CRIU names no error but that root lacks the capability CAP_SYS_RESOURCE here",
            "Give this host the capability: it is a container or a restricted virtual machine.",
            reason="limits_unreadable",
        ),
    ),
)
