"""How a site that uses the guard is tested: without a server, without the network, and without waiting.

Where the validation of tokens does not matter, the tests use ``override_oauth`` and the clients' ``oauth``. Where it
matters, ``FakeAuthorizationServer`` issues real tokens, and fails on demand.
"""
