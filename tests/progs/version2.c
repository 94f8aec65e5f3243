// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* version2: counts in the second place of `counts`; XDP_DROP. */
#define WHICH 1
#define SHAPE __u64
#define ACTION XDP_DROP
#include "version.h"
