//! A control group (version 2) for one run, below the one that this process is in, where it may
//! make one: it counts memory and processes as they come, and ends all of them at once.
//!
//! Which of these it can do depends on how the groups of the machine are set up.

use std::path::{Path, PathBuf};

use super::limits::Limits;

/// The group of a run; it is removed when nothing is left in it.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    /// It limits the memory.
    pub memory: bool,
    /// It limits the number of processes and threads.
    pub processes: bool,
}

impl Group {
    /// `None` where no group can be made.
    pub fn make(limits: &Limits) -> Option<Self> {
        Self::make_below(&own_folder()?, limits)
    }

    fn make_below(own: &Path, limits: &Limits) -> Option<Self> {
        // Moving a process takes longer than starting one: not for a limit that nothing here counts.
        let counts = fs_err::read_to_string(own.join("cgroup.controllers")).unwrap_or_default();
        if limits.processes.is_none() && !counts.split_whitespace().any(|it| it == "memory") {
            return None;
        }
        // Whoever moves a process must be allowed to write here as well.
        fs_err::OpenOptions::new().write(true).open(own.join("cgroup.procs")).ok()?;
        let folder = own.join(format!("magic-module-run-{}", std::process::id()));
        #[expect(
            clippy::disallowed_methods,
            reason = "a folder of the kernel's has modes of its own"
        )]
        let made = std::fs::create_dir(&folder);
        made.ok()?;
        Some(Self::limited(folder, own, limits))
    }

    fn limited(folder: PathBuf, own: &Path, limits: &Limits) -> Self {
        let limit = |controller: &str, file: &str, value: Option<u64>| {
            let (Some(value), file) = (value, folder.join(file)) else { return false };
            if !file.exists() {
                let _ = fs_err::write(own.join("cgroup.subtree_control"), controller);
            }
            file.exists() && fs_err::write(file, value.to_string()).is_ok()
        };
        let memory = limit("+memory", "memory.max", limits.memory);
        if memory {
            let _ = fs_err::write(folder.join("memory.swap.max"), "0");
            let _ = fs_err::write(folder.join("memory.oom.group"), "1");
        }
        let processes = limit("+pids", "pids.max", limits.processes);
        Self { folder, memory, processes }
    }

    /// Moves this process into it.
    pub fn join(&self) -> std::io::Result<()> {
        fs_err::write(self.folder.join("cgroup.procs"), "0")
    }

    /// Ends everything in it at once; false where the kernel cannot (before 5.14).
    pub fn kill(&self) -> bool {
        let file = self.folder.join("cgroup.kill");
        file.exists() && fs_err::write(file, "1").is_ok()
    }

    /// How many processes are in it.
    pub fn count(&self) -> u64 {
        let listed = fs_err::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        listed.lines().count() as u64
    }

    /// True if something was ended because there was not enough memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.memory && self.number("memory.events", "oom_kill").is_some_and(|count| count > 0)
    }

    /// The most memory at a time.
    pub fn peak_memory(&self) -> Option<u64> {
        self.number("memory.peak", "").filter(|_| self.memory)
    }

    fn number(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs_err::read_to_string(self.folder.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs_err::remove_dir(&self.folder);
    }
}

/// The folder of the group that this process is in.
fn own_folder() -> Option<PathBuf> {
    let groups = fs_err::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    folder_in(&groups, &mounts)
}

fn folder_in(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(group).strip_prefix(root).ok()?;
        kind.starts_with("cgroup2 ").then(|| Path::new(point).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
42 30 0:38 /user.slice /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn the_own_group_is_found_in_the_mount_that_has_it() {
        let found = |groups| folder_in(groups, MOUNTS);
        let expected = Some(PathBuf::from("/sys/fs/cgroup/unified/app"));
        assert_eq!(found("4:memory:/x\n0::/user.slice/app\n"), expected);
        assert_eq!(found("0::/elsewhere\n"), None);
        assert_eq!(found("4:memory:/x\n"), None);
    }

    #[test]
    fn a_group_limits_what_its_controllers_count() {
        let own = tempfile::tempdir().unwrap();
        let folder = own.path().join("run");
        fs_err::create_dir(&folder).unwrap();
        fs_err::write(folder.join("memory.max"), "max").unwrap();
        let limits = Limits { memory: Some(1 << 20), processes: Some(9), ..Limits::default() };
        let group = Group::limited(folder.clone(), own.path(), &limits);
        assert!(group.memory && !group.processes);
        assert_eq!(fs_err::read_to_string(folder.join("memory.max")).unwrap(), "1048576");
        let wanted = fs_err::read_to_string(own.path().join("cgroup.subtree_control")).unwrap();
        assert_eq!(wanted, "+pids", "asked for where it is not there");
        fs_err::write(folder.join("memory.events"), "oom 0\noom_kill 0\n").unwrap();
        assert!(!group.ran_out_of_memory());
        fs_err::write(folder.join("memory.events"), "oom 1\noom_kill 2\n").unwrap();
        assert!(group.ran_out_of_memory());
        fs_err::write(folder.join("memory.peak"), "77\n").unwrap();
        assert_eq!(group.peak_memory(), Some(77));
    }

    #[test]
    fn nobody_makes_a_group_where_nothing_may_be_moved() {
        let own = tempfile::tempdir().unwrap();
        assert!(Group::make_below(own.path(), &Limits::default()).is_none());
    }
}
