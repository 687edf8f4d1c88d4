"""The second table of the demo's front page: clients with bound tokens and with logins."""

import re
import shlex

import pytest

from tests.demo import visits
from tests.demo.page import PageClient
from tests.demo.visits import DONE, Visit, expect

# Starts a browser.
pytestmark = pytest.mark.slow

chromium, client, visit = visits.chromium, visits.client, visits.visit


def test_each_result_is_the_same_without_a_browser(visit: Visit, client: PageClient) -> None:
    """Statuses and reasons are those of the same requests without a browser."""
    tokens = client.samples(grid="bound")
    paths = [view["path"] for view in client.views() if view["grid"] == "bound"]
    expected = [client.send_as_client(path, token) for token in tokens.values() for path in paths]
    expect(visit.page.locator("#bound-summary")).to_have_text(DONE)
    data: list[dict[str, str]] = visit.page.locator("#bound button").evaluate_all(
        "cells => cells.map(({dataset}) => ({...dataset}))"
    )
    assert [(int(cell["status"]), cell["reason"] or None) for cell in data] == [
        (status, reason) for status, _, reason in expected
    ]


def test_the_meaning_of_a_challenge(visit: Visit) -> None:
    """The page says what the client must do, and after two requests, what the first response was."""
    detail = visit.page.locator("#bound-detail")
    for token, path, meaning in (
        ("Bound to a key (DPoP), Stolen", "/dpop/async", "a stolen token is useless"),
        ("Bound to a key (DPoP), Another key", "/dpop/async", "another key or certificate"),
        ("Bound to a key (DPoP), Replayed", "/dpop/async", "cannot send it again"),
        ("Bound to a key (DPoP), No nonce", "/nonce/sync", "The response has a DPoP-Nonce."),
        ("Bound to a certificate, No certificate", "/mtls/async", "neither its key nor its certificate"),
        ("Of a login, An hour ago", "/payment/sync", "see acr_values and max_age"),
        ("Bound to a certificate, Right certificate", "/dpop/async", "accepts only other kinds of tokens"),
    ):
        visit.cell(token, path).focus()
        expect(detail).to_contain_text(meaning)
    visit.cell("Bound to a key (DPoP), Right key", "/nonce/sync").focus()
    expect(detail).to_contain_text("200 OK, after 401 use_dpop_nonce to the first request")


def test_tokens_of_another_kind_are_muted(visit: Visit, client: PageClient) -> None:
    """A refusal is muted exactly if the view accepts only other kinds of tokens."""
    accepted = {view["path"]: view["accepts"] for view in client.views()}
    for grid in ("tokens", "bound"):
        expect(visit.page.locator(f"#{grid}-summary")).to_have_text(DONE)
        paths = [view["path"] for view in client.views() if view["grid"] == grid]
        kinds = [token["kind"] for token in client.samples(grid=grid).values()]
        expected = [kind is not None and kind not in accepted[path] for kind in kinds for path in paths]
        texts = visit.page.locator(f"#{grid} button").all_inner_texts()
        assert ["token of another kind" in text for text in texts] == expected


def test_proofs_and_certificates_are_in_the_request(visit: Visit) -> None:
    """A proof is made when the request is sent, and again for the shell; a certificate is in the proxy's header."""
    page = visit.page
    request, curl = page.locator("#raw-request"), page.locator("#curl")
    visit.page.get_by_label("View", exact=True).select_option("GET /dpop/sync")
    page.get_by_label("Token", exact=True).select_option("bound")
    assert page.get_by_label("Scheme", exact=True).input_value() == "DPoP"
    expect(request).to_contain_text("DPoP: (a proof, signed by the client when the request is sent)")
    page.get_by_role("button", name="Send the request").click()
    expect(page.locator("#sent")).to_have_text("✓ 200, let in")
    expect(request).to_contain_text(re.compile(r"^DPoP: [\w-]+\.[\w-]+\.[\w-]+$", re.MULTILINE))
    expect(page.locator("#steps h4").nth(1)).to_have_text("The DPoP proof")
    expect(page.locator("#steps .outcome")).to_have_text("✓ 200 accepted")
    words = shlex.split(curl.text_content() or "")
    assert words[:3] == ["curl", "-i", "-H"]
    assert "/page/proof)" in words[5]
    visit.choose("GET /mtls/sync", "certified")
    expect(request).to_contain_text("Client-Cert: :MII")
    assert any(word.startswith("Client-Cert: :MII") for word in shlex.split(curl.text_content() or ""))
    expect(page.locator("#steps .outcome")).to_have_text("✓ 200 accepted")


def test_the_steps_of_a_replay(visit: Visit) -> None:
    """The explanation does not use up a proof, so the page says why the response differs."""
    visit.choose("GET /dpop/async", "bound-replayed", scheme="DPoP")
    assert visit.page.locator("#sent").inner_text() == "✕ 401, refused"
    assert "its proof had been used before" in visit.page.locator("#steps").inner_text()
