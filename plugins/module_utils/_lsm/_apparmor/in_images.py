# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Completes the AppArmor profiles in CRIU's images with those that were recorded before the dump.

CRIU saves the first word of a profile's name, without the mode, and nothing for "unconfined" (apparmor_get_label in
criu/lsm.c). It reads them while the threads are frozen; the record has the whole texts, read a moment before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Iterable

from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import UNCONFINED, parse_profile
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Pair, Thread


def with_recorded(saved: Iterable[Thread], texts: Iterable[str]) -> tuple[Thread, ...]:
    """Returns the threads in the images, each with the recorded text of which CRIU has saved the first word."""
    known = {parse_profile(text).in_images: text for text in texts}
    return tuple(replace(one, label=known.get(one.label or UNCONFINED, one.label or UNCONFINED)) for one in saved)


def without_modes(pairs: Iterable[Pair]) -> tuple[Pair, ...]:
    """Returns the pairs, those whose mode before is not known without the one of now."""
    found = []
    for pair in pairs:
        name = parse_profile(pair.thread.label).name
        found.append(replace(pair, thread=replace(pair.thread, label=name)) if name == pair.before else pair)
    return tuple(found)
