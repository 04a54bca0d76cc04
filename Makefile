# The commands people type. Each installs what it lacks first and says so.
#
#   make run      build, fetch SmolLM2-135M, let it answer PROMPT, and serve it (LEARN=0: without learning)
#   make test     build and run the tests; the last line counts them
#   make deep     sanitizers, every instruction set, fuzzing, linters: what CI runs after make test
#   make bench    measure the engine on MODEL, as fractions of what the machine can do
#   make compat   try other people's clients against the server (fetches 3 GB and more; not in CI)
#   make soak     mixed traffic on a server for MINUTES (20), and what it leaves behind; not in CI
#   make format   lay out the C++ sources
#   make build    only build

MODEL ?= smollm2-135m
MINUTES ?= 20
PROMPT ?= Why is the sky blue during the day and red at sunset?
JOBS ?= $(shell nproc)

LEARN ?= 1

FORERUN := build/release/apps/forerun/forerun
TRAINER := build/release/trainer/forerun-trainer

.DEFAULT_GOAL := build
.PHONY: run test deep bench soak compat format build model

build:
	@scripts/install_dependencies
	@cmake --preset release --log-level=WARNING >/dev/null
	@cmake --build --preset release --parallel $(JOBS)

model: build
	@$(FORERUN) pull $(MODEL)

# It learns from what it answers where the trainer was built; LEARN=0: it does not.
run: model
	@$(FORERUN) generate $(MODEL) -p "$(PROMPT)"
	@exec $(FORERUN) serve $(MODEL) $(if $(filter-out 0,$(LEARN)),$(if $(wildcard $(TRAINER)),--learn))

test: model
	@scripts/run_tests release --jobs 2

deep:
	@scripts/install_dependencies deep
	@$(MAKE) --no-print-directory model
	@scripts/deep --jobs $(JOBS) $(if $(LIMIT),--minutes $(LIMIT))

bench: model
	@$(FORERUN) bench engine $(MODEL)

soak: model
	@scripts/soak $(MODEL) --minutes $(MINUTES)

format:
	@scripts/install_dependencies deep
	@scripts/check_format --fix

compat: model
	@scripts/compat
