"""The demo's front page: the files for browsers, and the endpoints of its scripts.

The demo serves the files in `static` unchanged: HTML, one style sheet and JavaScript modules. There is no build step.
The page loads nothing from other hosts. It sends requests to the demo's views, with tokens from `tokens` and with
proofs and certificates from `keys`. From `reasons` and `api` it gets the reasons of refusals. Real clients never learn
these.
"""
