"""The four days of the story, one file each."""
