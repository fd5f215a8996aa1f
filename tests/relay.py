"""A relay before a TCP server, which can add TLS, and can drop all bytes without closing connections."""

import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Relay:
    """Passes bytes between its own port and another port of this machine."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ended = threading.Event()
        # While this is set, bytes are dropped and connections stay open, as on a network that drops packets.
        self.swallows = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop the relay and close its connections."""
        self._ended.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=5.0)

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._ended.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(near,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket) -> None:
        # A connection opened while packets are dropped never gets an answer either.
        dead = self.swallows.is_set()
        with suppress(OSError), near:
            near.settimeout(5.0)
            if self._tls is not None and not dead:
                near = self._tls.wrap_socket(near, server_side=True)
            with (
                near,
                socket.create_connection(("127.0.0.1", self._target)) as far,
                selectors.DefaultSelector() as eyes,
            ):
                eyes.register(near, selectors.EVENT_READ, far)
                eyes.register(far, selectors.EVENT_READ, near)
                while not self._ended.is_set():
                    # TLS may buffer bytes that no selector reports.
                    ready = [] if dead else [(key.fileobj, key.data) for key, _ in eyes.select(0.1)]
                    dead = dead or self.swallows.is_set()
                    if dead:
                        self._ended.wait(0.1)
                        continue
                    for source, sink in ready:
                        assert isinstance(source, socket.socket)
                        while content := source.recv(65536):
                            sink.sendall(content)
                            if not (isinstance(source, ssl.SSLSocket) and source.pending()):
                                break
                        if not content:
                            return


@contextmanager
def relayed(target: int, tls: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """Provide a relay before a port for the block."""
    relay = Relay(target, tls)
    try:
        yield relay
    finally:
        relay.close()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Return the file of a self-signed certificate for 127.0.0.1, and the TLS context of a server with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ticketscope test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, secret = folder / "tls.pem", folder / "tls.key"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context
