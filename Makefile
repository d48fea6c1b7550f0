# How to build, try, test and measure Mailwright. Each target installs what it needs first (scripts/setup says what).

.DEFAULT_GOAL := help
.PHONY: help run test bench check fuzz

CARGO ?= cargo

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Build and start a server to try, on ports 10000 higher (SMTP 10025, IMAP 10143, ...), with the domain example.test
	scripts/setup run
	$(CARGO) build --release --locked
	target/release/mailwright serve --port-offset 10000 --demo --data-dir ./data

test: ## Run all tests, with real clients and a real PostgreSQL
	scripts/setup run test
	$(CARGO) test --locked

bench: ## Measure, beside Postfix and Dovecot
	scripts/setup run test bench
	$(CARGO) build --release --locked
	$(CARGO) bench --locked

check: ## Check form, lints, documentation, licences and advisories
	scripts/setup check
	scripts/check

FUZZ_SECONDS ?= 60
fuzz: ## Fuzz each parser for FUZZ_SECONDS (60); needs cargo install cargo-fuzz
	cd fuzz && for target in $$(RUSTC_BOOTSTRAP=1 $(CARGO) fuzz list); do \
	  RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 || exit 1; done
