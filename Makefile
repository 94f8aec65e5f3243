# The two commands of the README, and installing. Everything else is cargo: `cargo xtask --help`.

PREFIX ?= /usr/local
DESTDIR ?=

# Where rustup puts cargo, which a shell started before the installation does not look in yet.
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help run test install

help:
	@echo "make run                  build l2fwd and let xdp_firewall filter a capture: no root, no huge pages, no NIC"
	@echo "make test                 run every check, as CI does"
	@echo "make install PREFIX=DIR   libuxdp, uxdp.h, uxdp.pc and the tools below DIR (default $(PREFIX)); DESTDIR= to stage"
	@echo
	@echo "run and test first install what they need (Debian, Ubuntu); on a terminal they ask."

run:
	@scripts/setup.sh run
	cargo build --release -p uxdp-l2fwd
	@scripts/run-demo.sh

test:
	@scripts/setup.sh test
	cargo xtask ci

install:
	cargo xtask install --prefix "$(PREFIX)" --destdir "$(DESTDIR)"
