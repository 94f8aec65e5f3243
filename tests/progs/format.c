// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/*
 * format: formatted text into memory of the program and into the trace.
 *
 * Maps: .rodata, .bss. Helpers: snprintf, trace_printk, trace_vprintk.
 * Expect: results in `out`, texts in `text`; XDP_PASS.
 */
#include "out.h"

#define LINE 64

char text[40 * LINE];

#define FORMAT(size, format, ...)                                                                \
	do {                                                                                     \
		static const char f_[] = format;                                                 \
		__u64 a_[] = { __VA_ARGS__ };                                                    \
		OUT(bpf_snprintf(text + LINE * line, size, f_, a_, sizeof(a_)));                 \
		line++;                                                                          \
	} while (0)

SEC("xdp")
int format_numbers(struct xdp_md *ctx)
{
	int line = 0;
	OUT_BEGIN;

	FORMAT(LINE, "%d %u %x %X", -1, -1, 0xabcd, 0xabcd);
	FORMAT(LINE, "%ld %lu %lx", 1ull << 63, -1, -1);
	FORMAT(LINE, "%lld|%lli|%llX", 1ull << 63, 7, 0xfedcba9876543210);
	FORMAT(LINE, "%5d|%-5d|%05d|%+d|% d", 42, 42, 42, 42, 42);
	FORMAT(LINE, "%+-05d|%0-5d|%-05x|%+x", 7, 7, 7, 7);
	FORMAT(LINE, "%c%c%5c|%-5c|", 'a', 'b' + 256, 'c', 'd');
	FORMAT(LINE, "%%%d%%", 5);
	FORMAT(LINE, "%px %10px|%020px", 0x1234, 0x1234, 0x1234);
	FORMAT(8, "%d", 1234567);
	FORMAT(7, "%d", 1234567);
	FORMAT(6, "%d", 1234567);
	FORMAT(1, "%d", 1234567);
	FORMAT(LINE, "%d", 1, 2);
	FORMAT(LINE, "%60d|", 1);
	FORMAT(LINE, "%200d|", 1);
	FORMAT(LINE, "%d%d%d%d%d%d%d%d%d%d%d%d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
	FORMAT(LINE, "%lx%d%lx%c%lx", 1, 2, 3, 'x', 5);
	OUT(bpf_snprintf(0, 0, "nothing", 0, 0));
	OUT(bpf_snprintf(text + LINE * line, LINE, "no arguments\t\n", 0, 0));
	line++;
	return XDP_PASS;
}

static const char constant[] = "constant";
char in_bss[8] = {};

SEC("xdp")
int format_texts(struct xdp_md *ctx)
{
	__u8 address[16] = { 192, 168, 0, 1, 0xfe, 0x80, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
	char s[12] = "on stack";
	int line = 0;
	OUT_BEGIN;

	in_bss[0] = 'b';
	FORMAT(LINE, "%s", (long)s);
	FORMAT(LINE, "%s|%10s|%-10s|", (long)constant, (long)in_bss, (long)s);
	FORMAT(LINE, "%pks %s.", (long)s + 3, (long)s + 7);
	FORMAT(5, "%s", (long)s);
	FORMAT(LINE, "%s %d", 0, 5);
	FORMAT(LINE, "%pI4 %pi4", (long)address, (long)address);
	FORMAT(LINE, "%pI6 %d", (long)address, 9);
	FORMAT(LINE, "%pi6", (long)address);
	FORMAT(LINE, "%pI4", 0);
	FORMAT(LINE, "%s%s%s%s", (long)s, (long)s, (long)s, (long)s);
	return XDP_PASS;
}

char large[600] __attribute__((aligned(8)));

SEC("xdp")
int format_large(struct xdp_md *ctx)
{
	int line = 0;
	OUT_BEGIN;

	for (int i = 0; i < 70; i++)
		*(volatile __u64 *)(large + 8 * i) = 0x6161616161616161;
	FORMAT(LINE, "%s", (long)large);
	FORMAT(LINE, "%s %s", (long)large, (long)large);
	FORMAT(LINE, "%s %d", (long)large, 1);
	FORMAT(LINE, "%s %c", (long)large + 50, 1);
	FORMAT(LINE, "%s %c", (long)large + 49, 1);
	FORMAT(LINE, "%s %d", (long)large + 53, 1);
	FORMAT(LINE, "%s %d", (long)large + 52, 1);
	FORMAT(LINE, "%s %lx", (long)large + 56, 1);
	FORMAT(LINE, "%s %lx", (long)large + 57, 1);
	return XDP_PASS;
}

SEC("xdp")
int format_traced(struct xdp_md *ctx)
{
	char s[12] = "on stack", bad[8] = "%q", open[4] = { 'a', 'b', 'c', 'd' };
	static const char many[] = "%d %s %lx %c %u %x";
	__u64 words[6] = { 1, (long)s, 3, 'x', 5, 6 };
	OUT_BEGIN;

	OUT(bpf_trace_printk(bad, sizeof(bad), 1));
	OUT(bpf_trace_printk(open, sizeof(open)));
	OUT(bpf_printk("%s %d", s, 5));
	OUT(bpf_trace_vprintk(many, sizeof(many), words, sizeof(words)));
	OUT(bpf_trace_vprintk(many, sizeof(many), words, 40));
	OUT(bpf_trace_vprintk(many, sizeof(many), words, 47));
	OUT(bpf_trace_vprintk(many, 5, words, sizeof(words)));
	OUT(bpf_trace_vprintk(constant, sizeof(constant), 0, 0));
	{
		char two[6] = "%d %d", odd[8] = "%hd", dots[8] = "%.3d", end[2] = "%", text[8] = "%sx", ip[4] = "%p4";

		OUT(bpf_trace_vprintk(two, sizeof(two), words, 8));
		OUT(bpf_trace_vprintk(odd, sizeof(odd), words, 8));
		OUT(bpf_trace_vprintk(dots, sizeof(dots), words, 8));
		OUT(bpf_trace_vprintk(end, sizeof(end), words, 8));
		OUT(bpf_trace_vprintk(text, sizeof(text), words, 8));
		OUT(bpf_trace_vprintk(ip, sizeof(ip), words, 8));
	}
	return XDP_PASS;
}
