//! What the core costs in instructions: the same on a busy machine, where times are not.
//!
//! ```text
//! cargo bench --no-default-features --bench counts              prints each beside what is committed
//! cargo bench --no-default-features --bench counts -- --update  writes what is committed
//! ```
//!
//! Each piece of work is done once more by this program under `valgrind --tool=callgrind`,
//! which counts what happens inside of [`counted`] and nothing else. It knows no SHA
//! instructions: hashing costs about ten times here what it costs a processor that has them.
//! A count depends on the compiler, so the committed ones are for reading, not for a gate.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a bench may")]

#[path = "../../tests/rust/engine_support/mod.rs"]
#[expect(dead_code, clippy::disallowed_methods, reason = "the tests need more of it, and may")]
mod engine_support;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use work::WORK;

/// The only place that is counted.
#[inline(never)]
#[unsafe(no_mangle)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|given| given != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--one", name] => {
            let (_, work) = WORK.iter().find(|(known, _)| known == name).unwrap();
            work(&|work| counted(work));
        }
        [] => report(false),
        ["--update"] => report(true),
        other => panic!("unknown arguments {other:?}: give none, or --update"),
    }
}

fn report(update: bool) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("not counted: valgrind is not installed here");
        return;
    }
    let before = committed();
    let mut text = String::new();
    for (name, _) in WORK {
        let count = count(name);
        let beside = before.get(*name).map_or_else(
            || "nothing committed".to_owned(),
            |before| format!("{before} committed, {:.3}×", count as f64 / *before as f64),
        );
        println!("{name:50} {count:>12} instructions; {beside}");
        text.push_str(&format!("{count:>12}  {name}\n"));
    }
    if update {
        fs_err::write(file(), text).unwrap();
    }
}

/// Lines of a count and a name.
fn committed() -> BTreeMap<String, u64> {
    let text = fs_err::read_to_string(file()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().split_once("  "));
    lines.filter_map(|(count, name)| Some((name.to_owned(), count.parse().ok()?))).collect()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/counts/counts.txt")
}

fn count(name: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=counted"])
        .arg(std::env::current_exe().unwrap())
        .args(["--one", name])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.and_then(|(_, count)| count.trim().parse().ok()).unwrap_or_else(|| panic!("{said}"))
}
