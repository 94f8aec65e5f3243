#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Installs what building and testing uxdp needs, on Debian and Ubuntu.
#
#   scripts/setup.sh run     what `make run` needs: DPDK, a C compiler, pkg-config
#   scripts/setup.sh test    what `make test` needs as well: clang for BPF, libbpf, valgrind, ...
#
# When all is there it says nothing, touches nothing and takes a moment. Else: on a terminal it says what is
# missing and why, and asks once; without a terminal, root installs without a question, and anyone else gets
# the exact command and exit status 2. Rust is checked, never installed. What is asked for is the tool or the
# library, not the package: a DPDK of one's own, found by pkg-config, is as good as Debian's.
set -eu

RUST_MINOR=88 # cargo 1.88, as Cargo.toml's rust-version
BARE_METAL=x86_64-unknown-none
AARCH64=aarch64-unknown-linux-musl

say() { printf '%s\n' "$*" >&2; }

case "${1-}" in
run | test) profile=$1 ;;
*)
	say "usage: scripts/setup.sh run|test"
	exit 2
	;;
esac

missing= # packages, a space before each
reasons= # a line each

# want PACKAGE WHY CHECK...: notes the package as missing when the check fails.
want() {
	package=$1
	why=$2
	shift 2
	if ! "$@" >/dev/null 2>&1; then
		missing="$missing $package"
		reasons="$reasons$(printf '  %-16s %s' "$package" "$why")
"
	fi
}

command_there() { command -v "$1"; }
installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }
# A library counts as there when pkg-config or dpkg knows it; the package may be a newer one that provides it.
library() { pkg-config --exists "$2" 2>/dev/null || installed "$1"; }

check_packages() {
	want gcc "compiles the DPDK glue and the C examples" command_there gcc
	want libc6-dev "the C library's headers" test -e /usr/include/stdio.h
	want pkg-config "finds DPDK" command_there pkg-config
	want libdpdk-dev "DPDK, which l2fwd stands on" library libdpdk-dev libdpdk
	[ "$profile" = test ] || return 0
	want g++ "the header must be valid C++" command_there g++
	want binutils "symbol and archive checks" command_there objcopy
	want clang "rebuilds the XDP programs" command_there clang
	want llvm "strips and disassembles them" command_there llvm-strip
	want libbpf-dev "headers of the XDP programs; the kernel as an oracle" library libbpf-dev libbpf
	want libelf-dev "builds libbpf, to compare loaders" library libelf-dev libelf
	want zlib1g-dev "the same" library zlib1g-dev zlib
	want libpcap-dev "reads and writes captures in the C examples" library libpcap-dev libpcap
	want libsystemd-dev "links DPDK statically" library libsystemd-dev libsystemd
	want libxdp1 "XDP objects of others, to compare verdicts" installed libxdp1
	want xdp-tools "the same" installed xdp-tools
	want python3 "makes the captures, asks the kernel" command_there python3
	want qemu-user "runs tests of AArch64 code" command_there qemu-aarch64
	want valgrind "memory checks of the C examples" command_there valgrind
	want "$(bpftool_package)" "asks the kernel about maps and programs" bpftool_there
}

# /usr/sbin is not in everyone's PATH.
bpftool_there() { command -v bpftool || test -x /usr/sbin/bpftool; }

# Debian has a package of this name; Ubuntu up to 24.04 has the tool among the kernel's.
bpftool_package() {
	if bpftool_there >/dev/null || ! command -v apt-cache >/dev/null || apt-cache show bpftool >/dev/null 2>&1; then
		echo bpftool
	else
		echo linux-tools-generic
	fi
}

install_packages() {
	[ -n "$missing" ] || return 0
	if ! command -v apt-get >/dev/null; then
		say "Missing here, by Debian's package names:$missing"
		say "This system has no apt-get: install the like of them, then try again."
		exit 2
	fi

	install="apt-get update; apt-get install -y --no-install-recommends$missing"
	if [ "$(id -u)" = 0 ]; then
		as_root=
		shown=$install
	else
		as_root=sudo
		shown="sudo sh -c '$install'"
	fi

	if [ -t 0 ] && [ -t 2 ]; then
		say "To $(purpose), these packages are missing:"
		printf '%s' "$reasons" >&2
		if [ -n "$as_root" ] && ! command -v sudo >/dev/null; then
			say "Install them as root, then try again:"
			say "  $install"
			exit 2
		fi
		printf 'Install them now (%s)? [Y/n] ' "$shown" >&2
		read -r answer || answer=n
		case "$answer" in
		'' | [Yy]*) ;;
		*)
			say "Nothing was installed. The command is:"
			say "  $shown"
			exit 2
			;;
		esac
	elif [ -n "$as_root" ]; then
		say "To $(purpose), packages are missing. Install them, then try again:"
		say "  $shown"
		exit 2
	fi

	# The variable is set inside, since sudo would drop it.
	if ! $as_root sh -c "export DEBIAN_FRONTEND=noninteractive; $install" >&2; then
		say "The installation failed; the lines above say why. The command was:"
		say "  $shown"
		exit 2
	fi
}

purpose() {
	case "$profile" in
	run) echo "build and run l2fwd" ;;
	test) echo "build and test everything" ;;
	esac
}

check_cargo() {
	# rustup's folder may not be in PATH yet, right after it was installed.
	PATH="$PATH:${CARGO_HOME:-${HOME-}/.cargo}/bin"
	if ! version=$(cargo --version 2>/dev/null); then
		say "cargo was not found: Rust 1.$RUST_MINOR or later is needed. https://rustup.rs says how to install it in a minute."
		exit 2
	fi
	version=${version#cargo }
	minor=${version#1.}
	minor=${minor%%.*}
	if [ "${version%%.*}" = 1 ] && [ "$minor" -lt "$RUST_MINOR" ]; then
		say "cargo is ${version%% *}, and 1.$RUST_MINOR or later is needed: \`rustup update stable\` brings it (https://rustup.rs)."
		exit 2
	fi
}

# The core is built for bare metal to show that it needs no operating system, and tested on AArch64 in an emulator. musl's target
# brings what its programs are linked from.
add_targets() {
	command -v rustup >/dev/null || return 0
	for target in $BARE_METAL $AARCH64; do
		rustup target list --installed 2>/dev/null | grep -qx "$target" ||
			timeout 120 rustup target add "$target" >/dev/null 2>&1 ||
			say "The Rust target $target could not be added: what is built for it will fail."
	done
}

# miri and ThreadSanitizer want a nightly toolchain; where there is one, what they need of it is added.
add_nightly_components() {
	command -v rustup >/dev/null || return 0
	rustup toolchain list 2>/dev/null | grep -q '^nightly' || return 0
	for component in miri rust-src; do
		rustup component list --toolchain nightly --installed 2>/dev/null | grep -q "^$component" ||
			timeout 300 rustup component add --toolchain nightly "$component" >/dev/null 2>&1 ||
			say "The nightly toolchain's $component could not be added: what needs it is left out."
	done
}

check_packages
install_packages
check_cargo
[ "$profile" = run ] || add_targets
[ "$profile" = run ] || add_nightly_components
