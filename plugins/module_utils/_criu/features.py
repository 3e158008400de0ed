# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Runs criu check, in general and for single features, and parses its output."""

from __future__ import annotations

from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._criu.log import LINE_LENGTH, first_error


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The names that criu check --feature accepts in CRIU 4.2.1 (cr-check.c).
FEATURE_NAMES = _words(
    """
    mnt_id mem_dirty_track aio_remap timerfd tun tun_ns userns fdinfo_lock seccomp_suspend seccomp_filters loginuid
    cgroupns autofs tcp_half_closed compat_cr uffd uffd-noncoop can_map_vdso sk_ns sk_unix_file net_diag_raw nsid
    link_nsid kcmp_epoll timens external_net_ns clone3_set_tid newifindex nftables has_ipt_legacy pidfd_store ns_pid
    apparmor_stacking network_lock_nftables sockopt_buf_lock memfd_hugetlb move_mount_set_group openat2 get_rseq_conf
    ipv6_freebind pagemap_scan timer_cr_ids overlayfs_maps breakpoints pagemap_scan_guard_pages
    """
)
# Whether the kernel says which pages of memory have changed.
TRACKING = "mem_dirty_track"
# How many lines of a failed check are returned.
CHECK_LINES = 5


def parse_feature(completed: Completed) -> bool | None:
    """Returns whether ``criu check --feature`` found the feature; None if it could not check.

    It cannot if it does not know the name, or if it has no access to the kernel (an enforcing policy without rules).
    """
    if completed.rc == 0:
        return True
    text = f"{completed.out}{completed.err}"
    return None if "Unknown feature" in text or "Could not initialize kernel features" in text else False


def cannot_ask(completed: Completed) -> bool:
    """Returns whether CRIU has no access to the kernel, so that no feature can be checked either."""
    return completed.rc != 0 and "Could not initialize kernel features" in f"{completed.out}{completed.err}"


def parse_check(completed: Completed) -> dict[str, Any]:
    """Returns whether ``criu check`` passed, and its errors without those about tools that CRIU does not need."""
    lines = [line.strip() for line in f"{completed.err}\n{completed.out}".splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line and "exited, status=" not in line and "execvp(" not in line]
    log = [first_error([line[:LINE_LENGTH]]) for line in errors or lines]
    return {"passed": completed.rc == 0, "log": [] if completed.rc == 0 else log[:CHECK_LINES]}


def require_tracking(runner: Runner, criu: str, what: str) -> None:
    """Refuses ``what`` if CRIU cannot track changes of memory here; that is not known where it cannot check.

    Podman asks CRIU as well (MemTrack in pkg/criu/criu_linux.go, since 4.0), but 5.4.2 went on where there is none, and
    the runtimes refused: "memory tracking not supported" (crun 1.21), "CRIU is missing features" (runc 1.1.15).

    Raises:
        CheckpointError: memory_tracking_missing.
    """
    if parse_feature(runner.run((criu, "check", "--no-default-config", "--feature", TRACKING))) is False:
        raise CheckpointError(
            f"Cannot {what}: this kernel, or CRIU, cannot track changes of memory, which a pre-checkpoint needs "
            f"(criu check --feature {TRACKING}). Boot a kernel with CONFIG_MEM_SOFT_DIRTY, or leave pre_checkpoint and "
            "with_previous out.",
            reason="memory_tracking_missing",
        )


def read_check(runner: Runner, criu: str, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, bool | None]]:
    """Runs ``criu check`` for the features that CRIU must have, and once for each of the ``names``.

    One call for all features (--extra, --all) reports only that something is missing: several of its checks print
    nothing, and on most kernels the newest one fails. Hence one process per feature, 0.1 s each on slow machines.
    """
    completed = runner.run([criu, "check", "--no-default-config"])
    features: dict[str, bool | None] = {}
    useless = cannot_ask(completed)
    for name in names:
        asked = None if useless else runner.run([criu, "check", "--no-default-config", "--feature", name])
        features[name] = None if asked is None else parse_feature(asked)
    return parse_check(completed), features
