//! The half that watches: it waits for the script, looks at what the run takes, and ends everything
//! below it until nothing is left.
//!
//! It is a subreaper: whatever loses its parent becomes its child, also after `setsid`. So a run
//! is over when it has no children any more, and not when the script says so.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getppid, kill_process, wait};

use super::confine::Arrangement;
use super::limits::{Cause, End};

/// How often it looks, where a limit needs it.
const OFTEN: Duration = Duration::from_millis(50);
/// How often it counts the processes of a group, which is one file to read: a script that does
/// nothing but fork makes hundreds within the longer time.
#[cfg(target_os = "linux")]
const AT_ONCE: Duration = Duration::from_millis(5);
/// How often it looks for the peak alone.
const SELDOM: Duration = Duration::from_secs(1);
/// How long it waits for what was killed before it looks again.
const BRIEFLY: Duration = Duration::from_millis(2);

/// Watches the run until nothing is left of it, and ends this process.
pub fn supervise(arrangement: Arrangement, script: i32) -> ! {
    if let Some(script) = Pid::from_raw(script) {
        let end = Watch::new(&arrangement, script).until_nothing_is_left();
        let report = arrangement.plan.report;
        drop(arrangement);
        // SAFETY: it was given to this process for this, and nobody else uses the number.
        let mut report =
            fs_err::File::from_parts(unsafe { OwnedFd::from_raw_fd(report) }.into(), "the report");
        let line = serde_json::json!({ "end": end }).to_string();
        let _ = report.write_all(format!("\n{line}\n").as_bytes());
    }
    // SAFETY: ends the process, without what the interpreter would do at its end: that is the script's.
    unsafe { libc::_exit(0) }
}

impl Arrangement {
    fn pause(&self) -> Duration {
        #[cfg(target_os = "linux")]
        if self.plan.limits.processes.is_some()
            && self.group.as_ref().is_some_and(|group| !group.processes)
        {
            return AT_ONCE;
        }
        OFTEN
    }
}

struct Watch<'a> {
    arrangement: &'a Arrangement,
    script: Pid,
    began: Instant,
    looked: Instant,
    ended: Option<WaitStatus>,
    childless: bool,
    cause: Option<Cause>,
    peak_memory: u64,
    cpu: f64,
}

impl<'a> Watch<'a> {
    fn new(arrangement: &'a Arrangement, script: Pid) -> Self {
        Self {
            arrangement,
            script,
            began: Instant::now(),
            looked: Instant::now(),
            ended: None,
            childless: false,
            cause: None,
            peak_memory: 0,
            cpu: 0.0,
        }
    }

    fn until_nothing_is_left(mut self) -> End {
        let_go_of_streams();
        let process = descriptor_of(self.script);
        loop {
            self.reap();
            if self.ended.is_some() {
                break;
            }
            if self.cause.is_none() {
                self.cause = self.judge();
            }
            if self.cause.is_some() {
                break;
            }
            self.rest(process.as_ref());
        }
        self.end_everything();
        self.end()
    }

    /// What ends the run now.
    fn judge(&mut self) -> Option<Cause> {
        let plan = &self.arrangement.plan;
        if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != plan.parent) {
            return Some(Cause::Abandoned);
        }
        if plan.limits.timeout.is_some_and(|most| self.began.elapsed().as_secs_f64() >= most) {
            return Some(Cause::Timeout);
        }
        #[cfg(target_os = "linux")]
        if let (Some(group), Some(most)) = (&self.arrangement.group, plan.limits.processes)
            && group.count() > most
        {
            return Some(Cause::Processes);
        }
        if self.looked.elapsed() < self.interval() {
            return None;
        }
        self.looked = Instant::now();
        self.look()
    }

    fn interval(&self) -> Duration {
        let limits = &self.arrangement.plan.limits;
        let needed = limits.memory.is_some() || limits.cpu.is_some() || limits.processes.is_some();
        if needed { OFTEN } else { SELDOM }
    }

    /// What the run takes, and whether that is too much.
    #[cfg(target_os = "linux")]
    fn look(&mut self) -> Option<Cause> {
        use super::processes::{below, exact_memory, taken};
        let limits = &self.arrangement.plan.limits;
        let processes = below();
        let mut taken = taken(&processes);
        let is_over = |taken: u64, most: Option<u64>| most.is_some_and(|most| taken > most);
        if is_over(taken.memory, limits.memory) {
            taken.memory = exact_memory(&processes);
        }
        self.peak_memory = self.peak_memory.max(taken.memory);
        self.cpu = self.cpu.max(taken.cpu);
        if is_over(taken.memory, limits.memory) {
            Some(Cause::Memory)
        } else if limits.cpu.is_some_and(|most| taken.cpu > most) {
            Some(Cause::Cpu)
        } else if is_over(taken.processes, limits.processes) {
            Some(Cause::Processes)
        } else {
            None
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn look(&mut self) -> Option<Cause> {
        None
    }

    /// Until the script ends, whoever waits for the run gives up, or it is time to look again.
    fn rest(&mut self, process: Option<&OwnedFd>) {
        let limit = self.arrangement.plan.limits.timeout.map(Duration::from_secs_f64);
        let left = limit.map_or(OFTEN, |limit| limit.saturating_sub(self.began.elapsed()));
        // Where the system does not tell that a process ended, somebody has to look.
        let most = if process.is_some() { self.arrangement.pause() } else { BRIEFLY };
        // SAFETY: it stays open as long as this process lives.
        let life = unsafe { BorrowedFd::borrow_raw(self.arrangement.plan.life) };
        let mut waited = vec![PollFd::new(&life, PollFlags::IN)];
        waited.extend(process.map(|it| PollFd::from_borrowed_fd(it.as_fd(), PollFlags::IN)));
        if poll(&mut waited, Some(&span(left.min(most)))).is_ok() && !waited[0].revents().is_empty()
        {
            self.cause = Some(Cause::Abandoned);
        }
    }

    /// Asks every child that ended how.
    fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.script => self.ended = Some(status),
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) => return,
                Err(_) => {
                    self.childless = true;
                    return;
                }
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn end_everything(&mut self) {
        let group = self.arrangement.group.as_ref();
        // Most scripts leave nothing behind; a group ends all at once, before anything new appears.
        if !self.childless && !group.is_some_and(|group| group.kill()) {
            self.freeze();
        }
        while !self.childless {
            self.send(Signal::KILL);
            self.reap();
            if !self.childless {
                let _ = poll(&mut [], Some(&span(BRIEFLY)));
                self.reap();
            }
        }
        if self.ended.is_some_and(|it| it.terminating_signal() == Some(libc::SIGKILL))
            && self.cause.is_none()
            && self.arrangement.group.as_ref().is_some_and(|group| group.ran_out_of_memory())
        {
            self.cause = Some(Cause::Memory);
        }
        let peak = self.arrangement.group.as_ref().and_then(|group| group.peak_memory());
        self.peak_memory = self.peak_memory.max(peak.unwrap_or(0));
    }

    /// Stops all, again and again while new ones appear: what is stopped makes no others, and one
    /// that keeps forking would be ahead of whoever kills its children one by one.
    #[cfg(target_os = "linux")]
    fn freeze(&self) {
        let mut known = std::collections::BTreeSet::new();
        while self.send(Signal::STOP).into_iter().any(|pid| known.insert(pid)) {}
    }

    /// Sends a signal to all that is below; which processes these are.
    #[cfg(target_os = "linux")]
    fn send(&self, signal: Signal) -> Vec<i32> {
        let living = super::processes::below().into_iter().filter(|process| !process.is_zombie);
        let pids: Vec<i32> = living.map(|process| process.pid).collect();
        for pid in pids.iter().filter_map(|pid| Pid::from_raw(*pid)) {
            let _ = kill_process(pid, signal);
        }
        pids
    }

    /// The script and what stayed in its group: nothing here tells what left it.
    #[cfg(not(target_os = "linux"))]
    fn end_everything(&mut self) {
        while !self.childless {
            let _ = rustix::process::kill_process_group(self.script, Signal::KILL);
            let _ = kill_process(self.script, Signal::KILL);
            let _ = poll(&mut [], Some(&span(BRIEFLY)));
            self.reap();
        }
    }

    fn end(self) -> End {
        let (largest, cpu) = usage_of_children();
        let ended = self.ended;
        // The processor's own limit may be quicker than whoever looks.
        let over = ended.is_some_and(|it| it.terminating_signal() == Some(libc::SIGXCPU));
        End {
            status: ended.and_then(|it| it.exit_status()),
            signal: ended.and_then(|it| it.terminating_signal()),
            cause: self.cause.or(over.then_some(Cause::Cpu)),
            peak_memory: self.peak_memory.max(largest),
            cpu: self.cpu.max(cpu),
            seconds: self.began.elapsed().as_secs_f64(),
            enforced: self.arrangement.enforced.clone(),
        }
    }
}

fn span(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as _, tv_nsec: duration.subsec_nanos() as _ }
}

/// Whoever reads what the script writes must see its end, which this process must not hold up.
fn let_go_of_streams() {
    let Ok(nothing) = fs_err::OpenOptions::new().read(true).write(true).open("/dev/null") else {
        return;
    };
    let _ = rustix::stdio::dup2_stdin(&nothing);
    let _ = rustix::stdio::dup2_stdout(&nothing);
    let _ = rustix::stdio::dup2_stderr(&nothing);
}

/// Becomes readable when the process has ended.
#[cfg(target_os = "linux")]
fn descriptor_of(process: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn descriptor_of(_: Pid) -> Option<OwnedFd> {
    None
}

/// Resident bytes of the largest process that ended, and seconds of the processor of all.
fn usage_of_children() -> (u64, f64) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the call fills it; zeroes are a value, too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let unit = if cfg!(target_os = "linux") { 1024 } else { 1 };
    let largest = u64::try_from(usage.ru_maxrss).unwrap_or(0) * unit;
    (largest, seconds(usage.ru_utime) + seconds(usage.ru_stime))
}
