//! What a run may take, as whoever starts it says, and how it ended, as the supervisor says.

use std::collections::BTreeMap;
use std::os::fd::RawFd;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// What a run may take; `None` is without a limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Seconds from the start to the end.
    pub timeout: Option<f64>,
    /// Bytes of resident memory, of all processes together.
    pub memory: Option<u64>,
    /// Seconds of processor time, of all processes together.
    pub cpu: Option<f64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Processes at a time.
    pub processes: Option<u64>,
    /// Internet sockets are refused.
    pub no_network: bool,
}

/// What whoever starts a run tells the interpreter that it starts.
#[derive(Debug, Clone, Deserialize)]
pub struct Plan {
    /// The process that wants the run: when it is gone, the run ends.
    pub parent: i32,
    /// The end of a pipe that whoever waits for the run holds: when it is closed, the run ends.
    pub life: RawFd,
    /// Where what happens is told, a line of JSON each.
    pub report: RawFd,
    /// What it may take.
    #[serde(flatten)]
    pub limits: Limits,
}

impl Plan {
    /// Reads what the starter wrote.
    pub fn read(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(Kind::Configuration, "this is not a plan of a run").caused_by(&error)
        })
    }
}

/// What ended a run before its script did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// It took longer than it may.
    Timeout,
    /// It took more memory.
    #[cfg(target_os = "linux")]
    Memory,
    /// It took more of the processor.
    Cpu,
    /// It had more processes.
    #[cfg(target_os = "linux")]
    Processes,
    /// Nobody waits for it any more.
    Abandoned,
}

/// How a run ended; the last line of the report.
#[derive(Debug, Serialize)]
pub struct End {
    /// Of the script; `None` where a signal ended it.
    pub status: Option<i32>,
    /// The signal that ended the script.
    pub signal: Option<i32>,
    /// What ended the run, if the script did not.
    pub cause: Option<Cause>,
    /// Bytes that were resident at a time, as far as anybody looked.
    pub peak_memory: u64,
    /// Seconds of the processor.
    pub cpu: f64,
    /// Seconds from the start to the end.
    pub seconds: f64,
    /// For each limit what enforced it.
    pub enforced: BTreeMap<&'static str, String>,
}
