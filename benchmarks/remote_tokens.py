"""The keys and tokens of the benchmark's own authorization server, in a folder that its processes share."""

import dataclasses
import hashlib
import json
import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any, Final

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from .contenders import GRANTED_SCOPE, token_string
from .project.settings_names import AUTHORITY_VARIABLE

AUDIENCE: Final = "https://api.example.com"
CLIENT_ID: Final = "bench"
CLIENT_SECRET: Final = "a secret for benchmarks only"
# The token that a client brings is one of these: each is verified, or asked about, long before its turn is counted.
KNOWN_TOKENS: Final = 256
LIFETIME: Final = 7 * 86_400
ALGORITHMS: Final = ("RS256", "ES256")


@dataclasses.dataclass(frozen=True, slots=True)
class Remote:
    """Where the authorization server is, and where its keys and tokens are kept."""

    issuer: str
    folder: pathlib.Path

    @classmethod
    def from_environment(cls) -> "Remote":
        issuer, folder = json.loads(os.environ[AUTHORITY_VARIABLE])
        return cls(issuer, pathlib.Path(folder))

    @property
    def tokens_file(self) -> pathlib.Path:
        return self.folder / "tokens"

    @property
    def keys_file(self) -> pathlib.Path:
        return self.folder / "keys.json"

    @property
    def public_keys(self) -> KeySet:
        return KeySet.import_key_set(KeySet.import_key_set(self.private_keys).as_dict(private=False))

    @property
    def private_keys(self) -> Any:
        return json.loads(self.keys_file.read_text())

    @property
    def known_tokens(self) -> list[str]:
        return self.tokens_file.read_text().split()

    def mint(self, algorithm: str, numbers: Sequence[int]) -> list[str]:
        """Access tokens of RFC 9068, each with a ``jti`` of its own."""
        key = next(key for key in KeySet.import_key_set(self.private_keys).keys if key.kid == algorithm)
        header = {"alg": algorithm, "typ": "at+jwt", "kid": algorithm}
        return [jwt.encode(header, self.claims(number), key) for number in numbers]

    def claims(self, number: int) -> dict[str, Any]:
        now = int(time.time())
        return {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "42",
            "client_id": CLIENT_ID,
            "scope": GRANTED_SCOPE,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": hashlib.sha256(f"jti {number}".encode()).hexdigest()[:32],
        }


def make_keys(path: pathlib.Path) -> None:
    keys: list[Any] = [
        RSAKey.generate_key(2048, {"kid": "RS256", "alg": "RS256", "use": "sig"}),
        ECKey.generate_key("P-256", {"kid": "ES256", "alg": "ES256", "use": "sig"}),
    ]
    path.write_text(json.dumps(KeySet(keys).as_dict(private=True)))


def opaque_tokens() -> list[str]:
    return [token_string(index) for index in range(KNOWN_TOKENS)]


def known_token(index: int) -> str:
    """One that the measured site accepts, whatever vouches for it."""
    if AUTHORITY_VARIABLE in os.environ:
        return Remote.from_environment().known_tokens[index]
    return token_string(index)
