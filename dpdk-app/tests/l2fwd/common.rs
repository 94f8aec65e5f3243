//! Runs the real l2fwd on virtual devices, each run in its own runtime folder so that runs stand side by side.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// A folder for one test: DPDK's runtime files, captures in and out.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// l2fwd with memory without huge pages, the given virtual devices and arguments of its own.
    pub(crate) fn l2fwd(&self, vdevs: &[String], args: &[&str]) -> Command {
        self.l2fwd_with(&[], vdevs, args)
    }

    /// The same with more arguments of EAL's.
    pub(crate) fn l2fwd_with(&self, eal: &[&str], vdevs: &[String], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_l2fwd"));
        command.env("XDG_RUNTIME_DIR", self.folder.path());
        command.args(["--no-huge", "-m", "256", "--no-pci", "--no-shconf"]);
        command.args(eal);
        command.args(vdevs.iter().map(|vdev| format!("--vdev={vdev}")));
        command.arg("--").args(args);
        command
    }

    /// Runs it with --json --quiet, expects success, and returns what it printed.
    pub(crate) fn report(&self, vdevs: &[String], args: &[&str]) -> Value {
        let output = self.l2fwd(vdevs, args).args(["--json", "--quiet"]).output().unwrap();
        parse(&output)
    }

    /// A net_pcap device that reads `packets` and writes what is sent to the file `out`.
    pub(crate) fn pcap_port(&self, n: usize, packets: &[Vec<u8>], out: &str) -> String {
        let rx = self.path(&format!("in{n}.pcap"));
        write_pcap(&rx, packets);
        format!("net_pcap{n},rx_pcap={},tx_pcap={}", rx.display(), self.path(out).display())
    }
}

/// The report of a run that has to have succeeded, with every buffer and packet accounted for.
pub(crate) fn parse(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["mempool"]["in_use"], &report["unaccounted"]), (&0.into(), &0.into()), "{report:#}");
    report
}

/// `n` different Ethernet frames of `len` bytes.
pub(crate) fn packets(n: usize, len: usize) -> Vec<Vec<u8>> {
    (0..n)
        .map(|i| {
            let mut packet: Vec<u8> = (0..len).map(|at| (at * 7 + i) as u8).collect();
            packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, i as u8, 4, 0, 0, 0, 0, 1, 8, 0]);
            packet
        })
        .collect()
}

/// The packet with its MAC addresses swapped.
pub(crate) fn swapped(packet: &[u8]) -> Vec<u8> {
    [&packet[6..12], &packet[..6], &packet[12..]].concat()
}

fn write_pcap(path: &Path, packets: &[Vec<u8>]) {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const ETHERNET: u32 = 1;
    let mut file = Vec::new();
    file.extend(MAGIC.to_le_bytes());
    file.extend([2, 0, 4, 0]); // version 2.4
    for field in [0, 0, 65535, ETHERNET] {
        file.extend(u32::to_le_bytes(field));
    }
    for (i, packet) in packets.iter().enumerate() {
        for field in [1, i, packet.len(), packet.len()] {
            file.extend((field as u32).to_le_bytes());
        }
        file.extend(packet);
    }
    std::fs::write(path, file).unwrap();
}

/// The packets of a little-endian capture; net_pcap writes one with nanoseconds, so times are left aside.
pub(crate) fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let mut rest = &file[24..];
    let mut packets = Vec::new();
    while let Some((header, body)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (packet, next) = body.split_at(len);
        packets.push(packet.to_vec());
        rest = next;
    }
    packets
}
