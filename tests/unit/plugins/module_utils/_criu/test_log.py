# SPDX-License-Identifier: GPL-3.0-or-later
"""The causes of CRIU's errors, for containers and for processes."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._criu.log import (
    KNOWN_ERRORS,
    cause_in_log,
    first_error,
    tail,
)
from ansible_collections.criu.hosts.plugins.module_utils._denials.criu_logs import SIGNS

LABEL_ERROR = "pie: 7: Error (criu/pie/restorer.c:196): can't write lsm profile"

# Recording of CRIU's log, and the reason for a container and for a process.
RECORDED = {
    "4.2.1-dump-connected-tcp.log.txt": ("tcp_established_needed", "tcp_established_needed"),
    "4.2.1-dump-file-locks.log.txt": ("file_locks_needed", "file_locks_needed"),
    "4.2.1-dump-disk-full.log.txt": ("disk_full", "disk_full"),
    "4.2.1-dump-dangling-tty.log.txt": (None, "shell_job_needed"),
    "4.2.1-dump-external-socket.log.txt": (None, "external_needed"),
    "4.2.1-dump-no-soft-dirty.log.txt": (None, "memory_tracking_missing"),
    "4.2.1-restore-boolean-off.txt": ("policy_missing", "policy_missing"),
    "4.2.1-restore-process-boolean-off.txt": ("policy_missing", "policy_missing"),
    "4.2.1-restore-seccomp-refused.txt": ("policy_missing", "policy_missing"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_logs(name: str, fixture_text: Any) -> None:
    lines = tail(fixture_text(f"criu/{name}"))
    found = [cause_in_log(lines, kind) for kind in ("container", "process")]
    assert tuple(cause.reason if cause else None for cause in found) == RECORDED[name]


@pytest.mark.parametrize("kind", ["container", "process"])
def test_a_cause_names_the_kind(kind: str) -> None:
    other = {"container": "process", "process": "container"}[kind]
    for known in KNOWN_ERRORS:
        if kind in known.kinds:
            why = known.cause.why.format(kind=kind)
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


@pytest.mark.parametrize("pattern", [known.pattern for known in KNOWN_ERRORS if known.cause.reason == "policy_missing"])
def test_refusals_by_selinux_are_signs_too(pattern: str) -> None:
    assert pattern in [sign.pattern for sign in SIGNS]


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
        "(00.123456)     12: Error (criu/files-reg.c:1843): Can't dump ghost file /tmp/{} of 9 size, increase limit",
        "(00.123456) Error (criu/files-reg.c:1790): Can't lookup mount=22 for fd=1 path=/{}",
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


@pytest.mark.parametrize(
    "text", ["x" * 3_000_000, "Error " * 500_000, "iptables-" * 300_000, "(" * 3_000_000, "Error (" * 400_000]
)
def test_endless_lines(text: str) -> None:
    for one in (text, f"(00.1) Error (a.c:1): {text}", f"Error ({text}"):
        lines = tail(f"{one}\n{one}")
        assert all(len(line) <= 400 for line in lines) and len(first_error(lines)) <= 400
        assert cause_in_log([one], "process") is None
