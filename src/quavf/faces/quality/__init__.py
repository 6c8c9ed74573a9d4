"""How well a face can be seen: scorers of face quality."""
