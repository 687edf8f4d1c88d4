"""How to test a site that uses the guard, without a server, the network or waiting.

Tests that need no validation use ``override_oauth`` and ``oauth`` of the test clients. The others get real tokens from
``FakeAuthorizationServer``, which can also fail on demand.
"""
