# The commands of the README: make demo, make test, make deb.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tallybox/target
.PHONY: demo test deb deb-test arm64-test fmt

demo:
	scripts/setup demo
	cargo run --release --features demo -- demo

test:
	scripts/setup test
	cargo fmt --check
	cargo clippy --all-targets --features demo -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --features demo
	if command -v cargo-deny >/dev/null; then cargo fetch --locked && cargo deny --offline check bans licenses sources; else echo "cargo-deny is not installed: skipped"; fi
	cargo test --no-default-features
	cargo test --features demo --doc
	cargo test --features demo --lib --bins --tests

# The Debian package of this machine's architecture, or of ARCH=arm64, ARCH=armhf.
deb:
	scripts/deb $(ARCH)

# The package's life on Debian 12 and 13, from installation to purge, with systemd. SUITES=bookworm is the short form.
deb-test:
	tests/deb/run $(SUITES)

# The arm64 package, run under emulation.
arm64-test:
	tests/deb/emulated arm64

fmt:
	cargo fmt
