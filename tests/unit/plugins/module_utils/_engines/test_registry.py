# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for every engine: it has the whole protocol, and the documentation names it."""

from __future__ import annotations

import importlib
import inspect
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.criu.hosts.plugins.doc_fragments._checkpoint import ModuleDocFragment
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._engines.container import Abilities
from ansible_collections.criu.hosts.plugins.module_utils._engines.engine import Engine
from ansible_collections.criu.hosts.plugins.module_utils._engines.registry import AUTO, DEFAULT, ENGINES, select
from ansible_collections.criu.hosts.plugins.module_utils._store.record import place_records_dir

PROTOCOL = {name: one for name, one in vars(Engine).items() if not name.startswith("_")}


def context(folder: Path) -> Context:
    return Context(params={}, runner=None, check_mode=False, paths=Paths(str(folder)), uid=0)  # type: ignore[arg-type]


def chosen(folder: Path, name: str, root: str = "") -> tuple[Context, Any]:
    return select(name, context(folder), root)


@pytest.mark.parametrize("name", ENGINES)
def test_engine_has_the_whole_protocol(tmp_path: Path, name: str) -> None:
    dummy, engine = chosen(tmp_path, name)
    assert engine.name == name and engine.program and isinstance(engine.abilities, Abilities)
    for key, wanted in PROTOCOL.items():
        if key == "images" and not engine.abilities.image:
            continue
        if isinstance(wanted, property):
            assert getattr(engine, key) is not None, key
            continue
        given = inspect.signature(getattr(engine, key)).parameters
        assert list(given) == list(inspect.signature(wanted).parameters)[1:], key


@pytest.mark.parametrize("name", ENGINES)
def test_notes_about_its_containers_have_their_own_folder(tmp_path: Path, name: str) -> None:
    places = {place_records_dir(chosen(tmp_path, one)[0].paths) for one in ENGINES}
    assert len(places) == len(ENGINES)
    place = place_records_dir(chosen(tmp_path, name)[0].paths)
    assert (place == f"{tmp_path}/var/lib/criu-hosts/checkpoints") is (name == DEFAULT)
    other = place_records_dir(chosen(tmp_path, name, "/run/mine")[0].paths)
    assert other != place and other != place_records_dir(chosen(tmp_path, name, "/run/yours")[0].paths)


def test_documentation_names_the_engines() -> None:
    options = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert options["engine"]["choices"] == [*ENGINES, AUTO] and options["engine"]["default"] == DEFAULT
    listing = importlib.import_module("ansible_collections.criu.hosts.plugins.modules.checkpoint_info")
    assert yaml.safe_load(listing.DOCUMENTATION)["options"]["engine"]["choices"] == [*ENGINES]


def test_context_keeps_all_but_the_scope(tmp_path: Path) -> None:
    scoped, dummy = chosen(tmp_path, "runc")
    assert replace(scoped, paths=Paths(str(tmp_path))) == context(tmp_path)
