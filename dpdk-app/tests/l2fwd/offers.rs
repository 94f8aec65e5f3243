//! What l2fwd says of its ports, against what programs need of them.

use crate::chains::{bundled, test_prog};
use crate::common::{Bench, packets, read_pcap};

#[test]
fn ports_can_send_what_a_program_answers_with_tx() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(4, 64), "out.pcap")];
    let report = bench.report(&vdevs, &["--prog", &bundled("xdp_tx.o"), "--exit-idle", "50"]);
    assert_eq!(report["ports"][0]["actions"]["tx"], 4);
    assert_eq!(read_pcap(&bench.path("out.pcap")).len(), 4);
}

#[test]
fn an_mtu_that_no_buffer_fits_is_named_with_its_sizes() {
    let bench = Bench::new();
    let vdevs = [bench.pcap_port(0, &packets(4, 64), "out.pcap")];
    // A frame of 1,514 bytes is what an MTU of 1,500 makes.
    for (room, fits) in [("1513", false), ("1514", true)] {
        let (prog, args) = (bundled("xdp_tx.o"), ["--data-room", room, "--exit-idle", "50"]);
        let output = bench.l2fwd(&vdevs, &[&["--prog", &prog], &args[..]].concat()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if fits { 0 } else { 1 }), "{stderr}");
        let sizes = "l2fwd: port 0 (net_pcap0): an MTU of 1500 makes frames of 1514 bytes, and a buffer holds 1513 (--data-room)";
        assert_eq!(stderr.lines().filter(|l| *l == sizes).count(), usize::from(!fits), "{stderr}");
    }
    // Programs of xdp.frags take what comes in several buffers.
    let prog = test_prog("frags.o:frags_bytes");
    let args = ["--prog", &prog, "--data-room", "1024", "--exit-idle", "50"];
    bench.report(&vdevs, &args);
}
