"""Keys and values of the tokens written so far."""
