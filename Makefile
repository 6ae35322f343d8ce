# linksim: `make sim` replays the bundled trace, `make test` runs the tests. Both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRACE := traces/bundled
BOOKS := build/codebooks.json
# Codebooks come from the batches before this one, judgement from this one on.
FROM_BATCH := 2

.DEFAULT_GOAL := help
.PHONY: help sim test check format verilog synth long-run characterize cocotb formal bench study validate clean real-gemma

help:
	@echo "make sim         replay the bundled trace: tables here, figures in results/"
	@echo "make test        run the tests"
	@echo "make check       formatting, lint, types"
	@echo "make real-gemma  codecs on real Gemma tensors: GEMMA=folder of .safetensors files"
	@echo "make study       how near fixed books come, how they age, what bit errors cost, quantized sums, time to first token; with GEMMA=folder how books travel"
	@echo "make validate    the network against closed forms; with NCCL=table.csv, BOOKSIM=table.csv against those"
	@echo "make bench       speed of codec (beside huff0: LIBZSTD=libzstd.a, GEMMA=folder) and engines, then random bytes"
	@echo "make clean       remove .venv, build and caches"
	@echo "make verilog     the hardware as Verilog, in build/verilog"
	@echo "make synth       gates of the hardware; with LIBERTY=library.lib.gz area and clock (CORES=, ECP5=8)"
	@echo "make long-run    the whole trace through compiled cores, compared bit for bit (CORES=)"
	@echo "make characterize  engine records, table and figure from both"
	@echo "make cocotb      that Verilog under cocotb, in Icarus Verilog or Verilator"
	@echo "make formal      proofs about the hardware, each with mutants that must fail (ONLY=name)"

# One stamp per set of packages; requirements.lock pins every version.
$(VENV)/pip.stamp:
	@command -v $(PYTHON) >/dev/null || { echo "linksim needs Python 3.11 or newer, and '$(PYTHON)' was not found: install it or set PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "linksim needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1): set PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "linksim needs Python's venv module, and '$(PYTHON)' has none: on Debian, apt install python3-venv" >&2; exit 2; }
	@echo "setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/sim.stamp: $(VENV)/pip.stamp pyproject.toml requirements.lock
	@echo "installing linksim"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/sim.stamp
	@echo "installing what the tests need (PyTorch among it: this takes a while the first time)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,capture,hw,synthesis]'
	@touch $@

$(VENV)/hw.stamp: $(VENV)/sim.stamp
	@echo "installing what the hardware needs"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev,hw]'
	@touch $@

sim: $(VENV)/sim.stamp
	@mkdir -p build
	@$(BIN)/linksim codebook build $(TRACE) --before $(FROM_BATCH) --per-layer --view exponent --view pooled -o $(BOOKS)
	@$(BIN)/linksim codec eval $(TRACE) --from $(FROM_BATCH) --codec huffman-fixed --codebooks $(BOOKS) --by-kind --view exponent
	@$(BIN)/linksim codec eval $(TRACE) --from $(FROM_BATCH) --codec huffman-fixed --codebooks $(BOOKS) --by-kind --view pooled
	@$(BIN)/linksim replay traces/scenarios/*.toml --trace $(TRACE) --out results

test: $(VENV)/test.stamp
	@$(BIN)/python -m pytest -q -n auto --dist loadfile

check: $(VENV)/test.stamp
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/test.stamp
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

# Every tensor is coded with codebooks from other tensors than itself.
real-gemma: $(VENV)/sim.stamp
	@test -n "$(GEMMA)" || { echo "make real-gemma needs GEMMA=folder of .safetensors files with Gemma tensors" >&2; exit 2; }
	@echo "The same tensor on other prompts:"
	@$(BIN)/linksim codec eval $(GEMMA)/gemma2-9b*.safetensors --dtype bf16 --codec huffman-fixed --codebooks others
	@echo "Other layers, tensors and models, the code as it is, then with an exponent bias per chunk:"
	@$(BIN)/linksim codec eval $(GEMMA)/*.safetensors --dtype bf16 --codec huffman-fixed --codebooks others --by-file
	@$(BIN)/linksim codec eval $(GEMMA)/*.safetensors --dtype bf16 --codec huffman-fixed --codebooks others --by-file --exponent-bias
	@echo "The residual stream of eight prompts over links, codebooks from the eight prompts before:"
	@$(BIN)/linksim trace import $(GEMMA)/gemma2-9b*.safetensors --dtype bf16 --kind residual --out build/gemma2-9b --overwrite
	@$(BIN)/linksim replay traces/imported/*.toml --trace build/gemma2-9b --out build/gemma2-9b-results

verilog: $(VENV)/hw.stamp
	@$(BIN)/python -m hw.verilog --out build/verilog

$(VENV)/synthesis.stamp: $(VENV)/hw.stamp
	@echo "installing what synthesis needs (Yosys and nextpnr, 280 MB)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[synthesis]'
	@touch $@

# Gates alone take minutes for all cores; area and clock take longer, and OpenSTA for the clock.
synth: $(VENV)/synthesis.stamp
	@$(BIN)/python -m hw.synthesis --cores $(CORES) --liberty $(LIBERTY) --ecp5 $(or $(ECP5),0)

long-run: $(VENV)/hw.stamp
	@$(BIN)/python -m hw.long_run --cores $(CORES)

characterize: $(VENV)/hw.stamp
	@$(BIN)/python -m hw.characterize --cores $(CORES)

# Verilator comes as a package too; it needs a C++ compiler, and without one the test says so.
cocotb: $(VENV)/synthesis.stamp
	@LINKSIM_COCOTB=1 $(BIN)/python -m pytest -q -rs tests/hw/cocotb

formal: $(VENV)/synthesis.stamp
	@$(BIN)/python -m hw.formal $(if $(ONLY),--only $(ONLY))

# Times hold for the machine they are taken on; the last command ends where the codec is broken.
bench: $(VENV)/sim.stamp
	@$(BIN)/linksim bench codec $(if $(GEMMA),--gemma "$(GEMMA)") $(if $(LIBZSTD),--libzstd "$(LIBZSTD)") --out results/bench
	@$(BIN)/linksim bench network --out results/bench
	@$(BIN)/linksim bench quantize
	@$(BIN)/linksim bench fuzz --cases 10000000

# With GEMMA=folder, also how far codebooks travel between the tensors in it.
study: $(VENV)/sim.stamp
	@$(BIN)/linksim study huffman $(TRACE) --from $(FROM_BATCH) --out results/study
	@$(BIN)/linksim study aging traces/histograms/*.npz --out results/study
	@$(BIN)/linksim study faults --out results/study
	@$(BIN)/linksim study quantize $(TRACE) --out results/study
	@$(BIN)/linksim flash compare --out results/study
	@$(BIN)/linksim study ttft $(TRACE) --out results/study
	@test -z "$(GEMMA)" || $(BIN)/linksim study travel $(GEMMA)/*.safetensors $(TRACE) --out results/study

# Tables of measured collectives and of BookSim2 runs: columns in docs/reference/validation.md.
validate: $(VENV)/sim.stamp
	@$(BIN)/linksim validate theory
	@test -z "$(NCCL)" || $(BIN)/linksim validate nccl --table "$(NCCL)" --out results/validation
	@test -z "$(BOOKSIM)" || $(BIN)/linksim validate booksim --table "$(BOOKSIM)" --out results/validation

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
