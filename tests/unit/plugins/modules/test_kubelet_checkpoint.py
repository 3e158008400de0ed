# SPDX-License-Identifier: GPL-3.0-or-later
"""kubelet_checkpoint against a server with TLS that gives recorded answers of kubelets."""

from __future__ import annotations

import atexit
import itertools
import shutil
import socket
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.criu.hosts.plugins.modules import kubelet_checkpoint
from ansible_collections.criu.hosts.tests.unit.harness import Case, Host
from ansible_collections.criu.hosts.tests.unit.kubelet_archives import ARCHIVES, name_of
from ansible_collections.criu.hosts.tests.unit.kubelet_server import ANSWERS, Kubelet, kubelet

HOME = Path(tempfile.mkdtemp(prefix="criu-hosts-kubelet-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
NUMBERS = itertools.count()


def server() -> Kubelet:
    return kubelet(HOME)


def stamp(seconds_ago: float = 0) -> str:
    """Returns a time as kubelets write it into names."""
    return datetime.fromtimestamp(time.time() - seconds_ago, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def put(folder: Path, pod: str, ago: float = 0, engine: str = "CRI-O", **named: str) -> Path:
    """Puts an archive into the folder of the kubelet. ``named`` is what its description says instead of its name."""
    make, describe = ARCHIVES[engine]
    path = folder / name_of(pod=pod, made=stamp(ago))
    path.write_bytes(make(describe(**{"pod": pod, **named})))
    return path


def makes(folder: Path) -> tuple[dict[str, Any], str]:
    """Returns the options of a task whose kubelet writes an archive into the folder, and the name of the pod."""
    pod, made = f"writer-{next(NUMBERS)}", folder / "checkpoints"

    def effect() -> dict[str, Any]:
        made.mkdir(exist_ok=True)
        path = put(made, pod)
        return {"status": 200, "body": f'{{"items":["{path}"]}}'}

    server().effects[pod] = effect
    return server().params(pod, max_age_seconds=600, checkpoints_dir=str(made)), pod


def one_kept(folder: Path) -> tuple[dict[str, Any], Host]:
    params, pod = makes(folder)
    (folder / "checkpoints").mkdir()
    put(folder / "checkpoints", pod, 60, "containerd")
    return params, Host()


CONTRACT_CASES = [
    Case("asked", lambda folder: (makes(folder)[0], Host())),
    Case("kept", one_kept, changed=False),
]


@pytest.fixture(name="asked")
def asked_fixture() -> list[tuple[str, str]]:
    """What the server is asked in this test."""
    server().asked.clear()
    return server().asked


def test_a_checkpoint(module: Any, asked: list[tuple[str, str]]) -> None:
    run = module("kubelet_checkpoint", server().params("counters-made", timeout_seconds=300))
    path = "/checkpoint/default/counters-made/counter?timeout=300"
    assert asked == [("POST", path)]
    assert run.result["changed"] and run.result["checkpoint"] == {
        "url": f"https://127.0.0.1:{server().port}{path}",
        "archives": [
            "/var/lib/kubelet/checkpoints/checkpoint-counter-deployment-ddbdd9dd6-m59ds_default-counter-"
            "2024-02-29T18:28:17Z.tar"
        ],
    }


def test_each_run_asks_again(module: Any, asked: list[tuple[str, str]]) -> None:
    for dummy in range(2):
        assert module("kubelet_checkpoint", server().by_token("counters-made")).result["changed"]
    assert len(asked) == 2


def test_check_mode_asks_for_nothing(module: Any, asked: list[tuple[str, str]]) -> None:
    run = module("kubelet_checkpoint", server().params("counters-made"), check=True)
    assert run.result["changed"] and run.result["checkpoint"]["archives"] == [] and asked == []
    assert run.result["diff"]["after"] == {"archive": "a new one, which the kubelet names"}


@pytest.mark.parametrize("engine", ARCHIVES)
def test_a_young_archive_of_this_container_is_enough(
    module: Any, tmp_path: Path, asked: list[tuple[str, str]], engine: str
) -> None:
    put(tmp_path, "counters-made", 500, engine)
    newest = put(tmp_path, "counters-made", 200, engine)
    params = server().params("counters-made", max_age_seconds=300, checkpoints_dir=str(tmp_path))
    run = module("kubelet_checkpoint", params)
    assert not run.result["changed"] and run.result["checkpoint"]["archives"] == [str(newest)] and asked == []


@pytest.mark.parametrize("why", ["old", "future", "other-namespace", "other-container", "damaged", "missing"])
def test_an_archive_that_is_not_enough(module: Any, tmp_path: Path, asked: list[tuple[str, str]], why: str) -> None:
    pod = "counters-made"
    if why == "damaged":
        put(tmp_path, pod).write_bytes(b"cut off")
    elif why != "missing":
        # checkpoint-POD_a-b-c-TIME.tar: the namespace a with the container b-c, or a-b with c.
        described = {"other-namespace": {"namespace": "default-x"}, "other-container": {"container": "other"}}
        put(tmp_path, pod, {"old": 400, "future": -400}.get(why, 10), **described.get(why, {}))
    folder = tmp_path / "nothing" if why == "missing" else tmp_path
    run = module("kubelet_checkpoint", server().params(pod, max_age_seconds=300, checkpoints_dir=str(folder)))
    assert run.result["changed"] and len(asked) == 1


def test_a_name_that_has_no_time(module: Any, tmp_path: Path, asked: list[tuple[str, str]]) -> None:
    for made in ("2026-13-01T00:00:00Z", "yesterday", "2026-01-01T00:00:00Z.tar"):
        (tmp_path / name_of(pod="counters-made", made=made)).write_bytes(b"")
    params = server().params("counters-made", max_age_seconds=10**9, checkpoints_dir=str(tmp_path))
    assert module("kubelet_checkpoint", params).result["changed"] and len(asked) == 1


def test_a_folder_that_may_not_be_read(module: Any, tmp_path: Path, asked: list[tuple[str, str]]) -> None:
    (tmp_path / "file").write_bytes(b"")
    params = server().params("counters-made", max_age_seconds=60, checkpoints_dir=str(tmp_path / "file"))
    run = module("kubelet_checkpoint", params)
    assert run.failed and run.result["reason"] == "archive_unreadable" and asked == []
    assert run.result["msg"].startswith(f"Cannot look for archives in '{tmp_path}/file': Not a directory. ")


REFUSED = [
    ("unauthorized", "unauthorized", "does not accept the credentials (401: 'Unauthorized'). "),
    ("forbidden", "forbidden", "forbids it to this user (403: 'Forbidden (user=kube-apiserver-kubelet-client, "),
    ("no-feature", "not_found", "has nothing of that name (404: '404 page not found'). "),
    ("no-pod", "not_found", "has nothing of that name (404: 'pod does not exist'). "),
    ("no-container", "not_found", "has nothing of that name (404: 'container counter does not exist'). "),
    ("disabled", "checkpoint_failed", "checkpoint/restore support not available)'). Install CRIU, "),
    ("unimplemented", "checkpoint_failed", "method CheckpointContainer not implemented)'). Install CRIU, "),
    ("failed", "checkpoint_failed", "got no checkpoint from its engine (500: 'checkpointing of default/gpu-base-02/"),
]


@pytest.mark.parametrize(("case", "reason", "why"), REFUSED, ids=lambda value: value[:16])
def test_recorded_refusals(module: Any, case: str, reason: str, why: str) -> None:
    run = module("kubelet_checkpoint", server().params(f"counters-{case}"))
    assert run.failed and run.result["reason"] == reason
    assert run.result["msg"].startswith(
        f"Cannot checkpoint default/counters-{case}/counter: the kubelet of '127.0.0.1' "
    )
    assert why in run.result["msg"] and "\n" not in run.result["msg"]
    assert run.result["answer"] == ANSWERS[case]["body"]
    assert run.result["status"] == ANSWERS[case]["status"]


def test_every_recorded_answer_is_tried() -> None:
    assert {case for case, dummy, dummy_why in REFUSED} == set(ANSWERS) - {"README", "made"}


ODD: dict[str, dict[str, Any]] = {
    "redirect": {"status": 302, "body": "", "headers": {"Location": "https://127.0.0.1:1/x"}},
    "teapot": {"status": 418, "body": "a\x1b[31m\nb"},
    "no-json": {"status": 200, "body": "<html>"},
    "no-items": {"status": 200, "body": '{"items":[]}'},
    "no-texts": {"status": 200, "body": '{"items":[1]}'},
    "endless": {"status": 200, "body": '{"items":["' + "a" * (1 << 20) + '"]}'},
}
ANSWERED = [
    ("redirect", "kubelet_refused", "refuses the request (302: ''). "),
    ("teapot", "kubelet_refused", r"refuses the request (418: 'a\\x1b[31m b'). "),
    ("no-json", "answer_invalid", "has an answer that is none (Expecting value: line 1 column 1 (char 0)): '<html>'. "),
    ("no-items", "answer_invalid", "has an answer that is none (it names no archive): "),
    ("no-texts", "answer_invalid", "has an answer that is none (it has something else instead of a list of texts): "),
    ("endless", "answer_invalid", "has an answer that is none (Unterminated string"),
]


@pytest.mark.parametrize(("case", "reason", "why"), ANSWERED, ids=ODD)
def test_answers_of_something_else(module: Any, case: str, reason: str, why: str) -> None:
    server().effects[f"counters-{case}"] = lambda: ODD[case]
    run = module("kubelet_checkpoint", server().params(f"counters-{case}"))
    assert run.failed and run.result["reason"] == reason and why in run.result["msg"]
    assert len(run.result["msg"]) < 1000 and len(run.result["answer"]) < 5000


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(None, "kubelet_unreachable", id="before-the-answer"),
        pytest.param({"status": 200, "body": '{"items"', "missing": 100}, "answer_invalid", id="within-the-answer"),
    ],
)
def test_a_connection_that_breaks_off(module: Any, answer: Any, reason: str) -> None:
    server().effects["counters-cut"] = lambda: answer
    run = module("kubelet_checkpoint", server().params("counters-cut"))
    assert run.failed and run.result["reason"] == reason
    assert "It may still write the archive: look into its folder checkpoints before" in run.result["msg"]


def test_no_answer_in_time(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server answers when the task has given up: what counts is the limit, not how long this takes."""
    monkeypatch.setattr(kubelet_checkpoint, "LONGER", -0.9)
    gone = time.monotonic() + 0.6
    server().effects["counters-slow"] = lambda: time.sleep(max(0, gone - time.monotonic()))
    run = module("kubelet_checkpoint", server().params("counters-slow", timeout_seconds=1))
    assert run.failed and run.result["reason"] == "timed_out"
    assert "look into its folder checkpoints before another try, and raise timeout_seconds." in run.result["msg"]


def test_nobody_listens(module: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = module("kubelet_checkpoint", server().params("counters-made", port=unused.getsockname()[1]))
    assert run.failed and run.result["reason"] == "kubelet_unreachable"
    assert "cannot be reached ([Errno 111] Connection refused). Check host, port and the firewall" in run.result["msg"]


TLS = [
    pytest.param({"ca_path": "other.pem"}, "certificate verify failed", id="another-ca"),
    pytest.param({"host": "localhost.localdomain"}, "", id="another-name"),
    pytest.param({"client_cert_path": "stranger.pem", "client_key_path": "stranger.key"}, "", id="another-cluster"),
    pytest.param({"client_key_path": "stranger.key"}, "KEY_VALUES_MISMATCH", id="another-key"),
    pytest.param({"ca_path": "client.key"}, "", id="no-certificate"),
]


@pytest.mark.parametrize(("params", "why"), TLS)
def test_certificates_that_do_not_fit(
    module: Any, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, params: dict[str, str], why: str
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *rest, **more: real("127.0.0.1", *rest, **more))
    files = {key: str(HOME / value) if key.endswith("_path") else value for key, value in params.items()}
    run = module("kubelet_checkpoint", server().params("counters-made", **files))
    assert run.failed and run.result["reason"] == "tls_failed", run.result
    assert "has no TLS connection with this host (" in run.result["msg"] and why in run.result["msg"]
    assert asked == []


def test_certificate_and_key_in_one_file(module: Any) -> None:
    params = {**server().params("counters-made"), "client_cert_path": str(HOME / "both.pem")}
    del params["client_key_path"]
    assert module("kubelet_checkpoint", params).result["changed"]


def test_an_unknown_certificate_of_the_kubelet_may_be_accepted(module: Any) -> None:
    params = server().by_token("counters-made", ca_path=str(HOME / "other.pem"), validate_certs=False)
    assert module("kubelet_checkpoint", params).result["changed"]


def test_a_wrong_token_is_refused_and_not_shown(module: Any) -> None:
    run = module("kubelet_checkpoint", server().by_token("counters-made", token="wrong-secret-token"))
    assert run.failed and run.result["reason"] == "unauthorized"
    assert "wrong-secret-token" not in str(run.result)


@pytest.mark.parametrize("token", ["secret-token\n", "", "two words", "sécret"])
def test_a_token_that_is_none(module: Any, asked: list[tuple[str, str]], token: str) -> None:
    run = module("kubelet_checkpoint", server().by_token("counters-made", token=token))
    assert run.failed and run.result["reason"] == "option_invalid" and asked == []
    assert run.result["msg"].startswith("Cannot use the token: it has blanks, ") and "cret" not in run.result["msg"]


def test_no_proxy_and_no_netrc(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert module("kubelet_checkpoint", server().by_token("counters-made")).result["changed"]


@pytest.mark.parametrize("option", ["ca_path", "client_cert_path", "client_key_path"])
def test_files_that_are_not_there(module: Any, tmp_path: Path, option: str) -> None:
    run = module("kubelet_checkpoint", server().params("counters-made", **{option: str(tmp_path)}))
    assert run.failed and run.result["reason"] == "file_unreadable" and run.result["path"] == str(tmp_path)
    assert run.result["msg"].startswith(f"Cannot read {option} '{tmp_path}': it is no file, ")


INVALID: list[Any] = [
    pytest.param({"pod": "../../exec"}, "Cannot use the pod '../../exec': it is no name", id="path"),
    pytest.param({"pod": "a" * 254}, "Cannot use the pod 'aaa", id="long"),
    pytest.param({"namespace": "a.b"}, "Cannot use the namespace 'a.b'", id="dot"),
    pytest.param({"container": "Web"}, "Cannot use the container 'Web'", id="upper-case"),
    pytest.param({"container": "a\n"}, "Cannot use the container 'a\\n'", id="line-feed"),
    pytest.param({"host": "https://node1"}, "Cannot use the host 'https://node1'", id="scheme"),
    pytest.param({"host": "node1:10250"}, "Cannot use the host 'node1:10250'", id="host-and-port"),
    pytest.param({"host": ""}, "Cannot use the host ''", id="no-host"),
    pytest.param({"port": 0}, "Cannot use port 0: it is not between 1 and 65535", id="port"),
    pytest.param({"timeout_seconds": 0}, "Cannot use timeout_seconds 0: it is not between 1 and 86400", id="timeout"),
]


@pytest.mark.parametrize(("params", "why"), INVALID)
def test_what_is_no_name(module: Any, asked: list[tuple[str, str]], params: dict[str, Any], why: str) -> None:
    run = module("kubelet_checkpoint", {**server().params("counters-made"), **params})
    assert run.failed and run.result["reason"] == "option_invalid" and run.result["msg"].startswith(why)
    assert asked == []


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("node-1.example.com", "node-1.example.com")])
def test_the_url(module: Any, host: str, shown: str) -> None:
    params = server().params("etcd-node-1.example.com", host=host, namespace="kube-system")
    found = module("kubelet_checkpoint", params, check=True).result["checkpoint"]["url"]
    where = f"https://{shown}:{server().port}/checkpoint"
    assert found == f"{where}/kube-system/etcd-node-1.example.com/counter?timeout=120"


def test_one_way_to_prove_who_asks(module: Any) -> None:
    both = module("kubelet_checkpoint", {**server().params("counters-made"), "token": "good-token"})
    none = module("kubelet_checkpoint", {"host": "a", "pod": "b", "container": "c"})
    assert both.failed and "mutually exclusive" in both.result["msg"]
    assert none.failed and "one of the following is required" in none.result["msg"]
