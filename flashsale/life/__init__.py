"""The life of a sale: one public verb a file, in the order in which a sale lives."""
