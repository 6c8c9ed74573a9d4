"""Visible and audible cues of a conversation, from networks trained on real people."""
