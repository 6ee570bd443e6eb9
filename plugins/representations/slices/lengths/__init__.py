"""Which bond lengths a string has to state."""
