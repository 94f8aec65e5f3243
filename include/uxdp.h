/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* uxdp: runs XDP programs in any process. Generated from ffi/api; do not edit. */

#ifndef UXDP_H
#define UXDP_H

#include <stdint.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The library's version, for example `"0.1.0"`.
 *
 * Static memory, never freed. Any thread.
 */
const char *uxdp_version(void);

/**
 * A sentence for a status, whether negative as functions return it or positive.
 *
 * Static memory, never freed, NUL-terminated. Any thread.
 */
const char *uxdp_strerror(int status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* UXDP_H */
