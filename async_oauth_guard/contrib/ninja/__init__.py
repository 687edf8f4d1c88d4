"""Django Ninja: `OAuth` for ``auth=``, and `install` for error responses and the OpenAPI document."""

from typing import Any

from ninja import NinjaAPI

from ...guard.ninja_operations import INSTALLED
from .auth import OAuth
from .docs_page import install_docs_page
from .document import Document
from .responses import install_responses

__all__ = ["OAuth", "install"]


def install(
    api: NinjaAPI,
    *,
    authorization_url: str | None = None,
    token_url: str | None = None,
    client_id: str | None = None,
) -> None:
    """Complete an API that has guarded operations. Call it right after ``NinjaAPI()``, before routers are added.

    Refusals of `OAuth` become the responses of a guarded view. All responses to requests that it decided about get
    ``Vary`` and ``Cache-Control: private``. The OpenAPI document gets a security scheme, the scopes of each operation,
    and shared error responses. The *Authorize* button of the docs page works.

    Args:
        api: the API.
        authorization_url: the authorization endpoint. Default: that in the metadata of the issuer.
        token_url: the token endpoint. Default: that in the metadata of the issuer.
        client_id: the client that the docs page proposes.
    """

    def get_openapi_schema(*, path_prefix: str | None = None, path_params: dict[str, Any] | None = None) -> Document:
        prefix = api.get_root_path(path_params or {}) if path_prefix is None else path_prefix
        return Document(api, prefix, authorization_url, token_url)

    install_responses(api)
    install_docs_page(api, client_id)
    api.get_openapi_schema = get_openapi_schema  # type: ignore[method-assign]
    setattr(api, INSTALLED, True)
