"""Client certificates as proxies and ASGI servers pass them on, and their thumbprints (RFC 8705, RFC 9440).

A value that is not exactly what the proxy writes is no certificate. A reader returns the DER, or ``None``.
"""

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from cryptography import x509

from .base64url import encode_base64url

__all__ = ["HEADERS", "check_der", "read_certificate", "read_tls_extension", "thumbprint"]

_BASE64 = r"[A-Za-z0-9+/]+={0,2}"
_PEM = re.compile(
    rf"-----BEGIN CERTIFICATE-----\r?\n((?:{_BASE64}\r?\n)+)-----END CERTIFICATE-----(?:\r?\n|\Z)", re.ASCII
)
# Printable ASCII and escapes (RFC 3986 §2.1), but not the characters that separate several values.
_ESCAPED = re.compile(r"(?:[!#$&-+\--:<-~]|%[0-9A-Fa-f]{2})+")
# RFC 8941 §3.3.5
_BINARY = re.compile(rf":({_BASE64}):")
_XFCC_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([!#-+\--:<>-~]*))(?:;|\Z)')


def thumbprint(der: bytes) -> str:
    """The certificate's ``x5t#S256``: the SHA-256 hash of its DER, in base64url without padding (RFC 8705 §3.1)."""
    return encode_base64url(hashlib.sha256(der).digest()).decode("ascii")


def check_der(der: bytes) -> bytes | None:
    """``der`` if it is exactly one X.509 certificate, otherwise ``None``. Nobody's signature is verified."""
    try:
        x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning):
        # `cryptography` warns about certificates that RFC 5280 forbids. Python may turn warnings into errors.
        return None
    return der


def read_certificate(data: bytes) -> bytes | None:
    """The DER of the first certificate in a file of PEM or DER; ``None`` if it has none."""
    found = _PEM.search(data.decode("latin-1"))
    return check_der(data) if found is None else _decode_lines(found[1])


def _decode_lines(text: str) -> bytes | None:
    return _decode(text.replace("\r", "").replace("\n", ""))


def _decode(text: str) -> bytes | None:
    try:
        return check_der(binascii.a2b_base64(text, strict_mode=True))
    except ValueError:
        return None


def _read_binary(value: str) -> bytes | None:
    found = _BINARY.fullmatch(value)
    return None if found is None else _decode(found[1])


def _read_pem(text: str) -> bytes | None:
    """The first of the certificates in ``text``, which must contain nothing else."""
    chain: list[bytes | None] = []
    end = 0
    while end < len(text):
        found = _PEM.match(text, end)
        if found is None:
            return None
        chain.append(_decode_lines(found[1]))
        end = found.end()
    return chain[0] if chain and None not in chain else None


def _unescape(value: str) -> str | None:
    if not _ESCAPED.fullmatch(value):
        return None
    # A plus sign stands for itself: AWS does not escape it.
    return unquote_to_bytes(value).decode("latin-1")


def _read_escaped_pem(value: str) -> bytes | None:
    text = _unescape(value)
    return None if text is None else _read_pem(text)


def _read_bare(value: str) -> bytes | None:
    text = _unescape(value)
    return None if text is None else _decode(text)


def _read_xfcc(value: str) -> bytes | None:
    """The ``Cert`` of the only element. Another proxy may have written a second one."""
    certificates: list[str] = []
    end = 0
    while end < len(value):
        found = _XFCC_PAIR.match(value, end)
        if found is None:
            return None
        if found[1].lower() == "cert":
            certificates.append(found[3] if found[2] is None else found[2])
        end = found.end()
    return _read_escaped_pem(certificates[0]) if len(certificates) == 1 else None


HEADERS: Final[Mapping[str, tuple[str, Callable[[str], bytes | None]]]] = {
    "rfc9440": ("Client-Cert", _read_binary),
    "nginx": ("X-SSL-Client-Cert", _read_escaped_pem),
    "envoy": ("X-Forwarded-Client-Cert", _read_xfcc),
    "aws-alb": ("X-Amzn-Mtls-Clientcert", _read_escaped_pem),
    "traefik": ("X-Forwarded-Tls-Client-Cert", _read_bare),
    "haproxy": ("X-SSL-Client-DER", _decode),
}
"""The header in which each proxy passes on the client certificate, and what reads its value."""


def read_tls_extension(extension: Any) -> bytes | None:
    """The client certificate in the TLS extension of an ASGI scope: the first of its chain, without an error."""
    if not isinstance(extension, Mapping) or extension.get("client_cert_error") is not None:
        return None
    chain = extension.get("client_cert_chain")
    leaf = chain[0] if isinstance(chain, list | tuple) and chain else None
    return _read_pem(leaf) if isinstance(leaf, str) else None
