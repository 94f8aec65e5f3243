//! Where redirected packets go: Linux sends them as live frames (BPF_F_TEST_XDP_LIVE_FRAMES) over veth pairs of a network of this test's own, and each engine names the same
//! interfaces.

use crate::{asked, progs, say};
use libbpf_sys as bpf;
use std::ffi::CString;
use std::process::Command;
use uxdp_control::session::Session;
use uxdp_core::vm::{EngineChoice, Frame, Hook, Origin, RedirectKind, Runner, Worker, next_target};

/// Where packets come in, and the two ports behind it; the number after each is its peer's.
const IN: u32 = 2;
const PORTS: [u32; 2] = [4, 6];
const FRAMES_ARE_LIVE: u32 = 1 << 1;
const ALL_PROTOCOLS: u16 = 3;

/// The network, or what refused it.
fn network() -> Result<(), String> {
    // SAFETY: takes plain numbers; only this thread's network changes.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("no network of our own: {}", std::io::Error::last_os_error()));
    }
    for (a, b) in [(2, 3), (4, 5), (6, 7)] {
        for line in [
            format!("link add live{a} index {a} type veth peer name live{b} index {b}"),
            format!("link set live{a} up"),
            format!("link set live{b} up"),
        ] {
            let done = Command::new("ip").args(line.split(' ')).status();
            if !done.is_ok_and(|s| s.success()) {
                return Err(format!("ip {line}: refused"));
            }
        }
    }
    Ok(())
}

/// An object that Linux has loaded.
struct Loaded(*mut bpf::bpf_object);

impl Loaded {
    fn new(file: &str) -> Loaded {
        let path = CString::new(progs(file).to_str().unwrap()).unwrap();
        // SAFETY: the path ends with NUL.
        let object = unsafe { bpf::bpf_object__open(path.as_ptr()) };
        assert!(!object.is_null(), "{file}");
        // SAFETY: opened just now.
        assert_eq!(unsafe { bpf::bpf_object__load(object) }, 0, "{file}");
        Loaded(object)
    }

    fn program(&self) -> i32 {
        // SAFETY: a loaded object, which has programs.
        unsafe { bpf::bpf_program__fd(bpf::bpf_object__next_program(self.0, std::ptr::null_mut())) }
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: opened by `new`, closed once.
        unsafe { bpf::bpf_object__close(self.0) };
    }
}

/// A socket that hears what comes out of an interface.
struct Ear(i32);

impl Ear {
    fn on(ifindex: u32) -> Ear {
        let protocol = ALL_PROTOCOLS.to_be();
        // SAFETY: takes numbers, and an address of the size that is said.
        unsafe {
            let socket =
                libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_NONBLOCK, i32::from(protocol));
            assert!(socket >= 0);
            let mut address: libc::sockaddr_ll = std::mem::zeroed();
            address.sll_family = libc::AF_PACKET as u16;
            address.sll_protocol = protocol;
            address.sll_ifindex = ifindex as i32;
            let size = size_of::<libc::sockaddr_ll>() as u32;
            assert_eq!(libc::bind(socket, (&raw const address).cast(), size), 0);
            Ear(socket)
        }
    }

    /// Whether the packet was heard; all that was is forgotten.
    fn heard(&self, packet: &[u8]) -> bool {
        let (mut heard, mut bytes) = (false, [0u8; 2048]);
        loop {
            // SAFETY: the buffer has its bytes.
            let n = unsafe { libc::recv(self.0, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
            let Ok(n) = usize::try_from(n) else { return heard };
            heard |= bytes.get(..n) == Some(packet);
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        // SAFETY: a descriptor of our own, closed once.
        unsafe { libc::close(self.0) };
    }
}

/// Sends a packet through the program on Linux as a frame that came in.
fn send(program: i32, packet: &[u8]) {
    let mut context =
        bpf::xdp_md { data_end: packet.len() as u32, ingress_ifindex: IN, ..Default::default() };
    let mut opts = bpf::bpf_test_run_opts {
        sz: size_of::<bpf::bpf_test_run_opts>() as _,
        data_in: packet.as_ptr().cast(),
        data_size_in: packet.len() as u32,
        ctx_in: (&raw mut context).cast(),
        ctx_size_in: size_of::<bpf::xdp_md>() as u32,
        repeat: 1,
        flags: FRAMES_ARE_LIVE,
        ..Default::default()
    };
    // SAFETY: packet and context outlive the call.
    assert_eq!(unsafe { bpf::bpf_prog_test_run_opts(program, &mut opts) }, 0);
}

/// The interfaces that an engine names.
fn named(session: &Session, packet: &[u8]) -> Vec<u32> {
    let ready = session.program(0).unwrap();
    let hook: uxdp_core::sync::Arc<Hook> = session.hook(&ready).unwrap();
    let worker = Worker::register(session.env(), 0).unwrap();
    let origin = Origin { ingress_ifindex: IN, ..Origin::default() };
    let mut runner = Runner::new(&worker, &hook, origin).unwrap();
    let mut buffer = vec![0; 256 + packet.len()];
    buffer[256..].copy_from_slice(packet);
    let len = buffer.len();
    if runner.run(&mut Frame::new(&mut buffer, 256..len).unwrap()) != 4 {
        return Vec::new();
    }
    let (all, mut cursor, mut targets) = (runner.redirect(), 0, Vec::new());
    assert!(matches!(all.kind, RedirectKind::Devmap | RedirectKind::Ifindex));
    // SAFETY: the redirect is of the run before; nothing was quiescent since.
    while let Some(next) = unsafe { next_target(&all, IN, &mut cursor) } {
        targets.push(next.target as u32);
    }
    if targets.is_empty() { vec![all.target as u32] } else { targets }
}

#[test]
fn redirected_packets_go_where_linux_sends_them() {
    if !asked() {
        return;
    }
    if let Err(why) = std::thread::spawn(network_and_packets).join().unwrap() {
        assert!(std::env::var_os("CI").is_none(), "CI has to send live frames: {why}");
        say(&format!("no live frames: {why}"));
    }
}

fn network_and_packets() -> Result<(), String> {
    network()?;
    let (pass, redirects) = (Loaded::new("obj/xdp_pass.o"), Loaded::new("obj/xdp_redirect_err.o"));
    // A veth takes frames where its peer has a program.
    for ifindex in [IN, IN + 1, PORTS[0] + 1, PORTS[1] + 1] {
        // SAFETY: takes plain numbers.
        assert_eq!(unsafe { bpf::bpf_xdp_attach(ifindex as i32, pass.program(), 0, std::ptr::null()) }, 0);
    }
    // SAFETY: a loaded object; the name ends with NUL.
    let ports = unsafe { bpf::bpf_object__find_map_fd_by_name(redirects.0, c"ports".as_ptr()) };
    let engines = [EngineChoice::Best, EngineChoice::Interp]
        .map(|engine| Session::open(&progs("obj/xdp_redirect_err.o"), None, engine).unwrap());
    for (key, port) in (0u32..).zip(PORTS) {
        // SAFETY: a key and a value of four bytes.
        let set =
            unsafe { bpf::bpf_map_update_elem(ports, (&raw const key).cast(), (&raw const port).cast(), 0) };
        assert_eq!(set, 0);
        for session in &engines {
            let map = session.find_map("ports").unwrap();
            session.env().update_elem(map, &key.to_le_bytes(), &port.to_le_bytes(), 0).unwrap();
        }
    }
    let ears = PORTS.map(|port| Ear::on(port + 1));
    let mut sent_on = [0; 3];
    for case in 0..8u8 {
        // The source address chooses the case; the rest tells packets from one another and from the network's own.
        let mut packet = vec![case ^ 0x5a; 60];
        packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, case, 0x88, 0xb5]);
        send(redirects.program(), &packet);
        std::thread::sleep(std::time::Duration::from_millis(30));
        let heard: Vec<u32> =
            PORTS.iter().zip(&ears).filter(|(_, e)| e.heard(&packet)).map(|(port, _)| *port).collect();
        for session in &engines {
            // What does not exist is named all the same: the packet is freed where it would be sent.
            let mut named = named(session, &packet);
            named.retain(|n| PORTS.contains(n));
            assert_eq!(named, heard, "case {case}");
        }
        sent_on[heard.len()] += 1;
    }
    assert_eq!(sent_on, [6, 1, 1], "one packet to one port, one to both");
    Ok(())
}
