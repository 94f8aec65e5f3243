//! Writers that are killed (SIGKILL) at random points while another process goes on: after each, the map is whole for readers and writers, no element is lost that
//! the dead one did not touch, and everything that it held comes back.
//!
//! The victim is this very program, started again with a role in its environment: it attaches the map by an inherited memfd, says so on its standard output, and
//! works until it is killed. `UXDP_KILLS` says how often (60 a kind in ordinary runs; `cargo xtask kill --times 10000` for the long form).

mod kinds;

use kinds::{Kind, VICTIM_SLOT};
use std::io::Read;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use uxdp_core::error::Errno;
use uxdp_core::maps::{Map, MapConfig, memory_size};
use uxdp_core::platform::{Platform, Processes};
use uxdp_core::sync::Arc;
use uxdp_platform::PLATFORM;
use uxdp_platform::share::{map_memfd, memfd};

/// The role of the victim: kind and seed.
const ROLE: &str = "UXDP_KILL_ROLE";
/// The descriptor that a victim inherits.
const FD: i32 = 100;

fn config() -> MapConfig {
    MapConfig {
        nr_cpus: 2,
        writer_slots: 8,
        page_size: PLATFORM.page_size(),
        memory: &PLATFORM,
        private_memory: &PLATFORM,
        secret: [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03],
        processes: PLATFORM.processes(),
        epochs: None,
        wakes: None,
    }
}

fn kills() -> u64 {
    std::env::var("UXDP_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// Numbers that repeat: xorshift.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % n
    }
}

/// A child that works on the map until it is killed; it has attached it when this returns.
fn start_victim(kind: Kind, fd: i32, seed: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "victim", "--nocapture", "--test-threads=1"])
        .env(ROLE, format!("{} {seed}", kind as u32))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // SAFETY: only system calls between fork and exec.
    unsafe {
        command.pre_exec(move || match libc_dup2(fd, FD) + prctl(PR_SET_PDEATHSIG, SIGKILL) {
            FD => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    #[expect(clippy::zombie_processes, reason = "who starts a victim kills it and waits for it")]
    let mut child = command.spawn().unwrap();
    // What the harness says first ends with the mark.
    let mut byte = [0];
    loop {
        child.stdout.as_mut().unwrap().read_exact(&mut byte).expect("the victim lives until it is killed");
        if byte[0] == b'@' {
            return child;
        }
    }
}

/// A victim dies with whoever started it.
const PR_SET_PDEATHSIG: i32 = 1;
const SIGKILL: u64 = 9;

unsafe extern "C" {
    fn prctl(option: i32, value: u64) -> i32;
    #[link_name = "dup2"]
    fn libc_dup2(from: i32, to: i32) -> i32;
}

/// Not a test: what a victim does.
#[test]
fn victim() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (kind, seed) = role.split_once(' ').unwrap();
    let kind = Kind::ALL[kind.parse::<usize>().unwrap()];
    // SAFETY: inherited, and nobody else's in this process.
    let fd = unsafe { OwnedFd::from_raw_fd(FD) };
    let map = Map::attach(map_memfd(FD).unwrap(), 1, &config()).unwrap();
    drop(fd);
    let mut random = Random(seed.parse().unwrap());
    kind.work(&map, &mut random, VICTIM_SLOT);
    std::io::Write::write_all(&mut std::io::stdout(), b"@").unwrap();
    std::io::Write::flush(&mut std::io::stdout()).unwrap();
    loop {
        kind.work(&map, &mut random, VICTIM_SLOT);
    }
}

/// Stops the reader at the end of a scope.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A reader that never waits: it looks at what nobody touches until it is told to stop, and says how long its longest look took.
fn read_on(kind: Kind, map: &Map, done: &AtomicBool, looks: &AtomicU64) {
    while !done.load(Relaxed) {
        kind.check_untouched(map);
        looks.fetch_add(1, Relaxed);
    }
}

fn kill_again_and_again(kind: Kind) {
    let spec = kind.spec();
    let (fd, place) = memfd(c"uxdp:kill", memory_size(&spec, &config()).unwrap()).unwrap();
    let map = Map::create_in(place, "kill", 1, &spec, &config()).unwrap();
    kind.fill_untouched(&map);
    let mut random = Random(0x1234_5678 + kind as u64);
    let (done, looks) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut freed = 0;
    std::thread::scope(|s| {
        // Also where this fails: the scope waits for the reader.
        let stop = Stop(&done);
        let reader = s.spawn(|| read_on(kind, &map, &done, &looks));
        for turn in 0..kills() {
            let mut child = start_victim(kind, fd.number(), random.below(1 << 40) + 1);
            let end = Instant::now() + Duration::from_micros(random.below(1500));
            while Instant::now() < end {
                kind.work(&map, &mut random, 0);
            }
            child.kill().unwrap();
            // Not waited for: a zombie is dead enough, and whoever is next may not rely on a parent that waits.
            let before = looks.load(Relaxed);
            let dead = || kind.recovered(&map);
            let mut n = dead();
            while n == 0 {
                kind.work(&map, &mut random, 0);
                n = dead();
            }
            freed += u64::from(n);
            kind.check(&map, turn);
            child.wait().unwrap();
            if reader.is_finished() {
                break;
            }
            let end = Instant::now() + Duration::from_secs(20);
            while looks.load(Relaxed) == before && !reader.is_finished() {
                assert!(Instant::now() < end, "the reader stands still");
                std::thread::yield_now();
            }
        }
        drop(stop);
        reader.join().unwrap();
    });
    assert!(freed >= kills(), "{freed} slots came back");
    assert!(!PLATFORM.is_gone(Processes::own(&PLATFORM).unwrap()));
}

#[test]
fn a_hash_survives_its_writers() {
    kill_again_and_again(Kind::Hash);
}

#[test]
fn an_lru_survives_its_writers() {
    kill_again_and_again(Kind::Lru);
}

#[test]
fn an_lru_of_parts_survives_its_writers() {
    kill_again_and_again(Kind::LruParts);
}

#[test]
fn a_per_cpu_lru_survives_its_writers() {
    kill_again_and_again(Kind::LruPercpu);
}

#[test]
fn a_per_cpu_hash_survives_its_writers() {
    kill_again_and_again(Kind::PercpuHash);
}

#[test]
fn a_trie_survives_its_writers() {
    kill_again_and_again(Kind::Trie);
}

#[test]
fn a_queue_survives_its_writers() {
    kill_again_and_again(Kind::Queue);
}

#[test]
fn a_stack_survives_its_writers() {
    kill_again_and_again(Kind::Stack);
}

#[test]
fn a_user_ring_survives_its_producers() {
    kill_again_and_again(Kind::UserRing);
}

#[test]
fn a_ring_survives_its_producers() {
    kill_again_and_again(Kind::Ring);
}

#[test]
fn a_slot_of_a_living_process_is_not_recovered() {
    let spec = Kind::Hash.spec();
    let (fd, place) = memfd(c"uxdp:kill", memory_size(&spec, &config()).unwrap()).unwrap();
    let map: Arc<Map> = Map::create_in(place, "kill", 1, &spec, &config()).unwrap();
    let mut child = start_victim(Kind::Hash, fd.number(), 7);
    // SAFETY: key and value have their sizes; the slot is the victim's, which is told here.
    let theirs = unsafe { map.update([0; 8].as_ptr(), [0; 16].as_ptr(), 0, VICTIM_SLOT) };
    assert_eq!(theirs, Err(Errno::EBUSY));
    assert_eq!(map.recover(), Ok(0));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(map.recover().unwrap() >= 1);
    // SAFETY: as above; now it is free.
    assert_eq!(unsafe { map.update([0; 8].as_ptr(), [0; 16].as_ptr(), 0, VICTIM_SLOT) }, Ok(()));
}
