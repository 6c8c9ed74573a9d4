"""Simulated conversations: annotated clips with known ground truth, made from a seed."""
