"""The REST API of partners and of everybody who checks a sale; what the crowd does goes through the hot door."""
