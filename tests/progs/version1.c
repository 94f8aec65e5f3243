// SPDX-License-Identifier: (GPL-2.0-only OR MIT OR Apache-2.0)
/* version1: counts in the first place of `counts`; XDP_TX. */
#define WHICH 0
#define SHAPE __u32
#define ACTION XDP_TX
#include "version.h"
