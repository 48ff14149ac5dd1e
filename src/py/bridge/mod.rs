//! What the hook and the calls stand on.
//!
//! ```text
//! state        the session of this interpreter, and what a fork does to it
//! runtime      future ─▶ result        (50 ms ticks: signals, events)
//! listeners    who is told of events
//! attempt      what is done once more if it was mended meanwhile
//! requirements whether they are met
//! placeholder  stands in `__path__` until a mount is needed
//! import_lock  given up while somebody waits
//! detached     work without the interpreter
//! errors       kinds ─▶ exception classes
//! audit        what is about to happen ─▶ audit events
//! consent      who is asked whether something may be fetched
//! frames       who imports
//! facts        what the interpreter says of itself
//! choosing     how the helper starts that chooses wheels
//! dict         answers ─▶ dicts
//! notices      what was noticed ─▶ warnings
//! told         what a run tells whoever started it
//! ```

pub mod attempt;
pub mod audit;
pub mod choosing;
pub mod consent;
pub mod detached;
pub mod dict;
pub mod errors;
pub mod facts;
pub mod frames;
pub mod import_lock;
pub mod installed;
pub mod listeners;
pub mod notices;
pub mod placeholder;
pub mod requirements;
pub mod runtime;
pub mod state;
pub mod told;
