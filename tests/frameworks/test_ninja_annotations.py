"""Operations of Ninja whose annotations are strings, as ``from __future__ import annotations`` makes them."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI, Schema

from async_oauth_guard import ResourceProtector
from tests.answers import bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD
from tests.sites import MODES, serving

pytestmark = pytest.mark.django_db


class Note(Schema):
    text: str


def sync_notes(request: HttpRequest, note: Note) -> dict[str, Any]:
    return {"text": note.text}


async def async_notes(request: HttpRequest, note: Note) -> dict[str, Any]:
    return {"text": note.text}


@pytest.mark.parametrize("place", ["below", "above"])
@pytest.mark.parametrize("mode", MODES)
def test_annotations(place: str, mode: str, protector: ResourceProtector, send: Send) -> None:
    """Ninja reads them where the function was written, not where the guard was."""
    api = NinjaAPI()
    notes: Any = sync_notes if mode == "def" else async_notes
    register = api.post("/notes")
    register(protector(notes)) if place == "below" else protector(register(notes))
    with serving([path("api/", api.urls)]):
        headers = [*bearer(GOOD), (b"content-type", b"application/json")]
        assert send("/api/notes", headers, method="POST", body=b'{"text": "a"}').json == {"text": "a"}
