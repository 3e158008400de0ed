# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the host's trust policy, and judges by it what a checkpoint would bring to this host.

The policy is JSON and named so: the modules read it on hosts that have no YAML library, and anyone who edits it
sees what syntax it has. Without the file, everything may be restored.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object
from ansible_collections.criu.hosts.plugins.module_utils._host.ancestors import find_fault
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    Rule,
    demand_fields,
    is_number,
    is_text,
    list_of,
)
from ansible_collections.criu.hosts.plugins.module_utils._store.spec import Spec

# A policy with a different number is not understood by this release.
SCHEMA = 1
POLICY_LIMIT = 1 << 20
# Each message names so many of what is not accepted; a privileged container has hundreds of devices.
SHOWN = 5
_WORDS = list_of(is_text, 4096)


@dataclass(frozen=True)
class Policy:
    """What may be restored on this host: patterns (fnmatch) of names; None: anything, (): nothing of that kind.

    ``signers`` are exact names of the file of allowed signers: one of them has to have signed the checkpoint.
    ``images`` are names of images, ``labels`` types of SELinux or profiles of AppArmor, ``mounts`` paths of the host,
    ``capabilities`` names such as CAP_CHOWN, ``devices`` paths with kind and numbers, such as "/dev/fuse c 10:229".
    """

    signers: tuple[str, ...] | None = None
    images: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None
    mounts: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None

    @property
    def judged(self) -> tuple[str, ...]:
        """The kinds of which not everything is accepted, without signers."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)


# Each kind of what is judged: its word for a refusal, and its name in a message.
KINDS = {
    "images": ("trust_image", "the image"),
    "labels": ("trust_label", "the label"),
    "mounts": ("trust_mount", "the mount of the host's path"),
    "capabilities": ("trust_capability", "the capability"),
    "devices": ("trust_device", "the device"),
}
# What images of a process without a container have.
OF_PROCESSES = ("labels", "capabilities")


@dataclass(frozen=True)
class Refusal:
    """One reason for which the policy refuses a checkpoint: a stable word, and a clause for people."""

    word: str
    message: str

    @property
    def shown(self) -> dict[str, str]:
        """What a result has."""
        return {"reason": self.word, "message": self.message}


_RULES: dict[str, Rule] = dict.fromkeys((one.name for one in fields(Policy)), _WORDS)


def parse_policy(text: str | bytes | None) -> Policy:
    """Returns the policy in a file.

    Raises:
        ValueError: with the reason: a field that is unknown must not be taken for one that is not there.
    """
    entries = parse_object(text)
    schema = entries.pop("schema", None)
    if not is_number(schema) or schema != SCHEMA:
        raise ValueError(f"its schema is not {SCHEMA}, the one that this release understands")
    demand_fields(entries, Policy, _RULES)
    return Policy(**{key: tuple(value) for key, value in entries.items()})


def read_policy(paths: Paths) -> Policy | None:
    """Returns the host's policy; None if there is none.

    One that cannot be used refuses every restore: it may be the one that somebody wanted to be rid of.

    Raises:
        CheckpointError: trust_policy_invalid.
    """
    path = paths.trust_policy
    try:
        require_own(path)
        data = read_own(path, limit=POLICY_LIMIT)
        return None if data is None else parse_policy(data)
    except ValueError as error:
        raise CheckpointError(
            f"Cannot use the trust policy {path!r}: {error}. Correct the file, or apply the role "
            "criu.hosts.checkpoint_host again.",
            reason="trust_policy_invalid",
            path=path,
        ) from error


def require_own(path: str) -> None:
    """Refuses a file that others than root can change, or make the path lead to.

    Raises:
        ValueError: with the reason.
    """
    fault = find_fault(os.path.dirname(path))
    if fault:
        raise ValueError(fault)


def judge(policy: Policy, spec: Spec, kinds: Collection[str] = tuple(KINDS)) -> list[Refusal]:
    """Returns every reason for which the policy refuses what a checkpoint would bring; ``kinds`` are those it has."""
    found = [_refusal(getattr(policy, kind), getattr(spec, kind), kind, *KINDS[kind]) for kind in kinds]
    return [one for one in found if one is not None]


def _refusal(
    accepted: tuple[str, ...] | None, found: tuple[str, ...], kind: str, word: str, noun: str
) -> Refusal | None:
    if accepted is None:
        return None
    wrong = [one for one in found if not any(fnmatchcase(one, pattern) for pattern in accepted)]
    if not wrong:
        return None
    more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    named = ", ".join(shown(one) for one in wrong[:SHOWN])
    return Refusal(word, f"{noun} {named}{more} {'is' if len(wrong) == 1 else 'are'} not in its list of {kind}")


def refused(what: str, path: str, refusals: list[Refusal]) -> CheckpointError:
    """Returns the failure of a task that may not ``what``: ``refusals`` are all reasons."""
    listed = "; ".join(one.message for one in refusals)
    return CheckpointError(
        f"Cannot {what}: the host's trust policy refuses it: {listed}. Accept that in the policy, if you trust "
        "the author of the checkpoint.",
        reason="trust_refused",
        path=path,
        refusals=[one.shown for one in refusals],
    )
