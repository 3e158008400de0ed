# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Judges a checkpoint by the host's trust policy: its signature, its parts, and what it would bring to this host.

What a plain archive brings is read from the archive itself. An encrypted one is judged by its manifest, which therefore
has to be signed: else the author of the archive would also be the one who says what is in it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Callable, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._store.folder import MANIFEST
from ansible_collections.criu.hosts.plugins.module_utils._store.manifest import Manifest, parse_manifest
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import kind_of
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import find_signer
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec
from ansible_collections.criu.hosts.plugins.module_utils._store.trust import (
    KINDS,
    Policy,
    Refusal,
    judge,
    read_policy,
    refused,
    require_own,
)

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context


@dataclass(frozen=True)
class Judged:
    """What the policy says about a checkpoint. ``signer`` is empty if no signature was wanted, or none counts."""

    policy: Policy
    signer: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    manifest: Manifest | None = None


def require_trust(
    ctx: Context,
    what: str,
    path: str,
    digests: Callable[[], dict[str, str]],
    describe: Callable[[], Spec | None],
    kinds: Collection[str] = tuple(KINDS),
) -> None:
    """Refuses to ``what``, before anything is unpacked, if the host has a policy that does not accept the checkpoint.

    ``path``: the archive, or the folder of images, whose manifest is in the same folder. ``digests``: returns the
    SHA-256 of what will be restored, by the names of the parts. ``describe``: reads what a plain checkpoint brings.
    Raises:
        CheckpointError: trust_refused, trust_policy_invalid, tool_missing, timed_out.
    """
    policy = read_policy(ctx.paths)
    if policy is None:
        return
    judged = judge_checkpoint(ctx.paths, ctx.runner, policy, path, describe, kinds)
    refusals = [*judged.refusals, *_of_parts(judged, digests)]
    if refusals:
        raise refused(what, path, refusals)


def judge_checkpoint(
    paths: Paths,
    runner: Runner,
    policy: Policy,
    path: str,
    describe: Callable[[], Spec | None],
    kinds: Collection[str] = tuple(KINDS),
) -> Judged:
    """Returns who has signed a checkpoint, and every reason for which the policy refuses it. Reads it, changes nothing.

    Raises:
        CheckpointError: tool_missing, timed_out.
    """
    encrypted = bool(kind_of(path))
    judged = Judged(policy)
    if policy.signers is not None or (encrypted and policy.judged):
        judged = _signed(paths, runner, policy, os.path.join(os.path.dirname(path), MANIFEST))
    if not any(kind in kinds for kind in policy.judged):
        return judged
    spec: Spec | None
    why = "its signed manifest does not say it" if encrypted else "it cannot be read"
    if encrypted:
        spec = judged.manifest.spec if judged.manifest is not None and judged.signer else None
        why = why if judged.signer else "it is encrypted, and no signature proves what its manifest says"
    else:
        try:
            spec = describe()
        except (OSError, ValueError) as error:
            spec, why = None, (error.strerror if isinstance(error, OSError) else None) or str(error)
    if spec is None:
        more = [Refusal("trust_unknown", f"it is not known what the checkpoint would bring to this host: {why}")]
    else:
        more = judge(policy, _on_this_host(paths, spec), kinds)
    return replace(judged, refusals=[*judged.refusals, *more])


def _signed(paths: Paths, runner: Runner, policy: Policy, manifest_path: str) -> Judged:
    """Proves the signature of a manifest, and parses the very bytes that are signed."""
    signers = paths.allowed_signers
    try:
        require_own(signers)
        if read_own(signers) is None:
            raise ValueError("there is no such file")
    except ValueError as error:
        return _nobody(policy, "signer_unknown", f"the file of allowed signers {signers!r} cannot be used ({error})")
    try:
        data = read_own(manifest_path)
        if data is None:
            return _nobody(policy, "signature_missing", f"it has no manifest {manifest_path!r} that could be signed")
        verdict = find_signer(runner, data, manifest_path, signers, policy.signers)
        if not verdict.signer:
            return _nobody(policy, verdict.word, verdict.message)
        manifest = parse_manifest(data)
    except ValueError as error:
        return _nobody(policy, "signature_invalid", f"its manifest {manifest_path!r} cannot be used ({error})")
    return Judged(policy, verdict.signer, manifest=manifest)


def _nobody(policy: Policy, word: str, message: str) -> Judged:
    return Judged(policy, refusals=[Refusal(word, message)])


def _of_parts(judged: Judged, digests: Callable[[], dict[str, str]]) -> list[Refusal]:
    """Returns why what will be restored is not what was signed; nothing without a signer, which was refused already."""
    if judged.manifest is None:
        return []
    signed = {part.name: part.sha256 for part in judged.manifest.parts}
    there = digests()
    wrong = sorted(name for name in {*signed, *there} if signed.get(name) != there.get(name))
    return [Refusal("signature_invalid", f"its part {name!r} is not the one that was signed") for name in wrong[:1]]


def _on_this_host(paths: Paths, spec: Spec) -> Spec:
    """Adds where the links of this host lead: a path that is accepted must not be a way to one that is not."""
    real = [os.path.realpath(paths.below(one)) for one in spec.mounts if one.startswith("/")]
    return replace(spec, mounts=tuple(sorted({*spec.mounts, *(one[len(paths.root) :] or "/" for one in real)})))
