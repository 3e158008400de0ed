# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Names the programs that encrypt and decrypt an archive: age or gpg, each a filter from standard input to its output.

Such a filter is one more program in a pipe, so that no file ever has the archive as plain text. Both programs encrypt
for public keys: a host that makes checkpoints needs no secret for that, and cannot read them afterwards.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Sequence

from ansible_collections.criu.hosts.plugins.module_utils._core.command import Runner
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._store.safe_path import SUFFIXES, kind_of

# A key of age, of a plugin of age (age1yubikey1...), or of ssh; its comment may follow.
_AGE = re.compile(r"(age1[0-9a-z]{1,4096}|ssh-(ed25519|rsa) [A-Za-z0-9+/=]{1,8192}( .*)?)")
# A fingerprint names one key, also among others that are alike; an e-mail address or a short id does not.
_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64}")
_ACCEPTED = {
    "age": "a key that begins with age1, ssh-ed25519 or ssh-rsa",
    "gpg": "the fingerprint of a key, with 40 or 64 hexadecimal digits",
}
# Of a run of the program without any data.
SECONDS = 60.0


@dataclass(frozen=True)
class Encryption:
    """Encrypts for the public keys of ``recipients``; each is a key, or the absolute path of a file with keys."""

    kind: str
    recipients: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """What the name of an encrypted archive ends with."""
        return SUFFIXES[self.kind]

    @property
    def argv(self) -> tuple[str, ...]:
        """The filter that encrypts."""
        by_key, by_file = ("--recipient", "--recipients-file" if self.kind == "age" else "--recipient-file")
        named = [(by_file if one.startswith("/") else by_key, one) for one in self.recipients]
        words = tuple(word for pair in named for word in pair)
        if self.kind == "age":
            return ("age", "--encrypt", *words)
        # The author of the playbook has checked the fingerprint, and the archive is compressed already.
        return (*_GPG, "--trust-model", "always", "--compress-algo", "none", "--encrypt", *words)


# Nobody would answer a question, so none is asked.
_GPG = ("gpg", "--batch", "--no-tty", "--quiet", "--pinentry-mode", "error")


def encryption_of(kind: str, recipients: Sequence[str]) -> Encryption | None:
    """Returns how to encrypt by the options ``encryption`` and ``encrypt_to``; None without recipients.

    Raises:
        CheckpointError: option_invalid.
    """
    for one in recipients:
        pattern = _AGE if kind == "age" else _FINGERPRINT
        path = one.startswith("/") and one.isprintable()
        if not path and (not one.isprintable() or pattern.fullmatch(one) is None):
            raise CheckpointError(
                f"Cannot encrypt for {shown(one)} with {kind}: it is neither {_ACCEPTED[kind]}, nor an absolute path. "
                "Correct encrypt_to.",
                reason="option_invalid",
                option="encrypt_to",
            )
    return Encryption(kind, tuple(recipients)) if recipients else None


def check_encryption(runner: Runner, encryption: Encryption) -> None:
    """Refuses recipients that the program cannot encrypt for, by the encryption of nothing, before anything is dumped.

    Raises:
        CheckpointError: encryption_failed, tool_missing.
    """
    completed = runner.run(encryption.argv, stdin="", finish=True, limit=SECONDS)
    if completed.rc != 0:
        raise encryption_failed(completed.err or f"{completed.argv[0]} ended with {completed.rc}")


def encryption_failed(said: str) -> CheckpointError:
    """Returns the failure of a filter that encrypts; ``said`` is what it printed."""
    return CheckpointError(
        f"Cannot encrypt the archive: {_first_line(said)}. Check the keys in encrypt_to.", reason="encryption_failed"
    )


def decrypt_argv(kind: str, key_path: str | None) -> tuple[str, ...]:
    """Returns the filter that decrypts. ``key_path``: the file with the secret key of age; gpg has a keyring."""
    if kind == "age":
        return ("age", "--decrypt", *(("--identity", key_path) if key_path is not None else ()))
    return (*_GPG, "--decrypt")


def check_decryption(runner: Runner, path: str, key_path: str | None) -> None:
    """Refuses to decrypt an archive without its key, or a key where none is needed.

    Raises:
        CheckpointError: decryption_key_missing, tool_missing.
    """
    kind = kind_of(path)
    if kind == "age" and key_path is None:
        raise _no_key(path, "it is encrypted with age, and decryption_key is not set", "Set it to the file of the key.")
    if kind != "age" and key_path is not None:
        why = "it is encrypted with gpg, which has its keys in root's keyring" if kind else "it is not encrypted"
        raise _no_key(path, f"decryption_key is set, but {why}", "Leave decryption_key out.")
    if key_path is not None and not (os.path.isabs(key_path) and os.path.isfile(key_path)):
        raise _no_key(path, f"{key_path!r} is not the absolute path of a file", "Correct decryption_key.")
    if kind and runner.which(kind) is None:
        raise CheckpointError(
            f"Cannot decrypt {path!r}: the program {kind!r} is not installed. Install the package that ships it.",
            reason="tool_missing",
            cmd=list(decrypt_argv(kind, key_path)),
        )


def _no_key(path: str, why: str, advice: str) -> CheckpointError:
    return CheckpointError(f"Cannot restore from {path!r}: {why}. {advice}", reason="decryption_key_missing", path=path)


def decryption_failed(path: str, said: str) -> CheckpointError:
    """Returns the failure of a filter that decrypts; ``said`` is what it printed."""
    return CheckpointError(
        f"Cannot decrypt {path!r}: {_first_line(said)}. Check that the key is the one of a recipient.",
        reason="decryption_failed",
        path=path,
    )


def _first_line(said: str) -> str:
    """Returns the first line of an error: the last one of age is about where to report faults of age."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return shown(lines[0].rstrip(".")) if lines else "it said nothing"
