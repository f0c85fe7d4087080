# make help                this list
# make demo                learn from the shipped synthetic speech, draw the figures, dequantize a clip (about three minutes)
# make demo CORPUS=DIR     the same on a folder of your own WAV or FLAC files
# make test                the tests
# make coverage            the tests, and the lines that none of them runs
# make check               format, lint and types
# make format              format the code, and repair what ruff can repair
# make wheel               a wheel in dist, and whether it is light
# make wheel-check         the same, and the wheel in fresh environments, without extras and with each (about ten minutes)
# make docs                the site, into build/site; warnings are errors (about ten minutes)
# make docs GALLERY=0      the same without running the examples
# make docs-serve          the site at http://localhost:8000
# make docs-check          the site's spelling, and every page in headless Chromium at two widths
# make bench               what gradients, steps, memory, inference and data cost, into results/benchmarks (about 25 minutes, and hours for filters and bilevel)
# make bench ONLY=NAME     one of gradient, against, memory, precision, step, inference, data, scale, solve, networks, norms, filters, lasso, bilevel, trial, outputs, regressions, zoo, recordings, restoring, peers, fista, reuse
# make trial               2,000 random problems solved, certified and differentiated, against CVXPY and differences (about three minutes on two cores)
# make fuzz                10,000 spoilt files through the commands, into results/ordeals (about five minutes)
# make kills               100 kills of a folder run, each followed by the same command, into results/ordeals (about five minutes)
# make figures CORPUS=DIR  the paper's two figures, as in results/figures (about an hour on two cores)
# make theory CORPUS=DIR   what theory says, measured, as in results/theory (about half an hour)
# make models CORPORA=DIR  train the models that come with the package on DIR/librispeech/train and measure them (about two hours)
# make quality CORPORA=DIR train on DIR/ieee/train, compare with other methods on DIR/ieee/dev, into results/quality (about an hour)
# make images DATA=DIR TRAIN=DIR  train on the images of one folder, compare on those of another, into results/images (hours on one core; it goes on where it was)
# make map CORPORA=DIR     where each statement of the paper's figures holds, into results/map (about 90 minutes on two cores; it goes on where it was)
# make relatives DATA=DIR  the long results of the gallery's pages on the paper's relatives, into results/relatives (minutes)
# make clean               remove the environment and what was built

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= demo

.PHONY: help demo test check format coverage wheel wheel-check docs docs-serve docs-check bench trial fuzz kills figures theory models quality map images relatives clean
.DEFAULT_GOAL := demo

help:
	@sed -n 's/^# make/make/p' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed
	$(BIN)/python -m ergodual demo --out "$(OUT)" $(if $(CORPUS),--corpus "$(CORPUS)")

test: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --cov --cov-report=term

wheel: $(VENV)/bin/python
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python scripts/check_wheel.py dist

wheel-check: wheel
	$(BIN)/python scripts/try_wheel.py dist --constraints constraints.txt

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	$(BIN)/python -m sphinx -b html -d build/doctrees $(if $(filter 0,$(GALLERY)),-D plot_gallery=0) \
		-W --keep-going docs build/site

docs-serve: docs
	$(BIN)/python -m http.server --bind localhost --directory build/site 8000

docs-check: docs
	$(BIN)/codespell
	$(BIN)/python scripts/check_site.py build/site

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks $(ONLY)

trial: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks trial

fuzz kills: $(VENV)/.installed
	$(BIN)/python -m ordeals $@

figures theory: $(VENV)/.installed
	@test -n "$(CORPUS)" || { echo "make $@ needs CORPUS=DIR, a folder of WAV or FLAC files." >&2; exit 2; }
	$(BIN)/python -m ergodual $@ --corpus "$(CORPUS)" --out $@

models quality map: $(VENV)/.installed
	@test -d "$(CORPORA)" || { echo "make $@ needs CORPORA=DIR, the folder that holds librispeech or ieee." >&2; exit 2; }
	$(BIN)/python -m recipes $@ "$(CORPORA)"

images: $(VENV)/.installed
	@test -d "$(DATA)" -a -d "$(TRAIN)" || { echo "make images needs DATA=DIR and TRAIN=DIR, folders of images to measure on and to train on." >&2; exit 2; }
	$(BIN)/python -m recipes.images all "$(DATA)" "$(TRAIN)"

relatives: $(VENV)/.installed-docs
	@test -d "$(DATA)" || { echo "make $@ needs DATA=DIR, the folder that holds librispeech, ieee and images." >&2; exit 2; }
	$(BIN)/python -m recipes relatives "$(DATA)" $(ONLY)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Ergodual needs Python 3.11 or newer, and $(PYTHON) is older: call make PYTHON=/path/to/python3.11." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist docs/gallery docs/reference docs/indexed.rst
