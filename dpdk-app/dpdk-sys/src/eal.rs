//! The environment abstraction layer: started once, cleaned up when the last thing that needs it is gone.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, PortInfo, ffi, port};

static STARTED: AtomicBool = AtomicBool::new(false);

/// A running EAL. The thread that started it is the main lcore; the value stays on it.
#[derive(Debug)]
pub struct Eal {
    _on_its_thread: PhantomData<*const ()>,
}

/// The release of DPDK that is linked, such as `DPDK 22.11.11`.
pub fn version() -> String {
    // SAFETY: rte_version returns a static NUL-terminated string, also before EAL is started.
    unsafe { CStr::from_ptr(ffi::glue_version()) }.to_string_lossy().into_owned()
}

/// What an lcore does.
pub type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Lets a moment pass, in a loop that polls.
#[inline]
pub fn pause() {
    // SAFETY: a hint to the processor.
    unsafe { ffi::glue_pause() };
}

/// Runs a job that [`Eal::with_lcores`] gave away.
unsafe extern "C" fn run_job(arg: *mut c_void) -> c_int {
    // SAFETY: a box that was given away for this one call.
    let job = unsafe { Box::from_raw(arg.cast::<Job<'static>>()) };
    job();
    0
}

/// Waits for lcores, whatever happens.
struct Running<'a> {
    lcores: Vec<u32>,
    finish: &'a AtomicBool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire of jobs that look at the flag.
        self.finish.store(true, Ordering::Release);
        for lcore in self.lcores.drain(..) {
            // SAFETY: an lcore that a job was launched on; EAL is up.
            unsafe { ffi::glue_lcore_wait(lcore) };
        }
    }
}

impl Eal {
    /// Runs jobs on lcores other than the main one, and `main` here meanwhile; then sets `finish`, upon which jobs are to end, and waits for them.
    ///
    /// # Errors
    /// An lcore that does not exist, that is the main one or that has a job; `main` does not run then.
    pub fn with_lcores<R>(
        &self,
        jobs: Vec<(u32, Job<'_>)>,
        finish: &AtomicBool,
        main: impl FnOnce() -> R,
    ) -> Result<R, Error> {
        let mut running = Running { lcores: Vec::with_capacity(jobs.len()), finish };
        for (lcore, job) in jobs {
            let job = Box::into_raw(Box::new(job));
            // SAFETY: the job is run once, by `run_job`; what it borrows outlives it, since `running` waits for it before this function returns or unwinds.
            let code = unsafe { ffi::glue_lcore_launch(run_job, job.cast(), lcore) };
            if code != 0 {
                // SAFETY: nobody took it.
                drop(unsafe { Box::from_raw(job) });
                return Err(Error::Lcore { lcore, code });
            }
            running.lcores.push(lcore);
        }
        let result = main();
        drop(running);
        Ok(result)
    }

    /// Starts EAL. `args` begin with the program's name, as argv does, and end before any `--`.
    ///
    /// EAL prints to stderr; with `--help` among the arguments it prints its options and ends the process.
    ///
    /// # Errors
    /// [`Error::EalTwice`] also when an earlier start failed: DPDK does not start over in one process.
    pub fn init<S: AsRef<str>>(args: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let mut argv = Vec::new();
        for arg in args {
            let arg = arg.as_ref();
            argv.push(CString::new(arg).map_err(|_| Error::Argument(arg.to_owned()))?);
        }
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(Error::EalTwice);
        }
        let count = c_int::try_from(argv.len()).map_err(|_| Error::Eal(-7))?; // E2BIG
        let mut pointers: Vec<*mut c_char> = argv.into_iter().map(CString::into_raw).collect();
        pointers.push(std::ptr::null_mut());
        // EAL keeps pointers into argv, and reorders it: it is given away.
        let argv = Vec::leak(pointers);
        // SAFETY: argv holds `count` NUL-terminated strings and a null pointer, and lives as long as the process.
        let ret = unsafe { ffi::glue_eal_init(count, argv.as_mut_ptr()) };
        if ret < 0 { Err(Error::Eal(ret)) } else { Ok(Self { _on_its_thread: PhantomData }) }
    }

    /// Every port that the arguments and the buses brought, in the order of their numbers.
    ///
    /// # Errors
    /// A driver that does not describe its port.
    pub fn ports(&self) -> Result<Vec<PortInfo>, Error> {
        port::all()
    }

    /// The lcores that EAL was given, the main one first.
    pub fn lcores(&self) -> Vec<u32> {
        // SAFETY: reads EAL's configuration, which is up while self lives.
        let main = unsafe { ffi::glue_lcore_id() };
        let mut lcores = vec![main];
        let mut after = u32::MAX;
        loop {
            // SAFETY: as above; `after` is a former result or the start value.
            after = unsafe { ffi::glue_lcore_next(after, 1) };
            if after == u32::MAX {
                break;
            }
            lcores.push(after);
        }
        // SAFETY: as above.
        debug_assert_eq!(lcores.len(), unsafe { ffi::glue_lcore_count() } as usize);
        lcores
    }

    /// The NUMA node of the main lcore.
    pub fn socket(&self) -> i32 {
        // SAFETY: reads a thread-local that EAL set for this thread; self is not Send.
        unsafe { ffi::glue_socket_id() }
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // SAFETY: pools and ports borrow self, so none is left that this would pull the ground from under.
        unsafe { ffi::glue_eal_cleanup() };
    }
}
