//! Messages of programs, from the call to the line.

use super::*;

fn read(env: &Env) -> String {
    let mut out = [0; 4096];
    let n = env.trace_read(&mut out);
    String::from_utf8(out[..n].to_vec()).unwrap()
}

/// Prints `text` with one number.
fn printing(env: &Arc<Env>, text: &str, number: i32) -> Arc<Prog> {
    let texts = map(env, MapType::Array, 4, 64, 1);
    let mut value = [0; 64];
    value[..text.len()].copy_from_slice(text.as_bytes());
    texts.update_elem(env.client_slot().slot(), &[0; 4], &value, 0).unwrap();
    Asm::default()
        .map_value(1, 0, 0)
        .mov(2, text.len() as i32 + 1)
        .mov(3, number)
        .helper(6)
        .mov(0, 2)
        .exit()
        .load(env, &[texts])
}

#[test]
fn messages_are_read_as_lines_oldest_first() {
    let clock = platform();
    let env = Env::new(clock, &EnvOptions::default()).unwrap();
    let mut late = Bench::in_slot(&env, 0);
    let mut early = Bench::in_slot(&env, 1);
    late.hook.set(&[printing(&env, "late %d\n", -1)]).unwrap();
    early.hook.set(&[printing(&env, "early %u", 7)]).unwrap();
    clock.now.store(2_000_001_000, Ordering::Relaxed);
    early.run();
    clock.now.store(3_500_000_000, Ordering::Relaxed);
    late.run();
    assert_eq!(
        read(&env),
        "[001]     2.000001: bpf_trace_printk: early 7\n[000]     3.500000: bpf_trace_printk: late -1\n"
    );
    assert_eq!(read(&env), "");
}

#[test]
fn a_buffer_that_is_too_short_keeps_the_message() {
    let env = env();
    let mut bench = Bench::with(&env, &printing(&env, "hello %d", 1));
    bench.run();
    bench.run();
    assert_eq!(env.trace_read(&mut [0; 10]), 0);
    let mut one = [0; 60];
    assert_eq!(env.trace_read(&mut one), 46);
    assert_eq!(read(&env).len(), 46);
}

#[test]
fn a_full_ring_loses_new_messages_and_counts_them() {
    let env = env();
    let mut bench = Bench::with(&env, &printing(&env, "hello %d", 1));
    for _ in 0..1000 {
        assert_eq!(bench.run(), 2);
    }
    let mut lines = 0;
    loop {
        match read(&env).lines().count() {
            0 => break,
            n => lines += n as u64,
        }
    }
    assert_eq!(lines + env.trace_lost(), 1000);
    assert!(lines > 100 && env.trace_lost() > 100);
    bench.run();
    assert_eq!(read(&env).lines().count(), 1);
}
