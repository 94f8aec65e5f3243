// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
// Every kind of CO-RE relocation, one question a program: most return the answer. core_target.c has the types that they may be applied against.
// Built by: clang-19 -O2 -g -target bpf -mcpu=v3 -I/usr/include/$(gcc -dumpmachine) -fdebug-compilation-dir=. -c core.c && llvm-strip-19 -g core.o
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CORE __attribute__((preserve_access_index))
#define FIELD(what, field) __builtin_preserve_field_info(field, what)
enum { BYTE_OFFSET, BYTE_SIZE, EXISTS, SIGNED, LSHIFT, RSHIFT };
#define PROG(name) SEC("xdp") int name(struct xdp_md *ctx)

struct inner {
	int x, y;
} CORE;

struct parts {
	int a, b;
	struct inner in;
	int list[4];
	unsigned int low : 3, mid : 7;
	int high : 5;
	unsigned int wide;
	unsigned char small;
	int grows;
	void *pointer;
	short last;
} CORE;

struct parts___old {
	int gone;
} CORE;

struct twice {
	int a;
} CORE;

struct absent {
	int a;
} CORE;

struct alike {
	int a;
	struct inner *in;
} CORE;

struct unlike {
	long a;
} CORE;

typedef int number_t;
enum color { RED = 1, GREEN = 2, BLUE = 3 };
enum color___other { PURPLE = 4 };
enum big : unsigned long long { BIG = 0x100000002ULL };

#define P ((struct parts *)0)

PROG(offset_of_b) { return FIELD(BYTE_OFFSET, P->b); }
PROG(offset_of_nested) { return FIELD(BYTE_OFFSET, P->in.y); }
PROG(offset_of_element) { return FIELD(BYTE_OFFSET, P->list[2]); }
PROG(size_of_wide) { return FIELD(BYTE_SIZE, P->wide); }
PROG(size_of_list) { return FIELD(BYTE_SIZE, P->list); }
PROG(has_b) { return FIELD(EXISTS, P->b); }
PROG(has_gone) { return FIELD(EXISTS, ((struct parts___old *)0)->gone); }
PROG(sign_of_a) { return FIELD(SIGNED, P->a); }
PROG(sign_of_wide) { return FIELD(SIGNED, P->wide); }
PROG(sign_of_high) { return FIELD(SIGNED, P->high); }
PROG(offset_of_mid) { return FIELD(BYTE_OFFSET, P->mid); }
PROG(size_of_mid) { return FIELD(BYTE_SIZE, P->mid); }
PROG(left_of_mid) { return FIELD(LSHIFT, P->mid); }
PROG(right_of_mid) { return FIELD(RSHIFT, P->mid); }
PROG(local_id) { return __builtin_btf_type_id(*(struct parts *)0, 0) != 0; }
PROG(target_id) { return __builtin_btf_type_id(*(struct parts *)0, 1); }
PROG(target_id_of_absent) { return __builtin_btf_type_id(*(struct absent *)0, 1); }
PROG(has_type) { return __builtin_preserve_type_info(*(struct parts *)0, 0); }
PROG(has_absent) { return __builtin_preserve_type_info(*(struct absent *)0, 0); }
PROG(has_typedef) { return __builtin_preserve_type_info(*(number_t *)0, 0); }
PROG(size_of_type) { return __builtin_preserve_type_info(*(struct parts *)0, 1); }
PROG(matches_alike) { return __builtin_preserve_type_info(*(struct alike *)0, 2); }
PROG(matches_unlike) { return __builtin_preserve_type_info(*(struct unlike *)0, 2); }
PROG(has_green) { return __builtin_preserve_enum_value(*(enum color *)GREEN, 0); }
PROG(has_blue) { return __builtin_preserve_enum_value(*(enum color *)BLUE, 0); }
PROG(has_purple) { return __builtin_preserve_enum_value(*(enum color___other *)PURPLE, 0); }
PROG(value_of_green) { return __builtin_preserve_enum_value(*(enum color *)GREEN, 1); }
PROG(value_of_blue) { return __builtin_preserve_enum_value(*(enum color *)BLUE, 1); }
PROG(value_of_big) { return __builtin_preserve_enum_value(*(enum big *)BIG, 1) >> 32; }
PROG(offset_in_twice) { return FIELD(BYTE_OFFSET, ((struct twice *)0)->a); }
PROG(offset_in_absent) { return FIELD(BYTE_OFFSET, ((struct absent *)0)->a); }

#define PACKET(type)                                             \
	type *p = (void *)(long)ctx->data;                       \
	if ((char *)p + 256 > (char *)(long)ctx->data_end)       \
		return XDP_ABORTED

PROG(loads_b) { PACKET(struct parts); return p->b; }
PROG(loads_wide) { PACKET(struct parts); return p->wide; }
PROG(loads_small) { PACKET(struct parts); return p->small; }
PROG(loads_grows) { PACKET(struct parts); return p->grows; }
PROG(loads_last) { PACKET(struct parts); return p->last; }
PROG(stores_b) { PACKET(struct parts); p->b = 7; return XDP_PASS; }
PROG(loads_gone_if_there)
{
	PACKET(struct parts___old);
	return FIELD(EXISTS, p->gone) ? p->gone : XDP_DROP;
}
PROG(loads_gone) { PACKET(struct parts___old); return p->gone; }

char LICENSE[] SEC("license") = "GPL";
