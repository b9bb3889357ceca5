# make demo    see Amiss learn real solar cells and find the broken ones
# make test    the tests (METHOD=name for one method)
# make test-slow    what `make test` leaves out since it takes long; CI runs it too
# make test-service   stations that are killed, full disks, PostgreSQL; minutes
# make check   format, lint, types, import layers, generated pages
# make check-release   wheel, sdist, bill of materials, and the line in an environment of its own
# make docs    write the generated pages
# make kill    kill -9 at random moments, 500 times; half an hour
# make fuzz    broken files by the thousand; takes minutes
# make site    the documentation as a site in site/; a broken link fails it
# make bench   accuracy and coverage; set AMISS_DATA to the folder with the MVTec categories
# make bench-speed   latency, start-up and size on disk

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow test-service kill fuzz check check-release format docs site bench bench-speed clean

.venv/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Amiss needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.demo: .venv/.created pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.dev: .venv/.created pyproject.toml constraints.txt
	$(PIP) --editable '.[demo,dev]'
	touch $@ .venv/.demo

demo: .venv/.demo
	$(BIN)/amiss demo --output demo

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test: .venv/.dev
	$(PYTEST) -m 'not service$(if $(METHOD),' -k $(METHOD), and not slow')

# What the tests above leave out since it takes long: methods that learn for long, benchmarks, kills.
test-slow: .venv/.dev
	$(PYTEST) -m slow

# What Debian has and is missing, and Ray, is installed where that is possible; else those tests are skipped, and say why.
test-service: .venv/.dev
	-$(PIP) --editable '.[cluster]'
	sh tests/service/install.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadgroup -m service tests/service tests/station

kill: .venv/.dev
	$(BIN)/python bench/kill.py
	$(BIN)/python bench/station_kill.py
	$(BIN)/python -m bench.tampering

fuzz: .venv/.dev
	$(BIN)/python -m tests.fuzz images --count 10000 --output docs/results/fuzz_images.json
	$(BIN)/python -m tests.fuzz needs --count 250 --output docs/results/fuzz_needs.json
	$(BIN)/python -m tests.fuzz artefacts --count 10000 --output docs/results/fuzz_artefacts.json
	$(BIN)/python -m tests.fuzz files --count 12000 --output docs/results/fuzz_files.json
	$(BIN)/python -m tests.fuzz large --count 300 --output docs/results/fuzz_large.json

check: .venv/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

check-release: .venv/.dev
	$(BIN)/python packaging/check_release.py

format: .venv/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.dev
	$(BIN)/python docs/generate.py

.venv/.site: .venv/.created pyproject.toml constraints.txt
	$(PIP) --editable '.[site]'
	touch $@

site: .venv/.site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html is written; for its search: $(BIN)/python -m http.server --bind 127.0.0.1 --directory site"

bench: .venv/.dev
	$(BIN)/amiss bench mvtec_bottle mvtec_screw elpv:mono --skip-missing --output docs/results
	$(BIN)/python bench/coverage.py

bench-speed: .venv/.dev
	$(BIN)/python bench/speed.py

clean:
	rm -rf .venv demo
