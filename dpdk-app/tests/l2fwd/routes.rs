//! The kernel's routes and neighbours, in a network namespace of the test's own; needs the rights to make one.

use std::process::Command;

use crate::chains::bundled;
use crate::common::{Bench, parse, read_pcap};

/// An IPv4 packet with a UDP header to 198.51.100.7, TTL 64.
fn packet() -> Vec<u8> {
    let ip = [0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 198, 51, 100, 7];
    let sum = ip.chunks(2).fold(0u32, |sum, w| sum + u32::from(w[0]) * 256 + u32::from(w[1]));
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    let mut packet = [&[2, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 9, 8, 0][..], &ip].concat();
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
    packet.resize(60, 0);
    packet
}

/// Two pairs of interfaces in a new namespace, `in0` and `out0` up and forwarding, a gateway behind `out0` and a route by it.
const NETWORK: &str = "set -e
    ip link add in0 type veth peer name in1; ip link add out0 type veth peer name out1
    ip link set out0 address 02:00:00:00:00:aa
    for i in in0 in1 out0 out1; do ip link set $i up; done
    for i in in0 out0; do echo 1 > /proc/sys/net/ipv4/conf/$i/forwarding; done
    ip addr add 203.0.113.1/24 dev out0
    ip neigh add 203.0.113.2 lladdr 02:00:00:00:00:bb dev out0 nud permanent
    ip route add 198.51.100.0/24 via 203.0.113.2";

/// A shell in a new network namespace with that network; `$@` in the script is l2fwd's command line.
pub(crate) fn in_network(l2fwd: &Command, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("{NETWORK}\n{script}"), "sh"]);
    command.arg(l2fwd.get_program()).args(l2fwd.get_args());
    for (key, value) in l2fwd.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    command
}

const ROUTED: [u8; 14] = [2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0];

fn args(prog: &str) -> [&str; 9] {
    ["--prog", prog, "--kernel-routes", "--netdev", "0=in0", "--netdev", "1=out0", "--json", "--quiet"]
}

#[test]
fn packets_go_where_the_kernel_routes_them() {
    let prog = bundled("xdp_forward.o:xdp_forward_fib");
    for engine in ["jit", "interp"] {
        let bench = Bench::new();
        let vdevs =
            [bench.pcap_port(0, &vec![packet(); 5], "out0.pcap"), bench.pcap_port(1, &[], "out1.pcap")];
        let l2fwd =
            bench.l2fwd(&vdevs, &[&args(&prog)[..], &["--exit-idle", "50", "--engine", engine]].concat());
        let report = parse(&in_network(&l2fwd, "exec \"$@\"").output().unwrap());
        assert_eq!(report["ports"][0]["actions"]["redirect"], 5, "{report:#}");
        let sent = read_pcap(&bench.path("out1.pcap"));
        assert_eq!(sent.len(), 5);
        assert!(sent.iter().all(|p| p[..14] == ROUTED && p[22] == 63), "{sent:x?}");
    }
}

#[test]
fn a_neighbour_that_moves_is_followed() {
    let bench = Bench::new();
    // One packet over and over, at the pace of the ring that it passes through.
    let (input, out) = (bench.pcap_port(0, &[packet()], "out0.pcap"), bench.pcap_port(1, &[], "out1.pcap"));
    let vdevs = [format!("{input},infinite_rx=1"), out];
    let prog = bundled("xdp_forward.o:xdp_forward_fib");
    let l2fwd = bench.l2fwd(&vdevs, &args(&prog));
    let script = format!(
        "\"$@\" & pid=$!
        until [ \"$(stat -c %s {} 2>/dev/null || echo 0)\" -gt 4096 ]; do sleep 0.02; kill -0 $pid; done
        ip neigh replace 203.0.113.2 lladdr 02:00:00:00:00:cc dev out0 nud permanent
        sleep 0.2; kill -INT $pid; wait $pid",
        bench.path("out1.pcap").display()
    );
    let output = in_network(&l2fwd, &script).output().unwrap();
    parse(&output);
    let sent = read_pcap(&bench.path("out1.pcap"));
    let moved = [&[2, 0, 0, 0, 0, 0xcc][..], &ROUTED[6..]].concat();
    assert_eq!(sent.first().unwrap()[..14], ROUTED);
    assert_eq!(sent.last().unwrap()[..14], moved);
    assert!(sent.iter().all(|p| p[..14] == ROUTED || p[..14] == moved));
}

#[test]
fn an_interface_that_does_not_exist_is_named() {
    let bench = Bench::new();
    let null = ["net_null0".to_owned()];
    let prog = bundled("xdp_forward.o:xdp_forward_fib");
    for (netdev, why) in [("0=none7", "there is no interface \"none7\""), ("9=lo", "there is no such port")] {
        let args = ["--prog", &prog, "--kernel-routes", "--netdev", netdev];
        let output = bench.l2fwd(&null, &args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("--netdev {netdev}: {why}")), "{stderr}");
    }
}

#[test]
fn policy_rules_are_said_not_to_be_followed() {
    let prog = bundled("xdp_forward.o:xdp_forward_fib");
    let said = "rules of `ip rule` are not followed";
    for (rules, count) in
        [("true", 0), ("ip rule add from 192.0.2.0/24 table 100; ip -6 rule add fwmark 7 table 200", 2)]
    {
        let bench = Bench::new();
        let vdevs = [bench.pcap_port(0, &[packet()], "out0.pcap"), bench.pcap_port(1, &[], "out1.pcap")];
        let l2fwd = bench.l2fwd(&vdevs, &[&args(&prog)[..], &["--exit-idle", "50"]].concat());
        let output = in_network(&l2fwd, &format!("{rules}; exec \"$@\"")).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(errors.contains(said), count > 0, "{errors}");
        assert!(count == 0 || errors.contains(&format!("{count} {said}")), "{errors}");
        parse(&output);
    }
}
