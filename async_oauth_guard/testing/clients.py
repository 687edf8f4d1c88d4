"""Django's test clients, with a token."""

import copy
from contextlib import AbstractContextManager, nullcontext
from http.cookies import SimpleCookie
from typing import Any, Self

from django.test import AsyncClient, Client

from .override import override_oauth

__all__ = ["AsyncOAuthClient", "OAuthClient"]


class _OAuth:
    """What both clients have: a token for their requests, and cookies that they share with the client they are from."""

    _override: override_oauth | None = None
    _jar: list[SimpleCookie]
    defaults: dict[str, Any]

    @property
    def cookies(self) -> SimpleCookie:
        """The cookies of this client, and of those that `oauth` made of it."""
        return self._jar[0]

    @cookies.setter
    def cookies(self, cookies: SimpleCookie) -> None:
        # Django puts a new object in their place to log out: for all that share them.
        if "_jar" not in vars(self):
            self._jar = []
        self._jar[:] = [cookies]

    def oauth(self, *args: Any, **kwargs: Any) -> Self:
        """A client like this one, with its defaults and its cookies, whose requests have a token.

        It takes what `override_oauth` takes, and raises what that raises: ``client.oauth("profile", user=user)``,
        ``client.oauth(error=Reason.EXPIRED)``.
        """
        client = copy.copy(self)
        client.defaults = dict(self.defaults)
        client._override = override_oauth(*args, **kwargs)
        return client

    def _overridden(self) -> AbstractContextManager[Any]:
        return nullcontext() if self._override is None else self._override.anew()


class OAuthClient(_OAuth, Client):  # pyright: ignore[reportIncompatibleVariableOverride]
    """``django.test.Client`` with a method `oauth`."""

    def request(self, **request: Any) -> Any:
        """Send a request with this client's token."""
        with self._overridden():
            return super().request(**request)


class AsyncOAuthClient(_OAuth, AsyncClient):  # type: ignore[misc]
    """``django.test.AsyncClient`` with a method `oauth`."""

    async def request(self, **request: Any) -> Any:
        """Send a request with this client's token."""
        with self._overridden():
            return await super().request(**request)
