# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Lists pairs of kernel and CRIU that are known to fail, and limits of OCI runtimes, each with its public source.

To add an entry, name the first kernel (and the first fixed one, if there is one), the CRIU versions, what fails, and
the thread that documents it. The unit tests check the form; check yourself that the source confirms the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

Release = Tuple[int, ...]
EVERYTHING = (
    "container",
    "multi_threaded",
    "tcp_established",
    "file_locks",
    "pre_dump",
    "lazy_pages",
    "non_root",
    "migration_source",
    "migration_target",
)
RESTORES_OF_CONTAINERS = ("container", "migration_target")


@dataclass(frozen=True)
class KnownBad:
    """A pair that fails. ``criu`` and each range of ``kernels`` include their start and exclude their end (None: open).

    Args:
        blocks: the intents that cannot work.
        warns: the intents that may fail.
        shown_by_check: ``criu check`` fails on such a host; if it passes, CRIU or the kernel is patched.
        check_says: a text that the log of that check contains; a log without it has a different cause.
    """

    name: str
    criu: tuple[Release, Release]
    kernels: tuple[tuple[Release, Release | None], ...]
    fails: str
    source: str
    blocks: tuple[str, ...] = ()
    warns: tuple[str, ...] = ()
    shown_by_check: bool = False
    check_says: str = ""

    @property
    def fixed_in(self) -> str:
        """Returns the first CRIU without the fault; empty if no CRIU fixes it."""
        return "" if self.criu[1] == NEVER else ".".join(str(number) for number in self.criu[1])


NEVER: Release = (9999,)
KNOWN_BAD = (
    # Reproduced with Debian's 3.17.1 on 6.18; fixed by the commit "vdso: handle vvar_vclock vma-s".
    KnownBad(
        name="vdso_clock_area",
        criu=((0,), (4, 1)),
        kernels=(((6, 13), None),),
        fails="CRIU does not know the vDSO areas of this kernel (Unexpected rt vDSO area bounds)",
        source="https://github.com/checkpoint-restore/criu/issues/2532",
        blocks=EVERYTHING,
        shown_by_check=True,
        check_says="Unexpected rt vDSO area bounds",
    ),
    KnownBad(
        name="vdso_compat_size",
        criu=((0,), (3, 18)),
        kernels=(((5, 18), None),),
        fails="the 32-bit vDSO of this kernel does not fit into CRIU's buffer",
        source="https://github.com/checkpoint-restore/criu/issues/1916",
        blocks=EVERYTHING,
        shown_by_check=True,
        check_says="Compatible vdso's size is bigger than reserved buf",
    ),
    KnownBad(
        name="udplite_removed",
        criu=((0,), (4, 2, 1)),
        kernels=(((7, 1), None),),
        fails="CRIU reads the list of UDP-Lite sockets, which this kernel no longer has, so every dump fails",
        source="https://github.com/checkpoint-restore/criu/issues/3002",
        blocks=EVERYTHING,
        shown_by_check=True,
    ),
    KnownBad(
        name="passcred_restricted",
        criu=((0,), (4, 2)),
        kernels=(((6, 16), None),),
        fails="CRIU reads SO_PASSCRED of TCP and UDP sockets, which this kernel refuses, so their dump fails",
        source="https://github.com/checkpoint-restore/criu/issues/2705",
        blocks=("tcp_established",),
        warns=("container", "multi_threaded", "non_root", "migration_source", "migration_target"),
    ),
    # The fix of CVE-2025-38498 came to all stable kernels with these releases. Later ones check less (cffd0441872e),
    # and distributions have patched CRIU, so this is only a warning.
    KnownBad(
        name="mount_propagation",
        criu=((3, 17), (4, 1, 1)),
        kernels=(
            ((5, 15, 186), (5, 16)),
            ((6, 1, 142), (6, 2)),
            ((6, 6, 94), (6, 7)),
            ((6, 12, 34), (6, 13)),
            ((6, 15, 3), None),
        ),
        fails="CRIU cannot set the propagation of mounts (mnt-v2: Failed to make mount slave), so restores fail",
        source="https://github.com/checkpoint-restore/criu/pull/2701",
        warns=RESTORES_OF_CONTAINERS,
    ),
    KnownBad(
        name="rseq_not_saved",
        criu=((0,), (3, 17)),
        kernels=(((4, 18), None),),
        fails="CRIU does not save restartable sequences, so programs of glibc 2.35 or newer crash after the restore",
        source="https://github.com/checkpoint-restore/criu/issues/1696",
        warns=EVERYTHING,
    ),
    KnownBad(
        name="rseq_not_reported",
        criu=((3, 17), NEVER),
        kernels=(((4, 18), (5, 13)),),
        fails="the kernel does not report restartable sequences, so programs of glibc 2.35 or newer cannot be dumped",
        source="https://github.com/checkpoint-restore/criu/issues/2070",
        warns=EVERYTHING,
    ),
)


@dataclass(frozen=True)
class RuntimeLimit:
    """A limit of an OCI runtime in the versions from the first (included) to the last (excluded)."""

    name: str
    runtime: str
    versions: tuple[Release, Release]
    fails: str
    source: str
    intents: tuple[str, ...]


RUNTIME_LIMITS = (
    RuntimeLimit(
        name="lock_forced",
        runtime="crun",
        versions=((1, 19), (1, 20)),
        fails="it makes CRIU lock the network with iptables, regardless of CRIU's default",
        source="https://github.com/containers/crun/issues/1627",
        intents=("container", "migration_source", "migration_target"),
    ),
    RuntimeLimit(
        name="no_lazy_pages",
        runtime="crun",
        versions=((0,), NEVER),
        fails="it has no option for lazy pages; runc has",
        source="https://github.com/containers/crun/pull/2259",
        intents=("lazy_pages",),
    ),
)
ROOTLESS_SOURCE = "https://github.com/opencontainers/runc/issues/2009"


def _within(version: Release, start: Release, end: Release | None) -> bool:
    return version >= start and (end is None or version < end)


def _excluded(one: KnownBad, passed: bool | None, log: Sequence[str]) -> bool:
    """Returns whether the result of ``criu check`` rules the entry out; None (it did not run) never does."""
    if passed is None or not one.shown_by_check:
        return False
    return passed or not any(one.check_says in line for line in log)


def known_bad(kernel: Release, criu: Release, passed: bool | None, log: Sequence[str] = ()) -> list[KnownBad]:
    """Returns the entries that apply to this host; ``passed`` and ``log`` are the result of ``criu check``."""
    return [
        one
        for one in KNOWN_BAD
        if _within(criu, *one.criu)
        and any(_within(kernel, *span) for span in one.kernels)
        and not _excluded(one, passed, log)
    ]


def runtime_limits(name: str, version: Release) -> list[RuntimeLimit]:
    """Returns the limits of this runtime."""
    return [one for one in RUNTIME_LIMITS if one.runtime == name and _within(version, *one.versions)]
