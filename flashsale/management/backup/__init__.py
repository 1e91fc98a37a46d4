"""Backups of PostgreSQL (or of a demo's SQLite) as folders of files, for the commands `backup` and `restore`."""
