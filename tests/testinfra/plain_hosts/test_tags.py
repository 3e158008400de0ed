# SPDX-License-Identifier: GPL-3.0-or-later
"""Each tag of a role alone, on an enabled host and on one on which nothing was done yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from plays import HERE, ROOT, is_sentence, play

CRIU = ("criu_preflight", "criu_configure", "criu_install", "criu")
SELINUX = ("criu_selinux_preflight", "criu_selinux_configure", "criu_selinux")
OWN = ("checkpoint_host_preflight", "checkpoint_host_run", "checkpoint_host_install", "checkpoint_host")
TAGS = {"checkpoint_host": OWN + CRIU + SELINUX, "criu": CRIU, "criu_selinux": SELINUX}
INSTALLING = ("criu_install", "criu", "checkpoint_host_install", "checkpoint_host")
# The role checkpoint_host runs the tags of the role criu, which is run alone only where it installs.
PAIRS = [(role, tag) for role in ("checkpoint_host", "criu_selinux") for tag in TAGS[role]]
INSTALLS = [
    ("criu", "criu_install"),
    ("criu", "criu"),
    ("checkpoint_host", "checkpoint_host_install"),
    ("checkpoint_host", "checkpoint_host"),
]
# The role criu_selinux alone refuses a host without SELinux, and so does the self-test one without CRIU.
REFUSED = {("criu_selinux", tag) for tag in SELINUX[1:]}
REFUSED_VIRGIN = {*REFUSED, ("checkpoint_host", "checkpoint_host_run")}
HOSTS = ("node-bookworm", "node-trixie")


def dealt(name: str, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs of a host: each is run on one of the two, to save time."""
    return pairs[HOSTS.index(name) :: len(HOSTS)]


def run(name: str, role: str, tag: str, artifact: Path, refused: bool) -> int:
    """Run a tag, check how it ended, and return how many tasks have changed something."""
    done = play(f"{HERE}/role.yml", name, "--tags", tag, plain_role=role, criu_artifact=str(artifact))
    assert (done.rc != 0) is refused, done.output[-6000:]
    if refused:
        assert is_sentence(done.refusal(name)), done.refusal(name)
    assert "undefined" not in done.output
    return done.count(name, "changed")


def test_the_tags_are_those_of_the_roles() -> None:
    for role, tags in TAGS.items():
        text = (ROOT / f"roles/{role}/tasks/main.yml").read_text(encoding="utf-8")
        assert [tag for tag in tags if tag not in text] == []


def test_a_tag_alone_changes_nothing_on_an_enabled_host(host: Any, artifact: Path) -> None:
    name = host.backend.get_hostname()
    for role, tag in dealt(name, PAIRS):
        assert run(name, role, tag, artifact, (role, tag) in REFUSED) == 0, (role, tag)


def test_tags_that_install_nothing_on_a_virgin_host(
    host: Any, artifact: Path, start_nodes: Callable[..., None]
) -> None:
    name = f"{host.backend.get_hostname()}-virgin"
    start_nodes(name)
    for role, tag in dealt(host.backend.get_hostname(), [pair for pair in PAIRS if pair[1] not in INSTALLING]):
        assert run(name, role, tag, artifact, (role, tag) in REFUSED_VIRGIN) == 0, (role, tag)


def test_a_tag_that_installs_works_alone_on_a_virgin_host(
    host: Any, artifact: Path, start_nodes: Callable[..., None]
) -> None:
    name = f"{host.backend.get_hostname()}-virgin"
    for role, tag in dealt(host.backend.get_hostname(), INSTALLS):
        start_nodes(name)
        assert run(name, role, tag, artifact, refused=False) > 0, (role, tag)
