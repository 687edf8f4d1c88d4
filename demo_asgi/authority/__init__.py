"""The authorization server of the demo: it issues the tokens that the demo's views ask for.

Built on Authlib's `AuthorizationServer`: two grants (`grants`), JWTs and opaque tokens (`tokens`), keys that rotate
(`keys`), introspection and revocation (`endpoints`), and a description of itself (`metadata`). A Django project of its
own, with a process and a database of its own: ``python -m demo_asgi`` starts it beside the demo.

Made to be looked at. It has no login and no consent page, and anybody who reaches it may rotate its keys, give it
faults (`faults`), and have JWTs that nobody should take (`specimens`).
"""
