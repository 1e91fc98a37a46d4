"""HTTP for shoppers and partners: the hot door (raw ASGI), the pages (Django), the REST API (DRF)."""
