/* Everything that the header offers beyond declarations, in the language that C99 and C++17 share; only compiled. */
#ifdef KERNEL_HEADER_BEFORE
#include <linux/bpf.h>
#endif
#include <uxdp.h>
#include <uxdp.h>
#ifdef KERNEL_HEADER_AFTER
#include <linux/bpf.h>
#endif

static void *give(void *arg, const char *name, size_t size, size_t align, int numa_node)
{
  (void)name;
  (void)size;
  (void)align;
  (void)numa_node;
  return arg;
}

static void take(void *arg, void *p, size_t size)
{
  (void)arg;
  (void)p;
  (void)size;
}

int main(void)
{
  char log[32];
  struct uxdp_object *object;
  struct uxdp_worker *worker = NULL;
  struct uxdp_hook *hook = NULL;
  struct uxdp_ctx ctx;
  struct uxdp_pkt pkt;
  struct uxdp_mem_ops ops = {give, take, NULL};
  UXDP_OPEN_OPTS(plain);
  UXDP_OPEN_OPTS(open, .name = "x", .nr_cpus = 4, .numa_node = 1, .map_mem = &ops, .log_buf = log, .log_size = sizeof(log), .log_level = 1);
  UXDP_LOAD_OPTS(load, .engine = UXDP_ENGINE_INTERP);
  UXDP_STRUCT(uxdp_map_info, info);
  UXDP_STRUCT(uxdp_prog_stats, stats);
  UXDP_STRUCT(uxdp_test_run_opts, test, .repeat = 3);
  UXDP_STRUCT(uxdp_hook_opts, hook_opts, .ingress_ifindex = 1, .rx_queue_index = 2, .mtu = 1500, .buffer_size = 2048);

  if (uxdp_object_open_file("x.o", &plain, &object) != 0 || uxdp_object_open_mem(log, sizeof(log), &open, &object) != 0 ||
      uxdp_object_load(object, &load) != 0 || uxdp_hook_create(NULL, &hook_opts, &hook) != 0 || uxdp_ctx_init(&ctx, worker, hook) != 0 ||
      uxdp_map_get_info(uxdp_object_next_map(object, NULL), &info) != 0 ||
      uxdp_prog_stats(uxdp_object_next_prog(object, NULL), UXDP_ALL_SLOTS, &stats) != 0 ||
      uxdp_prog_test_run(uxdp_object_next_prog(object, NULL), &test) != 0)
    return 1;
  pkt.action = UXDP_DROP;
  xdp_run_burst(&ctx, &pkt, 1);
  return xdp_run(&ctx) == UXDP_PASS ? 0 : (int)uxdp_run(&ctx);
}
