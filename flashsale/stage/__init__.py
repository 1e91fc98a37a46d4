"""What stands around a sale: servers for a demo and for tests, stories, crowds, measurements."""
