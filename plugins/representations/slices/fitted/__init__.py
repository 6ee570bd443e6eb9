"""Fitted parts of the decoder: bond-length table, length net, and the record of how they were fitted."""
