"""Client certificates as proxies and servers pass them on: read exactly, or not at all."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from async_oauth_guard.protocol.certificates import (
    HEADERS,
    check_der,
    read_tls_extension,
    thumbprint,
)
from tests.certificates import WRITERS, bare, der, escaped, pem

VECTOR = json.loads((Path(__file__).parents[2] / "vectors" / "rfc8705.json").read_text())
HEADER_READERS = {proxy: read for proxy, (_, read) in HEADERS.items()}
proxies = pytest.mark.parametrize("proxy", HEADER_READERS)


def test_vector() -> None:
    """R102: the thumbprint of RFC 8705's certificate, which is one."""
    data = base64.b64decode(VECTOR["certificate"])
    assert check_der(data) == data
    assert thumbprint(data) == VECTOR["x5t#S256"]


def test_all_proxies() -> None:
    """Each proxy has a header, a reader, and a writer here."""
    assert HEADERS.keys() == WRITERS.keys()


def test_headers() -> None:
    """R101: the header is the one that the RFC or the proxy's documentation names."""
    assert {proxy: name for proxy, (name, _) in HEADERS.items()} == {
        "rfc9440": "Client-Cert",
        "nginx": "X-SSL-Client-Cert",
        "envoy": "X-Forwarded-Client-Cert",
        "aws-alb": "X-Amzn-Mtls-Clientcert",
        "traefik": "X-Forwarded-Tls-Client-Cert",
        "haproxy": "X-SSL-Client-DER",
    }


@proxies
def test_reads(proxy: str) -> None:
    """R101: what the proxy writes is read, and is the certificate's DER."""
    assert HEADER_READERS[proxy](WRITERS[proxy]("client")) == der("client")


@proxies
@pytest.mark.parametrize("between", [",", ", ", ";", " ", "\n", "%2C", ""])
def test_two_values(proxy: str, between: str) -> None:
    """R103: two values are no certificate, whichever of them is right."""
    write = WRITERS[proxy]
    read = HEADER_READERS[proxy]
    if between == "" and proxy in ("nginx", "aws-alb"):
        # This is what a chain looks like.
        assert read(write("client") + write("other")) == der("client")
        return
    for first, second in (("client", "other"), ("client", "client")):
        assert read(write(first) + between + write(second)) is None


@proxies
@pytest.mark.parametrize(
    "around", [" {}", "{} ", "x{}", "{}x", ",{}", "{},", "\n{}", "{}\n", "{}%0Ax", '"{}"', "{}\x00"]
)
def test_text_around(proxy: str, around: str) -> None:
    """Text around the value makes it none."""
    assert HEADER_READERS[proxy](around.replace("{}", WRITERS[proxy]("client"))) is None


def as_each(data: bytes) -> dict[str, str]:
    """The bytes in the form of each proxy, whatever they are."""
    text = base64.b64encode(data).decode("ascii")
    block = escaped(f"-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    return {
        "rfc9440": f":{text}:",
        "nginx": block,
        "envoy": f'Cert="{block}"',
        "aws-alb": block,
        "traefik": text,
        "haproxy": text,
    }


def with_negative_serial(good: bytes) -> bytes:
    # The serial number follows the version: a tag, a length, and its bytes.
    first = good.index(b"\xa0\x03\x02\x01\x02") + 7
    return good[:first] + b"\x80" + good[first + 1 :]


KEY = ec.generate_private_key(ec.SECP256R1()).public_key()
NO_CERTIFICATES = {
    "nothing": b"",
    "text": b"certificate",
    "a public key": KEY.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "bytes after it": der() + b"\x00",
    "bytes before it": b"\x00" + der(),
    "cut off": der()[:-1],
    "two": der() + der("other"),
    "pem": pem().encode(),
    "an unknown version": der().replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07", 1),
    # `cryptography` warns about it, and here warnings are errors.
    "a negative serial number": with_negative_serial(der()),
}


@proxies
@pytest.mark.parametrize("data", NO_CERTIFICATES.values(), ids=NO_CERTIFICATES)
def test_no_certificate(data: bytes, proxy: str) -> None:
    """DER that is not exactly one certificate is none."""
    assert HEADER_READERS[proxy](as_each(data)[proxy]) is None
    assert check_der(data) is None
    assert HEADER_READERS[proxy](as_each(der())[proxy]) == der()


PEM_FORMS: dict[str, tuple[str, bool]] = {
    "as it is": (pem(), True),
    "CRLF": (pem().replace("\n", "\r\n"), True),
    "no line break at the end": (pem().rstrip("\n"), True),
    "one long line": (f"-----BEGIN CERTIFICATE-----\n{bare()}\n-----END CERTIFICATE-----\n", True),
    "a chain": (pem() + pem("other"), True),
    "a chain with text between": (pem() + "issuer\n" + pem("other"), False),
    "a chain with another thing": (pem() + pem("other").replace("CERTIFICATE", "PUBLIC KEY"), False),
    "a chain whose second is broken": (pem() + pem("other").replace("\nMII", "\nAAA"), False),
    "text before": ("subject\n" + pem(), False),
    "text after": (pem() + "x", False),
    "an empty line": (pem().replace("\n", "\n\n", 1), False),
    "a header": (pem().replace("\n", "\nProc-Type: 4\n", 1), False),
    "no line breaks": (pem().replace("\n", ""), False),
    "another label": (pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE"), False),
    "no end": (pem().rpartition("-----END")[0], False),
    "empty": ("", False),
    "spaces": (pem().replace("\n", " \n"), False),
}


@pytest.mark.parametrize("proxy", ["nginx", "aws-alb", "envoy"])
@pytest.mark.parametrize(("text", "is_read"), PEM_FORMS.values(), ids=PEM_FORMS)
def test_pem(text: str, is_read: bool, proxy: str) -> None:
    """PEM is read with either line break. A chain gives its first certificate. Nothing else may stand there."""
    value = f'Cert="{escaped(text)}"' if proxy == "envoy" else escaped(text)
    assert HEADER_READERS[proxy](value) == (der() if is_read else None)
    extension = {"client_cert_chain": [text]}
    assert read_tls_extension(extension) == (der() if is_read else None)


@pytest.mark.parametrize("value", ["%", "%2", "%zz", escaped(pem())[:-2], escaped(pem()) + "%u0041", pem()])
@pytest.mark.parametrize("proxy", ["nginx", "aws-alb"])
def test_escapes(proxy: str, value: str) -> None:
    """Broken escapes, and PEM that is not escaped, are no certificate."""
    assert HEADER_READERS[proxy](value) is None


def test_plus_signs() -> None:
    """A plus sign that is not escaped stands for itself."""
    # The certificate of the RFC has one.
    text = f"-----BEGIN CERTIFICATE-----\n{VECTOR['certificate']}\n-----END CERTIFICATE-----\n"
    assert "+" in text
    value = escaped(text).replace("%2B", "+")
    assert HEADER_READERS["aws-alb"](value) == base64.b64decode(VECTOR["certificate"])


@pytest.mark.parametrize(
    ("value", "is_read"),
    [(escaped(bare()), True), (bare().replace("+", "%2B"), True), (escaped(escaped(bare())), False)],
)
def test_traefik_escapes(value: str, is_read: bool) -> None:
    """Traefik's value may be escaped or not."""
    assert HEADER_READERS["traefik"](value) == (der() if is_read else None)


CERT = f'Cert="{escaped(pem())}"'
ELEMENTS: dict[str, tuple[str, bool]] = {
    "alone": (CERT, True),
    "without quotes": (f"Cert={escaped(pem())}", True),
    "first": (f'{CERT};Hash=00;Subject="a,b;c=\\"d\\\\";URI=x', True),
    "last": (f"By=;Hash=00;{CERT}", True),
    "another case": (CERT.replace("Cert", "cert"), True),
    "with a chain": (f'{CERT};Chain="{escaped(pem() + pem("other"))}"', True),
    "repeated URIs": (f"URI=a;URI=b;{CERT}", True),
    "twice": (f"{CERT};{CERT}", False),
    "two elements": (f"{CERT},By=x", False),
    "two elements, certificate last": (f"By=x,{CERT}", False),
    "another key": (CERT.replace("Cert", "Chain"), False),
    "a longer key": (f"X{CERT}", False),
    "none": ("By=x;Hash=00", False),
    "empty": ("", False),
    "empty certificate": ("Cert=", False),
    "open quote": (CERT[:-1], False),
    "text after the quote": (f"{CERT}x", False),
    "no key": (f'="x";{CERT}', False),
    "no value": (f"By;{CERT}", False),
    "backslash at the end": (f'{CERT};URI="\\', False),
}


@pytest.mark.parametrize(("value", "is_read"), ELEMENTS.values(), ids=ELEMENTS)
def test_envoy(value: str, is_read: bool) -> None:
    """The certificate of the only element is read, wherever it stands in it."""
    assert HEADER_READERS["envoy"](value) == (der() if is_read else None)


EXTENSIONS: dict[str, tuple[Any, bool]] = {
    "good": ({"client_cert_chain": [pem()], "client_cert_error": None}, True),
    "a tuple": ({"client_cert_chain": (pem(), "whatever")}, True),
    "error": ({"client_cert_chain": [pem()], "client_cert_error": "expired"}, False),
    "empty error": ({"client_cert_chain": [pem()], "client_cert_error": ""}, False),
    "no chain": ({}, False),
    "empty chain": ({"client_cert_chain": []}, False),
    "chain of bytes": ({"client_cert_chain": [der()]}, False),
    "chain that is text": ({"client_cert_chain": pem()}, False),
    "no extension": (None, False),
    "another type": ([pem()], False),
}


@pytest.mark.parametrize(("extension", "is_read"), EXTENSIONS.values(), ids=EXTENSIONS)
def test_tls_extension(extension: Any, is_read: bool) -> None:
    """The first of the chain counts, unless the server reports an error."""
    assert read_tls_extension(extension) == (der() if is_read else None)


@proxies
@settings(max_examples=50)
@given(st.data())
def test_any_value(proxy: str, data: Any) -> None:
    """Whatever the value, reading it raises nothing, and what is read is a certificate."""
    value = data.draw(
        st.one_of(
            st.text(st.characters(max_codepoint=255)),
            st.text('=;,"\\%:+/AQ-\n Cert', max_size=40),
            st.binary().map(lambda each: as_each(each)[proxy]),
            damaged(der()).map(lambda each: as_each(each)[proxy]),
            damaged(WRITERS[proxy]("client").encode()).map(lambda each: each.decode("latin-1")),
        )
    )
    read = HEADER_READERS[proxy](value)
    assert read is None or check_der(read) == read


def damaged(good: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with one of them changed, inserted or removed."""
    places = st.integers(0, len(good) - 1)
    return st.tuples(places, st.binary(max_size=2), st.integers(0, 2)).map(
        lambda drawn: good[: drawn[0]] + drawn[1] + good[drawn[0] + drawn[2] :]
    )


def test_hash_is_of_the_der() -> None:
    """R102: base64url without padding of the SHA-256 of the DER, and not of the PEM."""
    digest = hashlib.sha256(der()).digest()
    assert thumbprint(der()) == base64.urlsafe_b64encode(digest).decode().rstrip("=")
