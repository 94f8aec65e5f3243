// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * strings: text helpers and kernel functions, on the stack, in constants, in maps and in the packet.
 *
 * Maps: HASH, .rodata, .bss. Helpers: strncmp, strtol, strtoul; kernel functions: all bpf_str*.
 * Expect: results in `out`; XDP_PASS.
 */
#include "out.h"

extern int bpf_strcmp(const char *s1__ign, const char *s2__ign) __ksym;
extern int bpf_strcasecmp(const char *s1__ign, const char *s2__ign) __ksym;
extern int bpf_strchr(const char *s__ign, char c) __ksym;
extern int bpf_strchrnul(const char *s__ign, char c) __ksym;
extern int bpf_strnchr(const char *s__ign, __u64 count, char c) __ksym;
extern int bpf_strrchr(const char *s__ign, int c) __ksym;
extern int bpf_strlen(const char *s__ign) __ksym;
extern int bpf_strnlen(const char *s__ign, __u64 count) __ksym;
extern int bpf_strspn(const char *s__ign, const char *accept__ign) __ksym;
extern int bpf_strcspn(const char *s__ign, const char *reject__ign) __ksym;
extern int bpf_strstr(const char *s1__ign, const char *s2__ign) __ksym;
extern int bpf_strnstr(const char *s1__ign, const char *s2__ign, __u64 len) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, char[16]);
} texts SEC(".maps");

/* As long as a text may be, and a byte longer, without an end. */
char longest[65537] __attribute__((aligned(8)));

#define TO(fn, type, text, base)                                          \
	do {                                                              \
		char t_[] = text;                                         \
		type n_ = 77;                                             \
		OUT(fn(t_, sizeof(t_) - 1, base, &n_));                   \
		OUT(n_);                                                  \
	} while (0)

#define TO_LONG(text, base) TO(bpf_strtol, long, text, base)
#define TO_ULONG(text, base) TO(bpf_strtoul, unsigned long, text, base)

SEC("xdp")
int strings_numbers(struct xdp_md *ctx)
{
	OUT_BEGIN;

	TO_LONG("123", 10);
	TO_LONG(" \t\n-123abc", 10);
	TO_LONG("+5", 10);
	TO_LONG("0x1F", 0);
	TO_LONG("0x1F", 16);
	TO_LONG("1f", 16);
	TO_LONG("0x", 16);
	TO_LONG("0xg", 0);
	TO_LONG("0777", 0);
	TO_LONG("0778", 8);
	TO_LONG("99", 8);
	TO_LONG("9223372036854775807", 10);
	TO_LONG("9223372036854775808", 10);
	TO_LONG("-9223372036854775808", 10);
	TO_LONG("-9223372036854775809", 10);
	TO_LONG("18446744073709551616", 10);
	TO_LONG("-", 10);
	TO_LONG("   ", 10);
	TO_LONG("-0", 10);
	TO_LONG("12", 2);
	TO_LONG("12", 36);
	TO_LONG("12", 0x110);
	TO_LONG("\xa0" "7", 10);
	TO_LONG("--7", 10);
	TO_LONG("0000000000000000000000000000000000000000000000000000000000000000000000007", 10);
	return XDP_PASS;
}

SEC("xdp")
int strings_unsigned(struct xdp_md *ctx)
{
	OUT_BEGIN;

	TO_ULONG("123 ", 10);
	TO_ULONG("-123", 10);
	TO_ULONG("-0", 10);
	TO_ULONG("-x", 10);
	TO_ULONG("18446744073709551615", 10);
	TO_ULONG("18446744073709551616", 10);
	TO_ULONG("0xffffffffffffffff", 0);
	TO_ULONG("0x10000000000000000", 0);
	TO_ULONG("0xFFFFFFFFFFFFFFFFFz", 0);
	TO_ULONG("1777777777777777777777", 8);
	TO_ULONG("0", 0);
	TO_ULONG("0", 16);
	TO_ULONG("00", 0);
	TO_ULONG("08", 0);
	TO_ULONG("0X1f", 0);
	return XDP_PASS;
}

static const char word[] = "abcdefg";
static const char prefix[] = "abcx";
static const char less[] = "abb";
static const char more[] = "abd";
static const char empty[] = "";
static const char high[] = "\x80";

SEC("xdp")
int strings_compared(struct xdp_md *ctx)
{
	char s[8] = "abcdefg";
	char h[2] = "\x81";
	OUT_BEGIN;

	OUT(bpf_strncmp(s, sizeof(s), word));
	OUT(bpf_strncmp(s, 3, prefix));
	OUT(bpf_strncmp(s, sizeof(s), less));
	OUT(bpf_strncmp(s, sizeof(s), more));
	OUT(bpf_strncmp(s, 1, empty));
	OUT(bpf_strncmp(h, 1, high));
	OUT(bpf_strncmp(s, sizeof(s), high));
	OUT(bpf_strcmp(s, "abcdefg"));
	OUT(bpf_strcmp(s, "abcdefgh"));
	OUT(bpf_strcmp(s, "abcdef"));
	OUT(bpf_strcmp(s, high));
	OUT(bpf_strcmp(empty, empty));
	OUT(bpf_strcasecmp(s, "ABCDEFG"));
	OUT(bpf_strcasecmp(s, "ABCDEFZ"));
	OUT(bpf_strcasecmp("\xc4\xd6\xd7", "\xe4\xf6\xd7"));
	OUT(bpf_strcasecmp("\xd7", "\xf7"));
	OUT(bpf_strcmp(0, s));
	OUT(bpf_strcmp(s, (void *)1));
	OUT(bpf_strcmp(s, (void *)0xfff));
	OUT(bpf_strcmp((void *)0x8000000000000000, s));
	return XDP_PASS;
}

SEC("xdp")
int strings_searched(struct xdp_md *ctx)
{
	char s[16] = "hello world";
	OUT_BEGIN;

	OUT(bpf_strlen(s));
	OUT(bpf_strlen(empty));
	OUT(bpf_strnlen(s, 5));
	OUT(bpf_strnlen(s, 0));
	OUT(bpf_strnlen(s, 11));
	OUT(bpf_strnlen(s, 12));
	OUT(bpf_strnlen(s, -1));
	OUT(bpf_strchr(s, 'o'));
	OUT(bpf_strchr(s, 'z'));
	OUT(bpf_strchr(s, 0));
	OUT(bpf_strchr("\xff\xfe", 0xfe));
	OUT(bpf_strchrnul(s, 'w'));
	OUT(bpf_strchrnul(s, 'z'));
	OUT(bpf_strnchr(s, 4, 'o'));
	OUT(bpf_strnchr(s, 5, 'o'));
	OUT(bpf_strnchr(s, 0, 'h'));
	OUT(bpf_strnchr(s, 100, 'z'));
	OUT(bpf_strnchr(s, -1, 0));
	OUT(bpf_strrchr(s, 'o'));
	OUT(bpf_strrchr(s, 'z'));
	OUT(bpf_strrchr(s, 0));
	OUT(bpf_strrchr("\xff\xfe\xff", 0xff));
	OUT(bpf_strrchr("\xff\xfe\xff", -1));
	OUT(bpf_strrchr(s, 'o' + 256));
	OUT(bpf_strspn(s, "ehl"));
	OUT(bpf_strspn(s, empty));
	OUT(bpf_strspn(s, s));
	OUT(bpf_strspn(empty, s));
	OUT(bpf_strcspn(s, "ow"));
	OUT(bpf_strcspn(s, empty));
	OUT(bpf_strcspn(s, "xyz"));
	OUT(bpf_strcspn(s, "h"));
	OUT(bpf_strstr(s, "o w"));
	OUT(bpf_strstr(s, "ow"));
	OUT(bpf_strstr(s, empty));
	OUT(bpf_strstr(empty, empty));
	OUT(bpf_strstr(empty, "a"));
	OUT(bpf_strstr(s, s));
	OUT(bpf_strstr("aaab", "aab"));
	OUT(bpf_strnstr(s, "world", 11));
	OUT(bpf_strnstr(s, "world", 10));
	OUT(bpf_strnstr(s, "hello", 5));
	OUT(bpf_strnstr(s, "hello", 4));
	OUT(bpf_strnstr(s, empty, 0));
	OUT(bpf_strnstr(s, "h", 0));
	OUT(bpf_strnstr(s, "world", -1));
	OUT(bpf_strlen(0));
	OUT(bpf_strchr((void *)4, 'a'));
	OUT(bpf_strrchr(0, 0));
	OUT(bpf_strspn(s, 0));
	OUT(bpf_strstr(0, s));
	return XDP_PASS;
}

SEC("xdp")
int strings_places(struct xdp_md *ctx)
{
	char *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end, *text;
	__u32 key = 1;
	char value[16] = "in a hash", other[16] = "in_a_map";
	OUT_BEGIN;

	bpf_map_update_elem(&texts, &key, value, BPF_ANY);
	text = bpf_map_lookup_elem(&texts, &key);
	if (text) {
		OUT(bpf_strlen(text));
		OUT(bpf_strcmp(text, value));
		OUT(bpf_strstr(text, "hash"));
	}
	if (data + 16 > data_end)
		return XDP_DROP;
	__builtin_memcpy(data, other, 16);
	OUT(bpf_strlen(data));
	OUT(bpf_strcmp(data, other));
	OUT(bpf_strcmp(data + 3, other));
	OUT(bpf_strnlen(data + 1, 3));
	return XDP_PASS;
}

SEC("xdp")
int strings_too_long(struct xdp_md *ctx)
{
	char s[4] = "aaa";
	OUT_BEGIN;

	for (int i = 0; i < 8192; i++)
		*(volatile __u64 *)(longest + 8 * i) = 0x6161616161616161;
	longest[65536] = 'a';
	OUT(bpf_strlen(longest));
	OUT(bpf_strnlen(longest, 65535));
	OUT(bpf_strnlen(longest, 65536));
	OUT(bpf_strnlen(longest, 65537));
	OUT(bpf_strchr(longest, 'b'));
	OUT(bpf_strnchr(longest, 65535, 'b'));
	OUT(bpf_strnchr(longest, 65536, 'b'));
	OUT(bpf_strchrnul(longest, 'b'));
	OUT(bpf_strrchr(longest, 'a'));
	OUT(bpf_strcmp(longest, longest));
	OUT(bpf_strspn(longest, s));
	OUT(bpf_strspn(s, longest));
	OUT(bpf_strcspn(longest, "b"));
	OUT(bpf_strcspn("b", longest));
	OUT(bpf_strstr(longest, "b"));
	OUT(bpf_strstr(longest, longest));
	OUT(bpf_strnstr(longest, "b", 65535));
	longest[65535] = 0;
	OUT(bpf_strlen(longest));
	OUT(bpf_strrchr(longest, 'a'));
	OUT(bpf_strchr(longest, 0));
	OUT(bpf_strcmp(longest, longest));
	return XDP_PASS;
}
