"""External services: payment providers and message senders."""
