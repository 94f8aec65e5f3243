// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* What programs of the helper table have in common: an array of results, which tests compare as the object's .bss. */
#ifndef OUT_H
#define OUT_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define OUTS 128

long out[OUTS];

/* Results go into consecutive places; the index is a constant in each program. */
#define OUT(value) (out[at_++] = (value))
#define OUT_BEGIN int at_ = 0

char _license[] SEC("license") = "GPL";

#endif
