# SPDX-License-Identifier: GPL-3.0-or-later
"""A server with TLS that answers like a kubelet, with recorded answers; and the certificates for both sides.

Which answer it gives is in the name of the pod: "counters-CASE", a case of fixtures/kubelet/answers.json. A request
without a certificate of the cluster's CA, or the token "good-token", gets 401, as kubelets do.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ANSWERS = json.loads((Path(__file__).parent / "fixtures/kubelet/answers.json").read_text(encoding="utf-8"))
TOKEN = "good-token"


@dataclass(frozen=True)
class Signed:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def write(self, certificate: Path, key: Path | None = None) -> None:
        pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        secret = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        certificate.write_bytes(pem if key is not None else pem + secret)
        if key is not None:
            key.write_bytes(secret)


def signed(name: str, by: Signed | None = None, *, host: str = "") -> Signed:
    """Makes a certificate; without ``by`` that of a CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.certificate.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if by is None:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only"), False
        )
        builder = builder.add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, decipher_only=False, **usage),
            critical=True,
        )
    else:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False
        )
    if host:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(host))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Signed(builder.sign(by.key if by else key, hashes.SHA256()), key)


@dataclass
class Kubelet:
    """The server: where it is, what was asked, and what a request for a pod does before its answer."""

    port: int
    folder: Path
    asked: list[tuple[str, str]] = field(default_factory=list)
    effects: dict[str, Callable[[], Any]] = field(default_factory=dict)

    def params(self, pod: str, **more: Any) -> dict[str, Any]:
        """Returns the options of a task that asks it, as a user with a certificate."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "pod": pod,
            "container": "counter",
            "ca_path": str(self.folder / "ca.pem"),
            "client_cert_path": str(self.folder / "client.pem"),
            "client_key_path": str(self.folder / "client.key"),
            **more,
        }

    def by_token(self, pod: str, token: str = TOKEN, **more: Any) -> dict[str, Any]:
        params = self.params(pod, token=token, **more)
        return {key: value for key, value in params.items() if not key.startswith("client_")}


class _Handler(BaseHTTPRequestHandler):
    kubelet: Kubelet

    def log_message(self, *dummy: object) -> None:
        """Says nothing: the tests ask for what was asked."""

    def do_POST(self) -> None:
        self.kubelet.asked.append((self.command, self.path))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        assert body == b""
        known = self.connection.getpeercert() or self.headers.get("Authorization") == f"Bearer {TOKEN}"
        pod = self.path.split("/")[3]
        case = pod.partition("counters-")[2]
        if not known:
            self.answer(ANSWERS["unauthorized"])
            return
        answer = self.kubelet.effects[pod]() if pod in self.kubelet.effects else ANSWERS.get(case, ANSWERS["no-pod"])
        if answer is not None:
            self.answer(answer)

    def answer(self, answer: dict[str, Any]) -> None:
        body = answer["body"].encode("utf-8", "surrogateescape")
        self.send_response(answer["status"])
        for name, value in answer.get("headers", {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + answer.get("missing", 0)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *dummy: object) -> None:
        """Says nothing about a client that does not wait for the end, or has no certificate that fits."""


@cache
def kubelet(folder: Path) -> Kubelet:
    """Starts the server, with its certificates in the folder; it serves until the tests end."""
    ca, cluster, other = signed("kubelet-ca"), signed("cluster-ca"), signed("other-ca")
    signed("kubelet", ca, host="127.0.0.1").write(folder / "kubelet.pem", folder / "kubelet.key")
    ca.write(folder / "ca.pem", folder / "ca.key")
    cluster.write(folder / "cluster.pem", folder / "cluster.key")
    user = signed("kube-apiserver-kubelet-client", cluster)
    user.write(folder / "client.pem", folder / "client.key")
    user.write(folder / "both.pem")
    signed("stranger", other).write(folder / "stranger.pem", folder / "stranger.key")
    other.write(folder / "other.pem", folder / "other.key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "kubelet.pem", folder / "kubelet.key")
    # A kubelet asks for a certificate, and takes requests without one.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(folder / "cluster.pem")
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made = Kubelet(server.server_address[1], folder)
    handler.kubelet = made  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return made
