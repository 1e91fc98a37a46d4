"""The four days of the story, one file a day, and the parts that days share."""
