"""Claims about the key or certificate that a token is bound to, and about the login of its user."""

import time
from collections.abc import Mapping
from typing import Any

from async_oauth_guard.protocol.certificates import HEADERS, thumbprint
from async_oauth_guard.testing import ServerRequest
from async_oauth_guard.testing.server.proofs import ProofChecker, RefusedProofError

_HEADER, _read_certificate = HEADERS["rfc9440"]


def confirmation_of(request: ServerRequest, proofs: ProofChecker) -> Mapping[str, str]:
    """The ``cnf`` of a token: the key of the client's proof (RFC 9449 §6), or its certificate (RFC 8705 §3.1).

    The server has no TLS, so clients themselves write the header of a proxy (RFC 9440).

    Raises:
        RefusedProofError: the proof or the certificate is invalid.
    """
    proof, certificate = request.headers.get("dpop"), request.headers.get(_HEADER.lower())
    if proof is not None:
        return {"jkt": proofs.check(proof, request.method, request.url)}
    if certificate is None:
        return {}
    der = _read_certificate(certificate)
    if der is None:
        raise RefusedProofError("invalid_request")
    return {"x5t#S256": thumbprint(der)}


def login_of(form: Mapping[str, str]) -> Mapping[str, Any]:
    """``auth_time`` and ``acr``, from the parameters ``login_age`` (seconds) and ``acr``. They replace a login page."""
    age = form.get("login_age", "")
    time_of_login = {"auth_time": int(time.time()) - int(age)} if age.isdecimal() else {}
    return {**time_of_login, **({"acr": form["acr"]} if form.get("acr") else {})}
