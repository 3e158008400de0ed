# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Compares the host of a checkpoint with the one of its restore, and returns all that would keep it from succeeding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.versions import version_tuple

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Host

# CRIU's own list (x86_ins_capability_mask in criu/arch/x86/cpu.c, 4.2.1) in the words of /proc/cpuinfo, without what
# only the kernel uses (mwait, rep_good, tme). Of other architectures, all features count.
INSTRUCTIONS = frozenset(
    """
    3dnow 3dnowext 3dnowprefetch abm adx aes avx avx2 avx512_4fmaps avx512_4vnniw avx512_bitalg avx512_vbmi2
    avx512_vnni avx512_vpopcntdq avx512bw avx512cd avx512dq avx512er avx512f avx512pf avx512vbmi avx512vl bmi1 bmi2
    clflush clflushopt clzero cmov cx16 cx8 erms f16c fma4 fpu fsgsbase fxsr gfni hle misalignsse mmx mmxext movbe mpx
    nopl pclmulqdq pni popcnt rdpid rdrand rdseed rdtscp rtm sep sha_ni sse sse2 sse4_1 sse4_2 sse4a ssse3 syscall tbm
    tsc vaes vpclmulqdq xgetbv1 xop xsave xsavec xsaveopt
    """.split()
)
_X86 = ("x86_64", "i686", "i586", "i486", "i386")
# How many features a message names.
_NAMED = 5


def missing_features(there: Host, here: Host) -> tuple[str, ...]:
    """Returns the features of the first processor that programs may use, and the second does not have."""
    if not here.cpu_features:
        return ()
    lost = set(there.cpu_features) - set(here.cpu_features)
    return tuple(sorted(lost & INSTRUCTIONS if there.architecture in _X86 else lost))


def _processor(there: Host, here: Host, what: str) -> Iterator[CheckpointError]:
    if there.architecture and here.architecture and there.architecture != here.architecture:
        yield CheckpointError(
            f"Cannot {what}: it was checkpointed on {there.architecture}, and this host is {here.architecture}. "
            "Restore it on a host of the same architecture.",
            reason="architecture_mismatch",
        )
        return
    lost = missing_features(there, here)
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        yield CheckpointError(
            f"Cannot {what}: its programs may use {', '.join(lost[:_NAMED])}{more}, which the processor of its host "
            "had and this one does not have. Restore it on a host whose processor has them, or give both virtual "
            "machines the same model of a processor.",
            reason="cpu_mismatch",
        )


def _older(there: str, here: str) -> bool:
    """Returns whether a release is older by its first two numbers; later ones are of corrections."""
    wanted, found = version_tuple(there.partition("-")[0])[:2], version_tuple(here.partition("-")[0])[:2]
    return bool(wanted and found) and found < wanted


def _releases(there: Host, here: Host, what: str) -> Iterator[CheckpointError]:
    if _older(there.kernel, here.kernel):
        yield CheckpointError(
            f"Cannot {what}: it was checkpointed under Linux {there.kernel}, and this host runs {here.kernel}, which "
            "is older. Boot such a kernel, or a newer one.",
            reason="kernel_too_old",
        )
    if _older(there.criu, here.criu):
        yield CheckpointError(
            f"Cannot {what}: it was checkpointed by CRIU {there.criu}, and this host has {here.criu}, which is older. "
            "Install such a CRIU, or a newer one, for example with the role criu.hosts.criu.",
            reason="criu_too_old",
        )
    if there.engine == here.engine and _older(there.engine_version, here.engine_version):
        yield CheckpointError(
            f"Cannot {what}: it was checkpointed by {there.engine} {there.engine_version}, and this host has "
            f"{here.engine_version}, which is older. Install such a {there.engine}, or a newer one.",
            reason="engine_too_old",
        )


def _surroundings(there: Host, here: Host, what: str) -> Iterator[CheckpointError]:
    if there.cgroup_version and here.cgroup_version and there.cgroup_version != here.cgroup_version:
        unified = "1" if there.cgroup_version == 2 else "0"
        yield CheckpointError(
            f"Cannot {what}: it was checkpointed with version {there.cgroup_version} of control groups, and this host "
            f"has version {here.cgroup_version}. Boot with systemd.unified_cgroup_hierarchy={unified}.",
            reason="cgroup_mismatch",
        )
    # CRIU refuses labels of another LSM (validate_lsm in criu/lsm.c), and needs none where there were none.
    if there.lsm not in ("", "none") and here.lsm and there.lsm != here.lsm:
        yield CheckpointError(
            f"Cannot {what}: its threads have labels of {there.lsm}, and the security module of this host is "
            f"{here.lsm}. Boot with the kernel parameter security={there.lsm}, or restore it on such a host.",
            reason="lsm_mismatch",
        )


def differences(there: Host, here: Host, what: str) -> list[CheckpointError]:
    """Returns why a checkpoint of the host ``there`` cannot be restored on the host ``here``; empty is unknown.

    ``what`` is the work, such as restore container 'web'. ``there.lsm`` is that of the labels: none without labels.
    """
    return [error for part in (_processor, _releases, _surroundings) for error in part(there, here, what)]


def attempts(checks: Iterable[Callable[[], Any]]) -> list[CheckpointError]:
    """Makes all checks, also after one has failed, and returns the failures in their order."""
    errors = []
    for check in checks:
        try:
            check()
        except CheckpointError as error:
            errors.append(error)
    return errors


def _first_sentence(text: str) -> int:
    """Returns the length of the first sentence; what is quoted may have the end of one in it."""
    quote = ""
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[at + 1 : at + 2] in ("", *" ,.;:)") else quote
        elif char in "'\"" and text[max(at - 1, 0) : at] in ("", " ", "("):
            quote = char
        elif char == "." and text[at + 1 : at + 2] == " " and text[at + 2 : at + 3].isupper():
            return at + 1
    return len(text)


def with_remedy(word: str, message: str) -> dict[str, str]:
    """Returns a failure as an entry of ``reasons``: the remedy is all after the first sentence of its message."""
    end = _first_sentence(message)
    return {"reason": word, "message": message[:end], "remedy": message[end:].lstrip()}


def reasons_of(errors: Iterable[CheckpointError]) -> list[dict[str, str]]:
    """Returns the value of ``reasons``."""
    return [with_remedy(one.reason, one.message) for one in errors]


def together(errors: list[CheckpointError]) -> CheckpointError:
    """Returns the first failure, with all of them as the fact ``reasons``."""
    first, others = errors[0], len(errors) - 1
    first.facts["reasons"] = reasons_of(errors)
    if others:
        first.message += f" There {'is 1 more reason' if others == 1 else f'are {others} more reasons'}: see reasons."
    return first
