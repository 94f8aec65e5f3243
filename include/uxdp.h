/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* uxdp: runs XDP programs in any process. Generated from ffi/api; do not edit.
 *
 * Functions return 0 or a negative Linux errno value unless they say otherwise; uxdp_strerror has a sentence for each, uxdp_last_error
 * the details. Handles are opaque. The order of use: open, adjust, load an object; register a worker; make a context of the worker and the
 * program's hook; set the context's pointers and call xdp_run for every packet; call uxdp_worker_quiescent after every burst.
 *
 * xdp_run, xdp_run_burst and uxdp_ctx_init belong to the worker's thread; a process that has forked may only exec in the child.
 */


#ifndef UXDP_H
#define UXDP_H

#include <stdint.h>
#include <stddef.h>

struct uxdp_ctx;

/* Declares option structs: `UXDP_OPEN_OPTS(opts, .log_buf = buf, .log_size = sizeof(buf));` declares `struct uxdp_open_opts opts`, sets its
 * size and defaults, then the fields given, up to twelve. Valid C99 to C23 and C++, inside functions. */
#define UXDP_OPEN_OPTS(...) UXDP_OPTS_(uxdp_open_opts, UXDP_NODE_, __VA_ARGS__)
#define UXDP_LOAD_OPTS(...) UXDP_OPTS_(uxdp_load_opts, UXDP_NONE_, __VA_ARGS__)
/* Declares any other struct that begins with its size: `UXDP_STRUCT(uxdp_map_info, info);` */
#define UXDP_STRUCT(type, ...) UXDP_OPTS_(type, UXDP_NONE_, __VA_ARGS__)

/* Private to the macros above: zero, the size, a default, then `x .field = value` for each argument. */
#ifdef __cplusplus
#define UXDP_ZERO_ {}
#else
#define UXDP_ZERO_ {0}
#endif
#define UXDP_NONE_(x) (void)(x)
#define UXDP_NODE_(x) (x).numa_node = -1
#define UXDP_OPTS_(type, more, ...) \
  UXDP_PICK_(__VA_ARGS__, UXDP_12_, UXDP_11_, UXDP_10_, UXDP_9_, UXDP_8_, UXDP_7_, UXDP_6_, UXDP_5_, UXDP_4_, UXDP_3_, UXDP_2_, UXDP_1_, UXDP_0_, 0) \
  (type, more, __VA_ARGS__)
#define UXDP_PICK_(x, a, b, c, d, e, f, g, h, i, j, k, l, name, ...) name
#define UXDP_0_(type, more, x) struct type x = UXDP_ZERO_; x.sz = sizeof(x); more(x)
#define UXDP_1_(type, more, x, a) UXDP_0_(type, more, x); x a
#define UXDP_2_(type, more, x, a, b) UXDP_1_(type, more, x, a); x b
#define UXDP_3_(type, more, x, a, b, c) UXDP_2_(type, more, x, a, b); x c
#define UXDP_4_(type, more, x, a, b, c, d) UXDP_3_(type, more, x, a, b, c); x d
#define UXDP_5_(type, more, x, a, b, c, d, e) UXDP_4_(type, more, x, a, b, c, d); x e
#define UXDP_6_(type, more, x, a, b, c, d, e, f) UXDP_5_(type, more, x, a, b, c, d, e); x f
#define UXDP_7_(type, more, x, a, b, c, d, e, f, g) UXDP_6_(type, more, x, a, b, c, d, e, f); x g
#define UXDP_8_(type, more, x, a, b, c, d, e, f, g, h) UXDP_7_(type, more, x, a, b, c, d, e, f, g); x h
#define UXDP_9_(type, more, x, a, b, c, d, e, f, g, h, i) UXDP_8_(type, more, x, a, b, c, d, e, f, g, h); x i
#define UXDP_10_(type, more, x, a, b, c, d, e, f, g, h, i, j) UXDP_9_(type, more, x, a, b, c, d, e, f, g, h, i); x j
#define UXDP_11_(type, more, x, a, b, c, d, e, f, g, h, i, j, k) UXDP_10_(type, more, x, a, b, c, d, e, f, g, h, i, j); x k
#define UXDP_12_(type, more, x, a, b, c, d, e, f, g, h, i, j, k, l) UXDP_11_(type, more, x, a, b, c, d, e, f, g, h, i, j, k); x l


/**
 * What a program says of its packet: the values of `enum xdp_action`, under names that do not clash with `linux/bpf.h`.
 */
enum uxdp_action {
  /**
   * Something went wrong; the packet is dropped and the reason counted.
   */
  UXDP_ABORTED = 0,
  /**
   * Drop it.
   */
  UXDP_DROP = 1,
  /**
   * To whoever embeds us.
   */
  UXDP_PASS = 2,
  /**
   * Back out of the port it came from.
   */
  UXDP_TX = 3,
  /**
   * To the target in the context's `redirect`.
   */
  UXDP_REDIRECT = 4,
};

/**
 * Why a run ended as aborted. Append-only: each is an index into `aborts` of `struct uxdp_prog_stats`.
 */
enum uxdp_abort_reason {
  /**
   * The program returned XDP_ABORTED.
   */
  UXDP_ABORT_RETURNED = 0,
  /**
   * The program returned a number that is no action.
   */
  UXDP_ABORT_UNKNOWN_CODE = 1,
  /**
   * The engine caught what the verifier should have excluded.
   */
  UXDP_ABORT_FAULT = 2,
  /**
   * The hook has no program.
   */
  UXDP_ABORT_NO_PROGRAM = 3,
  /**
   * XDP_REDIRECT was returned, but no target was set.
   */
  UXDP_ABORT_NO_REDIRECT_TARGET = 4,
};

/**
 * What kind of target a redirect has.
 */
enum uxdp_redirect_kind {
  /**
   * No redirect.
   */
  UXDP_REDIRECT_NONE = 0,
  /**
   * An interface index: `target`.
   */
  UXDP_REDIRECT_IFINDEX = 1,
  /**
   * Entry `index` of a device map.
   */
  UXDP_REDIRECT_DEVMAP = 2,
  /**
   * Entry `index` of a CPU map.
   */
  UXDP_REDIRECT_CPUMAP = 3,
  /**
   * Entry `index` of a socket map.
   */
  UXDP_REDIRECT_XSKMAP = 4,
};

/**
 * Bits of `valid` in `struct uxdp_rx_meta`.
 */
enum uxdp_rx_valid {
  /**
   * `hash` and `hash_type` are set.
   */
  UXDP_RX_HASH = 1,
  /**
   * `timestamp` is set.
   */
  UXDP_RX_TIMESTAMP = 2,
  /**
   * `vlan_proto` and `vlan_tci` are set.
   */
  UXDP_RX_VLAN = 4,
};

/**
 * Which engine runs a program.
 */
enum uxdp_engine {
  /**
   * Compiled code where the machine allows it, else the interpreter.
   */
  UXDP_ENGINE_AUTO = 0,
  /**
   * Compiled code, or the load fails with -EOPNOTSUPP.
   */
  UXDP_ENGINE_JIT = 1,
  /**
   * The interpreter.
   */
  UXDP_ENGINE_INTERP = 2,
};

/**
 * An environment: worker slots, ids, grace periods, code memory.
 */
struct uxdp_env;

/**
 * The rest of a multi-buffer packet. Opaque: programs get linear packets only.
 */
struct uxdp_frags;

/**
 * A run's entry: takes the context, returns one of `enum uxdp_action`.
 */
typedef uint32_t (*uxdp_entry)(struct uxdp_ctx *ctx);

/**
 * What the NIC said of a packet; each with a bit in `valid`.
 */
struct uxdp_rx_meta {
  /**
   * Bits of `enum uxdp_rx_valid`.
   */
  uint32_t valid;
  /**
   * RSS hash.
   */
  uint32_t hash;
  /**
   * Kind of the hash (the kernel's `enum xdp_rss_hash_type`).
   */
  uint32_t hash_type;
  /**
   * VLAN protocol, network byte order.
   */
  uint16_t vlan_proto;
  /**
   * VLAN tag, host byte order.
   */
  uint16_t vlan_tci;
  /**
   * Receive time in ns.
   */
  uint64_t timestamp;
};

/**
 * Where a redirected packet goes.
 */
struct uxdp_redirect {
  /**
   * One of `enum uxdp_redirect_kind`.
   */
  uint32_t kind;
  /**
   * Index in the map.
   */
  uint32_t index;
  /**
   * The helper's flags.
   */
  uint64_t flags;
  /**
   * Interface, CPU or socket number of the target.
   */
  uint64_t target;
  /**
   * The map, or NULL.
   */
  const void *map;
  /**
   * The entry's own program, or NULL.
   */
  const void *egress_prog;
};

/**
 * The context of a run: one a worker and hook, reused for every packet.
 *
 * Made by uxdp_ctx_init. For each packet the host sets the five pointers, which lie in one buffer in this order:
 * `data_hard_start <= data_meta <= data <= data_end <= frame_end`. `data_meta == data` means that there is no metadata. The program
 * may move `data_meta`, `data` and `data_end` and use all of the buffer. Only the worker's thread touches it.
 */
struct uxdp_ctx {
  /**
   * First byte of the buffer: all of the headroom may be used. In.
   */
  uint8_t *data_hard_start;
  /**
   * First byte of the metadata. In and out.
   */
  uint8_t *data_meta;
  /**
   * First byte of the packet. In and out.
   */
  uint8_t *data;
  /**
   * One past the packet's last byte. In and out.
   */
  uint8_t *data_end;
  /**
   * One past the buffer's last byte: all of the tailroom may be used. In.
   */
  uint8_t *frame_end;
  /**
   * The hook's slot that holds the entry. Read-only.
   */
  const uxdp_entry *entry;
  /**
   * The worker's block. Read-only.
   */
  void *percpu;
  /**
   * The worker's slot. Read-only.
   */
  uint32_t slot;
  /**
   * Where the packet came in; 0 is no interface. In; kept from packet to packet.
   */
  uint32_t ingress_ifindex;
  /**
   * On which queue it came in. In; kept from packet to packet.
   */
  uint32_t rx_queue_index;
  /**
   * Where it goes out, for devmap programs. In; kept from packet to packet.
   */
  uint32_t egress_ifindex;
  /**
   * What the NIC said of it. In; kept from packet to packet.
   */
  struct uxdp_rx_meta rx;
  /**
   * NULL.
   */
  struct uxdp_frags *frags;
  /**
   * Where a packet with UXDP_REDIRECT goes. Out.
   */
  struct uxdp_redirect redirect;
  /**
   * Private.
   */
  uint64_t reserved_[11];
};

/**
 * One packet of a burst.
 */
struct uxdp_pkt {
  /**
   * As in `struct uxdp_ctx`.
   */
  uint8_t *data_hard_start;
  /**
   * As in `struct uxdp_ctx`.
   */
  uint8_t *data_meta;
  /**
   * As in `struct uxdp_ctx`.
   */
  uint8_t *data;
  /**
   * As in `struct uxdp_ctx`.
   */
  uint8_t *data_end;
  /**
   * As in `struct uxdp_ctx`.
   */
  uint8_t *frame_end;
  /**
   * The host's own, for example its mbuf; never touched.
   */
  void *cookie;
  /**
   * What the NIC said of it. In.
   */
  struct uxdp_rx_meta rx;
  /**
   * NULL.
   */
  struct uxdp_frags *frags;
  /**
   * One of `enum uxdp_action`. Out.
   */
  uint32_t action;
  /**
   * Where a packet with UXDP_REDIRECT goes. Out.
   */
  struct uxdp_redirect redirect;
};

/**
 * Where map memory comes from. The memory need not be zeroed; it is never moved.
 *
 * Both functions may be called from any thread that loads or frees; `arg` is handed to them. Memory is given back when no program, no
 * worker and no handle can reach it any more: in uxdp_synchronize, in the last worker's uxdp_worker_quiescent, or in the call that drops
 * the last reference.
 */
struct uxdp_mem_ops {
  /**
   * `size` bytes aligned to `align` (a power of two, at most a page) for the map `name`, on `numa_node` (-1: any); NULL when it cannot be had.
   */
  void *(*alloc)(void *arg, const char *name, size_t size, size_t align, int numa_node);
  /**
   * Gives back what `alloc` returned for that size.
   */
  void (*free)(void *arg, void *p, size_t size);
  /**
   * The caller's own.
   */
  void *arg;
};

/**
 * How an object is opened. Declare one with `UXDP_OPEN_OPTS(opts, .name = "x", ...)`.
 */
struct uxdp_open_opts {
  /**
   * `sizeof(struct uxdp_open_opts)`.
   */
  size_t sz;
  /**
   * The object's name in messages; NULL: the file's name, or "object".
   */
  const char *name;
  /**
   * The environment; NULL: the default one.
   */
  struct uxdp_env *env;
  /**
   * Slots of per-CPU maps, which an environment fixes once: the first open decides for the default one. 0: whatever the environment has.
   */
  uint32_t nr_cpus;
  /**
   * NUMA node for map memory; -1, which UXDP_OPEN_OPTS sets: any.
   */
  int numa_node;
  /**
   * Where maps live; NULL: anonymous pages. Copied; `arg` and the functions stay in use as long as the maps.
   */
  const struct uxdp_mem_ops *map_mem;
  /**
   * Gets the reason of a refusal, NUL-terminated; NULL: none. Used during the call only.
   */
  char *log_buf;
  /**
   * Bytes of `log_buf`.
   */
  size_t log_size;
  /**
   * 0: errors only.
   */
  uint32_t log_level;
  /**
   * 0.
   */
  uint32_t reserved;
};

/**
 * How an object is loaded. Declare one with `UXDP_LOAD_OPTS(opts, .log_buf = buf, .log_size = sizeof(buf))`.
 */
struct uxdp_load_opts {
  /**
   * `sizeof(struct uxdp_load_opts)`.
   */
  size_t sz;
  /**
   * One of `enum uxdp_engine`.
   */
  uint32_t engine;
  /**
   * 0.
   */
  uint32_t flags;
  /**
   * Most bytes that verifying one program may take; 0: the default.
   */
  size_t verifier_mem;
  /**
   * Gets the verifier's log, NUL-terminated, its last lines where it is cut; NULL: none. Used during the call only.
   */
  char *log_buf;
  /**
   * Bytes of `log_buf`.
   */
  size_t log_size;
  /**
   * As the kernel's: 0 the reason of a refusal only, 1 each instruction once with its state, 2 every visit, 4 the closing counts.
   */
  uint32_t log_level;
  /**
   * 0.
   */
  uint32_t reserved;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Copies the calling thread's last error in words to `buf`, NUL-terminated, its last lines where `n` is too small.
 *
 * Returns the length of the whole text without the NUL; 0 when no call of this thread failed. A later success does not clear it.
 * `buf` stays the caller's and may be NULL if `n` is 0. Any thread. Cannot fail.
 */
int uxdp_last_error(char *buf,
                    size_t n);

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


#ifndef UXDP_H_INLINE
#define UXDP_H_INLINE

#ifdef __cplusplus
#define UXDP_ASSERT_(what) static_assert(what, #what)
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define UXDP_ASSERT_(what) _Static_assert(what, #what)
#endif
#ifdef UXDP_ASSERT_
UXDP_ASSERT_(offsetof(struct uxdp_ctx, entry) == 40 && offsetof(struct uxdp_ctx, ingress_ifindex) == 60);
UXDP_ASSERT_(offsetof(struct uxdp_ctx, rx) == 72 && offsetof(struct uxdp_ctx, redirect) == 104);
UXDP_ASSERT_(sizeof(struct uxdp_ctx) == 232 && sizeof(struct uxdp_rx_meta) == 24 && sizeof(struct uxdp_redirect) == 40);
UXDP_ASSERT_(offsetof(struct uxdp_pkt, cookie) == 40 && offsetof(struct uxdp_pkt, action) == 80 && sizeof(struct uxdp_pkt) == 128);
#endif

/**
 * Runs the hook's programs on the packet in the context and returns one of `enum uxdp_action`.
 *
 * The context was made by uxdp_ctx_init; its five pointers are in order and inside one buffer. On return they say where the packet is.
 *
 * The context and the buffer stay the caller's. On the worker's own thread only. Cannot fail: errors are UXDP_ABORTED, counted by reason.
 */
static inline uint32_t xdp_run(struct uxdp_ctx *ctx)
{
  return __atomic_load_n(ctx->entry, __ATOMIC_ACQUIRE)(ctx);
}

#endif /* UXDP_H_INLINE */
