"""TLS certificates for tests, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  (dataclass)

import pytest

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@dataclass
class Files:
    certificate: Path
    key: Path
    ca: Path


def _openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_authority(directory: Path, name: str) -> tuple[Path, Path]:
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-days", 1, "-subj", f"/CN={name}", "-keyout", key, "-out", certificate,
    )  # fmt: skip
    return certificate, key


def make_certificate(
    directory: Path, name: str, authority: tuple[Path, Path], *, dns: str | None = None
) -> Files:
    """Return a certificate for 127.0.0.1 (and a DNS name), signed by the authority."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    request, extensions = directory / f"{name}.csr", directory / f"{name}.ext"
    extensions.write_text("subjectAltName=IP:127.0.0.1" + (f",DNS:{dns}\n" if dns else "\n"))
    _openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", f"/CN={name}", "-keyout", key, "-out", request,
    )  # fmt: skip
    _openssl(
        "x509", "-req", "-in", request, "-CA", authority[0], "-CAkey", authority[1],
        "-CAcreateserial", "-days", 1, "-extfile", extensions, "-out", certificate,
    )  # fmt: skip
    return Files(certificate, key, authority[0])
