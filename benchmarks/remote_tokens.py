"""The keys and tokens of the benchmark's authorization server, in a folder that all processes share."""

import dataclasses
import json
import os
import pathlib
import urllib.request
from typing import Any, Final

from joserfc.jwk import KeySet

from .contenders import Tokens, opaque_tokens
from .project.settings_names import AUTHORITY_VARIABLE

AUDIENCE: Final = "https://api.example.com"
CLIENT_ID: Final = "bench"
CLIENT_SECRET: Final = "a secret for benchmarks only"
LIFETIME: Final = 7 * 86_400
ALGORITHMS: Final = ("RS256", "ES256")


@dataclasses.dataclass(frozen=True, slots=True)
class Remote:
    """The address of the authorization server, and the folder with its tokens."""

    issuer: str
    folder: pathlib.Path

    @classmethod
    def from_environment(cls) -> "Remote":
        issuer, folder = json.loads(os.environ[AUTHORITY_VARIABLE])
        return cls(issuer, pathlib.Path(folder))

    @property
    def jwts_file(self) -> pathlib.Path:
        """The JWTs that clients present in rotation."""
        return self.folder / "jwts"

    @property
    def state_file(self) -> pathlib.Path:
        """The keys of the server, which it keeps when it stops."""
        return self.folder / "state"

    @property
    def public_keys(self) -> KeySet:
        return KeySet.import_key_set(self.get("/jwks"))

    def public_key(self, algorithm: str) -> Any:
        """The key as an object of `cryptography`."""
        keys: list[Any] = self.public_keys.keys
        return next(key.public_key for key in keys if key.get("alg") == algorithm)

    def mint(self, algorithm: str, number: int, thumbprint: str = "") -> list[str]:
        """Access tokens of RFC 9068, each with a different ``jti``, bound to the key of ``thumbprint`` if given."""
        tokens: list[str] = self.get(f"/mint/{algorithm}/{number}/{thumbprint}")
        return tokens

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.issuer + path) as response:
            return json.load(response)


def known_tokens(kind: Tokens) -> list[str]:
    """The tokens that clients present in rotation."""
    return Remote.from_environment().jwts_file.read_text().split() if kind == "jwt" else opaque_tokens()
