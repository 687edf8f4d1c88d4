"""What a guarded view of a framework answers: the same as a plain function, but for the framework's own headers."""

from typing import Any

from django.http import JsonResponse
from django.urls import include, path

from async_oauth_guard import ResourceProtector
from tests.answers import Answer, RawHeaders, bearer
from tests.conftest import Send
from tests.frameworks.conftest import GOOD, NARROW, UNKNOWN
from tests.frameworks.ways import Framework, MakeView, RestWitness, ViewGuards
from tests.sites import serving

REQUIRED = {"scopes": "profile email"}
OPTIONAL = {"scopes": "profile email", "optional": True}

REFUSED: dict[str, RawHeaders] = {
    "no header": [],
    "malformed": bearer(GOOD + " x"),
    "unknown token": bearer(UNKNOWN),
    "scope missing": bearer(NARROW),
    # The framework would answer in HTML.
    "browser": [*bearer(UNKNOWN), (b"accept", b"text/html")],
}


def check_answers(framework: Framework, make: MakeView, protector: ResourceProtector, send: Send) -> None:
    """A good token is let in; all others get what a guarded function of Django would answer, byte for byte."""
    witness = RestWitness()
    with serving(site(make(framework, witness, ViewGuards(protector, REQUIRED)), protector)):
        for headers in REFUSED.values():
            assert essence(send("/plain", headers)) == essence(send("/notes/", headers))
        assert witness.entered == 0
        let_in = send("/notes/", bearer(GOOD))
    assert let_in.json == {"token": True, "user": "alice"}
    assert let_in.members("Vary") >= {"authorization"}
    assert let_in.members("Cache-Control") == {"private"}
    assert witness.entered == 1

    with serving(site(make(framework, witness, ViewGuards(protector, OPTIONAL)), protector)):
        anonymous = send("/notes/")
    assert anonymous.json == {"token": False, "user": None}
    assert anonymous.members("Vary") >= {"authorization"}
    assert anonymous.members("Cache-Control") == set()


def site(view: Any, protector: ResourceProtector) -> list[Any]:
    """The framework's view at ``/notes/``, and a guarded function of Django at ``/plain``."""

    @protector(**REQUIRED)
    def plain(request: Any) -> JsonResponse:
        raise AssertionError("no request is let in here")

    notes = [path("", include(view))] if isinstance(view, list) else [path("notes/", view)]
    return [path("plain", plain), *notes]


def essence(answer: Answer) -> Any:
    """All that a guard answers. The framework adds ``Allow`` and members of ``Vary``."""
    headers = {(name, value) for name, value in answer.headers if name not in ("Allow", "Vary")}
    assert "authorization" in answer.members("Vary")
    return answer.status, headers, answer.body
