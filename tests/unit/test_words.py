# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for words that this project does not use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
if not TOOLS.exists():
    pytest.skip("the tools are not part of an installed collection", allow_module_level=True)
if sys.version_info < (3, 11):
    pytest.skip("the tools run on Python 3.11 and newer", allow_module_level=True)
sys.path.insert(0, str(TOOLS))

import words  # noqa: E402


def found(text: str, name: str = "docs/page.md") -> list[str]:
    return [line.split("'")[1] if "'" in line else line.split('"')[1] for line in words.hits(name, text)]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("The module tells why.", "tells"),
        ("It mends the rest.", "mends"),
        ("V(2g) for one.", "for one"),
        ("Take established TCP connections along.", "Take established TCP connections along"),
        ("The host is of\nneither family.", "of neither"),
        ("# It was of\n# neither.", "of neither"),
        ("- Refuse to use it.", "Refuse to"),
        ("What is refused is not installed.", "What is refused is"),
        ("The module lends a boolean.", "lends"),
        ("It borrows a boolean.", "borrows"),
        ("So it is without root.", "So it is"),
        ("A container of root.", "of root"),
        ("the RedHat family", "RedHat family"),
        ("HOME is another.", "is another"),
    ],
)
def test_a_word_is_found(text, word):
    assert found(text) == [word]


@pytest.mark.parametrize(
    "text",
    [
        "Wait for one second.",
        "A recommended option.",
        "See `told.yml`, `told` and told.yml.",
        "## What is known, and what is not",
        "| What was refused |",
        "What is a label? It is a name.",
        "ansible_facts.os_family is RedHat",
        "It fails, so it is removed.",
        "An IP of root's shell; a shell of root's; of root-owned files",
        "The process is another user's.",
        "Use --anew.",
    ],
)
def test_other_words_are_not_found(text):
    assert found(text) == []


def test_the_line_names_file_line_word_and_a_better_one():
    (line,) = words.hits("docs/page.md", "One.\nIt was made anew.\n")
    assert line == "docs/page.md:2: 'anew'; better: again; recreate"


def test_only_comments_and_texts_of_python_are_searched():
    source = "told = tell(anew)  # mend it\nwords = ['told', f'{told} tells all', 'it is taken '\n    'along there']\n"
    assert found(source, "plugins/module_utils/_x.py") == ["mend", "tells", "taken along"]


def test_code_may_borrow():
    assert found("# it borrows the boolean\n", "plugins/module_utils/_x.py") == []


def test_a_short_description_begins_with_a_verb_of_the_list():
    module = 'DOCUMENTATION = """\nshort_description: {} a thing\n"""\n'
    assert not list(words.bad_verbs("plugins/modules/x.py", module.format("Gather")))
    assert list(words.bad_verbs("plugins/modules/x.py", module.format("Tell")))
    roles = "argument_specs:\n  main:\n    short_description: {} a thing\n"
    assert not list(words.bad_verbs("roles/x/meta/argument_specs.yml", roles.format("Install,")))
    assert list(words.bad_verbs("roles/x/meta/argument_specs.yml", roles.format("Let")))


@pytest.mark.parametrize("name", ["LICENSE", "tests/unit/fixtures/criu/x.txt", "tests/policy/tried.jsonl", "x.svg"])
def test_recordings_and_licenses_are_not_searched(name):
    assert not words.checked(name)


@pytest.mark.parametrize("name", ["README.md", "Makefile", "roles/x/templates/y.j2", ".ci/run"])
def test_texts_are_searched(name):
    assert words.checked(name)
