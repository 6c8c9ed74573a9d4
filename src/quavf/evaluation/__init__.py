"""Scores compared with labels, and the challenge's submission file."""
