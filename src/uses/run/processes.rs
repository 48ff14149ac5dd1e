//! The processes below this one, as `/proc` tells.

use std::collections::BTreeMap;
use std::io::ErrorKind;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    parent: i32,
    /// It has ended, and nobody has asked how.
    pub is_zombie: bool,
    /// Of itself, and of its children that ended and were waited for, in clock ticks.
    ticks: u64,
    /// Of its children alone.
    children: u64,
    threads: u64,
    /// Resident, in bytes.
    memory: u64,
}

/// All processes below this one; each is read once.
pub fn below() -> Vec<Process> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let all = everybody();
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = Vec::new();
    let mut next = children.remove(&own).unwrap_or_default();
    while let Some(process) = next.pop() {
        next.extend(children.remove(&process.pid).unwrap_or_default());
        found.push(process);
    }
    found
}

/// How many processes and threads a user has.
pub fn tasks_of(user: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let own = |process: &Process| {
        let folder = format!("/proc/{}", process.pid);
        fs_err::metadata(folder).is_ok_and(|it| it.uid() == user)
    };
    everybody().iter().filter(|process| own(process)).map(|process| process.threads).sum()
}

fn everybody() -> Vec<Process> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| read(name.parse().ok()?)).collect()
}

fn read(pid: i32) -> Option<Process> {
    parse(pid, &fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The second field is the program's name, which may hold anything; the fields behind it do not.
fn parse(pid: i32, text: &str) -> Option<Process> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let children = number(13)? + number(14)?;
    Some(Process {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        ticks: number(11)? + number(12)? + children,
        children,
        threads: number(17)?,
        memory: number(21)? * rustix::param::page_size() as u64,
    })
}

/// What the processes below this one take together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Taken {
    /// How many live.
    pub processes: u64,
    /// Bytes that are resident; what several share counts for each.
    pub memory: u64,
    /// Seconds of the processor, of those that ended, too.
    pub cpu: f64,
}

/// What `processes` take, with those that ended and this one waited for.
pub fn taken(processes: &[Process]) -> Taken {
    let living = processes.iter().filter(|it| !it.is_zombie);
    let ticks: u64 = processes.iter().map(|it| it.ticks).sum();
    let ended = read(rustix::process::getpid().as_raw_nonzero().get()).map_or(0, |it| it.children);
    Taken {
        processes: living.clone().count() as u64,
        memory: living.map(|it| it.memory).sum(),
        cpu: (ticks + ended) as f64 / rustix::param::clock_ticks_per_second() as f64,
    }
}

/// Resident bytes with what is shared divided among those that share it; what is not told of a
/// process counts whole.
pub fn exact_memory(processes: &[Process]) -> u64 {
    processes.iter().filter(|it| !it.is_zombie).map(proportional).sum()
}

fn proportional(process: &Process) -> u64 {
    let text = match fs_err::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)) {
        Ok(text) => text,
        // A process may forbid that anybody looks.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return process.memory,
        // It ended meanwhile.
        Err(_) if read(process.pid).is_none_or(|it| it.is_zombie) => return 0,
        Err(_) => return process.memory,
    };
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kilobytes.map_or(process.memory, |it: u64| it * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let text =
            "7 (a) R 1 (b)) S 3 7 7 0 -1 4194304 200 0 0 0 5 6 7 8 20 0 9 0 100 1000 12 184 1";
        let process = parse(7, text).unwrap();
        assert_eq!((process.parent, process.is_zombie), (3, false));
        assert_eq!((process.ticks, process.children, process.threads), (26, 15, 9));
        assert_eq!(process.memory, 12 * rustix::param::page_size() as u64);
        assert_eq!(parse(7, "7 (cut"), None);
    }
}
