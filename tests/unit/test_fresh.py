# SPDX-License-Identifier: GPL-3.0-or-later
"""What `make fresh` takes from this machine, and which suite it chooses; the pins of the tools."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / "tests/tools"


@pytest.fixture(name="fresh")
def fresh_fixture(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(TOOLS))
    monkeypatch.delitem(sys.modules, "common", raising=False)
    import fresh  # type: ignore[import-not-found]

    yield fresh
    for name in ("artifact", "base", "common", "fresh", "image", "lab", "machine", "services_image"):
        if name not in before:
            sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("release", "suite"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", "trixie"),
        ("ID=debian\nVERSION_CODENAME=trixie\n", "bookworm"),
        ('ID=fedora\nVERSION_CODENAME=""\n', "trixie"),
        (None, "trixie"),
    ],
)
def test_sample_runs_on_the_other_suite(fresh: Any, tmp_path: Path, release: str | None, suite: str) -> None:
    file = tmp_path / "os-release"
    if release is not None:
        file.write_text(release)
    assert fresh.other_suite(file) == suite


@pytest.mark.parametrize("words", [[], ["sid"], ["trixie", "bookworm"]])
def test_unknown_suite_is_one_sentence(fresh: Any, words: list[str]) -> None:
    with pytest.raises(fresh.ToolError, match="run make fresh SUITE=bookworm or SUITE=trixie"):
        fresh.suite_of(words)
    assert fresh.suite_of(["bookworm"]) == ("bookworm", False)


def test_pip_settings_become_a_file(fresh: Any) -> None:
    listed = (
        "global.find-links='/srv/wheels'\n"
        "global.extra-index-url='https://one.example/simple\\nfile:///srv/index/simple'\n"
        "install.no-binary='x'\n:env:.cert='/etc/ca.crt'\n"
    )
    assert fresh.pip_config(listed) == (
        "[global]\nfind-links = /srv/wheels\n"
        "extra-index-url = https://one.example/simple\n    file:///srv/index/simple\n"
        "[install]\nno-binary = x\n"
    )


def test_paths_in_settings(fresh: Any, tmp_path: Path) -> None:
    (tmp_path / "index/simple").mkdir(parents=True)
    (tmp_path / "ca.crt").write_text("")
    values = [f"https://one.example/simple file://{tmp_path}/index/simple", f"{tmp_path}/ca.crt", f"{tmp_path}/gone"]
    assert list(fresh.named_paths(values)) == [tmp_path / "index", tmp_path / "ca.crt"]


def test_apt_keeps_what_reaches_the_mirror(fresh: Any) -> None:
    dump = (
        'APT::Architecture "amd64";\nAcquire::http::Proxy "http://proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        'DPkg::Post-Invoke:: "rm -f /x";\n'
    )
    assert fresh.apt_options(dump) == [
        '--aptopt=Acquire::http::Proxy "http://proxy.example:3128"',
        '--aptopt=Acquire::Check-Valid-Until "false"',
    ]


def test_settings_leave_the_rest_of_the_environment(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(fresh.os.environ):
        monkeypatch.delenv(name)
    for name in ("PIP_INDEX_URL", "https_proxy", "NO_PROXY", "PIP_CACHE_DIR", "SSL_CERT_FILE", "LD_PRELOAD"):
        monkeypatch.setenv(name, "x")
    assert sorted(fresh.settings()) == ["NO_PROXY", "PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy"]


def test_floor_is_what_the_collection_promises() -> None:
    promised = re.search(r'requires_ansible: ">=([0-9.]+)"', (ROOT / "meta/runtime.yml").read_text())
    assert promised
    assert f"ansible-core=={promised.group(1)}\n" in (ROOT / "requirements/floor.txt").read_text()


def test_each_python_gets_one_pinned_ansible_core() -> None:
    lines = [line for line in (ROOT / "requirements/test.txt").read_text().splitlines() if "ansible-core" in line]
    pins = [line for line in lines if re.fullmatch(r'ansible-core==[0-9.]+; python_version (<|>=) "3\.12"', line)]
    assert len(pins) == 2
