/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A capture through a program: what it passes or sends goes to another capture, with the program's changes.
 *
 *   pcap_filter FILE[:PROGRAM] IN.pcap OUT.pcap
 *
 * Runs in bursts, as a packet loop would. Reads and writes the classic pcap format, so it needs no library but uxdp.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uxdp.h>

#define BURST 32
#define HEADROOM 256
#define ROOM 9216 /* bytes behind the headroom: the longest packet taken */

/* The head of a capture file, in the byte order of the machine that wrote it. */
struct pcap_file {
	uint32_t magic; /* 0xa1b2c3d4: microseconds, 0xa1b23c4d: nanoseconds */
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};

/* The head of a packet in it. */
struct pcap_packet {
	uint32_t seconds, fraction, captured, length;
};

struct burst {
	struct uxdp_pkt pkts[BURST];
	struct pcap_packet heads[BURST];
	uint8_t buffers[BURST][HEADROOM + ROOM];
};

static int failed(const char *what, int status)
{
	char why[512];

	uxdp_last_error(why, sizeof(why));
	fprintf(stderr, "%s: %s: %s\n", what, uxdp_strerror(status), why);
	return 1;
}

/* The next packets of the capture: their number, 0 at its end, -1 for a capture that is cut or has packets too long for us. */
static int read_burst(FILE *in, struct burst *b)
{
	int n;

	memset(b->pkts, 0, sizeof(b->pkts));
	for (n = 0; n < BURST; n++) {
		struct uxdp_pkt *pkt = &b->pkts[n];
		struct pcap_packet *head = &b->heads[n];
		size_t got = fread(head, 1, sizeof(*head), in);

		if (got == 0)
			break;
		if (got != sizeof(*head) || head->captured > ROOM || fread(b->buffers[n] + HEADROOM, 1, head->captured, in) != head->captured)
			return -1;
		pkt->data_hard_start = b->buffers[n];
		pkt->data_meta = pkt->data = b->buffers[n] + HEADROOM;
		pkt->data_end = pkt->data + head->captured;
		pkt->frame_end = b->buffers[n] + sizeof(b->buffers[n]);
		pkt->cookie = head;
	}
	return n;
}

static int write_packet(FILE *out, const struct uxdp_pkt *pkt)
{
	struct pcap_packet head = *(const struct pcap_packet *)pkt->cookie;
	uint32_t length = (uint32_t)(pkt->data_end - pkt->data);

	/* A capture may hold less than was on the wire; what the program added or cut changes both. */
	head.length = head.length - head.captured + length;
	head.captured = length;
	return fwrite(&head, sizeof(head), 1, out) == 1 && (length == 0 || fwrite(pkt->data, length, 1, out) == 1);
}

static int filter(struct uxdp_prog *prog, struct uxdp_worker *worker, FILE *in, FILE *out)
{
	unsigned long count[UXDP_REDIRECT + 1] = {0};
	struct burst *b = malloc(sizeof(*b));
	struct uxdp_ctx ctx;
	int n, i, status;

	if (b == NULL || (status = uxdp_ctx_init(&ctx, worker, uxdp_prog_hook(prog))) != 0) {
		free(b);
		return b == NULL ? failed("memory", -12) : failed("context", status);
	}
	ctx.ingress_ifindex = 1;
	while ((n = read_burst(in, b)) > 0) {
		xdp_run_burst(&ctx, b->pkts, (unsigned)n);
		uxdp_worker_quiescent(worker);
		for (i = 0; i < n; i++) {
			uint32_t action = b->pkts[i].action;

			count[action <= UXDP_REDIRECT ? action : UXDP_ABORTED]++;
			if ((action == UXDP_PASS || action == UXDP_TX) && !write_packet(out, &b->pkts[i])) {
				perror("output");
				free(b);
				return 1;
			}
		}
	}
	free(b);
	printf("aborted %lu, drop %lu, pass %lu, tx %lu, redirect %lu\n", count[UXDP_ABORTED], count[UXDP_DROP], count[UXDP_PASS],
	       count[UXDP_TX], count[UXDP_REDIRECT]);
	if (n < 0)
		fprintf(stderr, "the capture is cut, or has packets longer than %d bytes\n", ROOM);
	return n < 0;
}

/* Copies the file header; 0 for what is no capture of Ethernet packets in this machine's byte order. */
static int copy_header(FILE *in, FILE *out)
{
	struct pcap_file head;

	return fread(&head, sizeof(head), 1, in) == 1 && (head.magic == 0xa1b2c3d4 || head.magic == 0xa1b23c4d) && head.linktype == 1 &&
	       fwrite(&head, sizeof(head), 1, out) == 1;
}

/* Opens and loads FILE[:PROGRAM]; the object is the caller's even when that fails. */
static struct uxdp_prog *load(char *spec, struct uxdp_object **object)
{
	static char log[4096];
	char *name = strrchr(spec, ':');
	struct uxdp_prog *prog;
	int status;
	UXDP_LOAD_OPTS(opts, .log_buf = log, .log_size = sizeof(log));

	if (name != NULL)
		*name++ = '\0';
	if ((status = uxdp_object_open_file(spec, NULL, object)) != 0) {
		failed(spec, status);
		return NULL;
	}
	if ((status = uxdp_object_load(*object, &opts)) != 0) {
		fprintf(stderr, "%s: %s\n%s", spec, uxdp_strerror(status), log);
		return NULL;
	}
	prog = name != NULL ? uxdp_object_find_prog(*object, name) : uxdp_object_next_prog(*object, NULL);
	if (prog == NULL)
		fprintf(stderr, "%s: no such program\n", spec);
	return prog;
}

int main(int argc, char **argv)
{
	struct uxdp_object *object = NULL;
	struct uxdp_worker *worker = NULL;
	struct uxdp_prog *prog;
	FILE *in, *out;
	int status, ret = 1;

	if (argc != 4) {
		fprintf(stderr, "usage: %s FILE[:PROGRAM] IN.pcap OUT.pcap\n", argv[0]);
		return 2;
	}
	in = fopen(argv[2], "rb");
	out = fopen(argv[3], "wb");
	if (in == NULL || out == NULL) {
		perror(in == NULL ? argv[2] : argv[3]);
	} else if (!copy_header(in, out)) {
		fprintf(stderr, "%s: not a pcap file of Ethernet packets in this machine's byte order\n", argv[2]);
	} else if ((prog = load(argv[1], &object)) != NULL) {
		if ((status = uxdp_worker_register(NULL, 0, &worker)) != 0)
			failed("worker", status);
		else
			ret = filter(prog, worker, in, out);
	}
	uxdp_worker_unregister(worker);
	uxdp_object_free(object);
	if (in != NULL)
		fclose(in);
	if (out != NULL && fclose(out) != 0) {
		perror(argv[3]);
		ret = 1;
	}
	return ret;
}
