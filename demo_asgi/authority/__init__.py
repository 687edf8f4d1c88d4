"""The authorization server of the demo. It issues tokens for the demo's views.

It is the test kit's `FakeAuthorizationServer` on a port, with the clients and grants of `server`. It runs in a separate
process, which ``python -m demo_asgi`` starts.

It is for demonstration only. It has no login and no consent page. Anyone who can reach it can rotate its keys, give it
faults, and get JWTs that no resource server should accept.
"""
