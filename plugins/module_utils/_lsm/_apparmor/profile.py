# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Parses the text of attr/current under AppArmor: "NAME (mode)", or "unconfined" alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

UNCONFINED = "unconfined"
# aa_label_snxprint in the kernel (security/apparmor/label.c): one mode at the end, also after a stack. It is enforce,
# complain, kill, unconfined or user; mixed if the profiles of a stack differ; - if none of them may be seen.
_TEXT = re.compile(r"(?s)(?P<name>.+) \((?P<mode>[a-z]+|-)\)\Z")
# A profile of a policy namespace, :NAMESPACE:NAME; before Linux 4.13 :NAMESPACE://NAME.
_NAMESPACE = re.compile(r":[^:]*:(//)?")


@dataclass(frozen=True)
class Profile:
    """The profile of a thread. ``mode`` is empty if the text has none."""

    name: str
    mode: str = ""

    @property
    def stacked(self) -> bool:
        """Returns whether it is a stack of several profiles, A//&B."""
        return "//&" in self.name

    @property
    def in_namespace(self) -> bool:
        """Returns whether it, or one of a stack, belongs to a policy namespace of its own, :NAMESPACE:NAME."""
        return any(_NAMESPACE.match(one) for one in self.name.split("//&"))

    @property
    def hat(self) -> str:
        """Returns the hat or child profile, HAT of NAME//HAT; empty if there is none, and for a stack."""
        return "" if self.stacked else _NAMESPACE.sub("", self.name, count=1).partition("//")[2]

    @property
    def in_images(self) -> str:
        """Returns what CRIU saves of the name: its first word (apparmor_get_label in criu/lsm.c)."""
        return (self.name.split() or [""])[0]

    @property
    def has_blank(self) -> bool:
        return self.in_images != self.name


def parse_profile(text: str) -> Profile:
    """Returns the profile that the text names. A name may itself have blanks and parentheses: the last ones count."""
    match = _TEXT.match(text)
    return Profile(match["name"], match["mode"]) if match else Profile(text)
