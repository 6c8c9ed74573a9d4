"""Records, time and windows: what every other folder builds on."""
