"""The requests of the front page's scripts, without a browser."""

import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from tests.demo.processes import DEADLINE

_serial = itertools.count(1)


class PageClient:
    """Sends the same requests as the page's scripts."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.http = httpx.Client(base_url=origin, trust_env=False, timeout=30)

    def close(self) -> None:
        self.http.close()

    def post(self, name: str, **message: Any) -> dict[str, Any]:
        response = self.http.post(f"/page/{name}", json=message)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document

    def views(self) -> list[dict[str, Any]]:
        views: list[dict[str, Any]] = self.http.get("/page/views").json()["views"]
        return views

    def authority(self) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get("/page/status").json()["authority"]
        return state

    def tokens(self, *, fresh: bool = False, grid: str = "tokens") -> dict[str, str | None]:
        return {name: token["token"] for name, token in self.samples(fresh=fresh, grid=grid).items()}

    def samples(self, *, fresh: bool = False, grid: str = "tokens") -> dict[str, dict[str, Any]]:
        """The sample tokens of one table, by name."""
        all_tokens = self.post("tokens", fresh=fresh)["tokens"]
        return {token["name"]: token for token in all_tokens if token["grid"] == grid}

    def present(self, path: str, token: str | None, method: str = "GET") -> tuple[int, str | None]:
        """The status of the response, and the reason that the page gets."""
        name = f"test-{next(_serial)}"
        response = self.http.request(method, path, headers={"X-Demo-Request": name, **bearer(token)})
        return response.status_code, self.post("reasons", names=[name])["reasons"][name]

    def send_as_client(self, path: str, token: Mapping[str, Any]) -> tuple[int, str | None, str | None]:
        """The status, the error and the reason, for the client of a sample token."""
        response, headers = self._attempt(path, token)
        nonce = response.headers.get("DPoP-Nonce")
        if nonce and token["uses_nonce"]:
            response, headers = self._attempt(path, token, nonce)
        if token["replays"]:
            response, headers = self._send(path, headers)
        error = re.search(r'error="(\w+)"', response.headers.get("WWW-Authenticate", ""))
        name = headers["X-Demo-Request"]
        return response.status_code, error and error[1], self.post("reasons", names=[name])["reasons"][name]

    def _attempt(self, path: str, token: Mapping[str, Any], nonce: str = "") -> tuple[httpx.Response, dict[str, str]]:
        headers = {"Authorization": f"{token['scheme']} {token['token']}"}
        if token["scheme"] == "DPoP":
            proven = {"key": token["key"], "method": "GET", "uri": path, "token": token["token"]}
            headers["DPoP"] = self.http.post("/page/proof", data=proven | ({"nonce": nonce} if nonce else {})).text
        if token["client_cert"]:
            headers["Client-Cert"] = token["client_cert"]
        return self._send(path, headers)

    def _send(self, path: str, headers: Mapping[str, str]) -> tuple[httpx.Response, dict[str, str]]:
        named = {**headers, "X-Demo-Request": f"test-{next(_serial)}"}
        return self.http.get(path, headers=named), named

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        """Give the authorization server a fault during the block, then wait until the guards have recovered."""
        self.post("authority", **{name: True})
        try:
            yield
        finally:
            self.post("authority", **{name: False})
            until(self.has_recovered)

    def has_recovered(self) -> bool:
        """Whether every guard sends requests to the authorization server again."""
        tokens = self.tokens(fresh=True)
        paths = ("/introspection/fresh", "/any/async", "/jwt/async")
        names = ("opaque", "opaque", "jwt")
        return all(self.present(path, tokens[name])[0] == 200 for path, name in zip(paths, names, strict=True))


def bearer(token: str | None) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def until(holds: Callable[[], bool]) -> None:
    """Repeat ``holds`` until it is true, or fail at the deadline."""
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "the condition did not become true"
