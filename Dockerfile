# One image for all four services of docker-compose.yml: it has the programs, the pages and the example application, and starts none.
#
#   docker compose build          (or: docker build -t formlock:development .)

# -- first stage: wheels of what is locked, by its hash, and of this project. A few packages are published as source only, so what
# builds them is locked too; no compiler is needed, since the C parts of bjdata and ubjson are left out (JSON is all we speak).
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYBJDATA_NO_EXTENSION=1 PYUBJSON_NO_EXTENSION=1
WORKDIR /build
COPY requirements.lock requirements-build.lock ./
RUN python -m venv tools && tools/bin/pip install --no-deps --require-hashes -r requirements-build.lock
# The lock is complete; pip alone would look for what it calls web3[ipfs], which uv has written as its parts.
RUN tools/bin/pip wheel --no-build-isolation --no-deps --require-hashes -r requirements.lock -w wheels
COPY pyproject.toml README.md LICENSE ./
COPY components components
COPY bridge bridge
RUN tools/bin/pip wheel --no-build-isolation --no-deps -w wheels .
RUN python -m venv --without-pip /opt/formlock && \
    tools/bin/pip --python /opt/formlock/bin/python install --no-index --no-deps wheels/*.whl

# -- second stage: what runs.
FROM python:3.11-slim
ENV PATH=/opt/formlock/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A user without a name's rights: it may write to these three folders and to nothing else. A new volume takes its owner from them.
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent formlock && \
    install -d -o formlock -g formlock -m 0700 /app/credentials /app/data /app/run
WORKDIR /app
COPY --from=build /opt/formlock /opt/formlock
COPY .crossbar/router.yaml .crossbar/router.yaml
COPY web/demo web/demo
COPY web/formlock/dist web/formlock/dist
COPY examples/invoices examples/invoices
COPY tools/run.py tools/run.py
USER 10001:10001
CMD ["formlock", "--help"]
