# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Holds what a checkpoint would bring to a host, in the words that the patterns of a trust policy match."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Iterable

from ansible_collections.criu.hosts.plugins.module_utils._lsm._selinux.context import type_of
from ansible_collections.criu.hosts.plugins.module_utils._store.record_text import (
    Rule,
    demand_fields,
    is_free_text,
    list_of,
)

# The label of a process that no rule of an LSM confines.
UNCONFINED = "unconfined"


@dataclass(frozen=True)
class Spec:
    """What a checkpoint would bring to this host. Each field has the words that the patterns of a policy match.

    A device that only the control group permits is its kind and numbers, "c 10:229"; "*" is all devices.
    """

    images: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


# A privileged container has hundreds of devices.
_RULES: dict[str, Rule] = dict.fromkeys((one.name for one in fields(Spec)), list_of(is_free_text, 1 << 16))


def parse_spec(value: dict[str, Any]) -> Spec:
    """Returns what the field ``spec`` of a manifest holds.

    Raises:
        ValueError: with the reason.
    """
    demand_fields(value, Spec, _RULES)
    return Spec(**{key: tuple(found) for key, found in value.items()})


def label_names(labels: Iterable[str | None]) -> tuple[str, ...]:
    """Returns the words by which a policy knows labels: types of SELinux, or profiles of AppArmor without their mode.

    An empty label is ``unconfined``, as AppArmor says, and so is one without a rule; None is no label at all.
    """
    return tuple(sorted({_label_name(label) for label in labels if label is not None}))


def _label_name(label: str) -> str:
    name = label.rstrip("\0\n").partition(" (")[0]
    return type_of(name) if name.count(":") >= 2 and "//" not in name else name or UNCONFINED
