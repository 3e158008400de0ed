# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Signs the manifest of a stored checkpoint, and proves its signature, by ssh-keygen -Y (OpenSSH 8.2 or newer).

The manifest has the SHA-256 of every part, so one signature covers the checkpoint. The namespace keeps a signature that
the same key has made for something else, such as a commit or an e-mail, from counting here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Collection

from ansible_collections.criu.hosts.plugins.module_utils._core.command import CommandError, Completed, Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Command, Remove
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._store.own_file import read_own

if TYPE_CHECKING:
    from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Step

NAMESPACE = "criu-hosts-checkpoint"
# One by an RSA key of 16384 bits has 6 KiB; a certificate may be in it.
SIGNATURE_LIMIT = 64 << 10
# A key in hardware waits for a touch.
SECONDS = 60.0
_ADVICE = (
    "Give a key without a passphrase, whose file only its owner can read, or the public file of a key that the "
    "ssh-agent of the task holds."
)


def signature_path(manifest_path: str) -> str:
    """Returns the path of the signature beside a manifest; ssh-keygen gives it this name."""
    return f"{manifest_path}.sig"


def sign_argv(key_path: str, *files: str) -> tuple[str, ...]:
    """Returns the command that signs a file, or its standard input, with a private key, or with a key of an agent.

    With an empty passphrase, ssh-keygen asks no question, which nobody would answer.
    """
    return ("ssh-keygen", "-Y", "sign", "-q", "-P", "", "-n", NAMESPACE, "-f", key_path, *files)


def sign_steps(manifest_path: str, key_path: str) -> tuple[Step, ...]:
    """Plans the signature beside a manifest that an earlier step writes, in a folder that only root can enter.

    ssh-keygen gives the file the mode of its umask: the caller sets that of all files of the checkpoint at its end. It
    does not replace a file, and succeeds: the signature of a killed task, which may be cut off, is removed before.
    """
    return (
        Remove(signature_path(manifest_path), why="remove the signature of an earlier task"),
        Command(
            sign_argv(key_path, manifest_path),
            why=f"sign {manifest_path!r}",
            finish=True,
            time_limit=SECONDS,
            creates_partial=signature_path(manifest_path),
            explain=lambda error: signing_failed(error, manifest_path, key_path),
        ),
    )


def check_signing(runner: Runner, key_path: str) -> None:
    """Refuses a key that cannot sign, by a signature of nothing, before any process is dumped.

    Raises:
        CheckpointError: signing_failed, tool_missing.
    """
    completed = runner.run(sign_argv(key_path), stdin="", finish=True, limit=SECONDS)
    if completed.rc != 0:
        raise signing_failed(CommandError(completed, ""), "the manifest", key_path)


def unproved(folder: str) -> CheckpointError:
    """Returns the refusal to sign a checkpoint that may come from elsewhere."""
    return CheckpointError(
        f"Cannot sign the checkpoint {folder!r}: it is there without a signature, and nothing else on this host proves "
        "that it was made here. Leave signing_key out, or sign its manifest.json with 'ssh-keygen -Y sign'.",
        reason="signing_failed",
        path=folder,
    )


def signing_failed(error: CheckpointError, manifest_path: str, key_path: str) -> CheckpointError:
    """Returns the failure of a command that signs; one of another kind, such as a stop of the task, stays as it is."""
    if not isinstance(error, CommandError) or error.reason not in ("tool_failed", "timed_out"):
        return error
    why = error.completed.last_line.rstrip(".")
    message = f"Cannot sign {manifest_path!r} with the key {key_path!r}: {shown(why)}. {_ADVICE}"
    return CommandError(error.completed, message, reason="signing_failed")


def integrity_argv(signature: str) -> tuple[str, ...]:
    """Returns the command that proves the signature of its standard input, by any key."""
    return ("ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature)


def principals_argv(signature: str, signers_path: str) -> tuple[str, ...]:
    """Returns the command that prints the names under which the key of a signature is in a file of allowed signers."""
    return ("ssh-keygen", "-Y", "find-principals", "-s", signature, "-f", signers_path)


def verify_argv(signature: str, signers_path: str, principal: str) -> tuple[str, ...]:
    """Returns the command that proves the signature of its standard input by the rules of an allowed signer."""
    return ("ssh-keygen", "-Y", "verify", "-f", signers_path, "-I", principal, "-n", NAMESPACE, "-s", signature)


def parse_principals(text: str) -> tuple[str, ...]:
    """Returns the names that find-principals prints, one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


@dataclass(frozen=True)
class Verdict:
    """Who has signed a manifest; or, without a signer, a stable word for the reason, and a clause about the manifest.

    Words: signature_missing, signature_invalid, signer_unknown.
    """

    signer: str = ""
    word: str = ""
    message: str = ""


def find_signer(
    runner: Runner, manifest: bytes, manifest_path: str, signers_path: str, wanted: Collection[str] | None = None
) -> Verdict:
    """Returns which allowed signer has signed these bytes of a manifest.

    ``manifest`` is all that was read and will be used; the file may have changed meanwhile. ``wanted``: the only
    names that count; None for all in the file of allowed signers.

    Raises:
        CheckpointError: tool_missing, timed_out.
    """
    signature = signature_path(manifest_path)
    try:
        found = read_own(signature, limit=SIGNATURE_LIMIT)
    except ValueError as error:
        return Verdict("", "signature_invalid", f"its signature {signature!r} cannot be used ({error})")
    if found is None:
        return Verdict("", "signature_missing", f"it has no signature {signature!r}")
    text = manifest.decode("utf-8", "surrogateescape")
    if _answer(runner, integrity_argv(signature), text).rc != 0:
        why = f"its signature {signature!r} is not one of this manifest in the namespace {NAMESPACE}"
        return Verdict("", "signature_invalid", why)
    printed = _answer(runner, principals_argv(signature, signers_path), text).out
    for name in parse_principals(printed):
        allowed = wanted is None or name in wanted
        if allowed and _answer(runner, verify_argv(signature, signers_path, name), text).rc == 0:
            return Verdict(name)
    whom = "" if wanted is None else f" that the policy names ({', '.join(map(shown, sorted(wanted))) or 'none'})"
    why = f"its signature {signature!r} is not by one of the signers in {signers_path!r}{whom}"
    return Verdict("", "signer_unknown", why)


def _answer(runner: Runner, argv: tuple[str, ...], text: str) -> Completed:
    # Only a command that runs to its end gets exactly this text: the other way adds a line feed.
    completed = runner.run(argv, stdin=text, finish=True, limit=SECONDS)
    if completed.rc == TIMED_OUT:
        message = f"Cannot verify a signature: ssh-keygen did not end in {SECONDS:.0f} s. Look at the load of the host."
        raise CommandError(completed, message, reason="timed_out")
    return completed
