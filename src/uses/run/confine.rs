//! What is prepared before the fork, and what the half that goes on as the script gives up.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;

#[cfg(target_os = "linux")]
use rustix::process::Signal;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::limits::{Limits, Plan};
use crate::error::{Error, Kind, Result};

/// How long may pass until something is seen that is looked for now and then.
#[cfg(target_os = "linux")]
const SAMPLED: &str = "sampled every 50 ms";

/// A run that is about to begin.
pub struct Arrangement {
    /// What it is about.
    pub plan: Plan,
    /// For each limit what enforces it.
    pub enforced: BTreeMap<&'static str, String>,
    #[cfg(target_os = "linux")]
    pub(super) group: Option<super::cgroup::Group>,
    /// What `RLIMIT_NPROC` is to be.
    tasks: Option<u64>,
    /// Signals that were blocked before: the script has the same.
    blocked: libc::sigset_t,
    #[cfg(target_os = "linux")]
    supervisor: rustix::process::Pid,
}

/// Prepares both halves, in the process that is going to be the supervisor. No signal but
/// `SIGKILL` reaches it from now on.
pub fn arrange(plan: Plan) -> Arrangement {
    let blocked = block_signals();
    for descriptor in [plan.life, plan.report] {
        close_on_exec(descriptor);
    }
    let mut arrangement = Arrangement {
        enforced: BTreeMap::new(),
        #[cfg(target_os = "linux")]
        group: None,
        tasks: None,
        blocked,
        #[cfg(target_os = "linux")]
        supervisor: rustix::process::getpid(),
        plan,
    };
    arrangement.enforce();
    arrangement
}

impl Arrangement {
    fn enforce(&mut self) {
        let limits = self.plan.limits.clone();
        let mut say = |limit, by: &str| drop(self.enforced.insert(limit, by.to_owned()));
        if limits.timeout.is_some() {
            say("timeout", "the supervisor");
        }
        if limits.open_files.is_some() {
            say("open_files", "rlimit, for each process");
        }
        self.enforce_here(&limits);
    }

    #[cfg(target_os = "linux")]
    fn enforce_here(&mut self, limits: &Limits) {
        let mut say = |limit, by: &str| drop(self.enforced.insert(limit, by.to_owned()));
        let _ = rustix::process::set_child_subreaper(Some(self.supervisor));
        if limits.memory.is_some() || limits.processes.is_some() {
            self.group = super::cgroup::Group::make(limits);
        }
        if limits.memory.is_some() {
            let counted = self.group.as_ref().is_some_and(|group| group.memory);
            say("memory", if counted { "cgroup" } else { SAMPLED });
        }
        if limits.cpu.is_some() {
            say("cpu", &format!("{SAMPLED}, and rlimit for each process"));
        }
        if let Some(most) = limits.processes {
            let user = rustix::process::getuid();
            if self.group.as_ref().is_some_and(|group| group.processes) {
                say("processes", "cgroup, which counts threads, too");
            } else if user.is_root() {
                let counted = if self.group.is_some() { "counted every 5 ms" } else { SAMPLED };
                say("processes", &format!("{counted}; rlimit does not hold for root"));
            } else {
                let others = super::processes::tasks_of(user.as_raw());
                self.tasks = Some(others.saturating_add(most));
                let by = format!("rlimit, which counts all that this user runs, and {SAMPLED}");
                say("processes", &by);
            }
        }
        if limits.no_network {
            // The supervisor needs no network either, and what fails is known before the script runs.
            match super::network::refuse() {
                Ok(()) => say("network", "seccomp"),
                Err(error) => say("network", &format!("not enforced: seccomp failed: {error}")),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn enforce_here(&mut self, limits: &Limits) {
        let mut say = |limit, by: &str| drop(self.enforced.insert(limit, by.to_owned()));
        let not = "not enforced: this system has nothing for it";
        if limits.memory.is_some() {
            say("memory", not);
        }
        if limits.cpu.is_some() {
            say("cpu", "rlimit, for each process");
        }
        if let Some(most) = limits.processes {
            self.tasks = Some(most);
            say("processes", "rlimit, which counts all that this user runs");
        }
        if limits.no_network {
            say("network", not);
        }
    }
}

/// Gives up what the run may not have; called in the half that goes on as the script.
pub fn confine(arrangement: &Arrangement) -> Result<()> {
    apply(arrangement).map_err(|error| {
        Error::new(Kind::Store, "cannot set the limits of the run").caused_by(&error)
    })
}

fn apply(arrangement: &Arrangement) -> io::Result<()> {
    let Plan { life, limits, .. } = &arrangement.plan;
    #[cfg(target_os = "linux")]
    {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(arrangement.supervisor) {
            return Err(io::Error::other("the supervisor was ended"));
        }
        if let Some(group) = &arrangement.group {
            group.join()?;
        }
    }
    // A script that signals its own group reaches no supervisor.
    rustix::process::setsid()?;
    // SAFETY: it was given to this process for this, and nobody else uses the number.
    unsafe { libc::close(*life) };
    let seconds = limits.cpu.map(|seconds| seconds.ceil() as u64 + 1);
    set(Resource::Cpu, seconds)?;
    set(Resource::Nofile, limits.open_files)?;
    set(Resource::Nproc, arrangement.tasks)?;
    // SAFETY: a set that this process had before.
    unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const arrangement.blocked, std::ptr::null_mut())
    };
    Ok(())
}

/// Never more than it was.
fn set(resource: Resource, limit: Option<u64>) -> io::Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    let before = getrlimit(resource).maximum;
    let limit = Some(before.map_or(limit, |before| before.min(limit)));
    Ok(setrlimit(resource, Rlimit { current: limit, maximum: limit })?)
}

fn block_signals() -> libc::sigset_t {
    let mut before = MaybeUninit::zeroed();
    let mut all = MaybeUninit::zeroed();
    // SAFETY: plain calls that fill both sets. Children are waited for, whatever the parent had set.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn close_on_exec(descriptor: i32) {
    // SAFETY: sets a flag of a descriptor that this process was given.
    unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
}
