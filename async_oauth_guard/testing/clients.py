"""Django's test clients, with a token."""

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from http.cookies import SimpleCookie
from typing import Any, Self

from django.conf import settings
from django.http import HttpRequest
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.test.client import FakePayload
from django.urls import Resolver404, resolve

from ..conf import SETTING
from ..diagnostics.routes import guards_of
from ..guard.context import target_uri
from ..guard.mixins import require_oauth
from .dpop import DPoPKey, Exchange, ProofSender, read_key
from .override import PRESENTED, override_oauth

__all__ = ["AsyncOAuthClient", "OAuthClient"]


class _OAuth:
    """What both clients have: a token for their requests, and cookies that they share with copies from `oauth`."""

    _override: override_oauth | None = None
    _sender: ProofSender | None = None
    _jar: list[SimpleCookie]
    # The key of the body in the arguments of `request`. These are a WSGI environment, or an ASGI scope.
    _body: str = "wsgi.input"
    defaults: dict[str, Any]

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies of this client. Clients that `oauth` made from it share them."""
        return self._jar[0]

    @cookies.setter
    def cookies(self, cookies: SimpleCookie) -> None:
        # To log out, Django assigns a new object: replace the cookies of all clients that share them.
        if "_jar" not in vars(self):
            self._jar = []
        self._jar[:] = [cookies]

    def oauth(self, *args: Any, dpop: bool | DPoPKey = False, **kwargs: Any) -> Self:
        """A client with the same defaults and cookies, whose requests have a token.

        The other arguments and the errors are those of `override_oauth`: ``client.oauth("profile", user=user)``,
        ``client.oauth(error=Reason.EXPIRED)``.

        Args:
            dpop: bind the token to a new key, or to this one, unless ``confirmation`` or ``token`` says otherwise. Each
                request is sent with the scheme ``DPoP`` and a new proof, which the guard checks. If the site requires a
                nonce, the request is sent once more. A request that has a header ``DPoP`` already is sent as it is.
        """
        client = copy.copy(self)
        client.defaults = dict(self.defaults)
        key = read_key(dpop)
        if key is None:
            client._override, client._sender = override_oauth(*args, **kwargs), None
            return client
        if not kwargs.keys() & {"confirmation", "token", "error"}:
            kwargs["confirmation"] = key.confirmation
        client._override = override_oauth(*args, **kwargs)._with_proofs()
        client._sender = ProofSender(key, PRESENTED.reveal())
        return client

    def _overridden(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._override is None else self._override.anew()

    def _exchange(self, request: Mapping[str, Any], build: Callable[..., HttpRequest]) -> Exchange:
        """The requests to send for one. ``build`` makes Django's request of such arguments."""
        sender = self._sender
        built = None if sender is None else build(**self._repeatable(request, None))
        if sender is None or built is None or "DPoP" in built.headers:
            return Exchange(lambda: request, None)
        method, uri = str(built.method), _address_of(built)
        body = request[self._body].read() if self._body in request else None
        return Exchange(lambda: self._with_proof(self._repeatable(request, body), sender.prove(method, uri)), sender)

    def _repeatable(self, request: Mapping[str, Any], body: bytes | None) -> dict[str, Any]:
        """The same arguments, for another request: Django consumes the body."""
        return dict(request) if body is None else {**request, self._body: FakePayload(body)}

    def _with_proof(self, request: dict[str, Any], proof: str) -> Mapping[str, Any]:
        return {**request, "HTTP_DPOP": proof}


def _address_of(request: HttpRequest) -> str:
    """The address of a request as clients of the site know it: the protector that guards the view says its origin."""
    try:
        guards = guards_of(resolve(request.path_info).func, request.method)
    except Resolver404:
        guards = ()
    if guards:
        return target_uri(guards[0].protector.options, request)
    # A view without a guard may call `acquire_token`.
    return target_uri(require_oauth.options, request) if hasattr(settings, SETTING) else request.build_absolute_uri()


class OAuthClient(_OAuth, Client):  # pyright: ignore[reportIncompatibleVariableOverride]
    """``django.test.Client`` with a method `oauth`."""

    def request(self, **request: Any) -> Any:
        """Send a request with this client's token."""
        exchange = self._exchange(request, RequestFactory(**self.defaults).request)
        with self._overridden():
            for each in exchange:
                exchange.response = super().request(**each)
        return exchange.response


class AsyncOAuthClient(_OAuth, AsyncClient):  # type: ignore[misc]
    """``django.test.AsyncClient`` with a method `oauth`."""

    _body = "_body_file"

    async def request(self, **request: Any) -> Any:
        """Send a request with this client's token."""
        exchange = self._exchange(request, AsyncRequestFactory(**self.defaults).request)
        with self._overridden():
            for each in exchange:
                exchange.response = await super().request(**each)
        return exchange.response

    def _repeatable(self, request: Mapping[str, Any], body: bytes | None) -> dict[str, Any]:
        # Django adds the cookies to this list.
        return super()._repeatable(request, body) | {"headers": [*request["headers"]]}

    def _with_proof(self, request: dict[str, Any], proof: str) -> Mapping[str, Any]:
        return {**request, "headers": [*request["headers"], (b"dpop", proof.encode())]}
