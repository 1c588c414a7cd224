# Two commands do everything on a machine with Python 3.11 to 3.13 and make: `make table1` and `make test`.

PYTHON ?= python3
CORES ?= all
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: help table1 report test test-gpu campaign test-slurm check format format-check lint types bench bench-gpu config-docs docs pictures lock audit

help:  # this list
	@awk -F ':.*# ' '/^[a-z0-9-]+:.*# / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

table1: $(VENV)/installed  # the demo's Table 1; makes .venv first
	snakemake --cores $(CORES) results/table1.csv
	@cat results/table1.md

report: $(VENV)/installed  # everything, and results/report.html to look at it
	snakemake --cores $(CORES)
	snakemake --report results/report.html --report-stylesheet workflow/report/style.css

pictures: report  # of README and docs
	python docs/pictures.py

test: $(VENV)/installed  # all tests
	python -m tests.in_two_processes

test-gpu: $(VENV)/installed  # needs an NVIDIA GPU; status 77 where there is none
	python -m tests.on_gpu

campaign: $(VENV)/installed  # up to 40 minutes; keeps its table in benchmarks/RESULTS.md
	python -m tests.campaign.run --keep

test-slurm: $(VENV)/installed  # needs root on a Debian without SLURM of its own; status 77 where it cannot run
	python -m tests.slurm.run

check: format-check lint types  # format, lint and types; changes nothing

format: $(VENV)/installed  # rewrites code that is not in the format
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow

format-check: $(VENV)/installed  # names code that is not in the format
	ruff format --check .
	snakefmt --check Snakefile workflow

lint: $(VENV)/installed  # ruff's rules, and code that nothing uses
	ruff check .
	vulture

types: $(VENV)/installed  # mypy
	mypy

bench: $(VENV)/installed  # keeps its figures in benchmarks/RESULTS.md; the machine should be quiet
	python benchmarks/dry_run.py
	python benchmarks/flow.py
	python benchmarks/loading.py
	python benchmarks/training.py --videos 2
	python benchmarks/methods.py --videos 2

bench-gpu: $(VENV)/installed  # on an NVIDIA GPU; keeps its figures in benchmarks/RESULTS.md
	python benchmarks/ceilings.py
	python benchmarks/flow.py --gpu-only --turns 3 --pairs 10 --gpu-copies 20 --streams 4 8
	python benchmarks/training.py --turns 3 --clips 911 --steps 29
	python benchmarks/training.py --turns 3 --clips 911 --steps 29 --compile
	python benchmarks/training.py --turns 3 --compile --input rgb
	python benchmarks/training.py --turns 3 --compile --variant baseline
	python benchmarks/training.py --turns 3 --compile --variant 4-level
	python benchmarks/loading.py
	python benchmarks/predict.py --backend triton
	python benchmarks/methods.py --turns 3

config-docs: $(VENV)/installed  # config/README.md from the schema
	python docs/config_keys.py > config/README.md

docs: $(VENV)/installed  # the site of the pages in docs, which needs no network: site/index.html
	python -m pip install --quiet --require-hashes --no-deps -r envs/docs.lock
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict

# stp doctor says what the machine lacks, which stops nothing here. It also compiles the flow: otherwise the first jobs do,
# each for itself.
$(VENV)/installed: envs/requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	python -m pip install --quiet --require-hashes -r envs/requirements.lock
	python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
	-python -m stp doctor

lock:  # needs uv; the versions that must not move are in envs/constraints.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --extra dev \
	  --constraints envs/constraints.txt --custom-compile-command "make lock" pyproject.toml -o envs/requirements.lock
	python3 -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*p["optional-dependencies"]["docs"], sep="\n")' | uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --constraints envs/requirements.lock --custom-compile-command "make lock" - \
	  -o envs/docs.lock

audit:  # needs pip-audit and its database's server: known faults of the locked packages
	pip-audit --no-deps --disable-pip -r envs/requirements.lock
