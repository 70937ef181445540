# `make demo` and `make test` do all set-up by themselves. Everything else is for those who work on Mooring.
.PHONY: demo test lint types contracts check coverage bench fuzz test-soak test-interop clean
PY := .venv/bin/python
WORKERS ?= auto

demo: ## Start Mooring, take the tour, keep serving. DOCS=folder reads your documents, ONCE=1 ends after the tour.
	@scripts/venv requirements.lock
	@.venv/bin/mooring demo $(if $(ONCE),--once) $(if $(DOCS),--docs "$(DOCS)")

test: ## Install what tests need and run them all.
	@scripts/venv requirements-dev.lock
	@$(PY) -m pytest -n $(WORKERS) $(ARGS)

lint: ## Format, style, house rules.
	@scripts/venv requirements-dev.lock
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && $(PY) scripts/house_rules.py

types:
	@scripts/venv requirements-dev.lock
	@.venv/bin/mypy

contracts: ## Rooms import downwards only.
	@scripts/venv requirements-dev.lock
	@.venv/bin/lint-imports

check: lint types contracts coverage

coverage: ## Branch coverage of all tests, the processes that they start included; the floor never falls.
	@scripts/venv requirements-dev.lock
	@rm -f .coverage* && .venv/bin/coverage run -m pytest -n $(WORKERS) $(ARGS) && .venv/bin/coverage combine -q && .venv/bin/coverage report --skip-covered

bench: ## Figures against peers measured in the same run.
	@scripts/venv requirements-dev.lock
	@$(PY) benchmarks/durability.py && $(PY) benchmarks/gateway.py

fuzz: ## Valid inputs mutated, through every parser that faces the outside. N=200000 inputs, SEED=number for the same ones again.
	@scripts/venv requirements-dev.lock
	@$(PY) -m tests.gateway.fuzz $(if $(N),--inputs $(N)) $(if $(SEED),--seed $(SEED))

test-soak: ## The long batteries behind the promises.
	@scripts/venv requirements-dev.lock
	@$(PY) -m pytest -m soak && .venv/bin/mooring verify crash --runs 50 && .venv/bin/mooring verify crash --runs 50 --kill serve && .venv/bin/mooring verify ledger --clients 64 --disconnect 0.3 --kill serve && .venv/bin/mooring verify faults && .venv/bin/mooring verify structured

test-interop: ## Official SDKs, each in its own environment, against a server of their own. SDK=name runs one.
	@scripts/venv requirements-dev.lock
	@$(PY) tests/interop/run.py $(SDK)

clean: ## Remove the environment and the data of the demo.
	rm -rf .venv .mooring
