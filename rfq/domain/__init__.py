"""The trade's own nouns and rules: pure values and functions. No I/O, no clock, no randomness, no float money."""
