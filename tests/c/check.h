/* What every test program asks with. */
#include <stdio.h>
#include <stdlib.h>

#include <uxdp.h>

#define CHECK(what)                                                                                                            \
	do {                                                                                                                   \
		if (!(what)) {                                                                                                 \
			char why_[512];                                                                                        \
			uxdp_last_error(why_, sizeof(why_));                                                                   \
			fprintf(stderr, "%s:%d: %s (last error: %s)\n", __FILE__, __LINE__, #what, why_);                      \
			exit(1);                                                                                               \
		}                                                                                                              \
	} while (0)
