"""The hot door: raw ASGI in front of Django for what the whole crowd asks (enter, look, leave, status, reserve)."""
