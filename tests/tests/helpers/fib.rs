//! Routes, neighbours and MTU beside Linux's: a network name space of this test's own, its tables read through `ip -json` into a [`Fib`], and the same questions to both.

use crate::row::{Outcome, Packet, Row, row};
use crate::{judge, linux};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use uxdp_core::net::{DEFAULT, Fib, LOCAL, Link, MAIN, NextHop, Prefix, Route, RouteKind};
use uxdp_core::sync::Arc;
use uxdp_core::vm::Env;

const DIRECT: u32 = 1;
const OUTPUT: u32 = 2;
const SKIP_NEIGH: u32 = 4;
const TBID: u32 = 8;
const SRC: u32 = 16;
const MARK: u32 = 32;

/// What the name space is made of.
const SETUP: &[&str] = &[
    "link set lo up",
    "link add v0 type veth peer name v1",
    "link add v2 type veth peer name v3",
    "link set v0 address 02:00:00:00:00:10 up",
    "link set v1 address 02:00:00:00:00:11 up",
    "link set v2 address 02:00:00:00:00:12 mtu 1400 up",
    "link set v3 address 02:00:00:00:00:13 mtu 1400 up",
    // Without an address of its own.
    "link add v4 type veth peer name v5",
    "link set v4 address 02:00:00:00:00:14 addrgenmode none up",
    "link set v5 address 02:00:00:00:00:15 up",
    "addr add 10.0.0.1/24 dev v0",
    "addr add 10.0.5.1/24 dev v0",
    "addr add 10.1.0.1/24 dev v2",
    "addr add fc00:1::1/64 dev v0 nodad",
    "addr add fc00:2::1/64 dev v2 nodad",
    "addr add fc00:3::1/64 dev v2 nodad",
    "addr add 2001:db8:ffff::1/64 dev v2 nodad",
    "addr add 2001:db8:11::1/126 dev v0 nodad",
    "route add 20.0.0.0/8 via 10.0.0.2 metric 100",
    "route add 20.1.0.0/16 via 10.1.0.9",
    "route add 20.1.2.0/24 dev v2 metric 5",
    "route add 20.1.2.0/24 via 10.0.0.2 metric 10",
    "route add 20.9.0.0/16 via 10.0.0.2",
    "route add 20.9.0.0/16 tos 0x10 via 10.1.0.9",
    "route add blackhole 30.0.0.0/8",
    "route add unreachable 31.0.0.0/8",
    "route add prohibit 32.0.0.0/8",
    "route add throw 33.0.0.0/8",
    "route add 40.0.0.0/8 via 10.1.0.9 table 100",
    "route add 50.0.0.0/8 via 10.0.0.2 mtu lock 1000",
    "route add 51.0.0.0/8 via 10.0.0.2 mtu 1000",
    "route add 60.0.0.0/8 via inet6 fe80::9 dev v0",
    "route add 80.0.0.0/8 via 10.0.0.2 src 10.1.0.1",
    "route add 81.0.0.0/8 via 10.0.5.9",
    // To where they are encapsulated to: `ip` gives both the same name in JSON.
    "route add 90.0.0.1/32 encap ip id 7 dst 90.0.0.1 via 10.0.0.2 dev v0",
    "route add 10.0.5.128/25 dev v0",
    "route add 82.0.0.0/8 dev v4",
    "route add 83.0.0.0/8 via 10.0.0.2 dev v4 onlink",
    "route add default via 10.0.0.254",
    "route add 2001:db8::/32 via fc00:1::2",
    "route add 2001:db8:1::/48 via fc00:2::9 metric 7",
    "route add 2001:db8:1::/48 dev v0 metric 9",
    "route add 2001:db8:2::/48 dev v2 src fc00:1::1",
    "route add 2001:db8:3::/48 via fc00:1::2 mtu lock 1300",
    "route add 2001:db8:4::/48 via fc00:1::2 mtu 1300",
    "route add blackhole 2001:db8:a::/48",
    "route add unreachable 2001:db8:b::/48",
    "route add prohibit 2001:db8:c::/48",
    "route add 2001:db8:d::/48 via fc00:2::9 table 100",
    "route add 2001:db8:e::1/128 encap ip6 id 7 dst 2001:db8:e::1 via fc00:1::2 dev v0",
    "route add 2001:db8:f::/48 dev v4",
    "route add fc00:f::/48 dev v4",
    "route add 2002:db8::/48 dev v2",
    "route add 2001:db8:11:ffff::/64 dev v2",
    "route add 2001:db8:11:fffe::/64 dev v4",
    "route add default via fc00:1::ffff",
    "neigh add 10.0.0.2 lladdr 02:00:00:00:00:a2 dev v0 nud permanent",
    "neigh add 10.1.0.9 lladdr 02:00:00:00:00:a9 dev v2 nud permanent",
    "neigh add 20.1.2.3 lladdr 02:00:00:00:00:b3 dev v2 nud permanent",
    "neigh add fe80::9 lladdr 02:00:00:00:00:c9 dev v0 nud permanent",
    "neigh add fc00:1::2 lladdr 02:00:00:00:00:d2 dev v0 nud permanent",
    "neigh add fc00:2::9 lladdr 02:00:00:00:00:d9 dev v2 nud permanent",
];

const FORWARDING: &[(&str, &str)] = &[
    ("ipv4/conf/all/forwarding", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/conf/v3/forwarding", "0"),
    ("ipv6/conf/v3/forwarding", "0"),
];

thread_local! {
    /// What environments of this thread publish.
    static NETWORK: RefCell<Fib> = const { RefCell::new(Fib::new()) };
}

fn env() -> Arc<Env> {
    let env = crate::row::plain_env();
    NETWORK.with_borrow(|fib| env.set_network(fib.tables().unwrap()).unwrap());
    env
}

/// An environment with one link and one route.
pub(crate) fn small_env() -> Arc<Env> {
    let mut fib = Fib::new();
    fib.set_link(Link { address: [2, 0, 0, 0, 0, 1], ..Link::forwarding(1) }).unwrap();
    fib.set_route(&Route::unicast(MAIN, Prefix::v4([10, 0, 0, 0], 8), NextHop::on(1))).unwrap();
    fib.set_neighbour(1, [10, 0, 0, 9].into(), [2, 0, 0, 0, 0, 9]).unwrap();
    let env = crate::row::plain_env();
    env.set_network(fib.tables().unwrap()).unwrap();
    env
}

fn ip(arguments: &str) -> Option<Vec<u8>> {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
    Some(output.stdout)
}

fn json(arguments: &str) -> Vec<Value> {
    let text = ip(arguments).unwrap();
    if text.is_empty() { Vec::new() } else { serde_json::from_slice(&text).unwrap() }
}

fn mac(v: &Value) -> [u8; 6] {
    let mut bytes = v.as_str().unwrap().split(':').map(|b| u8::from_str_radix(b, 16).unwrap());
    std::array::from_fn(|_| bytes.next().unwrap_or(0))
}

/// The kernel's tables, as a host would read them.
fn read_kernel() -> Fib {
    let mut fib = Fib::new();
    let mut names = std::collections::BTreeMap::new();
    for link in json("-json link show") {
        let (name, ifindex) = (link["ifname"].as_str().unwrap(), link["ifindex"].as_u64().unwrap() as u32);
        names.insert(name.to_owned(), ifindex);
        let forwards = |family: &str| {
            let path = format!("/proc/sys/net/{family}/conf/{name}/forwarding");
            std::fs::read_to_string(path).unwrap().trim() == "1"
        };
        let (mtu, header_len) = (link["mtu"].as_u64().unwrap() as u32, 14);
        let (forwards_v4, forwards_v6) = (forwards("ipv4"), forwards("ipv6"));
        let address = mac(&link["address"]);
        fib.set_link(Link { ifindex, mtu, header_len, address, forwards_v4, forwards_v6 }).unwrap();
    }
    for link in json("-json addr show") {
        let ifindex = link["ifindex"].as_u64().unwrap() as u32;
        for a in link["addr_info"].as_array().unwrap() {
            let address = a["local"].as_str().unwrap().parse().unwrap();
            let len = a["prefixlen"].as_u64().unwrap() as u8;
            fib.set_address(ifindex, Prefix { address, len }).unwrap();
        }
    }
    for family in ["-4", "-6"] {
        for r in json(&format!("{family} -json route show table all")) {
            fib.set_route(&route(&r, family == "-4", &names)).unwrap();
        }
        for n in json(&format!("{family} -json neigh show nud permanent")) {
            let at = n["dst"].as_str().unwrap().parse().unwrap();
            fib.set_neighbour(names[n["dev"].as_str().unwrap()], at, mac(&n["lladdr"])).unwrap();
        }
    }
    fib
}

fn route(r: &Value, is_v4: bool, names: &std::collections::BTreeMap<String, u32>) -> Route {
    let text = r["dst"].as_str().unwrap();
    let prefix = match (text.split_once('/'), text) {
        (Some((a, len)), _) => Prefix { address: a.parse().unwrap(), len: len.parse().unwrap() },
        (None, "default") if is_v4 => Prefix::v4([0; 4], 0),
        (None, "default") => Prefix::v6([0; 16], 0),
        (None, a) => Prefix { address: a.parse().unwrap(), len: if is_v4 { 32 } else { 128 } },
    };
    let table = match r["table"].as_str() {
        None | Some("main") => MAIN,
        Some("local") => LOCAL,
        Some("default") => DEFAULT,
        Some(number) => number.parse().unwrap(),
    };
    let kind = match r["type"].as_str() {
        None | Some("unicast") => RouteKind::Unicast,
        Some("blackhole") => RouteKind::Blackhole,
        Some("unreachable") => RouteKind::Unreachable,
        Some("prohibit") => RouteKind::Prohibit,
        Some("throw") => RouteKind::Throw,
        Some(_) => RouteKind::Local,
    };
    let mut route = Route::of_kind(kind, table, prefix);
    route.metric = r["metric"].as_u64().unwrap_or(0) as u32;
    route.tos = r["tos"].as_str().map_or(0, |t| u8::from_str_radix(t.trim_start_matches("0x"), 16).unwrap());
    route.source = r["prefsrc"].as_str().map(|a| a.parse().unwrap());
    // Linux takes a route's MTU only where it is locked, which JSON does not say.
    let locked = |mtu: &u64| {
        let family = if is_v4 { "-4" } else { "-6" };
        let line = ip(&format!("{family} route show {text}")).unwrap();
        String::from_utf8(line).unwrap().contains(&format!(" mtu lock {mtu}"))
    };
    if let Some(mtu) = r["metrics"][0]["mtu"].as_u64().filter(locked) {
        route.mtu = mtu as u32;
    }
    let ways = r["nexthops"].as_array().map_or(std::slice::from_ref(r), Vec::as_slice);
    if matches!(kind, RouteKind::Unicast | RouteKind::Local) {
        for way in ways {
            let gateway = way["gateway"].as_str().or(way["via"]["host"].as_str()).map(|g| g.parse().unwrap());
            let ifindex = names[way["dev"].as_str().unwrap()];
            let encapsulates = way["encap"].is_string();
            let weight = way["weight"].as_u64().unwrap_or(1) as u16;
            route.next_hops.push(NextHop { ifindex, gateway, weight, encapsulates }).unwrap();
        }
    }
    route
}

/// A question, as the program reads it.
fn question(to: IpAddr, ifindex: u32, flags: u32, change: impl Fn(&mut [u8])) -> Packet {
    let mut p = vec![0u8; 80];
    let from: IpAddr = if to.is_ipv4() {
        Ipv4Addr::new(10, 0, 0, 77).into()
    } else {
        "fc00:1::77".parse::<Ipv6Addr>().unwrap().into()
    };
    p[0] = if to.is_ipv4() { 2 } else { 10 };
    p[1] = 17;
    p[8..12].copy_from_slice(&ifindex.to_le_bytes());
    let mut put = |at: usize, a: IpAddr| match a {
        IpAddr::V4(a) => p[at..at + 4].copy_from_slice(&a.octets()),
        IpAddr::V6(a) => p[at..at + 16].copy_from_slice(&a.octets()),
    };
    put(16, from);
    put(32, to);
    p[64..68].copy_from_slice(&flags.to_le_bytes());
    change(&mut p);
    Packet::new(p)
}

fn questions(names: &[u32; 4]) -> Vec<Packet> {
    let [v0, _, v2, v3] = *names;
    let v4 = [
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.1",
        "10.0.0.255",
        "10.1.0.9",
        "20.0.0.1",
        "20.1.0.1",
        "20.1.2.3",
        "20.1.2.4",
        "20.9.0.1",
        "30.1.1.1",
        "31.1.1.1",
        "32.1.1.1",
        "33.1.1.1",
        "40.0.0.1",
        "50.0.0.1",
        "51.0.0.1",
        "60.0.0.1",
        "80.0.0.1",
        "81.0.0.1",
        "82.0.0.1",
        "83.0.0.1",
        "10.0.5.200",
        "90.0.0.1",
        "99.9.9.9",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
    ];
    let v6 = [
        "fc00:1::2",
        "fc00:1::3",
        "fc00:1::1",
        "2001:db8::1",
        "2001:db8:1::1",
        "2001:db8:2::1",
        "2001:db8:3::1",
        "2001:db8:4::1",
        "2001:db8:a::1",
        "2001:db8:b::1",
        "2001:db8:c::1",
        "2001:db8:d::1",
        "2001:db8:e::1",
        "2001:db8:f::1",
        "fc00:f::1",
        "2002:db8::1",
        "2001:db8:11::2",
        "2001:db8:11:ffff::1",
        "2001:db8:11:fffe::1",
        "3000::1",
        "fe80::9",
        "ff02::1",
        "::1",
    ];
    let flags = [0, DIRECT, OUTPUT, SKIP_NEIGH, SRC | SKIP_NEIGH, DIRECT | OUTPUT | SKIP_NEIGH, SRC];
    let mut all = Vec::new();
    for to in v4.iter().chain(&v6) {
        let to: IpAddr = to.parse().unwrap();
        for f in flags {
            for ifindex in [v0, v2] {
                all.push(question(to, ifindex, f, |_| {}));
            }
        }
        for len in [900u16, 1000, 1001, 1300, 1301, 1400, 1401, 1500, 1501, 65535] {
            all.push(question(to, v0, SKIP_NEIGH, |p| p[6..8].copy_from_slice(&len.to_le_bytes())));
        }
        all.push(question(to, v3, 0, |_| {}));
        all.push(question(to, 9999, 0, |_| {}));
        all.push(question(to, 0, 0, |_| {}));
        for table in [100u32, 254, 255, 253, 77] {
            let in_table = |p: &mut [u8]| p[48..52].copy_from_slice(&table.to_le_bytes());
            all.push(question(to, v0, DIRECT | TBID, in_table));
            all.push(question(to, v0, TBID, in_table));
        }
        for tos in [0x10u8, 0x13, 0x20] {
            all.push(question(to, v0, 0, |p| p[12] = tos));
        }
        // No rule asks for a mark; with a table it decides nothing either.
        for f in [MARK, MARK | SKIP_NEIGH, MARK | DIRECT, MARK | OUTPUT | SRC] {
            all.push(question(to, v0, f, |p| p[52..56].copy_from_slice(&77u32.to_le_bytes())));
        }
        all.push(question(to, v0, 64, |_| {}));
        all.push(question(to, v0, 0, |p| p[0] = 3));
    }
    all
}

fn mtu_questions(names: &[u32; 4]) -> Vec<Packet> {
    let mut all = Vec::new();
    for ifindex in [0, names[0], names[2], 9999] {
        for given in [0u32, 1, 1386, 1387, 1400, 1401, 1500, 1501, 0x7fff_ffff, u32::MAX] {
            for difference in [0i32, 1, -1, 1336, 1337, -1400, i32::MAX, i32::MIN] {
                for flags in [0u32, 1] {
                    let words = [ifindex, given, difference as u32, flags];
                    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
                    bytes.resize(64, 0);
                    all.push(Packet { ingress_ifindex: names[0], ..Packet::new(bytes) });
                }
            }
        }
    }
    all
}

fn rows(names: &[u32; 4]) -> Vec<Row> {
    vec![
        row("fib", "fib_query").env(env).packets(questions(names)).expect(|o| {
            let answers: BTreeSet<u8> = o.packets.iter().map(|p| p.bytes[72]).collect();
            // All but NO_SRC_ADDR: here is always an address that a packet can leave with.
            let results = (0..=8).chain([-19i8 as u8, -22i8 as u8, -97i8 as u8]);
            assert_eq!(answers, results.collect(), "BPF_FIB_LKUP_RET_*, and the errors");
        }),
        row("fib", "fib_short").env(env).packets([Packet::new([0; 80])]),
        row("fib", "mtu_query").env(env).packets(mtu_questions(names)),
    ]
}

/// Makes a network in a name space of a thread's own, publishes what is in it, and judges there. Empty where nobody can.
fn in_network(
    setup: &'static [&'static str],
    sysctls: &'static [(&'static str, &'static str)],
    judged: impl FnOnce() -> Vec<String> + Send + 'static,
) {
    if !linux::can_ask() {
        return linux::skip("bpf(2) is not permitted");
    }
    let asked = std::thread::spawn(move || {
        // SAFETY: it takes a number; this thread alone is in the new name space.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 || Command::new("ip").output().is_err() {
            linux::skip("no name spaces, or no `ip`");
            return Vec::new();
        }
        for line in setup {
            let is_v6 = line.split_whitespace().any(|w| w.contains("::") && !line.contains("inet6"));
            ip(&format!("{} {line}", if is_v6 { "-6" } else { "" }));
        }
        for (file, value) in sysctls {
            std::fs::write(format!("/proc/sys/net/{file}"), value).unwrap();
        }
        NETWORK.replace(read_kernel());
        judged()
    });
    let wrong: Vec<String> = asked.join().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn index(name: &str) -> u32 {
    json(&format!("-json link show {name}"))[0]["ifindex"].as_u64().unwrap() as u32
}

fn wrong_of(rows: &[Row]) -> Vec<String> {
    let wrong = rows.iter().filter_map(|r| judge(r, true).err().map(|e| format!("{}: {e}", r.program)));
    wrong.collect()
}

#[test]
fn routes_neighbours_and_mtu_answer_as_linux_does() {
    in_network(SETUP, FORWARDING, || wrong_of(&rows(&["v0", "v1", "v2", "v3"].map(index))));
}

#[test]
fn packets_without_an_address_to_leave_with_are_told_so() {
    const SETUP: &[&str] = &[
        "link set lo up",
        "link add v0 type veth peer name v1",
        "link set v0 address 02:00:00:00:00:10 addrgenmode none up",
        "link set v1 address 02:00:00:00:00:11 addrgenmode none up",
        "addr del ::1/128 dev lo",
        "route add 20.0.0.0/8 dev v0",
        "route add 2001:db8::/32 dev v0",
    ];
    in_network(SETUP, FORWARDING.split_at(2).0, || {
        let all = ["20.0.0.1", "2001:db8::1"].map(|to| to.parse::<IpAddr>().unwrap());
        let flags = [SRC, SRC | SKIP_NEIGH, SRC | DIRECT, SRC | OUTPUT, 0];
        let asked = all.iter().flat_map(|to| flags.map(|f| question(*to, index("v0"), f, |_| {})));
        let row = row("fib", "fib_query").env(env).packets(asked.collect::<Vec<_>>()).expect(|o| {
            let answers: Vec<u8> = o.packets.iter().map(|p| p.bytes[72]).collect();
            assert_eq!(answers, [7, 0, 7, 7, 7, 9, 9, 9, 9, 7], "NO_SRC_ADDR, of IPv6 alone");
        });
        wrong_of(&[row])
    });
}

/// Two ways, of which the second has three parts of four.
const TWO_WAYS: &[&str] = &[
    "link set lo up",
    "link add v0 type veth peer name v1",
    "link add v2 type veth peer name v3",
    "link set v0 address 02:00:00:00:00:10 up",
    "link set v1 address 02:00:00:00:00:11 up",
    "link set v2 address 02:00:00:00:00:12 mtu 1400 up",
    "link set v3 address 02:00:00:00:00:13 mtu 1400 up",
    "addr add 10.0.0.1/24 dev v0",
    "addr add 10.1.0.1/24 dev v2",
    "addr add fc00:1::1/64 dev v0 nodad",
    "addr add fc00:2::1/64 dev v2 nodad",
    "route add 20.0.0.0/8 nexthop via 10.0.0.2 dev v0 weight 1 nexthop via 10.1.0.2 dev v2 weight 3",
    "route add 2001:db8::/32 nexthop via fc00:1::2 dev v0 weight 1 nexthop via fc00:2::2 dev v2 weight 3",
    "neigh add 10.0.0.2 lladdr 02:00:00:00:00:a2 dev v0 nud permanent",
    "neigh add 10.1.0.2 lladdr 02:00:00:00:00:b2 dev v2 nud permanent",
    "neigh add fc00:1::2 lladdr 02:00:00:00:00:a2 dev v0 nud permanent",
    "neigh add fc00:2::2 lladdr 02:00:00:00:00:b2 dev v2 nud permanent",
];

/// Flows from many sources.
fn flows(to: IpAddr, ifindex: u32, flags: u32) -> Vec<Packet> {
    let from = |i: u8| {
        question(to, ifindex, flags, |p| match to {
            IpAddr::V4(_) => p[16..20].copy_from_slice(&[10, 0, 0, 7 + i % 200]),
            IpAddr::V6(_) => p[31] = i,
        })
    };
    (0..200).map(from).collect()
}

#[test]
fn several_ways_are_taken_as_linux_takes_them() {
    in_network(TWO_WAYS, FORWARDING, || {
        let [v0, v1, v2] = ["v0", "v1", "v2"].map(index);
        let all = ["20.0.0.1", "2001:db8::1"].map(|to| to.parse::<IpAddr>().unwrap());
        let mut wrong = Vec::new();
        for to in all {
            // By the wanted output there is no choice.
            let flags = [OUTPUT, OUTPUT | SRC, OUTPUT | DIRECT];
            let asked = flags.iter().flat_map(|f| [v0, v1, v2].map(|v| question(to, v, *f, |_| {})));
            let fixed = row("fib", "fib_query").env(env).packets(asked.collect::<Vec<_>>());
            wrong.extend(wrong_of(&[fixed]));
            // Linux's hash has a key that nobody knows: the same ways with the same answers, in the same parts.
            let chosen = row("fib", "fib_query").env(env).packets(flows(to, v1, SRC));
            let ways = |o: &Outcome| {
                let mut ways = std::collections::BTreeMap::<Vec<u8>, usize>::new();
                for p in &o.packets {
                    let answer = [&p.bytes[..16], &p.bytes[32..]].concat();
                    *ways.entry(answer).or_default() += 1;
                }
                ways
            };
            let theirs = ways(&linux::run(&chosen).unwrap());
            assert_eq!(theirs.len(), 2, "{to}: {theirs:x?}");
            for engine in crate::ENGINES {
                let first = crate::ours::run(&chosen, engine).unwrap();
                assert!(first == crate::ours::run(&chosen, engine).unwrap(), "a flow keeps its way");
                let ours = ways(&first);
                let near = |(a, b): (&usize, &usize)| a.abs_diff(*b) < 50;
                if !(ours.keys().eq(theirs.keys()) && ours.values().zip(theirs.values()).all(near)) {
                    wrong.push(format!("{to}, {engine:?}: {ours:x?} and Linux {theirs:x?}"));
                }
            }
        }
        wrong
    });
}
