//! A Rust archive of somebody else's, with std, its allocator and its unwinding.

/// Panics and catches it; 1 when that worked.
#[unsafe(no_mangle)]
pub extern "C" fn other_catches() -> i32 {
    std::panic::set_hook(Box::new(|_| {}));
    let caught = std::panic::catch_unwind(|| {
        let v: Vec<String> = (0..100).map(|i| format!("{i}")).collect();
        assert_eq!(v.len(), 99);
    });
    caught.is_err().into()
}
