"""DPoP (RFC 9449) as a client does it: the key that its tokens are bound to, and the proofs of its requests."""

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from ..validators.clock import CLOCK
from .arguments import choose, kind_of, read_members
from .server.tokens import ALGORITHMS, encode_base64url, generate_key, sign_jwt, without_none

__all__ = ["DPoPKey", "Exchange", "ProofSender", "read_key"]

_MOST_REQUESTS = 2


class DPoPKey:
    """The key of a client that uses DPoP (RFC 9449). It is not saved anywhere.

    Args:
        algorithm: the algorithm that signs its proofs.

    Raises:
        ValueError: a guard accepts no such algorithm.
    """

    def __init__(self, algorithm: str = "ES256") -> None:
        choose("algorithm", algorithm, ALGORITHMS)
        self.algorithm = algorithm
        self._private = generate_key(algorithm)

    def __repr__(self) -> str:
        return f"<DPoPKey {self.algorithm} {self.thumbprint}>"

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key, as in the header of its proofs."""
        return {name: value for name, value in self._private.as_dict(private=False).items() if name != "kid"}

    @property
    def thumbprint(self) -> str:
        """The thumbprint of the key (RFC 7638): the ``jkt`` of tokens that are bound to it."""
        return str(self._private.thumbprint())

    @property
    def confirmation(self) -> dict[str, str]:
        """The ``cnf`` of tokens that are bound to this key."""
        return {"jkt": self.thumbprint}

    def proof(
        self,
        method: str,
        uri: str,
        token: str | None = None,
        *,
        nonce: str | None = None,
        claims: Mapping[str, Any] | None = None,
        header: Mapping[str, Any] | None = None,
    ) -> str:
        """Make the proof for one request (RFC 9449 §4.2).

        Args:
            method: the method of the request.
            uri: the whole URL of the request.
            token: the access token that is sent with it; ``None`` for a request to the token endpoint.
            nonce: the last ``DPoP-Nonce`` of the server.
            claims: claims to add or replace; ``None`` leaves one out.
            header: members of the header to add or replace, in the same way.

        Raises:
            ValueError, TypeError: an argument is invalid.
        """
        if not urlsplit(uri).netloc:
            raise ValueError(f"uri must be a whole URL such as 'https://api.example.com/notes', got {uri!r}")
        if token is not None and not isinstance(token, str):
            raise TypeError(f"token must be a string, got {kind_of(token)}")
        usual = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            # RFC 9449 §4.2: "without query and fragment parts".
            "htu": uri.partition("#")[0].partition("?")[0],
            "iat": int(CLOCK.wall()),
            "ath": None if token is None else encode_base64url(hashlib.sha256(token.encode()).digest()),
            "nonce": nonce,
        }
        members = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.jwk} | read_members("header", header)
        its_claims = usual | read_members("claims", claims)
        return sign_jwt(without_none(members), without_none(its_claims), self.algorithm, self._private)


def read_key(dpop: Any) -> DPoPKey | None:
    """The key that the argument ``dpop`` of a test client means: a new one for ``True``, none for ``False``."""
    if isinstance(dpop, DPoPKey):
        return dpop
    if not isinstance(dpop, bool):
        raise TypeError(f"dpop must be True or a DPoPKey, got {kind_of(dpop)}")
    return DPoPKey() if dpop else None


class ProofSender:
    """What a client keeps between its requests: its key, its token, and the last nonce of the site."""

    def __init__(self, key: DPoPKey, token: str) -> None:
        self._key = key
        self._token = token
        self._nonce: str | None = None

    def prove(self, method: str, uri: str) -> str:
        """The proof for the next request."""
        return self._key.proof(method, uri, self._token, nonce=self._nonce)

    def must_repeat(self, response: Any) -> bool:
        """Whether the site refuses the request for want of the nonce that it now gives (RFC 9449 §9)."""
        self._nonce = response.headers.get("DPoP-Nonce", self._nonce)
        challenge = response.headers.get("WWW-Authenticate", "")
        return response.status_code == 401 and 'error="use_dpop_nonce"' in challenge


class Exchange:
    """The requests that a client sends for one call: two if the site requires a nonce. The client sets each response.

    ``make`` creates a request with a new proof, or the request of the test if there is no proof to make.
    """

    def __init__(self, make: Callable[[], Mapping[str, Any]], sender: ProofSender | None) -> None:
        self._make = make
        self._sender = sender
        self.response: Any = None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for _ in range(_MOST_REQUESTS):
            yield self._make()
            if self._sender is None or not self._sender.must_repeat(self.response):
                return
