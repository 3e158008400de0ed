# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick start of README.md: how its blocks are read, and that the examples have the same text."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from readme_blocks import Command, missing_lines, parse_commands, parse_quick_start, without_header

ROOT = Path(__file__).parents[2]
PAGE = """\
Text.

<!-- quick start: hosts.yml -->
```yaml
all:
  hosts:
```

```yaml
not: marked
```

<!-- quick start -->
```console
$ first -e a=1 \\
    -e b=2
$ second
...
done
```
"""


def test_blocks_become_files_and_commands():
    found = parse_quick_start(PAGE)
    assert found.files == {"hosts.yml": "all:\n  hosts:\n"}
    assert found.commands == (Command("first -e a=1 \\\n    -e b=2"), Command("second", ("done",)))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("<!-- quick start: a -->\n\n```yaml\na: 1\n```\n", "1 marks, but 0 blocks"),
        ("<!-- quick start: a -->\n```yaml\na: 1\n", "1 marks, but 0 blocks"),
        ("<!-- quick start -->\n```yaml\na: 1\n```\n", "'yaml' has to be either"),
        ("<!-- quick start: a -->\n```console\n$ a\n```\n", "'a' has to be either"),
        ("<!-- quick start: a -->\n```yaml\na: 1\n```\n" * 2, "the file a is there twice"),
        ("<!-- quick start -->\n```console\noutput\n```\n", "output without a command: 'output'"),
    ],
)
def test_a_page_with_a_mistake_is_refused(text, why):
    with pytest.raises(ValueError, match=why):
        parse_quick_start(text)


def test_output_that_ends_with_a_backslash_continues_no_command():
    assert parse_commands("$ a\nb \\\nc\n") == (Command("a", ("b \\", "c")),)


@pytest.mark.parametrize(
    ("output", "missing"),
    [("x\none\ny\ntwo\n", []), ("two\none\n", ["two"]), ("one and two\n", ["one", "two"])],
)
def test_the_output_has_the_shown_lines_in_their_order(output, missing):
    assert missing_lines(("one", "two"), output) == missing


if not (ROOT / "examples").exists():
    pytest.skip("the examples are not part of an installed collection", allow_module_level=True)
QUICK_START = parse_quick_start((ROOT / "README.md").read_text(encoding="utf-8"))


def test_the_quick_start_has_these_files_and_commands():
    assert list(QUICK_START.files) == ["inventory.yml", "requirements.yml", "site.yml"]
    words = [command.line.split() for command in QUICK_START.commands]
    assert [(line[0], line[-1]) for line in words] == [
        ("ansible-galaxy", "requirements.yml"),
        ("ansible-playbook", "criu.hosts.enable_host"),
        ("ansible-playbook", "site.yml"),
    ]
    # Nobody has to give a variable.
    assert [word for line in words for word in line if word.startswith(("-e", "--extra-vars"))] == []


@pytest.mark.parametrize("name", QUICK_START.files)
def test_an_example_is_the_text_of_the_quick_start(name):
    assert without_header((ROOT / "examples" / name).read_text(encoding="utf-8")) == QUICK_START.files[name]


def test_the_requirements_accept_this_version():
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    (wanted,) = yaml.safe_load(QUICK_START.files["requirements.yml"])["collections"]
    assert wanted == {"name": "criu.hosts", "version": f">={version}"}
