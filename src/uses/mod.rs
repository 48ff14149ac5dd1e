//! What is done with units: one file, or folder, for each verb.
//!
//! ```text
//! ask       what a lookup could not tell             newer      whether something newer mends it
//! activate  fetches, builds, writes a generation     moves      to another generation and back
//! prefetch  what a name stands for, to be fetched    data       one file of a unit
//! describe  what is known of units                   browse     what lies in a namespace
//! verify    hashes all that is here                  pin        writes the pin file
//! prune     removes what nothing needs               diagnose   the doctor's findings
//! check     what is left before code may run         load       where a module's code comes from
//! allow     whether it may be fetched                publish   makes what a mount reads
//! install   plain files in a folder, of a lock
//! script    what a script needs, and whether it is here
//! kept      what takes the space                     space     makes, changes, removes them
//! sync      whether a lock is of what its folder says    bundle  what is carried elsewhere
//! run       a script in processes of its own, within limits
//! seal      a cache that nothing changes any more     rest    of wheels in parts, after their first
//! sources   what tools read of units: stubs and sources
//! ```

pub mod activate;
mod allow;
pub mod ask;
pub mod browse;
pub mod bundle;
pub mod check;
pub mod data;
pub mod describe;
pub mod diagnose;
pub mod install;
pub mod kept;
pub mod load;
pub mod moves;
pub mod newer;
pub mod pin;
pub mod prefetch;
pub mod prune;
pub mod publish;
mod rest;
#[cfg(unix)]
pub mod run;
#[cfg(feature = "scan")]
pub mod script;
pub mod seal;
pub mod sources;
pub mod space;
pub mod sync;
pub mod verify;
