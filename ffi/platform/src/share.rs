//! Memory that processes share: a sealed memfd that its maker hands over, or a file that only its owner may open.
//!
//! - A *memfd* is anonymous; who has a descriptor of it (by inheritance, or over a Unix socket) can map it. It is sealed against shrinking, growing and further seals before
//!   anybody maps it, so that no peer can take pages away from under us (which would be SIGBUS). Who attaches checks the seals.
//! - A *file* has a name and survives restarts. It is made with mode 0600 and is only opened where it is a regular file without other names that belongs to the caller and
//!   that nobody else may touch; symbolic links are not followed. Its blocks are reserved when it is made, so that a full disk is an error then and not a signal later.
//!   Its owner can still shorten it, which no seal prevents: that is SIGBUS for everybody who has mapped it.
//!
//! Both give a [`MapPlace`]; nothing is looked at here but the descriptor.

use crate::{PLATFORM, errno, memory, page_size};
use core::ffi::{CStr, c_int};
use core::ptr::NonNull;
use uxdp_core::error::Errno;
use uxdp_core::maps::{MapPlace, View};

/// A descriptor of our own, closed when dropped.
#[derive(Debug)]
pub struct Fd(c_int);

/// What a memfd is sealed with before it is handed over.
const SEALS: c_int = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;

impl Fd {
    /// Its number, for as long as this lives.
    pub fn number(&self) -> c_int {
        self.0
    }

    /// A descriptor of the same that is closed by exec.
    ///
    /// # Errors
    /// EMFILE, EBADF.
    pub fn duplicate(number: c_int) -> Result<Fd, Errno> {
        // SAFETY: it takes numbers.
        Fd::of(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) })
    }

    /// The descriptor, to be closed by the caller.
    pub fn into_number(self) -> c_int {
        let number = self.0;
        core::mem::forget(self);
        number
    }

    fn of(result: c_int) -> Result<Fd, Errno> {
        if result < 0 { Err(Errno(errno())) } else { Ok(Fd(result)) }
    }

    fn stat(&self) -> Result<libc::stat, Errno> {
        let mut stat = core::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: room for the answer, which zeroes initialise.
        let done = unsafe { libc::fstat(self.0, stat.as_mut_ptr()) };
        // SAFETY: as above.
        if done == 0 { Ok(unsafe { stat.assume_init() }) } else { Err(Errno(errno())) }
    }

    fn set_size(&self, size: usize) -> Result<(), Errno> {
        let size = libc::off_t::try_from(size).map_err(|_| Errno::E2BIG)?;
        // SAFETY: it takes numbers.
        if unsafe { libc::ftruncate(self.0, size) } == 0 { Ok(()) } else { Err(Errno(errno())) }
    }

    /// Maps all of it, which has that size.
    fn map(&self, size: usize) -> Result<MapPlace, Errno> {
        let len = memory::pages(size).filter(|_| size != 0).ok_or(Errno::EINVAL)?;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping wherever the kernel likes.
        let p = unsafe { libc::mmap(core::ptr::null_mut(), len, protection, libc::MAP_SHARED, self.0, 0) };
        let base = NonNull::new(p.cast()).filter(|_| p != libc::MAP_FAILED).ok_or_else(|| Errno(errno()))?;
        // SAFETY: mapped until it is given back to the platform, which unmaps; who else maps it does so through maps, by the caller's promise to the library.
        Ok(unsafe { MapPlace::new(base, size, &PLATFORM) })
    }
}

/// Parts of a shared map's memory one behind the other, as mmap(2) of the kernel's map shows them: the address and the bytes, to be given to munmap(2) by the caller.
///
/// # Errors
/// The system's: ENOMEM, EACCES, EINVAL for parts that are not at pages.
pub fn map_views(fd: &Fd, views: &[View]) -> Result<(NonNull<u8>, usize), Errno> {
    let len_of = |v: &View| if v.len == 0 { Some(0) } else { memory::pages(v.len) };
    let total = views.iter().try_fold(0usize, |sum, v| sum.checked_add(len_of(v)?));
    let total = total.filter(|n| *n != 0).ok_or(Errno::EINVAL)?;
    let whole = memory::map(core::ptr::null_mut(), total, libc::MAP_NORESERVE).ok_or(Errno::ENOMEM)?;
    let mut at = 0;
    for view in views {
        let Some(len) = len_of(view).filter(|n| *n != 0) else { continue };
        let protection = libc::PROT_READ | if view.writable { libc::PROT_WRITE } else { 0 };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: takes the place of a part of the mapping that was just made, which nobody else knows.
        let part = unsafe {
            let to = whole.as_ptr().add(at).cast();
            libc::mmap(to, len, protection, flags, fd.0, view.offset as libc::off_t)
        };
        if part == libc::MAP_FAILED {
            let why = Errno(errno());
            // SAFETY: as above.
            unsafe { memory::unmap(whole, total) };
            return Err(why);
        }
        at += len;
    }
    Ok((whole, total))
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: a descriptor of our own, closed once.
        unsafe { libc::close(self.0) };
    }
}

/// A sealed memfd of `size` bytes, zeroed, and its mapping. The name is for people (`/proc/self/maps`).
///
/// # Errors
/// The system's: EMFILE, ENOMEM, ENOSYS.
pub fn memfd(name: &CStr, size: usize) -> Result<(Fd, MapPlace), Errno> {
    let size = memory::pages(size).ok_or(Errno::ENOMEM)?;
    // SAFETY: a NUL-terminated name.
    let fd =
        Fd::of(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    fd.set_size(size)?;
    // SAFETY: it takes numbers.
    if unsafe { libc::fcntl(fd.0, libc::F_ADD_SEALS, SEALS) } != 0 {
        return Err(Errno(errno()));
    }
    let place = fd.map(size)?;
    Ok((fd, place))
}

/// Maps a memfd that another process made. The descriptor stays the caller's and may be closed at once.
///
/// # Errors
/// EBADF; EPERM where it is not sealed against shrinking and growing, or is no memfd; the system's for mapping.
pub fn map_memfd(number: c_int) -> Result<MapPlace, Errno> {
    let fd = Fd::duplicate(number)?;
    // SAFETY: it takes numbers.
    let seals = unsafe { libc::fcntl(fd.0, libc::F_GET_SEALS) };
    let fixed = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
    if seals < 0 || seals & fixed != fixed || seals & libc::F_SEAL_WRITE != 0 {
        return Err(Errno::EPERM);
    }
    let size = usize::try_from(fd.stat()?.st_size).map_err(|_| Errno::EINVAL)?;
    fd.map(size)
}

/// Makes a file of `size` bytes, zeroed, that its owner alone may open, and maps it.
///
/// # Errors
/// EEXIST where there is something of that name; ENOSPC; the system's.
pub fn create_file(path: &CStr, size: usize) -> Result<MapPlace, Errno> {
    let size = memory::pages(size).ok_or(Errno::ENOMEM)?;
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    // SAFETY: a NUL-terminated path.
    let fd = Fd::of(unsafe { libc::open(path.as_ptr(), flags, 0o600) })?;
    let made = reserve(&fd, size).and_then(|()| fd.map(size));
    if made.is_err() {
        remove_file(path);
    }
    made
}

fn reserve(fd: &Fd, size: usize) -> Result<(), Errno> {
    // The process's umask may have taken the owner's rights, never given others any.
    // SAFETY: it takes numbers.
    if unsafe { libc::fchmod(fd.0, 0o600) } != 0 {
        return Err(Errno(errno()));
    }
    fd.set_size(size)?;
    // SAFETY: it takes numbers; the size fits, as ftruncate took it.
    match unsafe { libc::posix_fallocate(fd.0, 0, size as libc::off_t) } {
        // A file system that cannot reserve says so; its files grow as they are written.
        0 | libc::EOPNOTSUPP => Ok(()),
        e => Err(Errno(e)),
    }
}

/// Removes a file that was just made.
pub fn remove_file(path: &CStr) {
    // SAFETY: a NUL-terminated path.
    unsafe { libc::unlink(path.as_ptr()) };
}

/// Maps a file that `create_file` made, in this process or another, before or after a restart.
///
/// # Errors
/// ENOENT; EPERM where it is no regular file (a symbolic link is none), has other names, belongs to somebody else or is open to others; EINVAL where it is empty or no
/// whole number of pages; the system's.
pub fn open_file(path: &CStr) -> Result<MapPlace, Errno> {
    // Not to wait for a pipe's other end.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: a NUL-terminated path.
    let fd = Fd::of(unsafe { libc::open(path.as_ptr(), flags) }).map_err(|e| match e.0 {
        libc::ELOOP | libc::EISDIR | libc::ENXIO => Errno::EPERM,
        _ => e,
    })?;
    let stat = fd.stat()?;
    // SAFETY: it takes nothing.
    let owner = unsafe { libc::geteuid() };
    if stat.st_mode & libc::S_IFMT != libc::S_IFREG
        || stat.st_mode & 0o177 != 0
        || stat.st_uid != owner
        || stat.st_nlink != 1
    {
        return Err(Errno::EPERM);
    }
    let size = usize::try_from(stat.st_size).map_err(|_| Errno::EINVAL)?;
    if size == 0 || !size.is_multiple_of(page_size()) {
        return Err(Errno::EINVAL);
    }
    fd.map(size)
}

#[cfg(test)]
#[expect(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a test may run out of memory")]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};
    use std::vec::Vec;
    use uxdp_core::maps::{Map, MapConfig, MapSpec, MapType, memory_size};
    use uxdp_core::platform::Platform;

    fn config() -> MapConfig {
        MapConfig {
            nr_cpus: 2,
            writer_slots: 10,
            page_size: page_size(),
            memory: &PLATFORM,
            private_memory: &PLATFORM,
            secret: [1, 2],
            processes: PLATFORM.processes(),
            epochs: None,
            wakes: None,
        }
    }

    const SPEC: MapSpec = MapSpec::new(MapType::Hash, 4, 8, 100);

    fn folder(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(std::format!("uxdp-share-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn c_path(path: &Path) -> CString {
        CString::new(path.as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn a_memfd_is_sealed_and_shows_its_map_to_who_has_it() {
        let (fd, place) = memfd(c"uxdp:m", memory_size(&SPEC, &config()).unwrap()).unwrap();
        let map = Map::create_in(place, "m", 1, &SPEC, &config()).unwrap();
        map.update_elem(2, &[1; 4], &[2; 8], 0).unwrap();
        assert_eq!(fd.set_size(1 << 20), Err(Errno::EPERM));
        assert_eq!(fd.set_size(10), Err(Errno::EPERM));
        let other = Map::attach(map_memfd(fd.number()).unwrap(), 2, &config()).unwrap();
        let mut out = [0; 8];
        other.lookup_elem(&[1; 4], &mut out, 0).unwrap();
        assert_eq!(out, [2; 8]);
        drop((fd, map));
        other.lookup_elem(&[1; 4], &mut out, 0).unwrap();
    }

    /// A consumer of the kernel's ring that was never told of another: the documented protocol, over pages as mmap(2) gives them, records read in one piece.
    struct Consumer {
        pages: NonNull<u8>,
        len: usize,
        size: usize,
    }

    impl Consumer {
        fn word(&self, at: usize) -> &core::sync::atomic::AtomicU64 {
            // SAFETY: inside the mapping, aligned, and shared by atomic accesses.
            unsafe { &*self.pages.as_ptr().add(at).cast() }
        }

        fn read(&self) -> Vec<Vec<u8>> {
            use core::sync::atomic::Ordering::{Acquire, Release};
            let (mut all, mut at) = (Vec::new(), self.word(0).load(Acquire));
            while at < self.word(page_size()).load(Acquire) {
                let header = 2 * page_size() + (at as usize & (self.size - 1));
                let len = self.word(header).load(Acquire) as u32;
                if len >> 31 & 1 == 1 {
                    break;
                }
                let bytes = (len & ((1 << 30) - 1)) as usize;
                if len >> 30 & 1 == 0 {
                    // SAFETY: the record is inside the doubled data, and its producer is through with it.
                    let record =
                        unsafe { core::slice::from_raw_parts(self.pages.as_ptr().add(header + 8), bytes) };
                    all.push(record.to_vec());
                }
                at += (bytes as u64 + 8).next_multiple_of(8);
                self.word(0).store(at, Release);
            }
            all
        }
    }

    impl Drop for Consumer {
        fn drop(&mut self) {
            // SAFETY: the mapping is ours.
            unsafe { libc::munmap(self.pages.as_ptr().cast(), self.len) };
        }
    }

    #[test]
    fn a_consumer_of_the_kernels_ring_reads_ours() {
        let spec = MapSpec::new(MapType::Ringbuf, 0, 0, 4096.max(page_size() as u32));
        let (fd, place) = memfd(c"uxdp:r", memory_size(&spec, &config()).unwrap()).unwrap();
        let map = Map::create_in(place, "r", 1, &spec, &config()).unwrap();
        let (pages, len) = map_views(&fd, &map.views().unwrap()).unwrap();
        let consumer = Consumer { pages, len, size: spec.max_entries as usize };
        assert_eq!(len, 2 * page_size() + 2 * consumer.size);
        for round in 0..200usize {
            let records: Vec<Vec<u8>> =
                (0..3).map(|i| std::vec![round as u8; (round * 37 + i * 11) % 700]).collect();
            for record in &records {
                // SAFETY: the bytes are readable.
                unsafe { map.ringbuf_output(record.as_ptr(), record.len() as u64, 0, 0) }.unwrap();
            }
            let dropped = map.ringbuf_reserve(9, 1);
            let kept = map.ringbuf_reserve(5, 1);
            // SAFETY: reservations of this map, five bytes in the second.
            unsafe {
                map.ringbuf_commit(dropped, uxdp_core::maps::Commit::Discard, 0);
                assert_eq!(consumer.read(), records, "a busy record is waited for");
                kept.write_bytes(7, 5);
                map.ringbuf_commit(kept, uxdp_core::maps::Commit::Submit, 0);
            }
            assert_eq!(consumer.read(), [[7; 5]]);
            assert_eq!(map.ringbuf_query(0), 0, "the ring knows what was read");
        }
    }

    #[test]
    fn what_the_kernel_does_not_show_is_not_shown() {
        let view = |kind, flags| {
            let (key, value, entries) =
                if kind == MapType::UserRingbuf { (0, 0, 4096) } else { (4, 12, 100) };
            let spec = MapSpec::new(kind, key, value, entries).with_flags(flags);
            let (fd, place) = memfd(c"uxdp:m", memory_size(&spec, &config()).unwrap()).unwrap();
            let map = Map::create_in(place, "m", 1, &spec, &config()).unwrap();
            (map.views(), fd, map)
        };
        assert_eq!(view(MapType::Hash, 0).0, None);
        assert_eq!(view(MapType::Array, 0).0, None);
        let user = view(MapType::UserRingbuf, 0).0.unwrap();
        assert_eq!(user.map(|v| v.writable), [false, true, true]);
        let mmapable = uxdp_core::maps::spec::flags::BPF_F_MMAPABLE;
        let (views, fd, map) = view(MapType::Array, mmapable);
        let (at, len) = map_views(&fd, &views.unwrap()).unwrap();
        map.update_elem(2, &[3, 0, 0, 0], &[9; 12], 0).unwrap();
        // SAFETY: the mapping has the values, sixteen bytes each; it is ours.
        unsafe {
            assert_eq!(at.as_ptr().add(48).cast::<[u8; 12]>().read(), [9; 12]);
            at.as_ptr().add(64).write(5);
            libc::munmap(at.as_ptr().cast(), len);
        }
        let mut out = [0; 12];
        map.lookup_elem(&[4, 0, 0, 0], &mut out, 0).unwrap();
        assert_eq!((out[0], len), (5, page_size()));
        map.freeze().unwrap();
        assert_eq!(map.views().unwrap().map(|v| v.writable), [false; 3]);
    }

    #[test]
    fn descriptors_that_could_shrink_are_refused() {
        // SAFETY: a NUL-terminated name.
        let unsealed =
            unsafe { libc::memfd_create(c"x".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
        let unsealed = Fd::of(unsealed).unwrap();
        unsealed.set_size(8192).unwrap();
        assert_eq!(map_memfd(unsealed.number()).err(), Some(Errno::EPERM));
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        use std::os::fd::AsRawFd;
        assert_eq!(map_memfd(file.as_raw_fd()).err(), Some(Errno::EPERM));
        assert_eq!(map_memfd(-1).err(), Some(Errno::EBADF));
    }

    #[test]
    fn a_file_keeps_its_map_for_its_owner() {
        let dir = folder("keeps");
        let path = c_path(&dir.join("map"));
        let size = memory_size(&SPEC, &config()).unwrap();
        let map = Map::create_in(create_file(&path, size).unwrap(), "m", 1, &SPEC, &config()).unwrap();
        map.update_elem(2, &[1; 4], &[2; 8], 0).unwrap();
        drop(map);
        assert_eq!(create_file(&path, size).err(), Some(Errno::EEXIST));
        let mode = std::fs::metadata(dir.join("map")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let map = Map::attach(open_file(&path).unwrap(), 1, &config()).unwrap();
        let mut out = [0; 8];
        map.lookup_elem(&[1; 4], &mut out, 0).unwrap();
        assert_eq!((out, map.spec().max_entries), ([2; 8], 100));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn files_that_others_may_touch_are_refused() {
        let dir = folder("refused");
        let file = dir.join("map");
        let path = c_path(&file);
        drop(create_file(&path, 8192).unwrap());
        let open = || open_file(&path).map(drop);
        let chmod = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(open(), Ok(()));
        for mode in [0o640, 0o602, 0o700] {
            chmod(mode);
            assert_eq!(open(), Err(Errno::EPERM), "{mode:o}");
        }
        chmod(0o600);
        symlink(&file, dir.join("link")).unwrap();
        assert_eq!(open_file(&c_path(&dir.join("link"))).err(), Some(Errno::EPERM));
        std::fs::hard_link(&file, dir.join("second")).unwrap();
        assert_eq!(open(), Err(Errno::EPERM), "two names");
        std::fs::remove_file(dir.join("second")).unwrap();
        assert_eq!(open(), Ok(()));
        // SAFETY: a NUL-terminated path; root alone may, and without it there is nothing to ask.
        if unsafe { libc::chown(path.as_ptr(), 12345, u32::MAX) } == 0 {
            assert_eq!(open(), Err(Errno::EPERM), "another's");
        }
        std::fs::write(dir.join("short"), [0; 100]).unwrap();
        std::fs::set_permissions(dir.join("short"), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(open_file(&c_path(&dir.join("short"))).err(), Some(Errno::EINVAL));
        assert_eq!(open_file(&c_path(&dir)).err(), Some(Errno::EPERM));
        assert_eq!(open_file(&c_path(&dir.join("none"))).err(), Some(Errno::ENOENT));
        std::fs::remove_dir_all(dir).unwrap();
    }
}
