"""TLS contexts: both ends show a certificate, and keys are their owner's alone."""

from __future__ import annotations

import os
import ssl
import stat
from typing import TYPE_CHECKING, Any, Protocol

from chamaleonet.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path


class Certificates(Protocol):
    """The files that TLS needs, PEM each; the key's must be its owner's alone."""

    @property
    def certificate(self) -> Path:
        """Own certificate chain."""

    @property
    def key(self) -> Path:
        """Own private key."""

    @property
    def ca(self) -> Path:
        """The authority that the other end's certificate must be signed by."""


def server_context(tls: Certificates) -> ssl.SSLContext:
    """Return what the end that listens encrypts with: TLS 1.2 or later, clients verified.

    Raises:
        UserError: a file is missing or cannot be used, or others may read the key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    return _load(context, tls)


def client_context(tls: Certificates) -> ssl.SSLContext:
    """Return what the end that connects encrypts with: the server's name is checked too.

    Raises:
        UserError: as ``server_context``.
    """
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), tls)


def _load(context: ssl.SSLContext, tls: Certificates) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    file = tls.ca
    try:
        for file in (tls.ca, tls.certificate, tls.key):  # OpenSSL does not say which is missing
            with file.open("rb") as opened:
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
        if mode & 0o077:  # the key's: it comes last
            raise UserError(f"{tls.key}: has mode {mode:04o}, not 0600 (chmod 0600 {tls.key})")
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.certificate, tls.key)
    except ssl.SSLError as error:
        raise UserError(
            f"{tls.certificate}: cannot be used with {tls.key} and {tls.ca}: {error.reason}"
        ) from error
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    return context


def names_of(connection: ssl.SSLSocket) -> frozenset[str]:
    """Return the names in the other end's certificate: its DNS names and its common name."""
    certificate: dict[str, Any] = connection.getpeercert() or {}
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    names = [*subject, *certificate.get("subjectAltName", ())]
    return frozenset(value for kind, value in names if kind in ("commonName", "DNS"))
