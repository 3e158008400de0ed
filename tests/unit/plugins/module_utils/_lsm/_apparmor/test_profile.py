# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests the parser of attr/current, and what CRIU saves of a profile's name."""

from __future__ import annotations

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.hats import hat_warning
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.in_images import with_recorded, without_modes
from ansible_collections.criu.hosts.plugins.module_utils._lsm._apparmor.profile import Profile, parse_profile
from ansible_collections.criu.hosts.plugins.module_utils._lsm.thread_labels import Thread, compare


@pytest.mark.parametrize("mode", ["enforce", "complain", "kill", "unconfined", "mixed", "user", "-"])
def test_modes(mode: str) -> None:
    assert parse_profile(f"containers-default-0.62.2 ({mode})") == Profile("containers-default-0.62.2", mode)


@pytest.mark.parametrize(
    ("text", "name", "mode"),
    [
        ("unconfined", "unconfined", ""),
        ("lab two words (enforce)", "lab two words", "enforce"),
        ("lab (old) (complain)", "lab (old)", "complain"),
        ("lab (enforce) (kill)", "lab (enforce)", "kill"),
        ("/usr/bin/{a,b} (enforce)", "/usr/bin/{a,b}", "enforce"),
        ("a\nb (enforce)", "a\nb", "enforce"),
        ("lab (Enforce)", "lab (Enforce)", ""),
        ("lab(enforce)", "lab(enforce)", ""),
        ("(enforce)", "(enforce)", ""),
        ("", "", ""),
    ],
)
def test_names_may_have_blanks_and_parentheses(text: str, name: str, mode: str) -> None:
    assert parse_profile(text) == Profile(name, mode)


@pytest.mark.parametrize(
    ("text", "saved", "blank"),
    [
        ("lab two words (enforce)", "lab", True),
        ("lab\ttab (enforce)", "lab", True),
        ("lab-words (enforce)", "lab-words", False),
        ("unconfined", "unconfined", False),
        ("", "", False),
    ],
)
def test_criu_saves_one_word(text: str, saved: str, blank: bool) -> None:
    found = parse_profile(text)
    assert (found.in_images, found.has_blank) == (saved, blank)


@pytest.mark.parametrize(
    ("text", "stacked", "in_namespace", "hat"),
    [
        ("lab (enforce)", False, False, ""),
        ("lab-hat//HAT (enforce)", False, False, "HAT"),
        ("a//b//c (complain)", False, False, "b//c"),
        ("a//&b (mixed)", True, False, ""),
        ("a//HAT//&b (enforce)", True, False, ""),
        ("a//&:box:b (enforce)", True, True, ""),
        (":box:b (enforce)", False, True, ""),
        (":box://b (enforce)", False, True, ""),
        (":box:b//HAT (enforce)", False, True, "HAT"),
        ("unconfined", False, False, ""),
    ],
)
def test_stacks_and_hats(text: str, stacked: bool, in_namespace: bool, hat: str) -> None:
    found = parse_profile(text)
    assert (found.stacked, found.in_namespace, found.hat) == (stacked, in_namespace, hat)


def threads(*labels: str) -> tuple[Thread, ...]:
    return tuple(Thread("7", str(7 + number), "web", label) for number, label in enumerate(labels))


def test_profiles_in_images_are_completed() -> None:
    """CRIU saves no modes, nothing for unconfined, and one word."""
    saved = threads("lab", "", "other", "new")
    recorded = ["lab two words (enforce)", "unconfined", "other (complain)"]
    assert [one.label for one in with_recorded(saved, recorded)] == [
        "lab two words (enforce)",
        "unconfined",
        "other (complain)",
        "new",
    ]
    assert [one.label for one in with_recorded(saved, ())] == ["lab", "unconfined", "other", "new"]


def test_a_mode_that_is_not_known_is_not_compared() -> None:
    before = threads("lab", "lab", "lab (enforce)", "unconfined")
    after = threads("lab (complain)", "other (enforce)", "lab (complain)", "lab (enforce)")
    pairs = without_modes(compare(before, after, ""))
    assert [one.equal for one in pairs] == [True, False, False, False]
    assert [one.thread.label for one in pairs] == ["lab", "other (enforce)", "lab (complain)", "lab (enforce)"]


def test_threads_in_a_hat_are_a_warning() -> None:
    assert hat_warning(threads("lab (enforce)", "a//&b (enforce)", "unconfined"), "container 'web'") == ()
    (found,) = hat_warning(threads("lab (enforce)", "lab//HAT (enforce)", "lab//OTHER (enforce)"), "container 'web'")
    assert found == (
        "2 threads of container 'web' are in a hat or child profile of AppArmor, such as 'lab//HAT'. A thread in a hat "
        "cannot leave it after the restore."
    )
