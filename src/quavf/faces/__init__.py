"""Find, track and crop faces, and score their quality."""
