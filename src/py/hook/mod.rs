//! The import hook.
//!
//! ```text
//! install    the finders and the hook in their places
//! finder     name ─▶ spec            (never waits under the import lock)
//! elsewhere  whether somebody else has the name       resolve   asks what is not known
//! entry      folder of the store ─▶ specs             folders   name below a `__path__`
//! spec       what was found ─▶ `ModuleSpec`
//! loader     spec ─▶ code, bytes     (here an import waits, with its own lock only)
//! whole      a unit that a foreign loader opens       successor the version that took its place
//! compiling  helpers that compile together            absolute  why nobody knows a name
//! ```

pub mod absolute;
pub mod compiling;
pub mod elsewhere;
pub mod entry;
pub mod finder;
pub mod folders;
pub mod install;
pub mod loader;
pub mod resolve;
pub mod spec;
pub mod successor;
pub mod whole;
