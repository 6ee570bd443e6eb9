"""Files, processes, signals, the screen: nothing about crystals."""
