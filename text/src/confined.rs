//! Work on a thread of its own with a memory budget and a deadline.
//!
//! Rust cannot unwind out of an allocation, and a template can ask for any amount in one step. So
//! the allocator counts for confined threads, and one that goes over its budget, or allocates after
//! its deadline, never gets its memory: it sleeps for ever, the caller answers with an error, and
//! what the thread held stays taken. That is the backstop behind the limits that end cleanly, and
//! the number of such threads is bounded in its turn.

use crate::ffi::guarded;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Deep values are dropped and compared by recursion; a template of the largest size, with all its
/// instructions, nests them some ten thousand levels deep. Only touched pages cost memory.
const STACK_BYTES: usize = 256 << 20;

/// The threads of one kind of work that may be given up on in a process. Each kind has its own, so
/// that what strangers send cannot keep other work from being run.
pub struct Abandoned {
    count: AtomicUsize,
    most: usize,
}

impl Abandoned {
    pub const fn at_most(most: usize) -> Self {
        Self { count: AtomicUsize::new(0), most }
    }
}

#[derive(Clone, Copy)]
pub struct Limits {
    pub memory_bytes: usize,
    pub deadline: Duration,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    Running,
    Finished,
    OutOfMemory,
    OutOfTime,
}

struct Progress {
    stage: Mutex<Stage>,
    changed: Condvar,
    abandoned: &'static Abandoned,
}

impl Progress {
    /// A thread that comes back after the caller gave up on it is not lost after all.
    fn finish(&self) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage == Stage::OutOfTime {
            self.abandoned.count.fetch_sub(1, Ordering::Relaxed);
        }
        *stage = Stage::Finished;
        self.changed.notify_all();
    }

    fn set(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
        self.changed.notify_all();
    }
}

/// Runs `work` on a confined thread. `what` opens the sentences of the errors.
pub fn run<T: Send + 'static>(
    what: &str,
    abandoned: &'static Abandoned,
    limits: Limits,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    if abandoned.count.load(Ordering::Relaxed) >= abandoned.most {
        return Err(format!(
            "{what} is not run: {} before it went over their memory or time in this process",
            abandoned.most
        ));
    }
    let progress = Arc::new(Progress {
        stage: Mutex::new(Stage::Running),
        changed: Condvar::new(),
        abandoned,
    });
    let shared = progress.clone();
    let worker = thread::Builder::new()
        .name("confined".into())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            let result = confine(&shared, limits, || guarded(work));
            shared.finish();
            result
        })
        .map_err(|error| format!("{what} needs a thread: {error}"))?;
    match wait(&progress, limits.deadline) {
        Stage::Finished => {
            worker.join().unwrap_or_else(|_| Err(format!("{what} ended its thread")))
        }
        Stage::OutOfMemory => {
            Err(format!("{what} needs more memory than the limit of {} bytes", limits.memory_bytes))
        }
        _ => Err(format!("{what} takes longer than the limit of {:?}", limits.deadline)),
    }
}

fn wait(progress: &Progress, deadline: Duration) -> Stage {
    let stage = progress.stage.lock().unwrap_or_else(PoisonError::into_inner);
    let running = |stage: &mut Stage| *stage == Stage::Running;
    let (mut stage, _) = progress
        .changed
        .wait_timeout_while(stage, deadline, running)
        .unwrap_or_else(PoisonError::into_inner);
    if *stage == Stage::Running {
        *stage = Stage::OutOfTime;
    }
    if *stage != Stage::Finished {
        progress.abandoned.count.fetch_add(1, Ordering::Relaxed);
    }
    *stage
}

/// What the allocator knows about the thread it runs on.
#[derive(Clone, Copy)]
struct Confinement {
    bytes_left: isize,
    deadline: Instant,
    progress: *const Progress,
}

thread_local! {
    static CONFINEMENT: Cell<Option<Confinement>> = const { Cell::new(None) };
}

fn confine<T>(progress: &Arc<Progress>, limits: Limits, work: impl FnOnce() -> T) -> T {
    CONFINEMENT.set(Some(Confinement {
        bytes_left: isize::try_from(limits.memory_bytes).unwrap_or(isize::MAX),
        deadline: Instant::now() + limits.deadline,
        progress: Arc::as_ptr(progress),
    }));
    let result = work();
    CONFINEMENT.set(None);
    result
}

/// What the confined work calling this holds of its budget; 0 outside of any.
pub fn held_bytes(limits: Limits) -> usize {
    let left = CONFINEMENT.get().map_or(limits.memory_bytes as isize, |it| it.bytes_left);
    (limits.memory_bytes as isize).saturating_sub(left).max(0) as usize
}

struct ConfiningAllocator;

#[global_allocator]
static ALLOCATOR: ConfiningAllocator = ConfiningAllocator;

// SAFETY: every request is passed on to the system's allocator, or never returns.
unsafe impl GlobalAlloc for ConfiningAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        account(layout.size() as isize);
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        account(layout.size() as isize);
        System.alloc_zeroed(layout)
    }

    unsafe fn dealloc(&self, data: *mut u8, layout: Layout) {
        account(-(layout.size() as isize));
        System.dealloc(data, layout)
    }

    unsafe fn realloc(&self, data: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        account(new_size as isize - layout.size() as isize);
        System.realloc(data, layout, new_size)
    }
}

/// Books `size` bytes (negative: given back) on a confined thread.
fn account(size: isize) {
    let Some(mut confinement) = CONFINEMENT.get() else { return };
    confinement.bytes_left = confinement.bytes_left.saturating_sub(size);
    CONFINEMENT.set(Some(confinement));
    if size <= 0 {
        return;
    }
    if confinement.bytes_left < 0 {
        // SAFETY: the thread owns a share of its progress as long as it runs, that is, for ever.
        unsafe { &*confinement.progress }.set(Stage::OutOfMemory);
        sleep_for_ever();
    }
    if Instant::now() > confinement.deadline {
        sleep_for_ever();
    }
}

fn sleep_for_ever() -> ! {
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ABANDONED: Abandoned = Abandoned::at_most(16);
    const LIMITS: Limits = Limits { memory_bytes: 1 << 20, deadline: Duration::from_millis(200) };

    #[test]
    fn results_errors_and_panics_come_back() {
        assert_eq!(run("it", &ABANDONED, LIMITS, || Ok(vec![1u8; 1000])).unwrap().len(), 1000);
        assert_eq!(run::<()>("it", &ABANDONED, LIMITS, || Err("no".into())).unwrap_err(), "no");
        let text = run::<()>("it", &ABANDONED, LIMITS, || panic!("oh {}", 1)).unwrap_err();
        assert!(text.contains("oh 1"), "{text}");
    }

    #[test]
    fn memory_given_back_counts_no_more() {
        let work = || Ok((0..100).map(|_| vec![1u8; 100_000].len()).sum::<usize>());
        assert_eq!(run("it", &ABANDONED, LIMITS, work).unwrap(), 10_000_000);
    }

    #[test]
    fn over_the_budget_is_an_error() {
        let text = run("it", &ABANDONED, LIMITS, || Ok(vec![0u8; 1 << 50])).unwrap_err();
        assert_eq!(text, "it needs more memory than the limit of 1048576 bytes");
    }

    #[test]
    fn past_the_deadline_is_an_error() {
        let text = run::<()>("it", &ABANDONED, LIMITS, || loop {
            std::hint::black_box(Box::new(1));
        });
        assert_eq!(text.unwrap_err(), "it takes longer than the limit of 200ms");
    }
}
