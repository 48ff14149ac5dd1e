//! A run: a script in processes of its own, within limits.
//!
//! ```text
//! whoever runs it ─ starts one interpreter ─ arrange ─ fork ─┬─ supervise: watches, ends what is
//!                                                            │  below it, tells how it ended
//!                                                            └─ confine: goes on as the script
//! ```
//!
//! One interpreter is started, and forks before anything of the script runs: a fork of a fresh
//! interpreter takes a tenth of what starting a second one would. The supervisor never returns to
//! Python. It is a process of its own: what a script does to its parent does not reach the server.
//! If the server dies, the supervisor is still there, and ends the run.

#[cfg(target_os = "linux")]
mod cgroup;
mod confine;
mod limits;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod processes;
mod supervise;

pub use confine::{Arrangement, arrange, confine};
pub use limits::{Limits, Plan};
pub use supervise::supervise;
