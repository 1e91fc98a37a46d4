"""The review of orders after a sale, pure Python: the rule set, the clues in an order, the score of a group."""
