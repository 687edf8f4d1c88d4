"""What the RFCs require of credentials, challenges, scopes, claims and JWTs, as pure functions and values.

No module here uses Django, a clock, threads or the network, except `access_token`, which reads model instances and the
time.
"""
