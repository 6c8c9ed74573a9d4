"""Media files as arrays: one reader of pictures and sound, for clips and for raw videos.

Pictures and sound share one time axis, which starts with the first picture that can be shown.
"""
