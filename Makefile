# The commands of the README: make demo, make test, make vm-test, make deb.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tallybox/target
# Most tests wait for other programs: twice as many as there are processors.
export RUST_TEST_THREADS ?= $(shell echo $$(($$(nproc) * 2)))
.PHONY: console-bench demo fleet-demo test test-box test-browser test-build test-crates test-library clients-test cluster-test deny fuzz home-assistant-test load-test mutants-test soak vm-test power-test deb deb-test reproducible-test arm64-test armhf-test deploy fmt

demo:
	scripts/setup demo
	cargo build --release --features demo
	cargo run --release --features demo -- demo

# The operator's console with BOXES=50 simulated boxes, a broker and a server of static files, on this machine.
fleet-demo:
	scripts/setup fleet-demo
	cargo build -p tallybox-fleet
	scripts/fleet-demo $(CARGO_TARGET_DIR)/debug/tallybox-fleet $(BOXES)

test: test-build
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target test-library test-browser test-crates test-box
	cargo test --features demo --test load

# Side by side, as much of it waits for other programs. What streams comes last, when less is beside it; what measures
# loads runs alone.
CRATES := --workspace --exclude tallybox --exclude tallybox-fleet --exclude tallybox-fuzz
PROGRAMS := $(notdir $(basename $(wildcard tests/*.rs)) $(patsubst %/main.rs,%,$(wildcard tests/*/main.rs)))
test-box:
	cargo test --features demo $(patsubst %,--test %,$(filter-out console demo load,$(PROGRAMS)))
test-browser:
	cargo test --features demo --test console --test demo
test-crates:
	cargo test $(CRATES)
	cargo test -p tallybox-fleet
test-library:
	cargo test --features demo --lib --bins
	cargo test --features demo --doc

# What `make test` compiles, and what tools say of the sources. The tests of the box run the operator's program too.
test-build:
	scripts/setup test
	cargo fmt --check
	cargo clippy --workspace --all-targets --features demo -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --features demo
	scripts/deny
	scripts/python-check
	cargo test --no-run $(CRATES)
	cargo test --no-run -p tallybox-fleet
	cargo build -p tallybox-fleet
	cargo test --no-run --features demo --lib --bins --tests

# The crates against deny.toml, with cargo-deny itself, in the version that is pinned.
deny:
	scripts/tool cargo-deny
	scripts/deny

# Changes of the source, one at a time (cargo-mutants): whether the tests notice. SHARD=0/20 tries every twentieth.
mutants-test:
	scripts/setup test
	scripts/tool cargo-mutants
	PATH=$(HOME)/.cache/tallybox/tools/bin:$$PATH tests/mutants/sources $(SHARD)

# The package in a virtual machine with real kernel drivers; as root. SHORT=1: what takes under 15 minutes once kernel
# and guest are made. ONLY=word: the scenarios with that word in their names.
vm-test:
	scripts/setup vm
	tests/vm/run $(if $(SHORT),--short) $(if $(ONLY),--only '$(ONLY)')

# Power loss at POINTS=1500 of the writes of a real file system, and whether the test notices syncs that do nothing; as
# root.
power-test:
	scripts/setup vm
	$(if $(POINTS),TALLYBOX_POINTS=$(POINTS)) tests/vm/run --only 'power loss'

# Operators in Python and JavaScript, and AsyncAPI's own parser. Not in `make test`: 215 packages from npm, and the same
# document is judged in Rust there.
clients-test:
	scripts/setup clients
	cargo build
	tests/clients/run $(CARGO_TARGET_DIR)/debug/tallybox

# Three nodes of RMQTT, one of them killed under BOXES=2000 simulated boxes.
cluster-test:
	scripts/setup cluster
	cargo build -p tallybox-fleet
	tests/cluster/run $$(tests/cluster/build) $(CARGO_TARGET_DIR)/debug/tallybox-fleet --boxes $(or $(BOXES),2000)

# Home Assistant itself, from PyPI in a Debian 13 tree, with a box; as root.
home-assistant-test:
	scripts/setup test
	scripts/setup root
	cargo build
	tests/home-assistant/run $(CARGO_TARGET_DIR)/debug/tallybox

# Each parser of something from outside under libFuzzer, for SECONDS=60 each; TARGET=note: one of them. docs/fuzzing.md.
fuzz:
	scripts/setup test
	fuzz/run $(TARGET) --seconds $(or $(SECONDS),60)

# Start and stop 40,000 times, then hours on air with faults. CYCLES=1000 HOURS=0.5 SEED=1 make it another one;
# FLAGS="--seconds 3600" ends the cycles after an hour.
soak:
	scripts/setup test
	cargo build --release
	tests/soak/run $(CARGO_TARGET_DIR)/release/tallybox --cycles $(or $(CYCLES),40000) --hours $(or $(HOURS),2) $(if $(SEED),--seed $(SEED)) $(FLAGS)

# A touch under each load: floods, slow peers, hanging disks, a busy machine, little memory, no descriptors. Some 20
# minutes, best as root; ends with a table. ROW=disk: the tests with that word in their names. RELEASE=1: the release
# build.
load-test:
	scripts/setup test
	TALLYBOX_LONG=1 cargo test $(if $(RELEASE),--release) --features demo --test load $(ROW) -- --nocapture

# Frames of the web console under 2,000 simulated boxes, as a table. INTERVAL=2s: telemetry oftener than every 30 s.
console-bench:
	scripts/setup test
	cargo build --release -p tallybox-fleet
	mkdir -p $(CARGO_TARGET_DIR)/debug
	cp $(CARGO_TARGET_DIR)/release/tallybox-fleet $(CARGO_TARGET_DIR)/debug/tallybox-fleet
	$(if $(INTERVAL),TALLYBOX_INTERVAL=$(INTERVAL)) cargo test --features demo --test console -- --ignored --nocapture frames_under

# The Debian package of this machine's architecture, or of ARCH=arm64, ARCH=armhf. PACKAGE=tallybox-fleet: the
# operator's.
deb:
	scripts/deb $(or $(ARCH),$$(dpkg --print-architecture)) $(PACKAGE)

# make deploy HOST="user@box1 user@box2" [DEB=file | ARCH=arm64] [FLAGS="--jobs 4"]: over ssh, with a way back.
deploy:
	scripts/deploy $(FLAGS) $(or $(DEB),$$(scripts/deb $(ARCH) | tail -1)) $(HOST)

# The package's life on Debian 12 and 13, from installation to purge, with systemd. SUITES=bookworm is the short form.
deb-test:
	tests/deb/run $(SUITES)

# The package made twice, by two users in two folders, with other settings: the same bytes. As root.
reproducible-test:
	tests/deb/reproducible $(PACKAGE)

# The arm64 package, run under emulation: its commands and a stream; then button and lamp, with an emulated kernel.
arm64-test:
	tests/deb/emulated arm64
	tests/deb/gpio

# The armhf package, run under emulation in the same way.
armhf-test:
	tests/deb/emulated armhf

fmt:
	cargo fmt
