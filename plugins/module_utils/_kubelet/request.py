# SPDX-License-Identifier: GPL-3.0-or-later
# This file is private to the collection: it may change in any release.
"""Makes the request for a checkpoint to a kubelet, and explains its answer. Pure.

The request and the answers are those of https://kubernetes.io/docs/reference/node/kubelet-checkpoint-api/ and of
checkpoint() and InstallAuthFilter() in pkg/kubelet/server/server.go. Every error is a line of text.
"""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Mapping
from urllib.error import URLError

from ansible_collections.criu.hosts.plugins.module_utils._core.errors import Cause, CheckpointError, shown
from ansible_collections.criu.hosts.plugins.module_utils._formats.json_text import parse_object, text_list
from ansible_collections.criu.hosts.plugins.module_utils._store.contents import escaped

# Names in Kubernetes: DNS labels, for pods with dots between them.
LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAMES = {"namespace": LABEL, "pod": rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*", "container": LABEL}
_HOST = r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
# The answers are shorter; what a message shows of one is shorter still, since it has the engine's whole command.
ANSWER_LIMIT = 64 << 10
SHOWN = 300
MAY_EXIST = "It may still write the archive: look into its folder checkpoints before another try"


def _name(option: str, value: str) -> str:
    if re.fullmatch(_NAMES[option], value) is None:
        raise CheckpointError(
            f"Cannot use the {option} {shown(value)}: it is no name of Kubernetes. Give lower-case letters, digits and "
            "hyphens, for a pod also dots.",
            reason="option_invalid",
        )
    return value


def _host(value: str) -> str:
    """Returns a name or an address as an URL has it."""
    try:
        return f"[{value}]" if ip_address(value).version == 6 else value
    except ValueError:
        if re.fullmatch(_HOST, value) is None:
            raise CheckpointError(
                f"Cannot use the host {shown(value)}: it is no name and no address. Give one without scheme and port.",
                reason="option_invalid",
            ) from None
        return value


def check_token(token: str) -> None:
    """Refuses a token that a header cannot have; it is not shown.

    Raises:
        CheckpointError: option_invalid.
    """
    if re.fullmatch("[!-~]+", token) is None:
        raise CheckpointError(
            "Cannot use the token: it has blanks, line ends or other characters that no token has, or is empty. Give "
            "it as it is, for example with the filter trim.",
            reason="option_invalid",
        )


def _number(option: str, value: int, highest: int) -> int:
    if not 1 <= value <= highest:
        raise CheckpointError(
            f"Cannot use {option} {value}: it is not between 1 and {highest}. Give such a number.",
            reason="option_invalid",
        )
    return value


@dataclass(frozen=True)
class Request:
    """A request to checkpoint one container; ``seconds``: how long the engine may take."""

    host: str
    port: int
    namespace: str
    pod: str
    container: str
    seconds: int

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Request:
        """Returns the request of a task.

        Raises:
            CheckpointError: option_invalid.
        """
        return cls(
            host=_host(params["host"]),
            port=_number("port", params["port"], 65535),
            namespace=_name("namespace", params["namespace"]),
            pod=_name("pod", params["pod"]),
            container=_name("container", params["container"]),
            seconds=_number("timeout_seconds", params["timeout_seconds"], 86400),
        )

    @property
    def url(self) -> str:
        path = f"{self.namespace}/{self.pod}/{self.container}"
        return f"https://{self.host}:{self.port}/checkpoint/{path}?timeout={self.seconds}"


def _message(request: Request, why: str, advice: str) -> str:
    what = f"{request.namespace}/{request.pod}/{request.container}"
    return f"Cannot checkpoint {what}: the kubelet of {request.host!r} {why}. {advice}."


def broken(request: Request, error: Exception) -> CheckpointError:
    """Returns the failure for a request that got no answer."""
    sent = not isinstance(error, URLError)
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    words = escaped(str(cause) or type(cause).__name__)[:SHOWN]
    if isinstance(cause, ssl.SSLError):
        why = f"has no TLS connection with this host ({words})"
        advice = "Compare ca_path and host with the kubelet's certificate, and the client certificate with its key"
        return CheckpointError(_message(request, why, advice), reason="tls_failed")
    # Until Python 3.10, the first is none of the second.
    if sent and isinstance(cause, (socket.timeout, TimeoutError)):
        why = f"has not answered in {request.seconds} seconds and the time that its engine needs to give up"
        advice = f"{MAY_EXIST}, and raise timeout_seconds"
        return CheckpointError(_message(request, why, advice), reason="timed_out")
    why, advice = f"broke the connection off ({words})", MAY_EXIST
    if not sent:
        why, advice = f"cannot be reached ({words})", "Check host, port and the firewall, and that the kubelet runs"
    return CheckpointError(_message(request, why, advice), reason="kubelet_unreachable")


def _said(body: bytes) -> str:
    return escaped(" ".join(body.decode("utf-8", "replace").split()))


def parse_answer(request: Request, status: int, body: bytes) -> list[str]:
    """Returns the paths of the archives, on the node, that a kubelet says it has.

    Raises:
        CheckpointError: unauthorized, forbidden, not_found, checkpoint_failed, kubelet_refused, answer_invalid.
    """
    if status == 200:
        try:
            found = text_list(parse_object(body).get("items"))
            if not found:
                raise ValueError("it names no archive")
            return [escaped(one) for one in found]
        except ValueError as error:
            why = f"has an answer that is none ({error}): {_said(body)[:SHOWN]!r}"
            raise CheckpointError(
                _message(request, why, MAY_EXIST), reason="answer_invalid", answer=_said(body), status=status
            ) from error
    raise _refusal(request, status, _said(body))


# By the status.
_REFUSALS = {
    401: Cause(
        "does not accept the credentials",
        "Give a client certificate that its CA has signed, or a token if it may ask the API server about tokens",
        reason="unauthorized",
    ),
    403: Cause(
        "forbids it to this user",
        "Let the user create nodes/checkpoint, as the manifest of the role criu.hosts.crio_checkpoint does",
        reason="forbidden",
    ),
    404: Cause(
        "has nothing of that name",
        "Correct the name that it says; if it says none, its feature gate ContainerCheckpoint is off",
        reason="not_found",
    ),
    500: Cause(
        "got no checkpoint from its engine",
        "Install CRIU, let the engine make checkpoints (role criu.hosts.crio_checkpoint), and read CRIU's log there",
        reason="checkpoint_failed",
    ),
}
_OTHER = Cause("refuses the request", "Check that host and port are those of a kubelet", reason="kubelet_refused")


def _refusal(request: Request, status: int, said: str) -> CheckpointError:
    cause = _REFUSALS.get(status, _OTHER)
    why = f"{cause.why} ({status}: {said[:SHOWN]!r})"
    return CheckpointError(_message(request, why, cause.advice), reason=cause.reason, answer=said, status=status)
