# Everything that a developer does here. `make help` lists it; what needs more than a line is in tools/setup.
SHELL := /bin/sh
PY := .venv/bin/python
RENAMED := join-under-lock nobody-puts del-needs-attribute gevent-shares-native-lock
TIMED := sh tools/setup/timed.sh
.DEFAULT_GOAL := help

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: trace
trace: setup ## the original investigation, and one of today: sets up what it needs, prints the reports
	@$(PY) tests/investigations.py

.PHONY: test
test: PYTHONS_ARGS = --if-possible
test: setup pythons environments ## all tests, on every Python of this machine (LASTWORDS_TEST_PYTHONS=py3.11,py2.7 narrows)
	@$(PY) -m pytest $(ARGS)

.PHONY: test-deep
test-deep: PYTHONS_ARGS = --if-possible
test-deep: setup pythons ## 1,000 generated programs and busy reads a Python, 100,000 damaged memories: hours (ARGS=--help)
	@cd tests && PYTHONPATH=../tools:. ../$(PY) -m deep.run $(ARGS)
	@$(PY) -m pytest tests/unit --hypothesis-profile=default -q
	@LASTWORDS_CASES=1000 $(PY) -m pytest tests/live/test_tasks.py tests/live/test_greenlets_damaged.py -k damaged -q \
		-o timeout=0
	@PYTHONPATH=tests:tools $(PY) -m verdicts
	@PYTHONPATH=tests:tools $(PY) -m verdicts --renamed
	@PYTHONPATH=tests:tools $(PY) -m verdicts --healthy

.PHONY: verdicts
verdicts: PYTHONS_ARGS = --if-possible
verdicts: setup pythons ## is the first finding the true one? Cases x Pythons, as a table (CASES=DIR, ARGS='--sample 1')
	@PYTHONPATH=tests:tools $(PY) -m verdicts $(if $(CASES),--cases $(CASES)) $(ARGS)

.PHONY: harm
harm: setup ## what lastwords does to a process, beside gdb, pystack, py-spy: kills, signals, load: hours (ARGS=--help)
	@cd tests && PYTHONPATH=../tools:. ../$(PY) -m harm.run $(ARGS)

.PHONY: table
table: PYTHONS_ARGS = --if-possible
table: setup pythons environments ## what run catches and reads of seven cases, on every Python of this machine
	@$(PY) tests/table.py

.PHONY: matrix
matrix: PYTHONS_ARGS = --if-possible
matrix: setup pythons ## each Python of this machine x each way to read it: live, held by gdb, core files, as a table
	@$(PY) tests/matrix.py

.PHONY: lint
lint: setup ## ruff, mypy --strict, shellcheck
	@sh tools/setup/machine.sh shellcheck
	@$(PY) -m ruff check --output-format concise .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@shellcheck .ci/run tools/setup/*.sh docker/*.sh

.PHONY: ci
ci: ## what .ci/run does: lint, test and test-docker, each with its time
	@$(TIMED) setup $(MAKE) --no-print-directory setup pythons environments
	@$(TIMED) lint $(MAKE) --no-print-directory lint
	@$(TIMED) test $(MAKE) --no-print-directory test
	@$(TIMED) verdicts $(MAKE) --no-print-directory verdicts ARGS='--sample 1'
	@$(TIMED) renamed $(MAKE) --no-print-directory verdicts ARGS='--renamed --sample 1 $(RENAMED)'
	@$(TIMED) healthy $(MAKE) --no-print-directory verdicts ARGS='--healthy --sample 1'
	@$(TIMED) test-docker $(MAKE) --no-print-directory test-docker

.PHONY: setup
setup: ## gdb and a compiler if missing, .venv with lastwords and the tools to develop it
	@sh tools/setup/machine.sh gdb compiler venv
	@sh tools/setup/venv.sh

.PHONY: pythons
pythons: setup ## CPython 3.13 to 3.15 of Debian, a static, a free-threaded, stripped ones, PyPy, into .cache/pythons
	@sh tools/setup/machine.sh debian-keys
	@$(PY) tools/setup/pythons.py $(PYTHONS_ARGS)
	@$(PY) tools/setup/compiled.py $(PYTHONS_ARGS)
	@$(PY) tests/copies.py

.PHONY: environments
environments: setup ## gevent and hunter for every Python of this machine, into .cache/envs
	@$(PY) tests/environments.py

.PHONY: bench
bench: setup ## what `lastwords run` and `lastwords attach` cost a program, beside py-spy and pystack, as tables
	@$(PY) tests/bench/bench_run.py $(ARGS)
	@$(PY) tests/bench/bench_attach.py $(ARGS)
	@$(PY) tests/bench/bench_pause.py $(ARGS)
	@$(PY) tests/bench/bench_greenlets.py $(ARGS)

.PHONY: performance
performance: setup ## the tables of docs/performance.md and docs/harm.md, from the last `make bench` and `make harm`
	@$(PY) tests/bench/page.py
	@cd tests && PYTHONPATH=../tools:. ../$(PY) -m harm.page

.PHONY: image
image: setup ## lastwords:3.13, CPython with debug symbols, gdb and lastwords (PYTHON=2.7, 3.11, 3.13, 3.14 or 3.15)
	@$(PY) tools/setup/images.py build $(PYTHON) $(if $(PACKAGES),--build-arg='PACKAGES=$(PACKAGES)')

.PHONY: images
images: setup ## the images of all five CPythons
	@$(PY) tools/setup/images.py build all

.PHONY: base-image
base-image: setup ## what images are built on, by debootstrap: for machines that reach no registry
	@$(PY) tools/setup/images.py base

.PHONY: image-table
image-table: setup ## builds the images and tries each: time, size, gdb with arguments, py-bt, list, investigation
	@PYTHONPATH=tests:tools $(PY) tools/setup/with_dockerd.py $(PY) -m docker.table $(ARGS)

.PHONY: sidecar-matrix
sidecar-matrix: setup pythons ## what `attach` tells from containers and from the host of each CPython in another container
	@$(PY) tools/setup/musl.py
	@PYTHONPATH=tests:tools $(PY) tools/setup/with_dockerd.py $(PY) -m docker.sidecar_matrix

.PHONY: test-docker
test-docker: PYTHONS_ARGS = --if-possible
test-docker: setup pythons ## tests of the images of 2.7 and 3.13, with a dockerd of its own if none runs
	@$(PY) tools/setup/musl.py $(PYTHONS_ARGS)
	@sh tools/setup/machine.sh docker compose || [ -z "$$CI" ]
	@$(PY) tools/setup/with_dockerd.py $(PY) -m pytest tests/docker -o faulthandler_timeout=1800 $(ARGS)

.PHONY: dist
dist: setup ## wheel and source package, into dist/
	@rm -rf dist
	@$(PY) -m build --no-isolation --outdir dist . >.cache/dist.log 2>&1 || { cat .cache/dist.log; exit 1; }
	@ls -l dist

.PHONY: man
man: setup ## man/lastwords.1, from the help of the commands
	@$(PY) tools/setup/man.py

.PHONY: clean
clean: ## remove what make made, except the downloads in .cache
	rm -rf .venv dist build .cache/trace .mypy_cache .ruff_cache .pytest_cache .hypothesis
