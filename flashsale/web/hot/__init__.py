"""The hot door: raw ASGI in front of Django for the requests that a whole crowd sends."""
