# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes keys and signatures with the real ssh-keygen, for tests of the trust in a checkpoint."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.command import ProgramRunner
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import NAMESPACE
from ansible_collections.criu.hosts.tests.unit.harness import Host

RUNNER = ProgramRunner(limit=60)
SIGNER = "backup@example.com"


def needs(program: str) -> Any:
    """Marks tests that run a real program."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def require(program: str) -> None:
    """Skips the test that is running if it needs a program that is not there."""
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def run_really(host: Host) -> None:
    """Lets the simulated host run the real ssh-keygen, beside what it is scripted to run."""
    scripted = host.run_to_end

    def run_to_end(argv: Any, **options: Any) -> tuple[int, str, str]:
        if argv[0] != "ssh-keygen":
            return scripted(argv, **options)
        host.ran.append(list(argv))
        if argv[-1].endswith("manifest.json"):
            host.wrote.append(list(argv))
        done = subprocess.run(argv, input=options.get("stdin") or "", capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    host.run_to_end = run_to_end  # type: ignore[method-assign]


def make_key(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    """Makes a key of ed25519; returns its path, beside which is the public one."""
    path = folder / name
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return path


def allow(signers: Path, key: Path, name: str = SIGNER, options: str = f'namespaces="{NAMESPACE}" ') -> Path:
    """Adds a key to a file of allowed signers."""
    signers.parent.mkdir(parents=True, exist_ok=True)
    with signers.open("a", encoding="utf-8") as handle:
        handle.write(f"{name} {options}{key.with_name(f'{key.name}.pub').read_text(encoding='utf-8')}")
    signers.chmod(0o644)
    return signers


def sign(path: Path, key: Path, namespace: str = NAMESPACE) -> Path:
    """Signs a file as a stranger to this collection would; returns the signature beside it."""
    signature = path.with_name(f"{path.name}.sig")
    signature.unlink(missing_ok=True)
    argv = ["ssh-keygen", "-Y", "sign", "-q", "-n", namespace, "-f", str(key), str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    signature.chmod(0o600)
    return signature


def write_policy(folder: Path, **policy: Any) -> Path:
    """Writes the trust policy of the host below ``folder``."""
    path = folder / "etc/criu-hosts/trust.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, **policy}), encoding="utf-8")
    path.chmod(0o644)
    return path
