"""Client certificates, and how each proxy writes them into its header."""

import base64
import datetime
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID


@lru_cache
def certificate(name: str = "client") -> x509.Certificate:
    """A self-signed certificate, whose hash is not spelt alike in Base64 and base64url."""
    while True:
        made = _make(name)
        if {*b"+/"} & {*base64.b64encode(made.fingerprint(hashes.SHA256()))}:
            return made


def _make(name: str) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


# A certificate, or the name of one that is made here.
Named = str | x509.Certificate


def _found(which: Named) -> x509.Certificate:
    return certificate(which) if isinstance(which, str) else which


def der(which: Named = "client") -> bytes:
    return _found(which).public_bytes(Encoding.DER)


def pem(which: Named = "client") -> str:
    return _found(which).public_bytes(Encoding.PEM).decode("ascii")


def bare(which: Named = "client") -> str:
    """The Base64 of the DER."""
    return base64.b64encode(der(which)).decode("ascii")


def escaped(text: str) -> str:
    """As nginx and Envoy escape."""
    return quote(text, safe="")


WRITERS: dict[str, Callable[[Named], str]] = {
    "rfc9440": lambda which: f":{bare(which)}:",
    "nginx": lambda which: escaped(pem(which)),
    "envoy": lambda which: f'Cert="{escaped(pem(which))}";Hash=00ff;URI=;By=spiffe://a/b;Subject="CN=x,O=y"',
    "aws-alb": lambda which: quote(pem(which), safe="+=/"),
    "traefik": bare,
    "haproxy": bare,
}
"""Write the header of each proxy for a certificate."""


async def of_request(request: object) -> bytes:
    """A source that a setting names."""
    return der()
