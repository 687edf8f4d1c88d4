"""The demo's front page: the files for browsers, and the requests of its scripts.

The files of `static` go out as they are: HTML, one style sheet, modules of JavaScript; nothing is built, and nothing is
loaded from elsewhere. The page calls the demo's views itself, with tokens that it is given by `tokens`, and with proofs
and certificates that it is given by `keys`. What a client never learns, why it was refused, it gets from `reasons` and
`api`: only here, and only because this is a demo.
"""
