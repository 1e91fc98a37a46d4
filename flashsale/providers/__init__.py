"""Services outside the house: who sends codes, who takes payments."""
