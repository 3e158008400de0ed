# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes of CRIU's errors, for containers and for processes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import shown, shown_word
from ansible_collections.criu.hosts.plugins.module_utils._criu.causes import cause_in_log, pattern_of
from ansible_collections.criu.hosts.plugins.module_utils._criu.known_errors import KNOWN_ERRORS
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import first_error, tail
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import SIGNS

LABEL_ERROR = "pie: 7: Error (criu/pie/restorer.c:196): can't write lsm profile"

# Recording of CRIU's log, and the reason for a container and for a process.
RECORDED = {
    "4.2.1-dump-connected-tcp.log.txt": ("tcp_established_needed", "tcp_established_needed"),
    "4.2.1-dump-file-locks.log.txt": ("file_locks_needed", "file_locks_needed"),
    "4.2.1-dump-disk-full.log.txt": ("disk_full", "disk_full"),
    "4.2.1-dump-dangling-tty.log.txt": (None, "shell_job_needed"),
    "4.2.1-dump-external-socket.log.txt": ("external_socket", "external_needed"),
    "4.2.1-dump-ghost-limit.log.txt": ("ghost_limit", "ghost_limit"),
    "4.2.1-dump-link-remap.log.txt": ("link_remap_needed", "link_remap_needed"),
    "4.2.1-dump-inotify.log.txt": ("inotify_handle", "inotify_handle"),
    "4.2.1-dump-io-uring-open.log.txt": ("io_uring", "io_uring"),
    "4.2.1-dump-message-queue.log.txt": ("message_queue", "message_queue"),
    "4.2.1-restore-file-changed.log.txt": ("files_changed", "files_changed"),
    "4.2.1-dump-no-soft-dirty.log.txt": ("memory_tracking_missing", "memory_tracking_missing"),
    "4.2.1-restore-linked-file.log.txt": ("mount_source_link", None),
    "4.2.1-restore-linked-folder.log.txt": ("mount_source_link", None),
    "4.2.1-restore-replaced-file.log.txt": ("mount_replaced", None),
    "4.2.1-restore-boolean-off.txt": ("policy_missing", "policy_missing"),
    "4.2.1-restore-process-boolean-off.txt": ("policy_missing", "policy_missing"),
    "4.2.1-restore-seccomp-refused.txt": ("policy_missing", "policy_missing"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_logs(name: str, fixture_text: Any) -> None:
    lines = tail(fixture_text(f"criu/{name}"))
    found = [cause_in_log(lines, kind) for kind in ("container", "process")]
    assert tuple(cause.reason if cause else None for cause in found) == RECORDED[name]


# What CRIU says, the kind and action, the reason, and what the cause has to name. Words of CRIU 3.17.1 and 4.2.
SAYS = [
    ("files-reg.c:1031", "Can't dump ghost file /a of 3 size, increase limit", "process", "ghost_limit", "'/a'"),
    (
        "files-reg.c:1",
        "Can't create link remap for /a. b. Use link-remap option.",
        "container",
        "link_remap_needed",
        "'/a. b'",
    ),
    (
        "fsnotify.c:1",
        "fsnotify: Can't find suitable path for handle (dev 0x1 ino 0x2): -2",
        "process",
        "inotify_handle",
        "",
    ),
    ("proc_parse.c:502", "Unknown shit 600 (anon_inode:[io_uring])", "container", "io_uring", "io_uring"),
    ("files-ext.c:94", "Can't dump file 3 of that type [600] (anon anon_inode:[io_uring])", "process", "io_uring", ""),
    ("files-ext.c:94", "Can't dump file 3 of that type [20600] (chr 10:232)", "process", "device_open", "'chr 10:232'"),
    ("pidfd.c:97", "pidfd: pidfd pid 7 is not a part of process tree..", "container", "device_open", "process 7"),
    ("tun.c:306", "tun: Net namespace is required to dump tun link", "process", "device_open", "/dev/net/tun"),
    ("sockets.c:767", "sockets: BUG! Unknown socket collected (family 40)", "process", "device_open", "save: 40"),
    ("sk-unix.c:418", "unix: Unix socket 12 without peer 13", "process", "external_needed", ""),
    ("sk-unix.c:418", "unix: Unix socket 12 without peer 13", "container", "external_socket", ""),
    ("sk-unix.c:877", "unix: Can't dump half of stream unix connection.", "container", "external_socket", ""),
    (
        "mount.c:724",
        "mnt: FS mnt ./data/disk dev 0x2e root / unsupported id 9",
        "container",
        "mount_unsupported",
        "'/data/disk'",
    ),
    (
        "mount.c:724",
        "mnt: FS mnt ./dev/hugepages dev 0x2e root / unsupported id 9",
        "process",
        "mount_namespace",
        "'/dev/hugepages'",
    ),
    ("mount.c:753", "mnt: 91:./data doesn't have a proper root mount", "container", "mount_unsupported", "'/data'"),
    (
        "mount.c:1093",
        "mnt: Mount 91 ./data (master_id: 5 shared_id: 0) has unreachable sharing. Try --enable-external-masters.",
        "container",
        "mount_unsupported",
        "'/data'",
    ),
    ("files-reg.c:1790", "Can't lookup mount=24 for fd=0 path=/dev/null", "process", "mount_namespace", "'/dev/null'"),
    ("files-reg.c:1790", "Can't lookup mount=24 for fd=5 path=/x", "container", "mount_namespace", "'/x'"),
    (
        "pstree.c:304",
        "The root process 9 is not a session leader. Consider using --shell-job option",
        "process",
        "shell_job_needed",
        "",
    ),
    ("cr-dump.c:1681", "A session leader of 9(1) is outside of its pid namespace", "process", "session_outside", ""),
    (
        "cr-dump.c:477",
        "Task 9 with SysVIPC shmem map @7f00 doesn't live in IPC ns",
        "process",
        "sysv_memory",
        "PrivateIPC",
    ),
    (
        "cr-dump.c:388",
        "Can't get rlimit 0: Operation not permitted",
        "process",
        "limits_unreadable",
        "CAP_SYS_RESOURCE",
    ),
    ("seize.c:434", "Unable to detach from 9: No such process", "process", "process_traced", "process 9"),
    (
        "seize.c:1043",
        "Neither a cgroupv1 (freezer.state) or cgroupv2 (cgroup.freeze) control file found.",
        "container",
        "cgroup_missing",
        "new_name",
    ),
    ("lsm.c:114", "Invalid selinux context unconfined", "container", "label_unreadable", "'unconfined'"),
]
SAYS_AT_RESTORE = [
    ("sk-inet.c:912", "inet: Connected TCP socket in image", "process", "tcp_established_needed", "set"),
    (
        "sk-inet.c:1059",
        "inet: Can't bind inet socket (id 26): Address already in use",
        "process",
        "port_in_use",
        "ss -tulnp",
    ),
    (
        "sk-unix.c:1912",
        "unix: External socket found in image. Consider using the --ext-unix-sk",
        "process",
        "external_needed",
        "ext-unix-sk",
    ),
    ("cr-restore.c:1230", "Can't fork for 8: File exists", "container", "pid_in_use", "id 8"),
    ("cr-restore.c:1775", "Pid 9 do not match expected 8", "process", "pid_in_use", "id 8"),
    (
        "files-reg.c:2294",
        "File usr/bin/a has bad mode 0100755 (expect 0100644)",
        "process",
        "files_changed",
        "'/usr/bin/a'",
    ),
    ("files-reg.c:2153", "File usr/bin/a has bad build-ID", "process", "files_changed", "'/usr/bin/a'"),
    (
        "files-reg.c:2267",
        "Can't open file etc/.a on restore: No such file or directory",
        "process",
        "files_changed",
        "'/etc/.a'",
    ),
    ("restorer.c:347", "Unable to restore capabilities: -1", "process", "capabilities_missing", ""),
    (
        "restorer.c:1676",
        "Can't restore 0x7a11833f0000 mapping with 0xfffffffffffffff3",
        "container",
        "mapping_refused",
        "EACCES",
    ),
    ("tty.c:1010", "tty: Don't have tty to inherit session from, aborting", "process", "terminal_missing", "terminal"),
]


@pytest.mark.parametrize(
    ("source", "words", "kind", "reason", "named", "action"),
    [(*one, "checkpoint") for one in SAYS] + [(*one, "restore") for one in SAYS_AT_RESTORE],
)
def test_what_criu_says_has_a_reason_and_a_name(
    source: str, words: str, kind: str, reason: str, named: str, action: str
) -> None:
    noise = "(00.0) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted"
    cause = cause_in_log([noise, f"(00.182734)      1: Error (criu/{source}): {words}"], kind, action)
    assert cause is not None and cause.reason == reason
    assert named.lower() in f"{cause.why}. {cause.advice}".lower()
    assert "{" not in cause.why + cause.advice


@pytest.mark.parametrize("action", ["checkpoint", "restore"])
def test_words_of_a_dump_are_no_cause_of_a_restore(action: str) -> None:
    words = {"checkpoint": "Connected TCP socket in image", "restore": "Some file locks are hold by dumping tasks"}
    assert cause_in_log([f"(00.1) Error (criu/a.c:1): {words[action]}"], "process", action) is None


RLIMIT = "(00.0) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted"
FAILED = "(00.2) Error (criu/cr-dump.c:1975): Dumping FAILED."


def test_the_limit_of_open_files_is_a_cause_only_alone() -> None:
    """CRIU goes on without it: the finding is that every unknown failure was blamed on it."""
    alone = cause_in_log([RLIMIT, FAILED], "container")
    assert alone is not None and alone.reason == "limits_unreadable" and "CAP_SYS_RESOURCE" in alone.why
    unknown = [RLIMIT, "(00.1) Error (criu/new.c:1): something new", FAILED]
    assert cause_in_log(unknown, "container") is None
    assert first_error(unknown) == "something new"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Error (criu/bfd.c:131): bfd: Error flushing image: No space left on device", "disk_full"),
        ("Error (criu/image.c:845): Can't write img file: No space left on device", "disk_full"),
        ("Error (criu/cgroup.c:900): cg: Can't move 1 into cpuset//a: No space left on device", None),
        ("Error (criu/cgroup.c:900): cg: Can't move 1 into cpuset: No space left on device", None),
        ("Error (criu/fsnotify.c:600): fsnotify: Can't add watch: No space left on device", None),
    ],
)
def test_only_a_write_of_images_fills_the_disk(line: str, reason: str | None) -> None:
    cause = cause_in_log([f"(00.1) {line}"], "container")
    assert (cause.reason if cause else None) == reason


def test_shown_names_are_one_short_line() -> None:
    assert shown("a\nb") == "'a\\nb'"
    assert len(shown("x" * 10_000)) < 130


def test_a_name_cannot_forge_a_message() -> None:
    """It is quoted, without control characters, and not longer than a line."""
    name = "/tmp/\x1b[2J" + "b" * 300
    cause = cause_in_log([f"(00.1) Error (criu/a.c:1): Can't dump ghost file {name} of 3 size, increase"], "process")
    assert cause is not None and "\x1b" not in cause.why and len(cause.why) < 250
    assert shown_word("12") == "12" and shown_word("a'b") == '"a\'b"' and shown("12") == "'12'"
    assert first_error(["Error (a): \tx\x1by"]) == "x?y"


@pytest.mark.parametrize("kind", ["container", "process"])
def test_a_cause_names_the_kind(kind: str) -> None:
    other = {"container": "process", "process": "container"}[kind]
    for known in KNOWN_ERRORS:
        if kind in known.kinds:
            why = known.cause.why.format(kind=kind, name="a")
            assert "{" not in why and f"the {other}" not in why


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(f"{LABEL_ERROR} -13", "does not allow the process to take its label", id="refused"),
        pytest.param(f"{LABEL_ERROR} -1", "several threads", id="bounded"),
        pytest.param(f"{LABEL_ERROR} -22", "does not know the label of the process", id="unknown-label"),
    ],
)
def test_errors_of_the_label_are_distinguished(line: str, words: str) -> None:
    cause = cause_in_log([line], "process")
    assert cause is not None and words in cause.why


def test_an_unknown_error_has_no_cause() -> None:
    for line in (f"{LABEL_ERROR} -12", "Error (criu/x.c:1): Can't map restorer code: Cannot allocate memory"):
        assert cause_in_log([line], "process") is None


@pytest.mark.parametrize(
    "sign", [one for known in KNOWN_ERRORS if known.cause.reason == "policy_missing" for one in known.signs]
)
def test_refusals_by_selinux_are_signs_too(sign: str) -> None:
    assert pattern_of(sign) in [one.pattern for one in SIGNS]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], "", id="none"),
        pytest.param(["(00.1) Error (criu/mem.c:1): something new."], "something new", id="position-and-stop"),
        pytest.param(["(1) 7: Error (criu/a.c:1): rlimit: Can't setup", "Error (b): c"], "c", id="minor-is-skipped"),
        pytest.param(['Error (a): execvp("x") failed'], 'execvp("x") failed', id="only-minor"),
    ],
)
def test_first_error(lines: list[str], expected: str) -> None:
    assert first_error(lines) == expected


SAID = [
    "Locking network failed",
    "A session leader of 5(5) is outside of its pid namespace",
    "The root process 32 is not a session leader. Consider using --shell-job option",
    "Found dangling tty",
    "tty: Found dangling tty",
    "Connected TCP socket, consider using --tcp-established",
    "Some file locks are hold by dumping tasks",
    "can't write lsm profile -13",
    "SECCOMP_SET_MODE_FILTER returned -13",
    "No space left on device",
]


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize(
    "form",
    [
        "(00.123456)     12: Error (criu/files-reg.c:1843): Can't open remap file /tmp/{} of 9",
        "(00.123456) Error (criu/files-reg.c:1790): Can't find mount=22 for fd=1 path=/{}",
        "(00.123456) Error (criu/files-reg.c:1): Can't open /srv/Error (criu/net.c:1): {}",
        "(00.123456) Error (criu/files-reg.c:1): file '{}' is gone",
        "(00.123456) Warn  (criu/files-reg.c:1): {}",
        "(00.123456) Dumping path for 5 fd via self 9 [/tmp/{}]",
        "{}",
        "Error: {}",
        "Error ({}): b",
    ],
)
def test_names_of_files_are_no_cause(said: str, form: str) -> None:
    """A process chooses the names of its files, and with them words in CRIU's log."""
    lines = [form.format(said)]
    assert [cause_in_log(lines, kind) for kind in ("process", "container")] == [None, None]


@pytest.mark.parametrize("said", SAID)
def test_names_of_files_do_not_change_the_cause(said: str) -> None:
    for kind in ("process", "container"):
        cause = cause_in_log([f"(00.1) Error (criu/files-reg.c:1): Can't dump ghost file /a{said} of 9 size, in"], kind)
        assert cause is not None and cause.reason == "ghost_limit"


@pytest.mark.parametrize(
    "text", ["x" * 3_000_000, "Error " * 500_000, "iptables-" * 300_000, "(" * 3_000_000, "Error (" * 400_000]
)
def test_endless_lines(text: str) -> None:
    for one in (text, f"(00.1) Error (a.c:1): {text}", f"Error ({text}"):
        lines = tail(f"{one}\n{one}")
        assert all(len(line) <= 400 for line in lines) and len(first_error(lines)) <= 400
        assert cause_in_log([one], "process") is None


def test_the_end_of_each_early_failure_is_no_tracer() -> None:
    """As CRIU 4.2.1 said on 2026-11-29 of a container that nobody traced."""
    lines = [
        "(00.001827) Error (criu/util.c:1): A failure that nobody knows.",
        "(00.013426) Error (compel/src/lib/infect.c:417): Unable to detach from 548: No such process",
        "(00.013438) Error (criu/cr-dump.c:1975): Dumping FAILED.",
    ]
    assert cause_in_log(lines, "container", "checkpoint") is None
    alone = cause_in_log(lines[1:], "container", "checkpoint")
    assert alone is not None and alone.reason == "process_traced"
