"""A local page and HTTP interface over the same commands that a terminal takes; nothing leaves this machine."""
