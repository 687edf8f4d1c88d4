"""How a site that uses the guard is tested: without a server, without the network, and without waiting.

Views whose tokens do not matter see those of ``override_oauth`` and of the clients' ``oauth``; where it matters how
tokens are judged, ``FakeAuthorizationServer`` issues real ones, and fails on demand.
"""
