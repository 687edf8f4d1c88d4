"""Compares URIs as RFC 3986 §6.2 describes, for the ``htu`` of DPoP proofs, and reads the origin of a URL."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

__all__ = ["MAX_URI_LENGTH", "normalize_uri", "origin_of"]

MAX_URI_LENGTH: Final = 4096
"""Maximum characters of a URI. A longer one equals no other."""

_DEFAULT_PORTS: Mapping[str, int] = {"http": 80, "https": 443}
# A client of a WebSocket may name either scheme.
_SCHEMES: Mapping[str, str] = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# RFC 3986 §3: scheme, host, port and path. Query and fragment do not matter. Userinfo is not allowed, because it could
# be mistaken for the host.
_URI = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@:\[\]\\]+)(?::(?P<port>[0-9]{0,5}))?(?P<path>/[^?#]*)?"
    r"(?:\?[^#]*)?(?:#.*)?"
)
_PRINTABLE = re.compile(r"[\x21-\x7E]+")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


def normalize_uri(uri: str) -> str | None:
    """``uri`` without query and fragment, in the one spelling that equal URIs share; ``None`` if it is no such URI.

    Letter case of scheme and host, default ports, an empty path, dot segments, and needless or lower-case escapes make
    no difference (RFC 3986 §6.2.2, §6.2.3). ``ws`` and ``wss`` count as ``http`` and ``https``.
    """
    match = _URI.fullmatch(uri) if len(uri) <= MAX_URI_LENGTH and _PRINTABLE.fullmatch(uri) else None
    scheme = _SCHEMES.get(match["scheme"].lower()) if match is not None else None
    if match is None or scheme is None:
        return None
    host = _ESCAPED.sub(_unescape, match["host"]).lower()
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    authority = host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return f"{scheme}://{authority}{_normalize_path(match['path'] or '/')}"


def _normalize_path(path: str) -> str:
    if "%" in path:
        path = _ESCAPED.sub(_unescape, path)
    return _remove_dot_segments(path) if "/." in path else path


def _unescape(match: re.Match[str]) -> str:
    # RFC 3986 §6.2.2.2: percent-encoded octets of unreserved characters are decoded. §6.2.2.1: the others have
    # upper-case digits.
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()


def _remove_dot_segments(path: str) -> str:
    """RFC 3986 §5.2.4, for a path that starts with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        # What remains is a directory.
        kept.append("")
    return "/" + "/".join(kept)


def origin_of(url: str) -> str:
    """The scheme, host and port of ``url``, as they are written there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
