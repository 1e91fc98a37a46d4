"""The shape of a JSON document, by which examples are compared with real answers."""

import json


def shape(value: object) -> object:
    """The members of a document and the kinds of their values. A list has the different shapes of its items."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return sorted({json.dumps(shape(one), sort_keys=True) for one in value})
    return type(value).__name__
