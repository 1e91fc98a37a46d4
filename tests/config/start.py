"""Starts a server of ours in a process of its own, with an environment of the test."""

import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from config import secrets

ROOT = Path(settings.BASE_DIR)
SITE = {"FLASHSALE_HOSTS": "sale.example.com,127.0.0.1", "FLASHSALE_ORIGINS": "https://sale.example.com"}
SHOP = {"FLASHSALE_PAYMENT_PROVIDER": "shop_payments.Provider"}
IMPORT = [sys.executable, "-c", "import sys, importlib; importlib.import_module(sys.argv[1])"]
CELERY = [sys.executable, "-m", "celery", "--app=config.celery"]
SERVERS = {
    "doors": [*IMPORT, "config.asgi"],
    "web": [*IMPORT, "config.wsgi"],
    "worker": [*CELERY, "worker", "--pool=solo"],
    "beat": [*CELERY, "beat"],
}


def run(
    command: list[str], var: Path, env: dict[str, str], *, with_secrets: bool = True
) -> subprocess.CompletedProcess[str]:
    own = {
        "PATH": os.environ["PATH"],
        "FLASHSALE_VAR": str(var),
        "PYTHONPATH": str(ROOT / "tests/deploy"),
        "BROKER_URL": f"redis+socket://{var}/none.sock",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        **(secrets.generate() if with_secrets else {}),
    }
    return subprocess.run(command, cwd=ROOT, env=own | env, capture_output=True, text=True, timeout=300, check=False)
