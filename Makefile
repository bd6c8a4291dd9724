# The short front door; CMake does the work (CMakePresets.json).
#
#   make              build/release/sluice
#   make run          build, then a code edit by the embedded model
#   make test         build, then the suite; make test-full adds the long grids
#   make format       reformat every C file; make format-check only looks
#   make layers       who may include whom;  make tidy  clang-tidy
#   make coverage     the suite again, counting: which lines of which file it runs
#   make clean        remove build/
#   PRESET=NAME       another of CMakePresets.json instead of release
#
# A missing package is named and installed where apt-get is (tools/setup.sh).

JOBS ?= $(shell nproc 2>/dev/null || echo 2)
CLANG_FORMAT ?= $(shell command -v clang-format-14 || echo clang-format)
CLANG_TIDY ?= $(shell command -v clang-tidy-14 || echo clang-tidy)
PRESET ?= release
BUILD = build/$(PRESET)
C_FILES = git ls-files '*.c' '*.h'

# Kernels that this machine's compiler cannot read.
OTHER_CPU = $(if $(filter aarch64 arm64,$(shell uname -m)),x86,arm)

# The make that CMake starts has jobs of its own.
CMAKE = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cmake

.PHONY: all everything configure run test test-full format format-check tidy layers coverage clean
all: configure
	@$(CMAKE) --build $(BUILD) --target sluice --parallel $(JOBS)

everything: configure
	@$(CMAKE) --build $(BUILD) --parallel $(JOBS)

configure:
	@tools/setup.sh build
	@$(CMAKE) --preset $(PRESET) > /dev/null

run: all
	$(BUILD)/sluice run -f examples/prompts/edit.txt --temp 0

test: everything
	ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure --no-tests=error -LE full

test-full: everything
	ctest --test-dir $(BUILD) --parallel $(JOBS) --output-on-failure --no-tests=error

format:
	$(C_FILES) | xargs $(CLANG_FORMAT) -i

format-check:
	$(C_FILES) | xargs $(CLANG_FORMAT) --dry-run --Werror

tidy: configure
	git ls-files 'src/*.c' 'policy/*.c' 'report/*.c' 'cli/*.c' 'examples/*.c' \
	    ':!src/kernels/$(OTHER_CPU)' | \
	    xargs -P $(JOBS) -n 4 $(CLANG_TIDY) -p $(BUILD) --quiet

layers:
	python3 tests/layers.py

coverage:
	@tools/setup.sh build
	@$(CMAKE) --preset coverage > /dev/null
	@$(CMAKE) --build build/coverage --parallel $(JOBS)
	find build/coverage -name '*.gcda' -delete
	-ctest --test-dir build/coverage --parallel $(JOBS) --output-on-failure -LE full
	@tools/coverage.py build/coverage

clean:
	rm -rf build
