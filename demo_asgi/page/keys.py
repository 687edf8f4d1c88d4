"""The key and the certificate of the page's client, and those of a thief.

A real client keeps its private key secret and makes its own proofs. ``curl`` and the scripts of the page cannot, so the
demo makes the proofs. The keys exist only in this process, so the page's bound tokens become useless when it ends.
"""

import base64
import datetime
import functools
from urllib.parse import urljoin

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from django.conf import settings

from async_oauth_guard.testing import DPoPKey

CLIENT, THIEF = NAMES = ("client", "thief")

_LIFETIME = datetime.timedelta(days=365)


def make_proof(name: str, method: str, uri: str, token: str | None = None, nonce: str | None = None) -> str:
    """The proof (RFC 9449) for one request. ``uri`` may be a path of the demo."""
    return _key(name).proof(method, urljoin(settings.ORIGIN, uri), token, nonce=nonce)


def client_cert(name: str) -> str:
    """The certificate, as a proxy writes it into the header ``Client-Cert`` (RFC 9440)."""
    return f":{base64.b64encode(certificate(name)).decode('ascii')}:"


@functools.cache
def certificate(name: str) -> bytes:
    """The certificate as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    signed = builder.not_valid_before(now).not_valid_after(now + _LIFETIME).sign(key, hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


@functools.cache
def _key(name: str) -> DPoPKey:
    return DPoPKey()
