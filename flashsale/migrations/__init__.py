"""How the books came to their shape."""
