# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of a manifest: made and proved by the real ssh-keygen, and by what it has answered when recorded.

ssh-keygen/9.2p1-answers.jsonl has an answer a line, of OpenSSH 9.2p1 (Debian 12).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

import pytest

from ansible_collections.criu.hosts.plugins.module_utils._core.apply import apply_plan
from ansible_collections.criu.hosts.plugins.module_utils._core.command import Completed
from ansible_collections.criu.hosts.plugins.module_utils._core.errors import CheckpointError
from ansible_collections.criu.hosts.plugins.module_utils._core.plan import Plan
from ansible_collections.criu.hosts.plugins.module_utils._core.session import TIMED_OUT
from ansible_collections.criu.hosts.plugins.module_utils._store.signature import (
    NAMESPACE,
    Verdict,
    check_signing,
    find_signer,
    integrity_argv,
    parse_principals,
    principals_argv,
    sign_argv,
    sign_steps,
    verify_argv,
)
from ansible_collections.criu.hosts.tests.unit.conftest import FIXTURES
from ansible_collections.criu.hosts.tests.unit.trusted import RUNNER, SIGNER, allow, make_key, needs, sign

real = needs("ssh-keygen")
MANIFEST = b'{"schema": 1}\n'
ANSWERS = {
    entry["case"]: entry
    for entry in map(json.loads, (FIXTURES / "ssh-keygen/9.2p1-answers.jsonl").read_text("utf-8").splitlines())
}


class Recorded:
    """Answers as ssh-keygen did in the recorded cases; keeps what it was asked."""

    def __init__(self, *cases: str) -> None:
        self.answers = [ANSWERS[case] for case in cases]
        self.asked: list[tuple[tuple[str, ...], str | None]] = []

    def run(self, argv: Sequence[str], *, stdin: str | None = None, finish: bool, limit: float, **dummy: Any) -> Any:
        assert finish and limit, "a question of ssh-keygen would wait for ever"
        self.asked.append((tuple(argv), stdin))
        answer = self.answers[len(self.asked) - 1]
        assert argv[2] == answer["argv"][2], "not the command that was recorded"
        return Completed(tuple(argv), answer["rc"], answer["out"], answer["err"])

    def which(self, name: str) -> str | None:
        return name


@pytest.fixture(name="signed")
def signed_fixture(tmp_path: Path) -> Path:
    """A manifest whose signature is some text."""
    path = tmp_path / "manifest.json"
    path.write_bytes(MANIFEST)
    (tmp_path / "manifest.json.sig").write_text("recorded", encoding="utf-8")
    (tmp_path / "manifest.json.sig").chmod(0o600)
    return path


def verdict(path: Path, runner: Any = RUNNER, data: bytes | None = None, wanted: Any = None) -> Verdict:
    signers = str(path.parent / "signers")
    return find_signer(runner, path.read_bytes() if data is None else data, str(path), signers, wanted)


@pytest.mark.parametrize(
    ("cases", "wanted", "signer", "reason"),
    [
        pytest.param(["check-right", "find-right", "verify-right"], None, SIGNER, "", id="first-name"),
        pytest.param(["check-right", "find-right", "verify-right"], ["nightly"], "nightly", "", id="second-name"),
        pytest.param(["check-right", "find-right"], ["weekly"], "", "signer_unknown", id="not-in-the-policy"),
        pytest.param(["check-right", "find-right"], [], "", "signer_unknown", id="nobody-in-the-policy"),
        pytest.param(["check-right", "find-right", *["verify-unknown"] * 2], None, "", "signer_unknown", id="refused"),
        pytest.param(["check-other", "find-other"], None, "", "signer_unknown", id="other-key"),
        pytest.param(["check-changed"], None, "", "signature_invalid", id="changed"),
        pytest.param(["check-namespace"], None, "", "signature_invalid", id="namespace"),
        pytest.param(["check-junk"], None, "", "signature_invalid", id="junk"),
    ],
)
def test_recorded_answers(signed: Path, cases: list[str], wanted: Any, signer: str, reason: str) -> None:
    runner = Recorded(*cases)
    found = verdict(signed, runner, wanted=wanted)
    assert (found.signer, found.word, bool(found.message)) == (signer, reason, not signer)
    assert len(runner.asked) == len(cases)
    assert {stdin for dummy, stdin in runner.asked} == {MANIFEST.decode()}


def test_argument_lists() -> None:
    assert list(sign_argv("key")) == ANSWERS["sign"]["argv"]
    assert list(integrity_argv("manifest.json.sig")) == ANSWERS["check-right"]["argv"]
    assert list(principals_argv("manifest.json.sig", "signers")) == ANSWERS["find-right"]["argv"]
    assert list(verify_argv("manifest.json.sig", "signers", "nightly")) == ANSWERS["verify-right"]["argv"]


@pytest.mark.parametrize("text", ["", "\n \n", ANSWERS["find-right"]["out"]])
def test_principals(text: str) -> None:
    assert parse_principals(text) == tuple(text.split())


@pytest.mark.parametrize("case", ["sign-locked", "sign-missing", "sign-public-without-agent", "sign-open-key"])
def test_a_key_that_cannot_sign_is_refused_before_the_dump(case: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        check_signing(Recorded(case), "/root/key")
    last = ANSWERS[case]["err"].strip().splitlines()[-1]
    assert caught.value.reason == "signing_failed" and last in caught.value.message.replace("\\'", "'")
    assert "\n" not in caught.value.message and caught.value.facts["rc"] == 255


def test_an_answer_that_does_not_come(signed: Path) -> None:
    class Slow(Recorded):
        def run(self, argv: Sequence[str], **dummy: Any) -> Any:
            return Completed(tuple(argv), TIMED_OUT, "", "it did not end")

    with pytest.raises(CheckpointError) as caught:
        verdict(signed, Slow())
    assert caught.value.reason == "timed_out"


@real
class TestRealProgram:
    """What the steps write, and what a stranger may do to it."""

    @pytest.fixture(name="made")
    def made_fixture(self, tmp_path: Path) -> Path:
        folder = tmp_path / "store"
        folder.mkdir(0o700)
        path = folder / "manifest.json"
        path.write_bytes(MANIFEST)
        key = make_key(tmp_path)
        allow(folder / "signers", key)
        check_signing(RUNNER, str(key))
        apply_plan(RUNNER, Plan(steps=sign_steps(str(path), str(key))))
        (folder / "manifest.json.sig").chmod(0o600)
        return path

    def test_signed_and_proved(self, made: Path) -> None:
        assert verdict(made) == Verdict(SIGNER)
        assert verdict(made, wanted=[SIGNER]) == Verdict(SIGNER)

    def test_every_changed_byte_is_seen(self, made: Path) -> None:
        for index in range(len(MANIFEST)):
            data = bytearray(MANIFEST)
            data[index] ^= 1
            assert verdict(made, data=bytes(data)).word == "signature_invalid", index

    @pytest.mark.parametrize("data", [b"", MANIFEST + b"\n", MANIFEST[:-1], MANIFEST + b"\0", b"\xff" + MANIFEST])
    def test_added_or_missing_bytes_are_seen(self, made: Path, data: bytes) -> None:
        assert verdict(made, data=data).word == "signature_invalid"

    def test_bytes_that_are_no_text_are_signed_and_proved(self, made: Path, tmp_path: Path) -> None:
        made.write_bytes(b"\xff\xfe\x00")
        sign(made, tmp_path / "key")
        assert verdict(made) == Verdict(SIGNER)

    def test_signature_for_another_purpose(self, made: Path, tmp_path: Path) -> None:
        sign(made, tmp_path / "key", namespace="git")
        assert verdict(made).word == "signature_invalid"

    def test_signature_of_another_file(self, made: Path, tmp_path: Path) -> None:
        other = tmp_path / "other.json"
        other.write_bytes(b"{}")
        os.replace(sign(other, tmp_path / "key"), made.with_name("manifest.json.sig"))
        assert verdict(made).word == "signature_invalid"

    def test_stranger(self, made: Path, tmp_path: Path) -> None:
        sign(made, make_key(tmp_path, "stranger"))
        assert verdict(made).word == "signer_unknown"

    @pytest.mark.parametrize("options", ['namespaces="git" ', 'valid-before="20200101" '])
    def test_rules_of_the_allowed_signer_count(self, made: Path, tmp_path: Path, options: str) -> None:
        (made.parent / "signers").unlink()
        allow(made.parent / "signers", tmp_path / "key", options=options)
        assert verdict(made).word == "signer_unknown"

    def test_no_signature(self, made: Path) -> None:
        made.with_name("manifest.json.sig").unlink()
        assert verdict(made).word == "signature_missing"

    @pytest.mark.parametrize("kind", ["link", "folder", "pipe", "writable", "large"])
    def test_signature_that_is_no_file_of_ours(self, made: Path, tmp_path: Path, kind: str) -> None:
        path = made.with_name("manifest.json.sig")
        moved = tmp_path / "moved"
        os.replace(path, moved)
        if kind == "link":
            path.symlink_to(moved)
        elif kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path, 0o600)
        else:
            path.write_bytes(moved.read_bytes() + (bytes(1 << 17) if kind == "large" else b""))
            path.chmod(0o666 if kind == "writable" else 0o600)
        assert verdict(made).word == "signature_invalid"

    def test_no_allowed_signers(self, made: Path) -> None:
        (made.parent / "signers").unlink()
        assert verdict(made).word == "signer_unknown"

    def test_passphrase(self, tmp_path: Path) -> None:
        key = make_key(tmp_path, "locked", "secret")
        with pytest.raises(CheckpointError) as caught:
            check_signing(RUNNER, str(key))
        assert caught.value.reason == "signing_failed" and "passphrase" in caught.value.message

    def test_failure_of_the_step_leaves_no_signature(self, made: Path, tmp_path: Path) -> None:
        made.with_name("manifest.json.sig").unlink()
        key = make_key(tmp_path, "locked", "secret")
        with pytest.raises(CheckpointError) as caught:
            apply_plan(RUNNER, Plan(steps=sign_steps(str(made), str(key))))
        assert caught.value.reason == "signing_failed"
        assert sorted(os.listdir(made.parent)) == ["manifest.json", "signers"]

    def test_what_a_killed_task_has_left_is_replaced(self, made: Path, tmp_path: Path) -> None:
        left = made.with_name("manifest.json.sig")
        left.write_bytes(left.read_bytes()[:40])
        apply_plan(RUNNER, Plan(steps=sign_steps(str(made), str(make_key(tmp_path, "another")))))
        left.chmod(0o600)
        allow(made.parent / "signers", tmp_path / "another")
        assert verdict(made) == Verdict(SIGNER)

    @needs("ssh-agent")
    def test_key_of_an_agent(self, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        key = make_key(tmp_path, "locked", "secret")
        for socket in agent(tmp_path):
            monkeypatch.setenv("SSH_AUTH_SOCK", socket)
            give = subprocess.run(["ssh-keygen", "-q", "-p", "-P", "secret", "-N", "", "-f", str(key)], check=False)
            assert give.returncode == 0
            subprocess.run(["ssh-add", "-q", str(key)], check=True, stdin=subprocess.DEVNULL)
            key.unlink()
            public = str(key.with_name("locked.pub"))
            check_signing(RUNNER, public)
            made.with_name("manifest.json.sig").unlink()
            apply_plan(RUNNER, Plan(steps=sign_steps(str(made), public)))
            made.with_name("manifest.json.sig").chmod(0o600)
            allow(made.parent / "signers", key, "agent")
            assert verdict(made) == Verdict("agent")

    @pytest.mark.parametrize("name", ["-", "--help", "a b", "$(id)", "a\nb", "\N{SNOWMAN}"])
    def test_hostile_names(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir(0o700)
        path = folder / "manifest.json"
        path.write_bytes(MANIFEST)
        key = make_key(folder)
        allow(folder / "signers", key)
        apply_plan(RUNNER, Plan(steps=sign_steps(str(path), str(key))))
        path.with_name("manifest.json.sig").chmod(0o600)
        assert verdict(path) == Verdict(SIGNER)


def agent(folder: Path) -> Iterator[str]:
    """Runs an agent of its own for the time of a test."""
    socket = folder / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL) as child:
        try:
            while not socket.exists():
                assert child.poll() is None, "the agent has ended"
                time.sleep(0.01)
            yield str(socket)
        finally:
            child.terminate()


def test_namespace() -> None:
    """Signatures of released versions have it: it never changes."""
    assert NAMESPACE == "criu-hosts-checkpoint"
