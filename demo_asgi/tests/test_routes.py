"""Every view is guarded, unless it is public."""

import pytest
from django.test import Client

from async_oauth_guard.testing import Route, assert_guarded, iter_routes

PUBLIC = {"index", "health", "feedback"}


def is_public(route: Route) -> bool:
    """Whether a view is public: those named above, and the front page with its files and endpoints."""
    return route.name in PUBLIC or route.path.startswith("/page/")


@pytest.mark.parametrize(
    "route", [route for route in iter_routes() if not is_public(route)], ids=lambda each: each.path
)
def test_guarded(route: Route) -> None:
    """Every other view is guarded. New views are tested too, without being named here."""
    assert_guarded(route.callback)


def test_public_views_exist() -> None:
    """Each public view exists and is not guarded."""
    public = {route.name: route.is_guarded for route in iter_routes() if route.name in PUBLIC}
    assert public == dict.fromkeys(PUBLIC, False)


@pytest.mark.parametrize("path", ["/", "/health"])
def test_public_views_need_no_token(client: Client, path: str) -> None:
    """Public views respond without a token."""
    assert client.get(path).status_code == 200


def test_feedback_is_checked_for_csrf() -> None:
    """Django's CSRF check applies to an unguarded view."""
    client = Client(enforce_csrf_checks=True)
    assert client.post("/feedback").status_code == 403
