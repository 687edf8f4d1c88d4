"""Credentials of requests, sent as raw header lines through both servers' handlers to sync and async views."""

import pytest
from django.db.backends.utils import CursorWrapper

from async_oauth_guard import BearerTokenValidator, ResourceProtector
from tests.answers import RawHeaders, bearer
from tests.conftest import Committed, Send
from tests.rfc9110 import Challenge
from tests.site.models import OAuth2Token
from tests.sites import MODES, Witness, serving

pytestmark = pytest.mark.django_db

GOOD, OTHER = "Good-._~+/42", "other"


def raw(*values: bytes) -> RawHeaders:
    return [(b"authorization", value) for value in values]


# Expected: 200; 401 without and with an error code (`401-`, `401T`); 400 (`400R`).
ROWS = [
    ("R1", "Bearer", bearer(GOOD), "200"),
    ("R2", "lower case", bearer(GOOD, "bearer"), "200"),
    ("R2", "upper case", bearer(GOOD, "BEARER"), "200"),
    ("R2", "mixed case", bearer(GOOD, "bEaReR"), "200"),
    ("R3", "two spaces", bearer(" " + GOOD), "200"),
    ("R3", "padding", bearer(GOOD + "=="), "401T"),
    ("R3", "white space around the field", raw(b" \tBearer " + GOOD.encode() + b" \t"), "200"),
    ("R3", "tab", raw(b"Bearer\t" + GOOD.encode()), "400R"),
    ("R3", "something after", bearer(GOOD + " x"), "400R"),
    ("R3", "quoted", bearer('"T"'), "400R"),
    ("R3", "equals sign", raw(b"Bearer=T"), "400R"),
    ("R3", "comma", bearer(GOOD + ",U"), "400R"),
    ("R3", "parameter", bearer('token="T"'), "400R"),
    ("R3", "padding alone", bearer("==="), "400R"),
    ("R3", "padding within", bearer("a=b"), "400R"),
    ("R3", "scheme alone", raw(b"Bearer"), "400R"),
    ("R3", "control character", bearer("go\x01od"), "400R"),
    ("R3", "NUL", bearer("go\x00od"), "400R"),
    ("R3", "byte above ASCII", bearer("g\xf6\xf6d"), "400R"),
    ("R3", "no-break space", raw(b"Bearer\xa0" + GOOD.encode()), "400R"),
    ("R3", "no-break space after", raw(b"Bearer " + GOOD.encode() + b"\xa0"), "400R"),
    ("R3", "vertical tab", raw(b"Bearer\x0b" + GOOD.encode()), "400R"),
    ("R3", "percent", bearer("%67ood"), "400R"),
    ("R4", "no header", [], "401-"),
    ("R4", "empty", raw(b""), "401-"),
    ("R4", "blank", raw(b" \t "), "401-"),
    ("R5", "Basic", raw(b"Basic Zm9vOmJhcg=="), "401-"),
    ("R5", "Negotiate", raw(b"Negotiate x"), "401-"),
    ("R5", "longer scheme", bearer(GOOD, "BearerX"), "401-"),
    ("R5", "DPoP", bearer(GOOD, "DPoP"), "401-"),
    ("R5", "token alone", raw(GOOD.encode()), "401-"),
    ("R5", "garbage", raw(b"\xff\xfe\xfd"), "401-"),
    ("R7", "the same twice", bearer(GOOD) + bearer(GOOD), "400R"),
    ("R7", "two tokens", bearer(GOOD) + bearer(OTHER), "400R"),
    ("R7", "Bearer and Basic", bearer(GOOD) + raw(b"Basic Zm9vOmJhcg=="), "400R"),
    ("R7", "Basic and Bearer", raw(b"Basic Zm9vOmJhcg==") + bearer(GOOD), "400R"),
    ("R7", "Bearer and DPoP", bearer(GOOD) + bearer(GOOD, "DPoP"), "400R"),
    ("R7", "DPoP and Bearer", bearer(GOOD, "DPoP") + bearer(GOOD), "400R"),
    ("R10", "cookie", [(b"cookie", b"access_token=" + GOOD.encode())], "401-"),
    ("R11", "Proxy-Authorization", [(b"proxy-authorization", b"Bearer " + GOOD.encode())], "401-"),
    ("R12", "over-long", bearer("x" * 1_048_576), "401T"),
    ("R12", "over-long, no token68", bearer("x" * 1_048_576 + "!"), "401T"),
]
STATUS = {"200": 200, "401-": 401, "401T": 401, "400R": 400}
ERROR = {"200": None, "401-": None, "401T": "invalid_token", "400R": "invalid_request"}


@pytest.fixture(scope="module", autouse=True)
def _tokens(committed: Committed) -> None:
    committed.token(access_token=GOOD)
    committed.token(access_token=OTHER)


@pytest.fixture
def protector() -> ResourceProtector:
    return ResourceProtector(BearerTokenValidator(OAuth2Token))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("row", "name", "headers", "expected"), ROWS, ids=[f"{row}-{name}" for row, name, *_ in ROWS])
def test_headers(
    row: str, name: str, headers: RawHeaders, expected: str, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """R1 to R5, R7, R10 to R12: each header gets the answer of its row, and only good credentials enter the view."""
    witness = Witness()
    with serving(protector(witness.view(mode))):
        answer = send("/", headers)
    assert answer.status == STATUS[expected]
    assert witness.entered == (expected == "200")
    challenges = answer.challenges
    assert [challenge.scheme for challenge in challenges] == ([] if expected == "200" else ["bearer"])
    assert [challenge.parameters.get("error") for challenge in challenges] == ([ERROR[expected]] if challenges else [])
    assert all(challenge.parameters["realm"] == "api" for challenge in challenges)


@pytest.mark.parametrize("mode", MODES)
def test_query_string(mode: str, protector: ResourceProtector, send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """R8: a token in the query string is neither read nor logged."""
    caplog.set_level("DEBUG")
    query = b"access_token=" + GOOD.encode()
    with serving(protector(Witness().view(mode))):
        assert send("/", query=query).status == 401
        assert send("/", bearer(OTHER), query=query).status == 200
        assert send("/", bearer("unknown"), query=query).status == 401
    assert GOOD not in caplog.text


FORMS = [
    ("form", b"application/x-www-form-urlencoded", b"access_token=" + GOOD.encode()),
    ("twice", b"application/x-www-form-urlencoded", b"access_token=a&access_token=b"),
    ("multipart", b"multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--\r\n"),
    ("JSON", b"application/json", b'{"access_token": "Good"}'),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
@pytest.mark.parametrize(("name", "content_type", "body"), FORMS, ids=[name for name, *_ in FORMS])
def test_bodies(
    name: str, content_type: bytes, body: bytes, method: str, mode: str, protector: ResourceProtector, send: Send
) -> None:
    """R9: a token in the body is never read, so there is nothing presented."""
    with serving(protector(Witness().view(mode))):
        answer = send("/", [(b"content-type", content_type)], method=method, body=body)
    assert answer.status == 401
    assert answer.challenges == [Challenge("bearer", None, {"realm": "api"})]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "headers",
    [[], bearer("x" * 40_000), bearer("x" * 256), bearer("a b"), raw(b"Basic x"), bearer("x") + bearer("x")],
    ids=["none", "over-long", "longer than the column", "malformed", "other scheme", "repeated"],
)
def test_no_query_for_what_can_be_no_token(
    headers: RawHeaders, mode: str, protector: ResourceProtector, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: whatever is refused before it can be a token costs no query."""
    queries: list[str] = []

    def execute(self: CursorWrapper, sql: str, params: object = None) -> object:
        queries.append(sql)
        return self._execute_with_wrappers(sql, params, many=False, executor=self._execute)

    monkeypatch.setattr(CursorWrapper, "execute", execute)
    with serving(protector(Witness().view(mode))):
        assert send("/", headers).status in {400, 401}
        assert queries == []
        assert send("/", bearer(GOOD)).status == 200
        assert len(queries) >= 1
