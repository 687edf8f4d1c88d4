"""An authorization server and clients of npm, with a guarded site between them."""
