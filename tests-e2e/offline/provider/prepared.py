"""What every start of the provider needs and none changes: made once in a folder, and read at each start.

Terraform starts the provider several times in one command. To make a key, its certificate and the message with the
whole schema takes longer than all else that a short-lived provider does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_KEY: Final = "key.pem"
_CERTIFICATE: Final = "certificate.pem"
_SCHEMA: Final = "schema.answer"
_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class Prepared:
    """The files' content; the key is no secret: it opens a socket in a folder of one user, to a stand-in."""

    key: bytes
    certificate: bytes
    """As PEM."""
    schema: bytes
    """The answer to ``GetProviderSchema``."""


def read(folder: Path) -> Prepared:
    """Read what ``write`` has written."""
    return Prepared(*((folder / name).read_bytes() for name in (_KEY, _CERTIFICATE, _SCHEMA)))


def write(folder: Path) -> None:
    """Write the files into an empty folder."""
    from offline.provider.schema import load
    from offline.provider.schema_message import answer

    key, certificate = _certificate()
    for name, content in ((_KEY, key), (_CERTIFICATE, certificate), (_SCHEMA, answer(load()).SerializeToString())):
        (folder / name).write_bytes(content)


def _certificate() -> tuple[bytes, bytes]:
    """Make a key and a certificate of its own; return both as PEM."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
