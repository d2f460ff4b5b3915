# The two commands of the README: make demo, make test.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/tallybox/target
.PHONY: demo test deploy fmt

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

# make deploy HOST="user@box1 user@box2" [DEB=file] [FLAGS="--jobs 4"]
deploy:
	scripts/deploy $(FLAGS) $(or $(DEB),$(shell scripts/deb | tail -1)) $(HOST)

fmt:
	cargo fmt
