"""From a raw video to a clip of a store: its faces found, followed and cut, and its sound."""
