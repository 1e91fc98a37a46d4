"""A server that is killed (SIGKILL) in the middle of a click in the admin, for test_killed_click.py.

It reads requests as lines of JSON: the session, the address, the fields of the form, and where the process dies. Each
request has a process of its own, so the next one begins as a server does. The process dies before the first commit in
PostgreSQL ("before"); or after it, before the next commit, command of Redis, or answer ("after"); or not at all ("").
"""

import json
import os
import signal
import sys
from functools import wraps
from typing import Any

import django
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django.urls import get_resolver

import config  # noqa: F401 - before the gate, as every process of ours does by its settings
from flashsale.gate.client import Gate


class Steps:
    """Follows the steps of a request, up to the one before which the process dies."""

    def __init__(self, dies: str) -> None:
        self.dies, self.committed = dies, False

    def step(self, name: str) -> None:
        """Notes a step that comes now."""
        if self.dies == ("after" if self.committed else "before") and (self.committed or name == "commit"):
            os.kill(os.getpid(), signal.SIGKILL)
        self.committed = self.committed or name == "commit"

    def before(self, owner: Any, method: str, name: str) -> None:
        """Makes the calls of a method steps."""
        really = getattr(owner, method)

        @wraps(really)
        def call(*args: Any, **fields: Any) -> Any:
            self.step(name)
            return really(*args, **fields)

        setattr(owner, method, call)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    steps = Steps(request["dies"])
    steps.before(BaseDatabaseWrapper, "_commit", "commit")
    steps.before(Gate, "run_script", "Redis")
    client = Client(headers={"host": "localhost", "accept-language": "en"})
    client.cookies["sessionid"] = request["session"]
    answer = client.post(request["url"], request["data"])
    steps.step("answer")
    return {"status": answer.status_code}


def main() -> None:
    """Answers requests until the input ends."""
    django.setup()
    get_resolver().url_patterns  # noqa: B018 - loads the views once, not in each process
    for line in sys.stdin:
        child = os.fork()
        if not child:
            sys.stdout.write(json.dumps(_answer(json.loads(line))) + "\n")
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            sys.stdout.write(json.dumps({"killed": os.WTERMSIG(status)}) + "\n")
        elif status:
            sys.stdout.write(json.dumps({"error": status}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
