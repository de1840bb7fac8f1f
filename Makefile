# The dozen commands of this repository. `make test` is what CI runs.
CARGO ?= cargo

.PHONY: help setup demo test soak bench lint fmt doc

help: ## Lists these targets
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST) | expand -t 14

setup: ## Installs what is missing: ffmpeg, nginx with RTMP, an RTSP server, redis, chromium (Debian, Ubuntu)
	@scripts/setup.sh

demo: setup ## Makes a two-minute stream, finds its moments, cuts their clips
	$(CARGO) run --quiet -p clipcore-cli -- demo

test: setup ## Every check: tests, features, lints, examples; ends with what was skipped
	@CARGO="$(CARGO)" scripts/test.sh

soak: setup ## The long runs: tests marked ignored, one after another
	$(CARGO) test --workspace --no-fail-fast $$(scripts/kafka.sh >/dev/null 2>&1 && echo --features clipcore-cli/kafka) \
		-- --ignored --nocapture --test-threads=1
	! scripts/kafka.sh >/dev/null 2>&1 || $(CARGO) test --workspace --features clipcore-cli/kafka-tls --test it kafka::tls
	scripts/api.sh 300

bench: setup ## Measures; the figures of record are in benches/RESULTS.md
	$(CARGO) bench -p clipcore-benches

lint: ## Formatting, clippy and documentation warnings
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

fmt: ## Formats the code
	$(CARGO) fmt --all

doc: ## Builds the library's documentation: target/doc/clipcore/index.html
	$(CARGO) doc -p clipcore --all-features --no-deps
