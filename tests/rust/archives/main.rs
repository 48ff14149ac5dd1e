//! Archives of strangers: every rule has an archive that breaks it, built byte by byte;
//! thousands of damaged ones are refused or read as another reader reads them; no bomb
//! writes more than was declared.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod bombs;
mod builder;
#[path = "../dice.rs"]
mod dice;
mod frames;
mod hostile;
mod mutations;
mod sound;
mod wheels;

#[expect(dead_code, reason = "the check is for the fuzzing target")]
#[path = "../../../fuzz/checks/archive.rs"]
mod readers;

use readers::{LABEL, Tree, independent, strict, unframed, within};
