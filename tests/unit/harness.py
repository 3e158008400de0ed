# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module's main() with a scripted host in place of real commands.

A scripted host is a list of Reply and Write. A Reply is what a command prints in the current state of the host. A Write
is a command that changes the host, and can bring it to its next state. File system effects are real (use tmp_path).
"""

from __future__ import annotations

import importlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import ansible.module_utils
import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.common import warnings

from ansible_collections.criu.hosts.plugins.module_utils._core import module as glue
from ansible_collections.criu.hosts.plugins.module_utils._core import session
from ansible_collections.criu.hosts.plugins.module_utils._core.context import Context
from ansible_collections.criu.hosts.plugins.module_utils._core.module import context_of
from ansible_collections.criu.hosts.plugins.module_utils._core.paths import Paths
from ansible_collections.criu.hosts.plugins.module_utils._core.pipe import Stream, Streamed

try:
    from ansible.module_utils.testing import patch_module_args
except ImportError:  # ansible-core 2.18 has no such helper

    @contextmanager
    def patch_module_args(args: dict[str, Any]) -> Iterator[None]:
        """Lets the next AnsibleModule find ``args``."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode())
            yield


@dataclass(frozen=True)
class Reply:
    """The output of a reading command. ``state`` limits the reply to the host "before" or "after" the writes."""

    argv: Sequence[str]
    out: str = ""
    err: str = ""
    rc: int = 0
    state: str = "any"


@dataclass(frozen=True)
class Write:
    """A command that changes the host. ``effect`` is called when it runs (for example, to create a file).

    With ``turns``, the host is in the state "after" from then on.
    """

    argv: Sequence[str]
    out: str = ""
    err: str = ""
    rc: int = 0
    turns: bool = False
    effect: Any = None


@dataclass
class Host:
    """The scripted host; it records the commands across several runs of a module.

    A signal reaches no process: it is recorded, and ``killing`` is called with the process id.
    """

    replies: Sequence[Reply | Write] = ()
    missing: Sequence[str] = ()
    state: str = "before"
    ran: list[list[str]] = field(default_factory=list)
    wrote: list[list[str]] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    killed: list[tuple[int, int]] = field(default_factory=list)
    killing: Callable[[int], None] | None = None

    def kill(self, pid: int, number: int) -> None:
        self.killed.append((pid, number))
        if self.killing is not None:
            self.killing(pid)

    def run_command(self, dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        assert isinstance(args, list), f"not an argument list: {args!r}"
        assert not options.get("use_unsafe_shell"), "no shell"
        self.ran.append(args)
        self.environments.append(options.get("environ_update") or {})
        for entry in self.replies:
            if list(entry.argv) != args:
                continue
            if isinstance(entry, Write):
                self.wrote.append(args)
                if entry.effect is not None:
                    entry.effect()
                if entry.turns and entry.rc == 0:
                    self.state = "after"
                return entry.rc, entry.out, entry.err
            if entry.state in ("any", self.state):
                return entry.rc, entry.out, entry.err
        raise AssertionError(f"unscripted command in state {self.state!r}: {args}")

    def run_to_end(self, argv: Any, *, env: dict[str, str], **dummy_options: Any) -> tuple[int, str, str]:
        """Stands for a command that runs to its end even if the task is killed."""
        return self.run_command(None, list(argv), environ_update=env)

    def stream_to_end(
        self, argv: Any, *, stream: Stream, env: dict[str, str], **options: Any
    ) -> tuple[int, str, str, Streamed]:
        """Does the same for one that writes into a pipe: its effect does so, and is stored as on a real host."""
        completed, streamed = stream.carry(lambda: self.run_to_end(argv, env=env, **options))
        return (*completed, streamed)

    def get_bin_path(self, dummy_module: Any, name: str, *dummy_args: Any, **dummy_options: Any) -> str | None:
        return None if name in self.missing else f"/usr/bin/{name}"


@dataclass
class Place:
    """The folder that represents the host, and the user who runs the module (None: the user who runs the test)."""

    root: str = ""
    uid: int | None = None

    @property
    def paths(self) -> Paths:
        return Paths(self.root)


# The only means by which tests redirect the collection to a different host; conftest.py resets it after each test.
PLACE = Place()


def put_host(folder: Path, uid: int | None = None) -> Paths:
    """Makes ``folder`` represent the host from here on, and returns its paths."""
    PLACE.root, PLACE.uid = str(folder), uid
    return PLACE.paths


def context_there(module: Any) -> Context:
    """Returns the context of ``module`` on the host of the test."""
    context = context_of(module)
    return replace(context, paths=PLACE.paths, uid=context.uid if PLACE.uid is None else PLACE.uid)


@dataclass(frozen=True)
class ModuleRun:
    """The result of a module, and the host afterwards."""

    result: dict[str, Any]
    host: Host

    @property
    def failed(self) -> bool:
        return bool(self.result.get("failed"))


# Ansible's own keys. The second line has those that it adds to a result with the path of a file.
ANSIBLES = {"changed", "failed", "invocation", "msg", "warnings"}
ANSIBLES_OF_PATH = {"gid", "group", "mode", "owner", "secontext", "size", "state", "uid"}


@cache
def documented_failures(name: str) -> tuple[set[str], set[str]]:
    """Returns the reasons that the RETURN of a module lists, and the keys that it may return with one of them."""
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}")
    returned = yaml.safe_load(loaded.RETURN)
    reasons = [re.match(r"V\((\w+)\) if ", line) for line in returned["reason"]["description"]]
    return {found.group(1) for found in reasons if found}, {
        key for key, text in returned.items() if "failure" in str(text["returned"])
    }


def check_failure(name: str, result: dict[str, Any]) -> None:
    """Compares a failure with the documentation; tests/unit/test_contracts_failures.py reads only the code."""
    reasons, keys = documented_failures(name)
    assert result["reason"] in reasons, f"{result['reason']} is not in the RETURN of {name}"
    undocumented = set(result) - keys - ANSIBLES - (ANSIBLES_OF_PATH if "path" in result else set())
    assert not undocumented, f"not in the RETURN of {name}: {undocumented}"


def run_main(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    params: dict[str, Any],
    *,
    host: Host | None = None,
    commands: Sequence[Reply | Write] = (),
    check: bool = False,
    diff: bool = True,
) -> ModuleRun:
    """Runs the module's main() to its exit and returns its result."""
    host = host or Host(replies=commands)
    loaded = importlib.import_module(f"ansible_collections.criu.hosts.plugins.modules.{name}")

    def run_command(dummy_module: Any, args: Any, **options: Any) -> tuple[int, str, str]:
        return host.run_command(dummy_module, args, **options)

    def get_bin_path(dummy_module: Any, binary: str, *args: Any, **options: Any) -> str | None:
        return host.get_bin_path(dummy_module, binary, *args, **options)

    monkeypatch.setattr(glue, "context_of", context_there)
    monkeypatch.setattr(basic.AnsibleModule, "run_command", run_command)
    monkeypatch.setattr(basic.AnsibleModule, "get_bin_path", get_bin_path)
    monkeypatch.setattr(session, "run_to_end", host.run_to_end)
    monkeypatch.setattr(session, "stream_to_end", host.stream_to_end)
    monkeypatch.setattr(os, "kill", host.kill)
    # A filter's test has loaded Ansible's controller, which would treat the module's warnings as its own.
    if hasattr(ansible.module_utils, "_internal"):
        monkeypatch.setattr(ansible.module_utils._internal, "is_controller", False)
    # Ansible collects them for the whole process, which runs only one module outside the tests.
    warnings._global_warnings.clear()
    capsys.readouterr()
    arguments = {**params, "_ansible_check_mode": check, "_ansible_diff": diff}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        loaded.main()
    result = json.loads(capsys.readouterr().out)
    for environment in host.environments:
        assert environment.get("LC_ALL") == "C" and environment.get("LANGUAGE") == "C", "no C locale"
    if result.get("failed") and "reason" in result:
        check_failure(name, result)
    return ModuleRun(result, host)


@dataclass(frozen=True)
class Case:
    """One start state of a module for the contract tests.

    ``build`` gets an empty folder and returns the parameters and the scripted host. The contract tests call it for a
    check run and, in a new folder, for a real run, and run the real one twice.
    """

    id: str
    build: Any
    changed: bool = True
