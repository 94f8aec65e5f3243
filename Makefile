.PHONY: test
test:
	cargo xtask ci
