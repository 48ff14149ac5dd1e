//! What the stamps of files cost: one `lstat` of each file that is named on standard input.
//!
//! ```text
//! stats < PATHS     prints nanoseconds for all of them, a line for each of 20 rounds
//! ```
//!
//! It needs the standard library alone, so that `rustc -O` makes it within a second.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of its own, not the library"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

fn main() -> std::io::Result<()> {
    let text = std::io::read_to_string(std::io::stdin())?;
    let paths: Vec<&Path> = text.lines().map(Path::new).collect();
    for _ in 0..20 {
        let begin = Instant::now();
        for path in &paths {
            black_box(std::fs::symlink_metadata(path)?);
        }
        println!("{}", begin.elapsed().as_nanos());
    }
    Ok(())
}
