"""Examines one guarded view as clients see it: the challenge that they get, and whether their DPoP proofs count."""

import hashlib
import re
import secrets
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ...authorization_server.responses import shown
from ...guard.protector import ResourceProtector
from ...protocol.base64url import encode_base64url
from ...protocol.dpop import DPoP
from ...protocol.jwk import import_signing_key
from ...protocol.jwt import sign_jwt
from ...protocol.resource_metadata import PARAMETER
from ...protocol.secrets import Secret
from ...protocol.uris import origin_of
from ...validators.clock import CLOCK
from .examination import Finding, not_applicable, ok, problem
from .probe import ProbeResult
from .public import PublicAddress, fault_of_address, fault_of_status

__all__ = ["GuardedUrl", "ProofMaker"]

_ALGORITHM = "ES256"
_GUARDED = "Give --url the address of a view that a guard without optional=True protects, and that has a method GET."
_REFUSED = "invalid_dpop_proof"
# What a guard says of a token that does not exist, after it has accepted the proof.
_ACCEPTED = ("invalid_token", "use_dpop_nonce")
# How many times the window for `iat` is moved in each direction, to find the server's clock.
_MOVES = 4


class ProofMaker:
    """Makes DPoP proofs (RFC 9449 §4.2) with a key that is thrown away, for tokens that do not exist."""

    def __init__(self) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self._key = import_signing_key(Secret(pem))

    def make(self, method: str, uri: str, token: Secret[str], issued_at: float) -> Secret[str]:
        """The proof for one request with ``token``. ``uri`` has no query and no fragment."""
        claims = {
            "jti": secrets.token_urlsafe(16),
            "htm": method,
            "htu": uri,
            "iat": int(issued_at),
            "ath": encode_base64url(hashlib.sha256(token.reveal().encode()).digest()).decode(),
        }
        public = self._key.key.as_dict(private=False)
        return Secret(sign_jwt(claims, self._key, {"typ": "dpop+jwt", "jwk": public}))


class GuardedUrl:
    """A view, and what it responds at its public address.

    Args:
        url: its URL, as clients write it.
        protectors: those that guard views.
        address: sends the requests.
    """

    def __init__(self, url: str, protectors: Sequence[ResourceProtector], address: PublicAddress) -> None:
        self._url = url
        self._uri = url.partition("?")[0]
        self._address = address
        self._schemes = {scheme for each in protectors for scheme in each.by_scheme()}
        self._documents = {None if each.options.as_authlib else each.options.metadata_url for each in protectors}
        self._origins = [each.options.origin for each in protectors if each.options.dpop is not None]
        policies = (each.options.dpop for each in protectors)
        self._policy = next((policy for policy in policies if policy is not None), DPoP())
        self._challenge: str | None = None

    # --- the challenge ---

    def challenge(self) -> Iterator[Finding]:
        """Report whether a request without a token gets the guard's challenge, with the right metadata."""
        result = self._address.send(self._url, {})
        response = result.value
        if response is None:
            yield fault_of_address(result)
        elif response.status != 401:
            yield fault_of_status(self._url, response.status, _GUARDED)
        else:
            yield self._examine_challenge(response.fields.get("WWW-Authenticate", ""))

    def _examine_challenge(self, header: str) -> Finding:
        if not any(re.search(rf"\b{re.escape(scheme)}\b", header, re.IGNORECASE) for scheme in self._schemes):
            return problem(
                f"{shown(self._url)} responds with 401, but without the challenge of a guard.",
                f"Let the proxy pass on the header WWW-Authenticate, and require no other login. {_GUARDED}",
                fault="challenge",
            )
        self._challenge = header
        named = _values(PARAMETER, header)
        is_missing = not named and None not in self._documents
        if is_missing or not {*named} <= self._documents:
            expected = " or ".join(sorted(each for each in self._documents if each is not None)) or "none"
            return problem(
                f"The challenge of {shown(self._url)} must name the metadata {expected}, got "
                f"{', '.join(named) or 'none'}.",
                "Restart the site if you have changed its settings, and let the proxy pass on the header "
                "WWW-Authenticate unchanged.",
                fault="resource-metadata",
            )
        return ok(f"{shown(self._url)} responds with the challenge of a guard.")

    # --- proofs ---

    def proofs(self) -> Iterator[Finding]:
        """Report whether the site accepts a proof for this URL, made now by this machine.

        The key of the proof is new, and its token does not exist: a guard checks proofs first.
        """
        if self._challenge is None:
            yield not_applicable("It is not known whether the view accepts DPoP proofs: see challenge.")
            return
        algorithms = " ".join(_values("algs", self._challenge)).split()
        if _ALGORITHM not in algorithms:
            yield not_applicable(f"The view accepts no DPoP proofs with the algorithm {_ALGORITHM}.")
            return
        maker = ProofMaker()
        result = self._present(maker, self._uri)
        error = _error_of(result)
        if error in _ACCEPTED:
            yield ok(f"The site accepts a DPoP proof for {shown(self._url)}.")
        elif error == _REFUSED:
            yield self._find_origin(maker) or self._find_clock(maker) or self._unknown_fault()
        else:
            yield self._fault_of_token(result)

    def _present(self, maker: ProofMaker, uri: str, offset: float = 0.0) -> ProbeResult:
        """Send a proof for ``uri`` that was made ``offset`` seconds from now, with a token that does not exist."""
        token = Secret(f"oauth-doctor-{secrets.token_urlsafe(32)}")
        proof = maker.make("GET", uri, token, CLOCK.wall() + offset)
        return self._address.send(self._url, {"Authorization": Secret(f"DPoP {token.reveal()}"), "DPoP": proof})

    def _accepts(self, maker: ProofMaker, uri: str, offset: float = 0.0) -> bool:
        return _error_of(self._present(maker, uri, offset)) in _ACCEPTED

    def _find_clock(self, maker: ProofMaker) -> Finding | None:
        """Find out whether the site accepts proofs of another time."""
        max_age, leeway = self._policy.max_age, self._policy.leeway
        for offset in (sign * move * (max_age + leeway) for move in range(1, _MOVES + 1) for sign in (1, -1)):
            if not self._accepts(maker, self._uri, offset):
                continue
            # A proof counts from `leeway` before to `max_age` after it was made, by the site's clock.
            at_least, at_most, where = offset - leeway, offset + max_age, "ahead of"
            if offset < 0:
                at_least, at_most, where = -at_most, -at_least, "behind"
            return problem(
                f"The site refuses a DPoP proof that was made now: its clock is {at_least:g} to {at_most:g} s {where} "
                "that of this machine.",
                "Synchronize the clocks of this machine and of all machines of the site with NTP.",
                fault="clock",
                at_least=at_least,
                at_most=at_most,
                where=where,
            )
        return None

    def _find_origin(self, maker: ProofMaker) -> Finding | None:
        """Find out whether the site takes another address for its own."""
        parts, own = urlsplit(self._uri), origin_of(self._uri)
        near = (f"{scheme}://{host}" for scheme in ("http", "https") for host in (parts.netloc, parts.hostname))
        others = dict.fromkeys([*near, *(each for each in self._origins if each is not None)])
        for other in (each for each in others if each != own):
            if self._accepts(maker, f"{other}{parts.path}"):
                return problem(
                    f"The site refuses DPoP proofs for {own}, because it takes {other} for its address.",
                    f'Set OAUTH_GUARD["PUBLIC_ORIGIN"], or public_origin=, to "{own}", and restart the site.',
                    fault="origin",
                    origin=other,
                )
        return None

    def _unknown_fault(self) -> Finding:
        return problem(
            f"The site refuses a DPoP proof for {shown(self._url)}.",
            f'Set OAUTH_GUARD["PUBLIC_ORIGIN"], or public_origin=, to "{origin_of(self._uri)}", and restart the site. '
            "Let the proxy pass on the path unchanged, and the header DPoP. The reason in the log of the site says "
            "what is wrong: wrong_proof_uri for the address or the path, missing_proof for the header.",
            fault="proof",
        )

    def _fault_of_token(self, result: ProbeResult) -> Finding:
        response = result.value
        if response is None:
            return fault_of_address(result)
        if response.status == 401:
            return problem(
                f"{shown(self._url)} responds to a request with a token as to one without: the header Authorization "
                "does not arrive.",
                "Let the proxy and the server pass on the header Authorization. mod_wsgi, for example, needs "
                "WSGIPassAuthorization On.",
                fault="authorization",
            )
        return fault_of_status(self._url, response.status, "A token that does not exist must get 401 from the guard.")


def _error_of(result: ProbeResult) -> str | None:
    """The error code in the challenge of a 401, if there is one."""
    response = result.value
    if response is None or response.status != 401:
        return None
    return next(iter(_values("error", response.fields.get("WWW-Authenticate", ""))), None)


def _values(parameter: str, header: str) -> Sequence[str]:
    return re.findall(rf'(?<![\w-]){parameter}="([^"]*)"', header)
