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
/* Ties a context to a worker and a hook: see uxdp_ctx_init_sized. */
#define uxdp_ctx_init(ctx, w, h) uxdp_ctx_init_sized((ctx), (w), (h), sizeof(*(ctx)))

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
 * Most fragments of a packet.
 */
#define UXDP_MAX_FRAGS 17

/**
 * The table of ordinary routes (`RT_TABLE_MAIN`).
 */
#define UXDP_TABLE_MAIN 254

/**
 * Flag of a helper: it moves the packet's ends, so that pointers into the packet end with the call.
 */
#define UXDP_HELPER_CHANGES_PACKET 1

/**
 * Flag of a helper: its memory arguments may be in the packet.
 */
#define UXDP_HELPER_TAKES_PACKET 2

/**
 * The numbers of a host's helpers begin here; they end below 65536.
 */
#define UXDP_HELPER_FIRST 32768

/**
 * Load flag: every run is counted by its action, at about a nanosecond a run. Without it, aborted runs alone are.
 */
#define UXDP_LOAD_COUNT_ACTIONS 1

/**
 * Load flag: programs that store pointers into maps, packets or records, or let a helper read one from the stack, are refused. Numbers made from pointers are not
 * followed.
 */
#define UXDP_LOAD_HYGIENE 2

/**
 * Load flag: as UXDP_LOAD_HYGIENE; programs that make numbers from pointers, compare them other than with null or the packet's end, or read stack that was never
 * written, are refused too.
 */
#define UXDP_LOAD_STRICT 4

/**
 * Offer: what the host says of the port is complete; without it the other bits say nothing.
 */
#define UXDP_OFFERS_STATED 2147483648

/**
 * Offer: packets can be redirected to other ports, lcores or sockets.
 */
#define UXDP_OFFERS_REDIRECT 1

/**
 * Offer: there is room in front of a packet.
 */
#define UXDP_OFFERS_HEADROOM (1 << 1)

/**
 * Offer: metadata in front of a packet goes with it.
 */
#define UXDP_OFFERS_METADATA (1 << 2)

/**
 * Offer: `rx.hash` is filled where the NIC gives it.
 */
#define UXDP_OFFERS_RX_HASH (1 << 3)

/**
 * Offer: `rx.timestamp` is filled where the NIC gives it.
 */
#define UXDP_OFFERS_RX_TIMESTAMP (1 << 4)

/**
 * Offer: `rx.vlan_tag` is filled where the NIC gives it.
 */
#define UXDP_OFFERS_RX_VLAN_TAG (1 << 5)

/**
 * Not an offer but a demand: packets may come in several buffers, so that programs without `xdp.frags` do not fit.
 */
#define UXDP_OFFERS_SEVERAL_BUFFERS (1 << 6)

/**
 * Offer: packets can be sent back out of the port (UXDP_TX). Programs need it that have the constant XDP_TX for an answer; from others, whose answer is computed or comes
 * from a map, the host drops and counts it where it cannot send.
 */
#define UXDP_OFFERS_TX (1 << 7)

/**
 * Attaches programs in order of their priority, lowest first, as libxdp does; equal ones in the order in which they are given.
 */
#define UXDP_ATTACH_BY_PRIORITY 1

/**
 * Every slot, for uxdp_prog_stats.
 */
#define UXDP_ALL_SLOTS -1

/**
 * `flags` of a redirect to a device map: the packet is for every entry (the kernel's BPF_F_BROADCAST). `target` is 0 then; uxdp_redirect_next names the targets.
 */
#define UXDP_REDIRECT_BROADCAST (1 << 3)

/**
 * `flags` beside UXDP_REDIRECT_BROADCAST: but not to where it came from (the kernel's BPF_F_EXCLUDE_INGRESS).
 */
#define UXDP_REDIRECT_EXCLUDE_INGRESS (1 << 4)

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
   * The program returned a number that is no action, or none that the program of a map's entry has.
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
  /**
   * The lock of a map's value was not to be had in time: its holder is dead, or stuck.
   */
  UXDP_ABORT_LOCK = 5,
  /**
   * The run took more instructions than `run_limit` of its load allows.
   */
  UXDP_ABORT_LIMIT = 6,
  /**
   * The packet is in several buffers, and a program that is attached does not take such (section `xdp.frags`): none was run.
   */
  UXDP_ABORT_SEVERAL_BUFFERS = 7,
  /**
   * The run took more time than `run_time_limit` of its load allows.
   */
  UXDP_ABORT_TIME = 8,
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
 * What becomes of packets to a prefix.
 */
enum uxdp_route_kind {
  /**
   * They are forwarded.
   */
  UXDP_ROUTE_UNICAST = 0,
  /**
   * They are the host's, or for everybody on the link: not forwarded.
   */
  UXDP_ROUTE_LOCAL = 1,
  /**
   * They vanish.
   */
  UXDP_ROUTE_BLACKHOLE = 2,
  /**
   * They are refused: there is no way.
   */
  UXDP_ROUTE_UNREACHABLE = 3,
  /**
   * They are refused: it is forbidden.
   */
  UXDP_ROUTE_PROHIBIT = 4,
  /**
   * The next table is asked.
   */
  UXDP_ROUTE_THROW = 5,
};

/**
 * What an argument of a host's helper has to be; the verifier proves it.
 */
enum uxdp_arg {
  /**
   * There is no such argument.
   */
  UXDP_ARG_NONE = 0,
  /**
   * Anything that was ever written.
   */
  UXDP_ARG_ANYTHING = 1,
  /**
   * The context.
   */
  UXDP_ARG_CTX = 2,
  /**
   * A map.
   */
  UXDP_ARG_MAP = 3,
  /**
   * A key of the map before it.
   */
  UXDP_ARG_MAP_KEY = 4,
  /**
   * A value of the map before it, to be read.
   */
  UXDP_ARG_MAP_VALUE = 5,
  /**
   * Memory to be read; the next argument is its size.
   */
  UXDP_ARG_MEM = 6,
  /**
   * Memory to be written; the next argument is its size.
   */
  UXDP_ARG_MEM_OUT = 7,
  /**
   * The size of the memory before it, not zero.
   */
  UXDP_ARG_SIZE = 8,
  /**
   * The size of the memory before it, or zero.
   */
  UXDP_ARG_SIZE_OR_ZERO = 9,
  /**
   * Eight aligned bytes to be written.
   */
  UXDP_ARG_LONG_OUT = 10,
  /**
   * Constant text that ends with NUL.
   */
  UXDP_ARG_CONST_STR = 11,
};

/**
 * What a host's helper returns.
 */
enum uxdp_ret {
  /**
   * A number.
   */
  UXDP_RET_INTEGER = 0,
  /**
   * Nothing.
   */
  UXDP_RET_VOID = 1,
};

/**
 * An environment: worker slots, ids, grace periods. What is of one environment cannot be used with another.
 */
struct uxdp_env;

/**
 * Links, routes and neighbours of a host, to be published. Changing it changes nothing that programs see.
 */
struct uxdp_fib;

/**
 * A hook: an attach point, such as a port's queue or just a loop, with an ordered set of programs.
 */
struct uxdp_hook;

/**
 * A map of an object, which belongs to the object unless uxdp_map_ref makes it live longer; or one of its own.
 */
struct uxdp_map;

/**
 * An object: programs and maps of one file.
 */
struct uxdp_object;

/**
 * A program of an object. Belongs to the object unless uxdp_prog_ref makes it live longer.
 */
struct uxdp_prog;

/**
 * A worker: the holder of a slot, which is `bpf_get_smp_processor_id()` and the index in per-CPU maps.
 */
struct uxdp_worker;

/**
 * Gets an element of uxdp_map_for_each_elem: a key, a value of `value_buf_size` bytes, the caller's argument. Anything but 0 ends the walk.
 */
typedef int (*uxdp_elem_fn)(const void *key, const void *value, void *arg);

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
 * One fragment of a packet.
 */
struct uxdp_frag {
  /**
   * Its first byte. In and out.
   */
  uint8_t *data;
  /**
   * Bytes of packet in it. In and out.
   */
  uint32_t len;
  /**
   * Bytes from `data` on that it may grow to; 0: it cannot grow. In and out.
   */
  uint32_t room;
  /**
   * The host's own, for example its mbuf; never touched.
   */
  void *cookie;
};

/**
 * The rest of a packet behind its first buffer: fragments in order. For programs of section `xdp.frags`: see uxdp_hook_takes_frags.
 */
struct uxdp_frags {
  /**
   * How many there are. In and out.
   */
  uint32_t nr;
  /**
   * How many the program dropped: they stand behind those that are left, and are the host's to free. In: 0. Out.
   */
  uint32_t nr_released;
  /**
   * The fragments.
   */
  struct uxdp_frag frags[UXDP_MAX_FRAGS];
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
   * What is behind the first buffer; NULL: nothing. In; kept from packet to packet.
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
   * What is behind the first buffer; NULL: nothing. In.
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
 * A question for a socket.
 */
struct uxdp_socket_query {
  /**
   * 0: TCP, a connection or listener. 1: UDP. 2: TCP in any state.
   */
  uint32_t kind;
  /**
   * The network name space; -1: the packet's own.
   */
  int32_t netns;
  /**
   * Where the packet came in.
   */
  uint32_t ingress_ifindex;
  /**
   * Bytes of `tuple`: 12 for IPv4, 36 for IPv6.
   */
  uint32_t tuple_size;
  /**
   * Source and destination address, source and destination port, in network byte order: the kernel's `struct bpf_sock_tuple`.
   */
  const void *tuple;
};

/**
 * A question for a tracked connection.
 */
struct uxdp_ct_query {
  /**
   * As in `struct uxdp_socket_query`.
   */
  const void *tuple;
  /**
   * Bytes of `tuple`: 12 for IPv4, 36 for IPv6.
   */
  uint32_t tuple_size;
  /**
   * The network name space; -1: the packet's own.
   */
  int32_t netns;
  /**
   * 6 for TCP, 17 for UDP.
   */
  uint8_t protocol;
  /**
   * The directions that the zone is for; 0: both.
   */
  uint8_t zone_direction;
  /**
   * The zone; 0: the default one.
   */
  uint16_t zone;
  /**
   * 0.
   */
  uint32_t reserved;
};

/**
 * What only the host can do for programs. Each may be NULL: a program that calls a helper which wants it is refused with -EOPNOTSUPP, and the message names it.
 *
 * All are called on a worker's thread, in the middle of a run: they must neither wait nor call uxdp. Objects are the host's pointers, not NULL, which programs
 * give back. `arg` is handed to each. Functions that return int return 0 or a negative errno value.
 */
struct uxdp_host_ops {
  /**
   * `sizeof(struct uxdp_host_ops)`.
   */
  size_t sz;
  /**
   * The caller's own.
   */
  void *arg;
  /**
   * A socket, held for the program; NULL: there is none.
   */
  void *(*sk_lookup)(void *arg, const struct uxdp_socket_query *query);
  /**
   * Takes a socket back.
   */
  void (*sk_release)(void *arg, void *sk);
  /**
   * The cookie and the MSS of the answer to a SYN for a listener: -ENOENT where none is due, -EINVAL where `sk` is no listener.
   */
  int (*tcp_gen_syncookie)(void *arg,
                           void *sk,
                           const void *ip,
                           size_t ip_size,
                           const void *tcp,
                           size_t tcp_size,
                           uint32_t *cookie,
                           uint16_t *mss);
  /**
   * Whether an ACK answers a cookie of a listener: 0, -ENOENT or -EINVAL.
   */
  int (*tcp_check_syncookie)(void *arg,
                             void *sk,
                             const void *ip,
                             size_t ip_size,
                             const void *tcp,
                             size_t tcp_size);
  /**
   * A new connection that is not known yet; NULL, and a negative errno value in `error`.
   */
  void *(*ct_alloc)(void *arg, const struct uxdp_ct_query *query, int *error);
  /**
   * A tracked connection, held for the program, and the packet's direction (0 original, 1 reply); NULL, and a negative errno value in `error`.
   */
  void *(*ct_lookup)(void *arg, const struct uxdp_ct_query *query, uint8_t *direction, int *error);
  /**
   * Makes a new connection known, whose reference goes; the tracked one, held for the program, or NULL.
   */
  void *(*ct_insert)(void *arg, void *ct);
  /**
   * Takes a tracked connection back; or, of a run that was ended in between, a new one that is not inserted.
   */
  void (*ct_release)(void *arg, void *ct);
  /**
   * Sets the time to live of a new connection, in milliseconds.
   */
  void (*ct_set_timeout)(void *arg, void *ct, uint32_t timeout);
  /**
   * Changes that of a tracked one.
   */
  int (*ct_change_timeout)(void *arg, void *ct, uint32_t timeout);
  /**
   * Sets the status bits (`IPS_*`) of a new connection.
   */
  int (*ct_set_status)(void *arg, void *ct, uint32_t status);
  /**
   * Changes those of a tracked one.
   */
  int (*ct_change_status)(void *arg, void *ct, uint32_t status);
};

/**
 * A helper of the host's own. Programs call it by its number, `static long (*mine)(void *ctx) = (void *)40000;`, or by its name,
 * `extern long mine(struct xdp_md *ctx) __ksym;`: with `__weak` as well, and `mine` tested first (`bpf_ksym_exists`), they run where there is none.
 *
 * It is called on a worker's thread, in the middle of a run: it must neither wait nor call uxdp, nor touch memory beyond what its arguments are said to be.
 */
struct uxdp_helper {
  /**
   * `sizeof(struct uxdp_helper)`.
   */
  size_t sz;
  /**
   * Its name, that programs call it by and that messages show; copied. No other helper or kernel function has it.
   */
  const char *name;
  /**
   * The function: the arguments as the program gives them, and the run's context.
   */
  uint64_t (*func)(uint64_t r1,
                   uint64_t r2,
                   uint64_t r3,
                   uint64_t r4,
                   uint64_t r5,
                   struct uxdp_ctx *ctx);
  /**
   * Its number, from UXDP_HELPER_FIRST on.
   */
  uint32_t id;
  /**
   * The arguments in order, each one of `enum uxdp_arg`.
   */
  uint32_t args[5];
  /**
   * One of `enum uxdp_ret`.
   */
  uint32_t ret;
  /**
   * UXDP_HELPER_CHANGES_PACKET, UXDP_HELPER_TAKES_PACKET.
   */
  uint32_t flags;
};

/**
 * How an environment is made. Declare one with `UXDP_STRUCT(uxdp_env_opts, opts, .nr_cpus = 4)`.
 */
struct uxdp_env_opts {
  /**
   * `sizeof(struct uxdp_env_opts)`.
   */
  size_t sz;
  /**
   * Slots of workers and of per-CPU maps; 0: the number of possible CPUs.
   */
  uint32_t nr_cpus;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * What only the host can do; NULL: nothing. Copied; functions and `arg` stay in use as long as the process.
   */
  const struct uxdp_host_ops *host;
  /**
   * Helpers of the host's own; NULL: none. Copied; the functions stay in use as long as the process.
   */
  const struct uxdp_helper *helpers;
  /**
   * How many of them.
   */
  size_t nr_helpers;
};

/**
 * What an environment has yet to free, and for whom it waits. Declare one with `UXDP_STRUCT(uxdp_reclaim_stats, stats)`.
 */
struct uxdp_reclaim_stats {
  /**
   * `sizeof(struct uxdp_reclaim_stats)`, set by the caller.
   */
  size_t sz;
  /**
   * Programs, inner maps, entries and the like that were replaced and wait to be freed. What tries replace waits in their own memory.
   */
  uint32_t waiting;
  /**
   * The slot whose online worker has been silent the longest; -1 where all have answered.
   */
  int32_t held_up_by;
  /**
   * Replacements that this worker has not answered.
   */
  uint64_t behind;
};

/**
 * An interface. Declare one with `UXDP_STRUCT(uxdp_link, link, .ifindex = 1, .mtu = 1500, ...)`.
 */
struct uxdp_link {
  /**
   * `sizeof(struct uxdp_link)`.
   */
  size_t sz;
  /**
   * Its number, not 0.
   */
  uint32_t ifindex;
  /**
   * Bytes of its largest packet, without link header.
   */
  uint32_t mtu;
  /**
   * Bytes of its link header: 14 for Ethernet.
   */
  uint32_t header_len;
  /**
   * Its own address.
   */
  uint8_t address[6];
  /**
   * 1: IPv4 packets that come in here are forwarded.
   */
  uint8_t forwards_v4;
  /**
   * 1: IPv6 packets are.
   */
  uint8_t forwards_v6;
  /**
   * 0.
   */
  uint32_t reserved;
};

/**
 * An address: IPv4 in the first four bytes, network byte order.
 */
struct uxdp_ip {
  /**
   * 4 or 6; 0: none.
   */
  uint8_t family;
  /**
   * Bits that count, where it is a prefix.
   */
  uint8_t prefix_len;
  /**
   * 0.
   */
  uint8_t reserved[2];
  /**
   * The address.
   */
  uint8_t bytes[16];
};

/**
 * One way of a route.
 */
struct uxdp_next_hop {
  /**
   * The interface.
   */
  uint32_t ifindex;
  /**
   * Its part among several; 0: as 1.
   */
  uint16_t weight;
  /**
   * 1: packets are encapsulated on the way, which programs cannot do.
   */
  uint8_t encapsulates;
  /**
   * 0.
   */
  uint8_t reserved;
  /**
   * Who takes the packet there; no family: its destination itself.
   */
  struct uxdp_ip gateway;
};

/**
 * A route. Declare one with `UXDP_STRUCT(uxdp_route, route, .table = UXDP_TABLE_MAIN, ...)`.
 */
struct uxdp_route {
  /**
   * `sizeof(struct uxdp_route)`.
   */
  size_t sz;
  /**
   * Where it leads.
   */
  struct uxdp_ip prefix;
  /**
   * The source address that packets of the host take; no family: one of the link's.
   */
  struct uxdp_ip source;
  /**
   * The table that it is in.
   */
  uint32_t table;
  /**
   * One of `enum uxdp_route_kind`.
   */
  uint32_t kind;
  /**
   * Among routes to one prefix the lowest is taken.
   */
  uint32_t metric;
  /**
   * Bytes of the largest packet; 0: the link's. Of Linux's routes only a locked one is to be given.
   */
  uint32_t mtu;
  /**
   * IPv4: only packets of this type of service take it; 0: all.
   */
  uint32_t tos;
  /**
   * How many ways; at least one for unicast, at most 16.
   */
  uint32_t nr_hops;
  /**
   * The ways. Used during the call only.
   */
  const struct uxdp_next_hop *hops;
};

/**
 * How a hook is made: what contexts of it start with.
 */
struct uxdp_hook_opts {
  /**
   * `sizeof(struct uxdp_hook_opts)`.
   */
  size_t sz;
  /**
   * Where its packets come in; 0 is no interface.
   */
  uint32_t ingress_ifindex;
  /**
   * On which queue.
   */
  uint32_t rx_queue_index;
  /**
   * What the port offers: UXDP_OFFERS_STATED and any of UXDP_OFFERS_*. 0: nothing is said of it, and every program fits.
   */
  uint32_t offers;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * The port's MTU: bytes of its largest packet without the Ethernet header. 0, with `buffer_size`: nothing is said of it. It counts without UXDP_OFFERS_STATED, too.
   */
  uint32_t mtu;
  /**
   * Bytes of a packet that one buffer holds, the Ethernet header included and headroom not. Where the MTU does not fit, programs without `xdp.frags` are not attached.
   */
  uint32_t buffer_size;
};

/**
 * How programs are attached.
 */
struct uxdp_attach_opts {
  /**
   * `sizeof(struct uxdp_attach_opts)`.
   */
  size_t sz;
  /**
   * `UXDP_ATTACH_BY_PRIORITY` or 0.
   */
  uint32_t flags;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * One number a program, or NULL: bit n says that the next program runs after action n. NULL is what each program's `XDP_RUN_CONFIG` says, and after `UXDP_PASS`
   * where it says nothing.
   */
  const uint32_t *chain_call_actions;
  /**
   * One number a program, or NULL, for `UXDP_ATTACH_BY_PRIORITY`. NULL is what each program's `XDP_RUN_CONFIG` says, and 50 where it says nothing.
   */
  const uint32_t *priorities;
};

/**
 * What a map is. Declare one with `UXDP_STRUCT(uxdp_map_info, info)`.
 */
struct uxdp_map_info {
  /**
   * `sizeof(struct uxdp_map_info)`, set by the caller.
   */
  size_t sz;
  /**
   * The kernel's `enum bpf_map_type`.
   */
  uint32_t type;
  /**
   * Its number in the environment, from 1; 0 before the load.
   */
  uint32_t id;
  /**
   * Bytes of a key.
   */
  uint32_t key_size;
  /**
   * Bytes of a value, as the program sees it.
   */
  uint32_t value_size;
  /**
   * Elements at most.
   */
  uint32_t max_entries;
  /**
   * `BPF_F_*` of creation.
   */
  uint32_t flags;
  /**
   * Slots of a per-CPU value.
   */
  uint32_t nr_cpus;
  /**
   * 1: the control plane cannot write any more.
   */
  uint32_t frozen;
  /**
   * Bytes of the buffer for uxdp_map_lookup_elem and uxdp_map_update_elem: all slots of a per-CPU map.
   */
  size_t value_buf_size;
  /**
   * Bytes of map memory; 0 before the load.
   */
  size_t memory_size;
  /**
   * Its name; lives as long as the map.
   */
  const char *name;
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
  /**
   * The types that CO-RE relocations are applied against, for example the contents of /sys/kernel/btf/vmlinux, or of an object file; NULL: the object's own, which
   * is what packets and maps need. Used during the call only.
   */
  const void *btf;
  /**
   * Bytes of `btf`.
   */
  size_t btf_size;
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
   * 0, or UXDP_LOAD_COUNT_ACTIONS, UXDP_LOAD_HYGIENE, UXDP_LOAD_STRICT together.
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
  /**
   * Instructions that a run may take before it is aborted (UXDP_ABORT_LIMIT), counted where it could go on and on: entering a function costs its length, a jump back the
   * slots from its target on. What an aborted run holds (a lock, records of rings, objects of the host) goes back. 0: no limit.
   */
  uint64_t run_limit;
  /**
   * Nanoseconds that a run may take before it is aborted (UXDP_ABORT_TIME). The clock is read every 4,096 instructions that count, as above, and the time begins with the first
   * reading; what a helper takes is seen when it is over. 0: no limit. -EOPNOTSUPP where the platform has no clock.
   */
  uint64_t run_time_limit;
};

/**
 * Counters of a program. Declare one with `UXDP_STRUCT(uxdp_prog_stats, stats)`.
 */
struct uxdp_prog_stats {
  /**
   * `sizeof(struct uxdp_prog_stats)`, set by the caller.
   */
  size_t sz;
  /**
   * Runs; counted with UXDP_LOAD_COUNT_ACTIONS alone.
   */
  uint64_t runs;
  /**
   * Runs by how they ended: `enum uxdp_action`; counted with UXDP_LOAD_COUNT_ACTIONS alone.
   */
  uint64_t actions[8];
  /**
   * Aborted runs by why: `enum uxdp_abort_reason`.
   */
  uint64_t aborts[16];
};

/**
 * Gets a record: `size` bytes at `data`, which are the library's and gone when it returns. 0 goes on, anything else ends the call behind this record. It must not
 * call the same function on the same map.
 */
typedef int (*uxdp_sample_fn)(void *arg, const void *data, size_t size);

/**
 * What a map is to be. Declare one with `UXDP_STRUCT(uxdp_map_spec, spec, .type = 1, .key_size = 4, .value_size = 8, .max_entries = 100)`.
 */
struct uxdp_map_spec {
  /**
   * `sizeof(struct uxdp_map_spec)`.
   */
  size_t sz;
  /**
   * Its name; NULL: "map". Copied.
   */
  const char *name;
  /**
   * The kernel's `enum bpf_map_type`.
   */
  uint32_t type;
  /**
   * Bytes of a key.
   */
  uint32_t key_size;
  /**
   * Bytes of a value.
   */
  uint32_t value_size;
  /**
   * Elements at most.
   */
  uint32_t max_entries;
  /**
   * `BPF_F_*`.
   */
  uint32_t flags;
  /**
   * NUMA node, with BPF_F_NUMA_NODE.
   */
  int numa_node;
  /**
   * As the kernel's `map_extra`: hashes of a bloom filter.
   */
  uint64_t map_extra;
  /**
   * Of a map of maps what its inner maps are like, name and NUMA node aside; else NULL.
   */
  const struct uxdp_map_spec *inner;
};

/**
 * A test run, in and out. Declare one with `UXDP_STRUCT(uxdp_test_run_opts, opts, .data_in = packet, .data_size_in = 64)`.
 */
struct uxdp_test_run_opts {
  /**
   * `sizeof(struct uxdp_test_run_opts)`.
   */
  size_t sz;
  /**
   * The packet; at least 14 bytes.
   */
  const void *data_in;
  /**
   * Bytes of `data_in`.
   */
  size_t data_size_in;
  /**
   * Gets the packet after the last run; NULL: not wanted.
   */
  void *data_out;
  /**
   * In: bytes of `data_out`. Out: bytes of the packet after the last run.
   */
  size_t data_size_out;
  /**
   * Runs on the same packet, one after the other, as the kernel does it; 0: one.
   */
  uint32_t repeat;
  /**
   * Out: what the last run returned, one of `enum uxdp_action`.
   */
  uint32_t retval;
  /**
   * Out: nanoseconds of a run on average.
   */
  uint32_t duration;
  /**
   * Where the packet came in.
   */
  uint32_t ingress_ifindex;
  /**
   * On which queue.
   */
  uint32_t rx_queue_index;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Out: where the last run redirected the packet.
   */
  struct uxdp_redirect redirect;
};

/**
 * What a slot's worker has reported. Declare one with `UXDP_STRUCT(uxdp_worker_stats, stats)`.
 */
struct uxdp_worker_stats {
  /**
   * `sizeof(struct uxdp_worker_stats)`, set by the caller.
   */
  size_t sz;
  /**
   * 1 while a worker holds the slot.
   */
  uint32_t registered;
  /**
   * 1 while that worker is online: what is replaced waits for its uxdp_worker_quiescent.
   */
  uint32_t online;
  /**
   * Replacements that it has not answered since it was quiescent last; 0 while it is offline.
   */
  uint64_t behind;
};

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Copies the value of a key to `value`, which has `value_buf_size` bytes of uxdp_map_get_info, and removes the key; pops a QUEUE or STACK, whose `key` is NULL.
 *
 * `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT; -ENOTSUPP (-524) for arrays and other types that cannot; -EINVAL for NULL, flags and a
 * map that is not loaded; -EPERM where the control plane may not read or not write; -EBUSY where the element changes all the time.
 */
int uxdp_map_lookup_and_delete_elem(struct uxdp_map *m,
                                    const void *key,
                                    void *value,
                                    uint64_t flags);

/**
 * Copies the value that one CPU slot has of a key of a per-CPU map to `value`, which has the value size.
 *
 * `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT; -ERANGE for a slot that is none; -EINVAL for NULL, other maps and a map that is not
 * loaded; -EPERM for a map that programs alone may read.
 */
int uxdp_map_lookup_elem_cpu(struct uxdp_map *m,
                             const void *key,
                             uint32_t cpu,
                             void *value);

/**
 * Sets the value that one CPU slot has of a key of a per-CPU map; a new key's other values are zero. `value` has the value size; `flags` as for
 * uxdp_map_update_elem.
 *
 * `key` and `value` stay the caller's. Any thread, while programs run. As uxdp_map_update_elem; -ERANGE for a slot that is none, -EINVAL for maps that are not per CPU.
 */
int uxdp_map_update_elem_cpu(struct uxdp_map *m,
                             const void *key,
                             uint32_t cpu,
                             const void *value,
                             uint64_t flags);

/**
 * Copies the next elements of a hash, array, map of maps or LPM_TRIE: up to `*count` keys to `keys` and values, each of `value_buf_size` bytes, to `values`. A map of maps
 * gives ids; empty entries of its array are passed over.
 *
 * `in_batch` is NULL for the first elements, else what the call before wrote to `out_batch`; they may be the same. Both have 4 bytes, and for an LPM_TRIE as many as a key, since
 * its cursor is the last key: where that was deleted meanwhile, the walk begins anew. Else a key that is there throughout a walk is copied once. `*count` says afterwards how
 * many were copied, unless the call was refused at once. `elem_flags` is 0, or BPF_F_LOCK where values have a lock.
 *
 * All memory stays the caller's. Any thread, while programs run. 0; -ENOENT with the last element, or behind it; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags and
 * a map that is not loaded; -EPERM for a map that programs alone may read; -EBUSY where a lock is not to be had: the next call goes on from there.
 */
int uxdp_map_lookup_batch(struct uxdp_map *m,
                          const void *in_batch,
                          void *out_batch,
                          void *keys,
                          void *values,
                          uint32_t *count,
                          uint64_t elem_flags);

/**
 * As uxdp_map_lookup_batch, and removes what it copies; hashes and HASH_OF_MAPS alone.
 *
 * All memory stays the caller's. Any thread, while programs run. As uxdp_map_lookup_batch; -ENOTSUPP (-524) for arrays and an LPM_TRIE too; -EPERM where the control plane may not write.
 */
int uxdp_map_lookup_and_delete_batch(struct uxdp_map *m,
                                     const void *in_batch,
                                     void *out_batch,
                                     void *keys,
                                     void *values,
                                     uint32_t *count,
                                     uint64_t elem_flags);

/**
 * Sets the values of `*count` keys of a hash, array or LPM_TRIE, in order, as uxdp_map_update_elem with flags 0. `*count` says afterwards how many were set.
 *
 * All memory stays the caller's. Any thread, while programs run. 0; the status of the first update that failed; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags, a
 * map of maps (uxdp_map_update_map sets its entries) and a map that is not loaded; -EPERM for a frozen map.
 */
int uxdp_map_update_batch(struct uxdp_map *m,
                          const void *keys,
                          const void *values,
                          uint32_t *count,
                          uint64_t elem_flags);

/**
 * Removes `*count` keys of a hash, HASH_OF_MAPS or LPM_TRIE, in order. `*count` says afterwards how many were removed.
 *
 * All memory stays the caller's. Any thread, while programs run. 0; the status of the first that failed; -ENOTSUPP (-524) for other types; -EINVAL for NULL, flags and a
 * map that is not loaded; -EPERM for a frozen map.
 */
int uxdp_map_delete_batch(struct uxdp_map *m,
                          const void *keys,
                          uint32_t *count,
                          uint64_t elem_flags);

/**
 * Shows copies of all elements of a map to `fn`, one after the other, until that returns something other than 0.
 *
 * Returns how many were shown. `m` stays the caller's; what `fn` gets lives during its call. `fn` may change the map: a key that is there throughout is shown once. Any thread, while
 * programs run. -EINVAL for NULL and a map that is not loaded; -EOPNOTSUPP for types without keys; -EPERM for a map that programs alone may read; -ENOMEM.
 */
int uxdp_map_for_each_elem(struct uxdp_map *m,
                           uxdp_elem_fn fn,
                           void *arg);

/**
 * Looks `n` keys up at once, faster than one by one: `values[i]` becomes the value of `keys[i]` in the map's own memory, or NULL. Of a per-CPU map it is the value of the
 * worker's slot. In an LRU map it is a use of the keys, as a program's lookup is.
 *
 * What the pointers lead to is the map's: they are for reading, by loads of at most 8 bytes, until the worker's next uxdp_worker_quiescent; an element that is deleted or replaced
 * meanwhile may become another key's. The worker's thread. 0; -EINVAL for NULL, a map that is not loaded, is of another environment or whose values programs cannot point to.
 */
int uxdp_map_lookup_burst(struct uxdp_worker *w,
                          struct uxdp_map *m,
                          const void *const *keys,
                          void **values,
                          size_t n);

/**
 * Asks the machine for what a lookup of a key reads first: the bucket of a hash, the element of an ARRAY; does nothing for other types. A hint, for a loop that looks the key
 * up some tens of nanoseconds later.
 *
 * `m` and `key` stay the caller's; `key` has the map's key size and is NULL where the map has none. Any thread, while programs run. 0; -EINVAL for NULL and a map that is not
 * loaded.
 */
int uxdp_map_prefetch(const struct uxdp_map *m,
                      const void *key);

/**
 * Ties a context of `size` bytes to a worker and a hook; call it as `uxdp_ctx_init(ctx, w, h)`, which gives the size. The packet's pointers are NULL then,
 * `ingress_ifindex` and `rx_queue_index` the hook's.
 *
 * `ctx` stays the caller's, `w` and `h` too: both live as long as it is used. The worker's thread. 0; -EINVAL for NULL, a worker and a hook of different
 * environments, or a size that is smaller than this version's.
 */
int uxdp_ctx_init_sized(struct uxdp_ctx *ctx,
                        struct uxdp_worker *w,
                        struct uxdp_hook *h,
                        size_t size);

/**
 * Runs the hook's programs on the packet in the context: what xdp_run does, for hosts that cannot use an inline function.
 *
 * The context and the buffer stay the caller's. The worker's thread. Cannot fail: errors are UXDP_ABORTED, counted by reason.
 */
uint32_t uxdp_run(struct uxdp_ctx *ctx);

/**
 * Runs the hook's programs on each of `n` packets in order. All see the same set of programs; actions, pointers and redirects are written back.
 *
 * The context gives worker, hook, interface and queue; its own packet pointers are overwritten. Context, packets and buffers stay the caller's. The worker's
 * thread. Cannot fail: errors are UXDP_ABORTED, counted by reason.
 */
void xdp_run_burst(struct uxdp_ctx *ctx,
                   struct uxdp_pkt *pkts,
                   unsigned int n);

/**
 * Puts a map into an entry of a map of maps, in place of the one that is there: programs see the old one or the new one. `flags` as for uxdp_map_update_elem. An entry is emptied by
 * uxdp_map_delete_elem, and uxdp_map_lookup_elem gives the id of what is there.
 *
 * The entry takes a reference of its own; `m`, `key` and `inner` stay the caller's. The former inner map goes when every online worker was quiescent. Any thread, while
 * programs run. 0; -EINVAL for NULL, maps that are not loaded or of different environments, a map that holds no maps, and an inner map that differs from the template (type, sizes,
 * flags); -EEXIST, -ENOENT, -E2BIG as uxdp_map_update_elem; -EPERM for a frozen map; -ENOMEM.
 */
int uxdp_map_update_map(struct uxdp_map *m,
                        const void *key,
                        struct uxdp_map *inner,
                        uint64_t flags);

/**
 * Sets an entry of a device, CPU or socket map, with a program for the packets that go there. `value` begins as the kernel's: the interface's number, the queue's length or the
 * socket's number, in four bytes; what the map's value has beyond that is ignored, since `p` is the program. NULL: none, as uxdp_map_update_elem sets it.
 *
 * The entry takes a reference of its own; everything else stays the caller's. Entries with programs go with the last handle of the map (the object's, unless uxdp_map_ref took one): who frees
 * the object while packets still run keeps the map. What was there goes when every online worker was quiescent. Any thread, while programs run. 0; -EINVAL
 * for NULL, other maps, and a program that is not loaded, of another environment, not made for entries of this type (`SEC("xdp/devmap")`, `SEC("xdp/cpumap")`), or that differs in
 * `xdp.frags` from those that the map goes with; the last two are -ENOMEM in a CPUMAP, as on Linux. -EEXIST, -ENOENT, -E2BIG as uxdp_map_update_elem; -EPERM for a frozen map; -ENOMEM.
 */
int uxdp_map_update_target(struct uxdp_map *m,
                           const void *key,
                           const void *value,
                           struct uxdp_prog *p,
                           uint64_t flags);

/**
 * Makes an environment of one's own; most programs need none but the default one, which NULL stands for everywhere.
 *
 * `*out` is the caller's until uxdp_env_free. Any thread. 0, -EINVAL for bad options, more than 4,096 CPUs or a helper that is none, -EEXIST for two helpers of one
 * number or name, -E2BIG for options that this version does not know, -ENOMEM.
 */
int uxdp_env_create(const struct uxdp_env_opts *opts,
                    struct uxdp_env **out);

/**
 * Frees an environment's handle; NULL is allowed. Objects, programs, maps, workers and hooks of it stay usable and keep it alive.
 *
 * Takes `env`. Any thread. Cannot fail.
 */
void uxdp_env_free(struct uxdp_env *env);

/**
 * Waits until every worker that is online now was quiescent, and frees what waited for that. Not from a worker's thread while it is online:
 * it would wait for itself.
 *
 * `env` stays the caller's; NULL is the default one. Any other thread. 0 or -ENOMEM.
 */
int uxdp_synchronize(struct uxdp_env *env);

/**
 * How much waits to be freed because it was replaced, and which worker holds it up by not calling uxdp_worker_quiescent.
 *
 * `out->sz` is set before (UXDP_STRUCT does it); `env` and `out` stay the caller's; NULL is the default environment. Any thread, while programs run, which it costs
 * nothing. 0, -EINVAL for a NULL `out`, -ENOMEM.
 */
int uxdp_reclaim_stats(struct uxdp_env *env,
                       struct uxdp_reclaim_stats *out);

/**
 * Takes messages of bpf_trace_printk out of the environment, oldest first, as many whole lines as fit, NUL-terminated.
 *
 * Returns the bytes written without the NUL, 0 when there is nothing. `buf` stays the caller's. Any thread, one message reaches one reader.
 * -EINVAL for a NULL buffer, -ENOMEM.
 */
int uxdp_trace_read(struct uxdp_env *env,
                    char *buf,
                    size_t n);

/**
 * Makes an empty set of links, routes and neighbours.
 *
 * `*out` is the caller's until uxdp_fib_free. Any thread. 0, -EINVAL for NULL, -ENOMEM.
 */
int uxdp_fib_create(struct uxdp_fib **out);

/**
 * Frees a set; NULL is allowed. What was published of it stays.
 *
 * Takes `fib`. Any thread. Cannot fail.
 */
void uxdp_fib_free(struct uxdp_fib *fib);

/**
 * Adds an interface, in place of one with its number.
 *
 * Both stay the caller's; the link is copied. Any thread. 0, -EINVAL for NULL or number 0, -E2BIG for fields that this version does not know, -ENOMEM.
 */
int uxdp_fib_set_link(struct uxdp_fib *fib,
                      const struct uxdp_link *link);

/**
 * Removes an interface.
 *
 * `fib` stays the caller's. Any thread. 0, -EINVAL for NULL, -ENOENT.
 */
int uxdp_fib_remove_link(struct uxdp_fib *fib, uint32_t ifindex);

/**
 * Gives an interface an address with its prefix, of which routes without a source take theirs.
 *
 * Both stay the caller's. Any thread. 0, -EINVAL for NULL, a family or a length that there is not, -ENOMEM.
 */
int uxdp_fib_set_address(struct uxdp_fib *fib,
                         uint32_t ifindex,
                         const struct uxdp_ip *ip);

/**
 * Removes an address of an interface.
 *
 * Both stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOENT.
 */
int uxdp_fib_remove_address(struct uxdp_fib *fib, uint32_t ifindex, const struct uxdp_ip *ip);

/**
 * Adds a route, in place of one of its table with its prefix, metric and type of service.
 *
 * Both stay the caller's; the route is copied. Any thread. 0, -EINVAL for NULL and what is no route, -E2BIG for fields that this version does not know, -ENOMEM.
 */
int uxdp_fib_set_route(struct uxdp_fib *fib,
                       const struct uxdp_route *route);

/**
 * Removes the route with the table, prefix, metric and type of service of this one.
 *
 * Both stay the caller's. Any thread. 0, -EINVAL for NULL and what is no route, -E2BIG, -ENOENT.
 */
int uxdp_fib_remove_route(struct uxdp_fib *fib, const struct uxdp_route *route);

/**
 * Says who is at an address of a link: six bytes.
 *
 * All stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOMEM.
 */
int uxdp_fib_set_neighbour(struct uxdp_fib *fib,
                           uint32_t ifindex,
                           const struct uxdp_ip *ip,
                           const uint8_t *link_address);

/**
 * Removes a neighbour.
 *
 * Both stay the caller's. Any thread. 0, -EINVAL for NULL or no family, -ENOENT.
 */
int uxdp_fib_remove_neighbour(struct uxdp_fib *fib, uint32_t ifindex, const struct uxdp_ip *ip);

/**
 * Removes everything from a set.
 *
 * `fib` stays the caller's. Any thread. 0 or -EINVAL for NULL.
 */
int uxdp_fib_clear(struct uxdp_fib *fib);

/**
 * Publishes a set to the programs of an environment, in place of what was published before: each lookup sees one or the other. Copies and sorts all of it.
 * Programs that look routes up can be loaded from the first time on.
 *
 * Both stay the caller's; NULL is the default environment. Any thread, never waits for workers. 0, -EINVAL for NULL, -ENOMEM; what was published before stays
 * then.
 */
int uxdp_fib_publish(const struct uxdp_fib *fib,
                     struct uxdp_env *env);

/**
 * Makes a hook with no program: until uxdp_hook_set, packets are UXDP_ABORTED.
 *
 * `*out` is the caller's until uxdp_hook_free. `env` stays the caller's; NULL is the default one. Any thread. 0, -EINVAL (for NULL, unknown offers, an MTU without its
 * buffer size or the other way round), -E2BIG for options
 * that this version does not know, -ENOMEM.
 */
int uxdp_hook_create(struct uxdp_env *env,
                     const struct uxdp_hook_opts *opts,
                     struct uxdp_hook **out);

/**
 * Attaches `n` programs in order in place of what was there; 0 detaches all. Each runs after the one before it says UXDP_PASS, or what that one's XDP_RUN_CONFIG or
 * `opts` name; behind the last one the action is UXDP_PASS, as behind libxdp's dispatcher.
 *
 * Atomic for every worker: a burst uses one set throughout, the next burst may use the next; no packet is lost. Never blocks; the
 * former programs are freed when every online worker was quiescent. The hook takes references of its own: `progs` and the programs stay the
 * caller's. Any thread. 0; -EINVAL for NULL, a program that is not loaded, is of another environment or is for entries of a device or CPU map, or for
 * uxdp_prog_hook's; -EOPNOTSUPP for one that needs what the hook's port does not offer, with the list (and the sizes, where it is for the MTU) in uxdp_last_error; -E2BIG for options that this version does not know, -ENOMEM. The hook keeps what it had then.
 */
int uxdp_hook_set(struct uxdp_hook *h,
                  struct uxdp_prog *const *progs,
                  size_t n,
                  const struct uxdp_attach_opts *opts);

/**
 * Frees a hook; NULL is allowed. Its programs are freed when every online worker was quiescent, unless others hold them.
 *
 * Takes `h`: no context of it is used any more. What uxdp_prog_hook returned stays untouched: it goes with its program. Any thread.
 * Cannot fail.
 */
void uxdp_hook_free(struct uxdp_hook *h);

/**
 * Whether every attached program takes packets in several buffers (section `xdp.frags`): 1 or 0. Where one does not,
 * such packets are not run: UXDP_ABORTED, with the reason UXDP_ABORT_SEVERAL_BUFFERS.
 *
 * `h` stays the caller's. Any thread; what is attached may change afterwards. -EINVAL for NULL.
 */
int uxdp_hook_takes_frags(const struct uxdp_hook *h);

/**
 * Copies the calling thread's last error in words to `buf`, NUL-terminated, its last lines where `n` is too small.
 *
 * Returns the length of the whole text without the NUL; 0 when no call of this thread failed. A later success does not clear it.
 * `buf` stays the caller's and may be NULL if `n` is 0. Any thread. Cannot fail.
 */
int uxdp_last_error(char *buf,
                    size_t n);

/**
 * The map's full name. NULL for NULL.
 *
 * Lives as long as the map. Any thread. Cannot fail otherwise.
 */
const char *uxdp_map_name(const struct uxdp_map *m);

/**
 * One more reference: the map lives until as many uxdp_map_unref, even when its object is freed.
 *
 * Returns `m`. Any thread. Cannot fail; NULL stays NULL.
 */
struct uxdp_map *uxdp_map_ref(struct uxdp_map *m);

/**
 * Gives back a reference of uxdp_map_ref, or of a function that made or attached a map; NULL is allowed.
 *
 * Takes one reference. Any thread; never blocks. Cannot fail.
 */
void uxdp_map_unref(struct uxdp_map *m);

/**
 * Sets before the load what a map of global data (.data, .rodata, .bss) holds first: all of it, `len` bytes.
 *
 * `data` is copied. The object's thread. 0; -EINVAL for NULL, another length than the section's or a map that is no global data; -EBUSY once the
 * object was loaded; -ENOMEM.
 */
int uxdp_map_set_initial_value(struct uxdp_map *m,
                               const void *data,
                               size_t len);

/**
 * Sets before the load how many elements a map has.
 *
 * `m` stays the object's. The object's thread. 0; -EINVAL for NULL, 0 and maps of global data; -EBUSY once the object was loaded.
 */
int uxdp_map_set_max_entries(struct uxdp_map *m,
                             uint32_t max_entries);

/**
 * Lets an object use a map of another, loaded object in place of its own, with what it holds: for a new version of a program that keeps its state.
 *
 * Takes a reference to `other`, which stays the caller's. The thread of `m`'s object. 0; -EINVAL for NULL, where `other` is not loaded, has another
 * type, key size, value size or flags, or is of another environment; -EBUSY once `m`'s object was loaded.
 */
int uxdp_map_reuse(struct uxdp_map *m,
                   struct uxdp_map *other);

/**
 * Copies the value of a key to `value`, which has `value_buf_size` bytes of uxdp_map_get_info: for a per-CPU map one value a slot, each rounded
 * up to 8 bytes. A PROG_ARRAY gives the program's id. QUEUE, STACK and BLOOM_FILTER have no keys: `key` is NULL; the value is the next one, or the question to the filter.
 *
 * `key` and `value` stay the caller's. Any thread, while programs run. 0; -ENOENT, -EINVAL for NULL, flags, a key where there are none and a map that is not loaded, -EPERM for a
 * map that programs alone may read, -EBUSY where the lock of a QUEUE, STACK or LPM_TRIE is not to be had.
 */
int uxdp_map_lookup_elem(struct uxdp_map *m,
                         const void *key,
                         void *value,
                         uint64_t flags);

/**
 * Sets the value of a key, seen by the next packet. `value` has `value_buf_size` bytes, as for uxdp_map_lookup_elem. `flags`: 0 (any), 1 (BPF_NOEXIST) or
 * 2 (BPF_EXIST). Programs are put into a PROG_ARRAY by uxdp_map_update_prog. QUEUE, STACK and BLOOM_FILTER have no keys: `key` is NULL, and the value is pushed.
 *
 * `key` and `value` stay the caller's. Any thread, while programs run. 0; -EEXIST, -ENOENT, -E2BIG for a full map and an index beyond the end as the
 * kernel; -EINVAL for NULL, flags, a key where there are none, a PROG_ARRAY, a map of maps and a map that is not loaded; -EPERM for a frozen map; -EBUSY where a lock is not to
 * be had.
 */
int uxdp_map_update_elem(struct uxdp_map *m,
                         const void *key,
                         const void *value,
                         uint64_t flags);

/**
 * Removes a key; in a PROG_ARRAY, a map of maps or a device, CPU or socket map empties the entry.
 *
 * `key` stays the caller's. Any thread, while programs run. 0; -ENOENT; -EINVAL for NULL, arrays and a map that is not loaded; -E2BIG beyond the end
 * of a PROG_ARRAY; -EPERM for a frozen map.
 */
int uxdp_map_delete_elem(struct uxdp_map *m,
                         const void *key);

/**
 * Copies the key after `key` to `next_key`, in the map's own order; the first one for NULL or a key that is not there.
 *
 * `key` and `next_key` stay the caller's and may be the same. Any thread, while programs run: keys that come and go meanwhile may be missed or met twice. 0;
 * -ENOENT after the last; -EINVAL for NULL and a map that is not loaded; -EPERM for a map that programs alone may read.
 */
int uxdp_map_get_next_key(struct uxdp_map *m,
                          const void *key,
                          void *next_key);

/**
 * Type, sizes, flags and name of a map; before the load what it is going to be, with id 0.
 *
 * `out->sz` is set before (UXDP_STRUCT does it); `m` and `out` stay the caller's, `out->name` lives as long as the map. Any thread; before the load the
 * object's. 0, -EINVAL for NULL, -EBUSY where the object could not be loaded and is freed.
 */
int uxdp_map_get_info(const struct uxdp_map *m,
                      struct uxdp_map_info *out);

/**
 * Ends all writes of the control plane to a map, for ever.
 *
 * `m` stays the caller's. Any thread. 0; -EPERM where it is frozen already, -EBUSY while a write is under way, -EINVAL for NULL and a map that is not loaded.
 */
int uxdp_map_freeze(struct uxdp_map *m);

/**
 * Puts a program into entry `index` of a PROG_ARRAY; NULL empties it. The next tail call uses it; the former program is freed when every online worker
 * was quiescent.
 *
 * The map takes a reference of its own; `m` and `p` stay the caller's. Any thread, while programs run. 0; -EINVAL for a NULL or other map, a program
 * that is not loaded or of another environment; -E2BIG beyond the last entry, -EPERM for a frozen map, -EBUSY where another writer does not come to an end, -ENOMEM.
 */
int uxdp_map_update_prog(struct uxdp_map *m,
                         uint32_t index,
                         struct uxdp_prog *p);

/**
 * Opens an object file as clang wrote it: reads and checks it, makes nothing yet.
 *
 * `*out` is the caller's until uxdp_object_free; `path` and `opts` are not needed afterwards, `map_mem`'s functions and `arg` as long as maps of theirs
 * live. Any thread. 0; the status of reading the file; -ENOEXEC for a file that is no BPF object, -EINVAL for a malformed one or bad options,
 * -EOPNOTSUPP for what this version does not do, -ENOENT for an undefined symbol, -E2BIG over a limit or for options that this version does not
 * know, -ENOMEM.
 */
int uxdp_object_open_file(const char *path,
                          const struct uxdp_open_opts *opts,
                          struct uxdp_object **out);

/**
 * Opens an object that is in memory.
 *
 * As uxdp_object_open_file; `elf` stays the caller's and is not needed afterwards. Any thread. 0; -ENOEXEC, -EINVAL, -EOPNOTSUPP, -ENOENT, -E2BIG, -ENOMEM as there.
 */
int uxdp_object_open_mem(const void *elf,
                         size_t len,
                         const struct uxdp_open_opts *opts,
                         struct uxdp_object **out);

/**
 * Makes the maps, proves and compiles the programs. Either all of it works, or nothing is left behind and the object can be adjusted and loaded again.
 *
 * `obj` stays the caller's; its programs and maps can be used from any thread after this. The object's thread, not a worker's. 0; -EACCES for a program that is
 * refused (the log has the kernel's reason, with instruction and source line), -EINVAL for one that is malformed, -E2BIG for too many instructions or branches
 * and for options that this version does not know, -ENOMEM, -EOPNOTSUPP for what this version or machine does not do, -EALREADY when it was loaded before; the
 * status of a map that cannot be made.
 */
int uxdp_object_load(struct uxdp_object *obj,
                     const struct uxdp_load_opts *opts);

/**
 * A program by the name of its function, or of its section where it is alone there. NULL where there is none.
 *
 * Belongs to the object unless uxdp_prog_ref is called. Any thread. Cannot fail otherwise.
 */
struct uxdp_prog *uxdp_object_find_prog(const struct uxdp_object *obj,
                                        const char *name);

/**
 * A map by its name; global data also by the name of its section. NULL where there is none.
 *
 * Belongs to the object unless uxdp_map_ref is called. Any thread. Cannot fail otherwise.
 */
struct uxdp_map *uxdp_object_find_map(const struct uxdp_object *obj, const char *name);

/**
 * The program after `prev` in the order of the file; the first for NULL, NULL after the last.
 *
 * Belongs to the object unless uxdp_prog_ref is called. Any thread. Cannot fail otherwise.
 */
struct uxdp_prog *uxdp_object_next_prog(const struct uxdp_object *obj,
                                        const struct uxdp_prog *prev);

/**
 * The map after `prev` in the order of the file; the first for NULL, NULL after the last.
 *
 * Belongs to the object unless uxdp_map_ref is called. Any thread. Cannot fail otherwise.
 */
struct uxdp_map *uxdp_object_next_map(const struct uxdp_object *obj, const struct uxdp_map *prev);

/**
 * Frees an object; NULL is allowed. Programs and maps live on where hooks, maps or references hold them.
 *
 * Takes `obj`: handles that were found in it without a reference of their own, and contexts of their hooks, are not used any more. Any thread, never blocks:
 * what workers may still run is freed when they were quiescent. Cannot fail.
 */
void uxdp_object_free(struct uxdp_object *obj);

/**
 * The program's name: that of its function. NULL for NULL.
 *
 * Lives as long as the program. Any thread. Cannot fail otherwise.
 */
const char *uxdp_prog_name(const struct uxdp_prog *p);

/**
 * The name of the section that the program stands in, for example "xdp". NULL for NULL.
 *
 * Lives as long as the program. Any thread. Cannot fail otherwise.
 */
const char *uxdp_prog_section(const struct uxdp_prog *p);

/**
 * One more reference: the program lives until as many uxdp_prog_unref, even when its object is freed.
 *
 * Returns `p`. Any thread. Cannot fail; NULL stays NULL.
 */
struct uxdp_prog *uxdp_prog_ref(struct uxdp_prog *p);

/**
 * Gives back a reference of uxdp_prog_ref; NULL is allowed.
 *
 * Takes one reference. Any thread; never blocks. Cannot fail.
 */
void uxdp_prog_unref(struct uxdp_prog *p);

/**
 * Says before the load whether uxdp_object_load loads this program; all are loaded unless their section begins with '?'.
 *
 * `p` stays the object's. The object's thread. 0, -EINVAL for NULL, -EBUSY once the object was loaded.
 */
int uxdp_prog_set_autoload(struct uxdp_prog *p,
                           int autoload);

/**
 * The program's own hook, for the simple case: this program alone, for good.
 *
 * NULL for NULL, a program that is not loaded, or one for entries of a device or CPU map. Belongs to the program. Any thread.
 */
struct uxdp_hook *uxdp_prog_hook(struct uxdp_prog *p);

/**
 * What runs the program: UXDP_ENGINE_JIT or UXDP_ENGINE_INTERP.
 *
 * `p` stays the caller's. Any thread. -EINVAL for NULL and a program that is not loaded.
 */
int uxdp_prog_engine(const struct uxdp_prog *p);

/**
 * Bytes of native stack that a run of the program takes at most, tail-called programs and helpers apart, but for those that call functions of the program.
 *
 * `p` stays the caller's. Any thread. -EINVAL for NULL and a program that is not loaded.
 */
int uxdp_prog_stack_size(const struct uxdp_prog *p);

/**
 * What the program needs of a port: `*needs` gets the bits of UXDP_OFFERS_* without UXDP_OFFERS_STATED; UXDP_OFFERS_SEVERAL_BUFFERS says that it takes no packets in
 * several buffers, UXDP_OFFERS_TX that the constant XDP_TX is one of its answers. Programs that it reaches by tail call have needs of their own.
 *
 * `p` stays the caller's. Any thread. 0, -EINVAL for NULL and a program that is not loaded.
 */
int uxdp_prog_needs(const struct uxdp_prog *p,
                    uint32_t *needs);

/**
 * The program's number in its environment, from 1, never used again; 0 for NULL and a program that is not loaded.
 *
 * `p` stays the caller's. Any thread. Cannot fail.
 */
uint32_t uxdp_prog_id(const struct uxdp_prog *p);

/**
 * The program's counters in one slot, or added up over all with UXDP_ALL_SLOTS. They count while workers run: a sum is of no one moment.
 * Aborted runs are counted by reason always, runs and actions where the object was loaded with UXDP_LOAD_COUNT_ACTIONS.
 *
 * `out->sz` is set before; `p` and `out` stay the caller's. Any thread. 0; -EINVAL for NULL and a program that is not loaded, -ERANGE for a slot
 * that there is not.
 */
int uxdp_prog_stats(const struct uxdp_prog *p,
                    int slot,
                    struct uxdp_prog_stats *out);

/**
 * Runs the program of the entry that `ctx->redirect` names on the packet in the context, as Linux does before a packet leaves by a device (`SEC("xdp/devmap")`) or when a
 * CPU has taken it over (`SEC("xdp/cpumap")`). Call it after a run that ended with UXDP_REDIRECT: at once, or for a packet of a burst with its pointers, `frags` and
 * `redirect` copied to the context; for CPU maps on the worker that took the packet over (uxdp_redirect_hold).
 *
 * UXDP_PASS: the packet goes on, out of interface `redirect.target` or up on that CPU; also where the entry has no program or the redirect has no entry, so that it may be called for every
 * redirect. UXDP_REDIRECT, of CPU maps alone: it goes where `redirect` says now. Everything else drops it; UXDP_TX, and of device maps UXDP_REDIRECT, are UXDP_ABORTED with
 * the reason UXDP_ABORT_UNKNOWN_CODE. Aborts are counted for the entry's program, and its `run_limit` and `run_time_limit` hold. For device maps `ctx->egress_ifindex` becomes
 * `redirect.target`, and `redirect` stays as it is.
 *
 * The context and the buffer stay the caller's. The worker's thread, before its next uxdp_worker_quiescent after the run. Cannot fail: errors are UXDP_ABORTED, counted by reason.
 */
uint32_t uxdp_run_entry(struct uxdp_ctx *ctx);

/**
 * The next target of a packet that is for every entry of a device map: 1, and `*target` is a redirect to that entry alone, with its interface and program; 0 behind the last one, and
 * for a redirect without UXDP_REDIRECT_BROADCAST. `*cursor` is 0 before the first call and belongs to the walk. With UXDP_REDIRECT_EXCLUDE_INGRESS entries that
 * lead to `ingress_ifindex` are left out.
 *
 * In the order of the map: of its indices, or for DEVMAP_HASH of its own. The host sends a copy of the packet to each target, after uxdp_run_entry on that copy where the
 * target has a program. Entries that change during the walk may be missed or met twice. All arguments stay the caller's. The worker's thread, before its next
 * uxdp_worker_quiescent after the run, as long as `*target` may be used, too. Neither allocates nor waits; cannot fail.
 */
int uxdp_redirect_next(const struct uxdp_redirect *all,
                       uint32_t ingress_ifindex,
                       uint32_t *cursor,
                       struct uxdp_redirect *target);

/**
 * Keeps the program of a redirect's entry until uxdp_redirect_release, so that another worker can run it: call it before the packet and its `redirect` are handed over.
 * Where the entry has no program it does nothing.
 *
 * `r` stays the caller's. The thread of the worker that ran the packet, before its next uxdp_worker_quiescent. Neither allocates nor waits; cannot fail.
 */
void uxdp_redirect_hold(const struct uxdp_redirect *r);

/**
 * Gives back what uxdp_redirect_hold took, once for each, also for a packet that was never run. `r` is a copy of that redirect.
 *
 * `r` stays the caller's. Any thread; frees the program where everybody else has given it up. Cannot fail.
 */
void uxdp_redirect_release(const struct uxdp_redirect *r);

/**
 * Hands the records of a ring buffer to `fn`, oldest first, until it stops it, or none is whole.
 *
 * Returns how many; each is gone from the ring. `m` stays the caller's. Any thread, one at a time. -EINVAL for NULL and maps of other types, -EBUSY while another thread
 * or process reads, -EPROTO where somebody else wrote nonsense into a shared ring.
 */
int uxdp_ringbuf_consume(struct uxdp_map *m,
                         uxdp_sample_fn fn,
                         void *arg);

/**
 * Tells `fd`, an eventfd that does not block or alike, when whoever is at the other end of a ring should wake up: the reader of a ring buffer and of a perf event array, the producer
 * of a user ring buffer. -1 ends it.
 *
 * `fd` stays the caller's, who closes it only after a call with -1 or when the map is gone. Eight bytes, the number 1, are written to it once at this moment, since something may be there, and then
 * by workers, in uxdp_worker_quiescent, uxdp_worker_offline and when they end, as the flags of the programs' calls say (BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP); a record of an inner map tells all.
 * A map has one `fd`; of a shared map each process tells its own. Any thread. 0; -EINVAL for NULL, maps of other types and numbers below -1; what writing to `fd` answers, -ENOMEM: nothing changes then.
 */
int uxdp_map_notify(struct uxdp_map *m,
                    int fd);

/**
 * Opens the ring of a slot in a perf event array: samples of its worker are kept from now on.
 *
 * `m` stays the caller's. Any thread. 0; -EINVAL for NULL and maps of other types, -E2BIG beyond the entries and slots, -EPERM where the map may only be read.
 */
int uxdp_perf_open(struct uxdp_map *m,
                   uint32_t slot);

/**
 * Hands the samples of a slot's ring to `fn`, oldest first; what `fn` returns is of no meaning. `*lost`, where it is not NULL, grows by the samples for which there was no
 * room.
 *
 * Returns how many samples. `m` stays the caller's. Any thread, one at a time. -EINVAL for NULL and maps of other types, -E2BIG beyond the entries and slots, -EBUSY
 * while another thread reads, -ENOMEM, -EPROTO where somebody else wrote nonsense into a shared ring.
 */
int uxdp_perf_read(struct uxdp_map *m,
                   uint32_t slot,
                   uxdp_sample_fn fn,
                   void *arg,
                   uint64_t *lost);

/**
 * Room for a sample of `size` bytes in a user ring buffer, 8-aligned: to be filled, and then given to programs or dropped, by one of the two functions below, once.
 *
 * `*out` is the caller's until then. Any thread. 0; -EINVAL for NULL and maps of other types, -E2BIG for what no ring of this size holds, -ENOSPC until a program has drained,
 * -EBUSY where another producer does not come to an end.
 */
int uxdp_user_ringbuf_reserve(struct uxdp_map *m,
                              uint32_t size,
                              void **out);

/**
 * Gives a sample to the programs that drain the ring.
 *
 * Takes `sample`. Any thread. 0, -EINVAL for NULL.
 */
int uxdp_user_ringbuf_submit(struct uxdp_map *m,
                             void *sample);

/**
 * Drops a sample.
 *
 * Takes `sample`. Any thread. 0, -EINVAL for NULL.
 */
int uxdp_user_ringbuf_discard(struct uxdp_map *m,
                              void *sample);

/**
 * Bytes of memory that a map takes: what uxdp_map_create_in needs at least, and what a file or memfd of it has, rounded up to pages. The memory has to be
 * aligned to a page.
 *
 * `spec` stays the caller's; `env` NULL is the default one, whose CPUs count. Any thread. The bytes, or -EINVAL, -E2BIG and others as the kernel refuses the map;
 * -EOPNOTSUPP for a type that this version lacks.
 */
int64_t uxdp_map_memory_size(struct uxdp_env *env,
                             const struct uxdp_map_spec *spec);

/**
 * Makes a map without an object, in the library's own memory: for an inner map, a map of maps (`spec->inner`), or for uxdp_map_reuse.
 *
 * `*out` is the caller's until uxdp_map_unref; `spec` stays his. Any thread. 0; -EINVAL, -E2BIG and others as the kernel refuses the map, -EBADF for a map
 * of maps without `inner`; -EOPNOTSUPP for a type that this version lacks; -ENOMEM.
 */
int uxdp_map_create(struct uxdp_env *env,
                    const struct uxdp_map_spec *spec,
                    struct uxdp_map **out);

/**
 * Makes a map in memory of the caller's, page-aligned and zeroed, of uxdp_map_memory_size bytes at least, that other processes can attach.
 *
 * `mem` stays the caller's, who frees it after the last reference to the map in this process went and uxdp_synchronize returned; until then nobody but maps touches it.
 * `*out` is his until uxdp_map_unref. Any thread. 0; -EEXIST where the memory is not zeroed, -EINVAL where it is too small or not aligned; -EOPNOTSUPP for a type whose
 * entries are references of one process (uxdp_last_error names what); else as uxdp_map_create.
 */
int uxdp_map_create_in(struct uxdp_env *env,
                       const struct uxdp_map_spec *spec,
                       void *mem,
                       size_t len,
                       struct uxdp_map **out);

/**
 * Takes part in a map that another process made in memory that both see. The header is checked whole; nothing in the memory is believed.
 *
 * `mem` stays the caller's, as for uxdp_map_create_in; `*out` is his until uxdp_map_unref. Any thread. 0; -EPROTO where no map is there or its header is malformed; -EAGAIN
 * where it is not finished; -EOPNOTSUPP for a version that this library does not know; -EINVAL where the environment has another number of CPUs, or the map is of another
 * PID namespace; -EBUSY where too many processes share it; -ENOMEM.
 */
int uxdp_map_attach(struct uxdp_env *env,
                    void *mem,
                    size_t len,
                    struct uxdp_map **out);

/**
 * Makes a map in a memfd that is sealed against shrinking and growing: uxdp_map_export_fd gives a descriptor of it for another process.
 *
 * `*out` is the caller's until uxdp_map_unref; `spec` stays his. Any thread. As uxdp_map_create_in; -EMFILE.
 */
int uxdp_map_create_shared(struct uxdp_env *env,
                           const struct uxdp_map_spec *spec,
                           struct uxdp_map **out);

/**
 * A descriptor of a map that uxdp_map_create_shared made, or uxdp_map_attach_fd attached: to be sent over a Unix socket, or inherited (clear FD_CLOEXEC then). Whoever
 * has it can read and write the map.
 *
 * The descriptor is the caller's, who closes it; `m` stays his. Any thread. The descriptor, or -EINVAL for NULL and maps without one, -EMFILE.
 */
int uxdp_map_export_fd(const struct uxdp_map *m);

/**
 * Maps what mmap(2) of the kernel's map shows, for consumers and producers that were written for that: of a RINGBUF the consumer's page (to be written), the producers' page, and the
 * data twice; of a USER_RINGBUF the same, with the rights exchanged; of an ARRAY with BPF_F_MMAPABLE its values. The map is one of uxdp_map_create_shared or uxdp_map_attach_fd.
 *
 * `*out` and `*len` are the caller's, for munmap(2): they may outlive the map. `m` stays his. Any thread. 0; -EINVAL for NULL and maps without a descriptor, -EOPNOTSUPP for
 * types that the kernel does not show, -ENOMEM.
 */
int uxdp_map_mmap(const struct uxdp_map *m,
                  void **out,
                  size_t *len);

/**
 * Takes part in the map that a descriptor of uxdp_map_export_fd names.
 *
 * `fd` stays the caller's and may be closed at once; `*out` is his until uxdp_map_unref. Any thread. As uxdp_map_attach; -EBADF; -EPERM for a descriptor that is no memfd
 * or not sealed against shrinking.
 */
int uxdp_map_attach_fd(struct uxdp_env *env,
                       int fd,
                       struct uxdp_map **out);

/**
 * Makes a map in a new file that its owner alone may open (mode 0600), which keeps it over restarts. Its blocks are reserved; whoever shortens the file kills its users.
 *
 * `*out` is the caller's until uxdp_map_unref; the file stays, and `spec` and `path` are his. Any thread. As uxdp_map_create_in; -EEXIST where there is something of
 * that name; -ENOSPC and others of open(2), after which no file is left.
 */
int uxdp_map_create_file(struct uxdp_env *env,
                         const struct uxdp_map_spec *spec,
                         const char *path,
                         struct uxdp_map **out);

/**
 * Takes part in the map of a file that uxdp_map_create_file made: in this process or another of the same user, before or after a restart.
 *
 * `path` stays the caller's; `*out` is his until uxdp_map_unref. Any thread. As uxdp_map_attach; -ENOENT; -EPERM for what is no regular file (a symbolic link is none), has
 * other names, belongs to another user or is open to others.
 */
int uxdp_map_attach_file(struct uxdp_env *env,
                         const char *path,
                         struct uxdp_map **out);

/**
 * Puts in order what dead processes left in a shared map, and frees their slots. For whoever watches over the processes: after one died, or now and then. Writers of other
 * processes are told -EBUSY if it takes longer than they wait; readers notice nothing.
 *
 * `m` stays the caller's. Any thread that is not inside a program. How many slots came free; -EINVAL for NULL; -EBUSY while another process recovers or a living writer does
 * not end its operation; -EPROTO where somebody wrote nonsense into the map.
 */
int uxdp_map_recover(struct uxdp_map *m);

/**
 * The library's version, for example `"0.1.0"`.
 *
 * Static memory, never freed. Any thread. Cannot fail.
 */
const char *uxdp_version(void);

/**
 * A sentence for a status, whether negative as functions return it or positive.
 *
 * Static memory, never freed, NUL-terminated. Any thread. Cannot fail: a number that is no status has a sentence too.
 */
const char *uxdp_strerror(int status);

/**
 * Runs a program on a packet, `repeat` times on the same one, on the calling thread. Needs a slot that no worker holds while it runs.
 *
 * A packet of more than 3,520 bytes is in several buffers for a program of section `xdp.frags`, as the kernel makes it, and in one for others.
 *
 * `p`, `opts` and what it points to stay the caller's; results are in `opts` then. Any thread that has no online worker of its own. 0; -EINVAL for NULL, a program that is not
 * loaded, a packet shorter than 14 or longer than 65,535 bytes; -ENOSPC where `data_out` is too short (it has what fits, `data_size_out` says what there
 * is), -EBUSY where every slot is taken, -EOPNOTSUPP for programs of device and CPU maps, -E2BIG for options that this version does not know, -ENOMEM.
 */
int uxdp_prog_test_run(struct uxdp_prog *p,
                       struct uxdp_test_run_opts *opts);

/**
 * Takes a slot for the calling thread, which is online then: it has to call uxdp_worker_quiescent again and again.
 *
 * Slots are dense numbers below the environment's `nr_cpus`, not lcore ids. `*out` is the caller's until uxdp_worker_unregister, on this
 * thread alone. `env` stays the caller's; NULL is the default one. 0, -ERANGE beyond the last slot, -EBUSY for a slot that is taken, -EINVAL, -ENOMEM.
 */
int uxdp_worker_register(struct uxdp_env *env,
                         uint32_t slot,
                         struct uxdp_worker **out);

/**
 * Says that the worker holds nothing of what it used before: after every burst, also when there was none. Costs a few nanoseconds; may free
 * what was replaced. A worker that is offline stays so.
 *
 * `w` stays the caller's. The worker's thread, not inside a run. Cannot fail; NULL is ignored.
 */
void uxdp_worker_quiescent(struct uxdp_worker *w);

/**
 * Before the worker sleeps: nobody waits for it until it is online again. It runs no program meanwhile.
 *
 * `w` stays the caller's. The worker's thread. Cannot fail; NULL is ignored.
 */
void uxdp_worker_offline(struct uxdp_worker *w);

/**
 * After the worker slept: it may run programs again.
 *
 * `w` stays the caller's. The worker's thread. Cannot fail; NULL is ignored.
 */
void uxdp_worker_online(struct uxdp_worker *w);

/**
 * Runs the callbacks of timers in map values (`bpf_timer_start`) that have expired, in the worker's slot, at most `max` of them: in the main loop, beside
 * uxdp_worker_quiescent, or in a thread that does nothing else and sleeps meanwhile. Without such a call no timer expires.
 *
 * Every worker of an environment may call it; each timer runs once. One that was started with BPF_F_TIMER_CPU_PIN waits for the worker that started it. Costs a few
 * nanoseconds where nothing has expired. `next_ns` is NULL, or gets the nanoseconds to the next expiry as far as is known: 0 where more has expired, UINT64_MAX where
 * no timer is armed. `w` stays the caller's. The worker's thread, not inside a run. The number of callbacks that ran, or -EINVAL for NULL.
 */
int uxdp_worker_run_timers(struct uxdp_worker *w,
                           uint32_t max,
                           uint64_t *next_ns);

/**
 * What the worker of a slot has reported: whether there is one, whether it is online, and how far it is behind.
 *
 * `out->sz` is set before (UXDP_STRUCT does it); `env` and `out` stay the caller's; NULL is the default environment. Any thread, while programs run, which it costs
 * nothing. 0, -ERANGE beyond the last slot, -EINVAL for a NULL `out`, -ENOMEM.
 */
int uxdp_worker_stats(struct uxdp_env *env,
                      uint32_t slot,
                      struct uxdp_worker_stats *out);

/**
 * Gives the slot back; NULL is allowed.
 *
 * Takes `w`: no context of it is used any more. The worker's thread. Cannot fail.
 */
void uxdp_worker_unregister(struct uxdp_worker *w);

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
  if (ctx->frags)
    return uxdp_run(ctx); /* whether the programs take a packet in several buffers is judged there */
  return __atomic_load_n(ctx->entry, __ATOMIC_ACQUIRE)(ctx);
}

#endif /* UXDP_H_INLINE */
