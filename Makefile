# Form lock: everything a newcomer runs. Each target installs what it lacks.
#
#   make run     the node on http://127.0.0.1:8080/ (embedded defaults, no other server); `make run LOG=all` with all of Crossbar's log
#   make test    everything that is checked
#   make lint    style, types, import rules and generated pages only
#   make bench   what things cost, beside Socket.IO in memory; about three minutes
#   make clean   away with what was made here (databases and keys stay)

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
WEB := web/formlock
export PYTHONPATH := components:bridge
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test lint bench clean lock dist format coverage licences

run: $(VENV)/run
	@$(BIN)/python tools/check_ports.py
	@exec $(BIN)/python tools/run.py $(LOG)

# -- what targets need

$(BIN)/uv:
	@command -v python3 >/dev/null || { echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv"; exit 1; }
	@python3 -m venv $(VENV) || { echo "Python's venv module is needed: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet uv==$(UV_VERSION)

$(VENV)/run: requirements.lock | $(BIN)/uv
	@echo "Installing what the node needs..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@touch $@

$(VENV)/dev: requirements-dev.lock $(VENV)/run
	@echo "Installing what the tests need..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

$(WEB)/node_modules/.installed: $(WEB)/package-lock.json
	@command -v npm >/dev/null || sh tools/apt-install.sh npm nodejs npm
	@cd $(WEB) && npm ci --silent --no-audit --no-fund
	@touch $@

# The load generator and its rival. No package's script is run: ZeroMQ's ready-made binary is in its package.
bench/node_modules/.installed: bench/package-lock.json
	@command -v npm >/dev/null || sh tools/apt-install.sh npm nodejs npm
	@cd bench && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: servers
servers:
	@sh tools/apt-install.sh chromium chromium
	@sh tools/apt-install.sh firefox-esr firefox-esr
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || sh tools/apt-install.sh initdb postgresql
	@sh tools/apt-install.sh php php-cli php-zmq php-curl php-sqlite3 php-doctrine-orm php-symfony-cache
	@sh tools/apt-install.sh ruby ruby ruby-ffi-rzmq

# -- checks

lint: $(VENV)/dev $(WEB)/node_modules/.installed bench/node_modules/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/coverage_map.py --check
	$(BIN)/python tools/licences.py --check
	cd $(WEB) && npm run --silent lint && npm run --silent check
	cd bench && ../$(WEB)/node_modules/.bin/eslint --config ../$(WEB)/eslint.config.js wire
	cd examples/node && ../../$(WEB)/node_modules/.bin/eslint --config ../../$(WEB)/eslint.config.js .

test: lint servers
	cd $(WEB) && npm run --silent test
	cd $(WEB) && npm run --silent build && git diff --exit-code --stat -- dist
	# Two files at a time: most of the time tests wait for processes that they have started.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 15

bench: $(VENV)/dev bench/node_modules/.installed
	$(BIN)/python -m bench

# -- making things

format: $(VENV)/dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

dist: $(WEB)/node_modules/.installed
	cd $(WEB) && npm run build

# tests/coverage.md: which test proves which row.
coverage: $(VENV)/dev
	$(BIN)/python tools/coverage_map.py

# docs/reference/licences.md: what is installed, and under which licences.
licences: $(VENV)/dev
	$(BIN)/python tools/licences.py

# The locks name every package with its hash and no registry.
lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --extra server --extra demo -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --extra server --extra demo --extra client --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --group build -c requirements.lock -o requirements-build.lock

clean:
	rm -rf $(VENV) $(WEB)/node_modules bench/node_modules build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
