// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Types that differ from those of core.c, for its relocations to be applied against; its code is never run.
// Built by: clang-19 -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c core_target.c && llvm-strip-19 -g core_target.o

struct inner {
	long before;
	int y, x;
};

struct parts {
	long before;
	union {
		struct {
			int b, a;
		};
		long both;
	};
	struct inner in;
	int list[8];
	unsigned int filler : 30, low : 3, mid : 9;
	int high : 5;
	unsigned long long wide;
	unsigned short small;
	long grows;
	void *pointer;
	char far[40000];
	short last;
};

struct twice___one {
	int a;
};

struct twice___two {
	int before, a;
};

struct alike {
	int before;
	struct inner *in;
	int a;
};

struct unlike {
	int a;
};

typedef long number_t;
enum color { RED = 1, GREEN = 70 };
enum big : unsigned long long { BIG = 0x500000002ULL };

struct parts parts;
struct twice___one one;
struct twice___two two;
struct alike alike;
struct unlike unlike;
number_t number;
enum color color;
enum big big;
