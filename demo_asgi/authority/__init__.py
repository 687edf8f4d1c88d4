"""The authorization server of the demo: it issues the tokens that the demo's views require.

It is the test kit's `FakeAuthorizationServer` on a port, with the clients and grants of `server`. It runs in a separate
process, which ``python -m demo_asgi`` starts together with the demo.

It is for demonstration only. It has no login and no consent page. Everybody who can reach it can rotate its keys, give
it faults, and get JWTs that no resource server should accept.
"""
