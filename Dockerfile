# The image of all our services in docker-compose.yml.
#
# Both stages name a full version, so that a build does not change without an edit of this file. A registry may still
# replace the image behind a tag: to exclude that, add the digest that your registry shows (python:...@sha256:...).

FROM python:3.13.14-slim-trixie AS installed
COPY requirements.txt .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM python:3.13.14-slim-trixie
# `manage.py backup` and `restore` need pg_dump of the version of the server, and openssl.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends postgresql-client-17 openssl \
 && rm -rf /var/lib/apt/lists/*
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FLASHSALE_VAR=/var/lib/flashsale \
    FLASHSALE_STATIC=/app/static
COPY --from=installed /venv /venv
WORKDIR /app
# `manage.py doctor` compares the installed packages with requirements.txt.
COPY manage.py requirements.txt ./
COPY config config
COPY flashsale flashsale
# The manual is a page of the admin.
COPY docs/admin.md docs/operate.md docs/
COPY docs/id docs/id
# The build compiles the translations and collects the static files. Django needs secrets for this: a demo makes them in
# /tmp/build, and they are deleted with it.
RUN pybabel compile --directory flashsale/locale --domain django \
 && python -m compileall -q config flashsale \
 && FLASHSALE_DEMO=1 FLASHSALE_HASHED_STATIC=1 FLASHSALE_VAR=/tmp/build python manage.py collectstatic --noinput \
 && rm -rf /tmp/build \
 && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin flashsale \
 && install --directory --owner flashsale --group flashsale --mode 0700 "$FLASHSALE_VAR"
# No process writes below /app. The services of docker-compose.yml make the whole file system read-only.
ENV PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=9s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as web; web.urlopen('http://127.0.0.1:8000/readyz', timeout=8)"]
CMD ["granian", "--interface", "asgi", "--host", "0.0.0.0", "--port", "8000", "--loop", "uvloop", "--no-ws", "--http", "1", "--respawn-failed-workers", "--workers-kill-timeout", "15", "config.asgi:application"]
