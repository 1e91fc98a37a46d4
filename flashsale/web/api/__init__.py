"""The REST API for partners and for anyone who checks a sale. Requests of the crowd go through the hot door."""
