#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Asks the running kernel what each XDP program does with its capture, and writes it down as what is expected.

    scripts/kernel_expect.py                     writes xdp_progs/expect/NAME.json for every program
    scripts/kernel_expect.py --check             compares instead: exit 1 and a line for each difference
    scripts/kernel_expect.py --check --obj xdp_progs/obj/v4 xdp_tx xdping       other objects, some programs

xdp_progs/demo/firewall.expect.json, the same for the capture and rules of `make run`, is the program "demo".

Needs Linux, root (bpf(2)) and libbpf 1.0 or later (libbpf1). Each program is loaded afresh, its maps are filled
from xdp_progs/NAME.maps.json (docs/maps-json.md), and the packets of xdp_progs/pcap/NAME.pcap go through
BPF_PROG_TEST_RUN one by one, in order, on CPU 0.

An expectation is
    {"program": NAME, "object": the object's name,
     "packets": [{"action": "XDP_TX", "data": HEX, only if the packet changed}, ...],
     "maps": {MAP: [{"key": HEX, "value": HEX}, ...]},       what the maps hold after the last packet
     "records": {MAP: [HEX, ...]}}                            what came through its ring buffers, if it has any
with entries in the order of their key bytes, arrays without their all-zero entries, per-CPU maps with the
value of CPU 0. Left out are program arrays, maps of maps, devices, CPUs and sockets, global data (.rodata) and arrays of
more than a hundred thousand entries. xdp_progs/masks.json says what is zeroed, since it differs from run to run. For a
program that the kernel refuses it is {"program": NAME, "object": ..., "refused": REASON}.
Programs that the kernel can load for a device only have no expectation.
"""

import argparse
import ctypes as c
import ipaddress
import json
import os
import pathlib
import re
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ACTIONS = ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"]
ARRAY, PROG_ARRAY, PERCPU_ARRAY, RINGBUF = 2, 3, 6, 27
PERCPU = {5, 6, 10}  # hash, array, LRU hash
NOT_SHOWN = {3, 4, 12, 13, 14, 16, 17, 25, RINGBUF}  # programs, events, maps, devices, CPUs, sockets, records
MANY = 100_000
DEVICE_ONLY = {"xdp_metadata"}


class TestRunOpts(c.Structure):
    _fields_ = [
        ("sz", c.c_size_t), ("data_in", c.c_void_p), ("data_out", c.c_void_p),
        ("data_size_in", c.c_uint32), ("data_size_out", c.c_uint32),
        ("ctx_in", c.c_void_p), ("ctx_out", c.c_void_p), ("ctx_size_in", c.c_uint32), ("ctx_size_out", c.c_uint32),
        ("retval", c.c_uint32), ("repeat", c.c_int), ("duration", c.c_uint32),
        ("flags", c.c_uint32), ("cpu", c.c_uint32), ("batch_size", c.c_uint32),
    ]


def libbpf():
    lib = c.CDLL("libbpf.so.1", use_errno=True)
    for name in ("bpf_object__open", "bpf_object__next_program", "bpf_object__next_map"):
        getattr(lib, name).restype = c.c_void_p
    for name in ("bpf_program__name", "bpf_map__name"):
        getattr(lib, name).restype = c.c_char_p
    lib.libbpf_set_print(None)
    return lib


LIB = libbpf()
CPUS = LIB.libbpf_num_possible_cpus()


def must(result, what):
    if result is None or (isinstance(result, int) and result < 0):
        sys.exit(f"kernel_expect: {what}: {os.strerror(c.get_errno())}")
    return result


class Map:
    def __init__(self, handle):
        handle = c.c_void_p(handle)
        self.name = LIB.bpf_map__name(handle).decode()
        self.fd = LIB.bpf_map__fd(handle)
        self.type = LIB.bpf_map__type(handle)
        self.key_size = LIB.bpf_map__key_size(handle)
        self.value_size = LIB.bpf_map__value_size(handle)
        self.percpu = self.type in PERCPU
        self.shown = self.type not in NOT_SHOWN and "." not in self.name
        if self.type == ARRAY and LIB.bpf_map__max_entries(handle) > MANY:
            self.shown = False
        # The kernel's per-CPU values are one slot a possible CPU, rounded to 8 bytes.
        self.slot = (self.value_size + 7) // 8 * 8

    def put(self, entry, programs):
        if "ring" in entry:
            for at, member in enumerate(ring(entry["ring"]), entry["key"]):
                self.update(struct.pack("<I", at), struct.pack("<I", member))
            return
        key = to_bytes(entry["key"], self.key_size)
        if self.type == PROG_ARRAY:
            value = struct.pack("<I", programs[entry["value"]])
        elif not self.percpu:
            value = to_bytes(entry["value"], self.value_size)
        else:
            slots = [to_bytes(entry["value"], self.value_size) if "value" in entry else b""] * CPUS
            for one in entry.get("values", []):
                slots[one["cpu"]] = to_bytes(one["value"], self.value_size)
            value = b"".join(slot.ljust(self.slot, b"\0") for slot in slots)
        self.update(key, value)

    def update(self, key, value):
        must(LIB.bpf_map_update_elem(self.fd, key, value, c.c_uint64(0)), f"map {self.name}")

    def entries(self, masks):
        """The contents as an expectation has them."""
        out, key = [], None
        following = c.create_string_buffer(self.key_size)
        value = c.create_string_buffer(self.slot * CPUS if self.percpu else self.value_size)
        while LIB.bpf_map_get_next_key(self.fd, key, following) == 0:
            key = following.raw
            must(LIB.bpf_map_lookup_elem(self.fd, key, value), f"map {self.name}")
            first = bytearray(value.raw[: self.value_size])
            for mask in masks:
                if mask["map"] == self.name:
                    first[mask["offset"] : mask["offset"] + mask["length"]] = bytes(mask["length"])
            first = bytes(first)
            if any(first) or self.type not in (ARRAY, PERCPU_ARRAY):
                out.append((key, first))
        return [{"key": key.hex(), "value": first.hex()} for key, first in sorted(out)]


class Ring:
    """A reader of a ring buffer."""

    def __init__(self, map_):
        self.name, self.records = map_.name, []

        def sample(_ctx, data, size):
            self.records.append(c.string_at(data, size).hex())
            return 0

        self.callback = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_size_t)(sample)
        LIB.ring_buffer__new.restype = c.c_void_p
        self.handle = c.c_void_p(must(LIB.ring_buffer__new(map_.fd, self.callback, None, None), map_.name))

    def take(self):
        must(LIB.ring_buffer__consume(self.handle), self.name)


def ring(said):
    """The places of a ring of docs/maps-json.md."""
    size, mask = said["size"], (1 << 64) - 1
    members = sorted((one["value"], one.get("weight", 1)) for one in said["members"])
    walks = []
    for value, _ in members:
        x = (value + 0x9E3779B97F4A7C15) & mask
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        x ^= x >> 31
        walks.append([(x >> 32) % size, (x & 0xFFFFFFFF) % (size - 1) + 1])
    places, free = [None] * size, size
    while free:
        for (value, weight), walk in zip(members, walks):
            for _ in range(min(weight, free)):
                while places[walk[0]] is not None:
                    walk[0] = (walk[0] + walk[1]) % size
                places[walk[0]] = value
                free -= 1
    return places


def to_bytes(written, size):
    """A key or value of docs/maps-json.md."""
    if isinstance(written, int):
        return written.to_bytes(size, "little", signed=written < 0)
    if isinstance(written, list):
        made = b"".join(piece(one) for one in written)
    else:
        made = piece(written)
        if made is None:
            made = written.removeprefix("text:").encode()
            made += bytes(max(0, size - len(made)))
    if len(made) != size:
        raise ValueError(f"{written} gives {len(made)} bytes, not {size}")
    return made


def piece(written):
    """One sized form, or None for a plain string."""
    if written.startswith("0x"):
        return bytes.fromhex(written[2:])
    kind, colon, rest = written.partition(":")
    if not colon:
        return None
    if kind == "hex":
        return bytes.fromhex(rest.replace(":", ""))
    if kind == "mac":
        return bytes.fromhex(rest.replace(":", ""))
    if kind == "ip":
        return ipaddress.ip_address(rest).packed
    if kind == "zero":
        return bytes(int(rest, 0))
    number = re.fullmatch(r"(u|be)(8|16|32|64)", kind)
    if number:
        value = int(rest, 0)
        order = "little" if number[1] == "u" else "big"
        return value.to_bytes(int(number[2]) // 8, order, signed=value < 0)
    return None


def walk(following, obj):
    item = following(obj, None)
    while item:
        yield item
        item = following(obj, c.c_void_p(item))


def packets_of(path):
    """The packets of a classic little-endian pcap file."""
    raw = path.read_bytes()
    at = 24
    while at < len(raw):
        kept = struct.unpack_from("<I", raw, at + 8)[0]
        yield raw[at + 16 : at + 16 + kept]
        at += 16 + kept


def masked(packet, masks):
    """A packet with what is not compared zeroed."""
    packet = bytearray(packet)
    for mask in masks:
        end = mask["offset"] + mask["length"]
        if packet[12:14].hex() == mask["ethertype"] and end <= len(packet):
            packet[mask["offset"] : end] = bytes(mask["length"])
    return bytes(packet)


def run(fd, packet, masks):
    """One packet through one program: what an expectation says of it."""
    out = c.create_string_buffer(65536)
    data = c.create_string_buffer(packet, len(packet))
    opts = TestRunOpts(
        sz=c.sizeof(TestRunOpts), repeat=1,
        data_in=c.cast(data, c.c_void_p), data_size_in=len(packet),
        data_out=c.cast(out, c.c_void_p), data_size_out=len(out),
    )
    must(LIB.bpf_prog_test_run_opts(fd, c.byref(opts)), "test run")
    said = {"action": ACTIONS[opts.retval] if opts.retval < len(ACTIONS) else opts.retval}
    after = out.raw[: opts.data_size_out]
    if after != packet:
        said["data"] = masked(after, masks).hex()
    return said


def reason_of(log):
    """The line that follows the last instruction in the verifier's log."""
    lines = log.splitlines()
    last = max(n for n, line in enumerate(lines) if re.match(r"\d+: \(", line))
    return lines[last + 1]


DEMO = "demo"


def runs(objects):
    """The names of all runs: each file's program, and the others of its object that are named after it."""
    out = []
    for path in sorted((ROOT / "xdp_progs").glob("*.c")):
        stem = path.stem
        if stem in DEVICE_ONLY:
            continue
        obj = c.c_void_p(must(LIB.bpf_object__open(str(objects / f"{stem}.o").encode()), stem))
        names = [LIB.bpf_program__name(c.c_void_p(p)).decode() for p in walk(LIB.bpf_object__next_program, obj)]
        LIB.bpf_object__close(obj)
        out += [name for name in names if name == stem or name.startswith(stem + "_")]
    return [*out, DEMO]


def object_of(name):
    """The file that a program is in: its own, or the one that it is named after."""
    stems = [path.stem for path in (ROOT / "xdp_progs").glob("*.c")]
    return max((stem for stem in stems if name == stem or name.startswith(stem + "_")), key=len)


def files_of(name, objects):
    """Program name, object, capture, map contents and expectation of one run."""
    progs = ROOT / "xdp_progs"
    if name == DEMO:
        demo = progs / "demo"
        beside = (demo / f"firewall.{kind}" for kind in ("pcap", "maps.json", "expect.json"))
        return "xdp_firewall", objects / "xdp_firewall.o", *beside
    stem = object_of(name)
    beside = (progs / path for path in (f"pcap/{stem}.pcap", f"{stem}.maps.json", f"expect/{name}.json"))
    return name, objects / f"{stem}.o", *beside


def expectation(name, obj_path, capture, rules):
    masks = json.loads((ROOT / "xdp_progs" / "masks.json").read_text())["programs"].get(name, {})
    obj = c.c_void_p(must(LIB.bpf_object__open(str(obj_path).encode()), obj_path))
    handles = [c.c_void_p(p) for p in walk(LIB.bpf_object__next_program, obj)]
    log = c.create_string_buffer(1 << 16)
    for handle in handles:
        LIB.bpf_program__set_log_buf(handle, log, c.c_size_t(len(log)))
    if LIB.bpf_object__load(obj) < 0:
        return {"program": name, "object": obj_path.stem, "refused": reason_of(log.value.decode())}
    programs = {LIB.bpf_program__name(p).decode(): LIB.bpf_program__fd(p) for p in handles}
    maps = [Map(m) for m in walk(LIB.bpf_object__next_map, obj)]

    if rules.exists():
        by_name = {m.name: m for m in maps}
        for map_name, entries in json.loads(rules.read_text())["maps"].items():
            for entry in entries:
                by_name[map_name].put(entry, programs)

    rings = [Ring(m) for m in maps if m.type == RINGBUF]
    packets = []
    for packet in packets_of(capture):
        packets.append(run(programs[name], packet, masks.get("packets", [])))
        for one in rings:
            one.take()
    said = {"program": name, "object": obj_path.stem, "packets": packets}
    said["maps"] = {m.name: m.entries(masks.get("values", [])) for m in maps if m.shown}
    if rings:
        said["records"] = {one.name: one.records for one in rings}
    LIB.bpf_object__close(obj)
    return said


def entries_as_text(entries):
    if not entries:
        return "[]"
    return "[\n" + ",\n".join("      " + json.dumps(e) for e in entries) + "\n    ]"


def as_text(said):
    """JSON with one packet or entry a line, so that a difference reads well."""
    head = f'"program": {json.dumps(said["program"])}, "object": {json.dumps(said["object"])}'
    if "refused" in said:
        return f'{{{head}, "refused": {json.dumps(said["refused"])}}}\n'
    packets = ",\n".join("    " + json.dumps(p) for p in said["packets"])
    maps = ",\n".join(f"    {json.dumps(name)}: {entries_as_text(e)}" for name, e in said["maps"].items())
    maps = f"{{\n{maps}\n  }}" if maps else "{}"
    records = ""
    for name, taken in said.get("records", {}).items():
        taken = ",\n".join("      " + json.dumps(one) for one in taken)
        records += ("," if records else "") + f"\n    {json.dumps(name)}: [\n{taken}\n    ]"
    records = f',\n  "records": {{{records}\n  }}' if records else ""
    return f'{{\n  {head},\n  "packets": [\n{packets}\n  ],\n  "maps": {maps}{records}\n}}\n'


def main():
    parser = argparse.ArgumentParser(description="Expected actions, packets and maps, from the kernel.")
    parser.add_argument("--check", action="store_true", help="compare with what is committed instead of writing")
    parser.add_argument("--obj", type=pathlib.Path, default=ROOT / "xdp_progs" / "obj", help="folder of the objects")
    parser.add_argument("programs", nargs="*", help="names, 'demo' among them; all by default")
    args = parser.parse_args()

    os.sched_setaffinity(0, {0})
    failed = False
    for run_name in args.programs or runs(args.obj):
        name, obj_path, capture, rules, path = files_of(run_name, args.obj)
        said = as_text(expectation(name, obj_path, capture, rules))
        if not args.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(said)
            continue
        kept = path.read_text()
        same = json.loads(said) == json.loads(kept)
        if "refused" in json.loads(said):
            # The registers in the reason are the compiler's choice.
            same = "refused" in json.loads(kept)
        if not same:
            failed = True
            print(f"{run_name}: the kernel differs from {path.relative_to(ROOT)}")
            old, new = kept.splitlines(), said.splitlines()
            for number, (a, b) in enumerate(zip(old, new), 1):
                if a != b:
                    print(f"  line {number}\n    expected {a.strip()}\n    kernel   {b.strip()}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
