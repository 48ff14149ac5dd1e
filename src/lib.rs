//! Import what you have not downloaded yet.
//!
//! `import magic_module.alpha` is one walk from left to right; each step stands in the
//! file that bears its name, and data goes this way only:
//!
//! ```text
//! name ─ mount ─ record ─ spec ─ missing artifacts ─ fetched, verified ─ tree ─ module
//! ```
//!
//! - A [`name`] belongs to the [`mount`] with the longest namespace. The [`session`] holds
//!   the mounts of a process and tells what a name is, without ever waiting; [`ask`]
//!   finds out what it could not tell, [`newer`] whether what is wrong was mended since.
//! - The mount's [`manifest`] has a record for the unit. From the record alone follow its
//!   [`layout`] and with it the whole spec, before anything is downloaded.
//! - When the module's code is wanted, the [`unit`] is made usable: [`activate`] finds what
//!   it requires, [`plan`] what is missing, [`fetch`] brings that from its [`origin`] into
//!   the [`store`], and [`assemble`] builds the tree, with [`unpack`] reading the packs.
//! - The generation that now knows the unit is the last thing written. [`upgrade`] moves to
//!   another one, [`rollback`] back, and both leave everything as it was if they fail.
//!
//! Around that walk: [`publish`] makes what a mount reads, [`inventory`] and [`listing`]
//! tell what there is, [`obtain`] fetches it by name, [`data`] one file of it, [`verify`]
//! hashes all that is here, [`sign`] accepts manifests, [`settings`] reads the environment,
//! [`progress`] tells what happens, [`error`] why something did not.
//!
//! | floor      | files                                                                  |
//! |------------|------------------------------------------------------------------------|
//! | 0 words    | `error` `name` `settings` `progress` `audit` `descriptor` `threads`      |
//! | 1 formats  | `manifest` `layout` `lockfile`                                           |
//! | 2 devices  | `origin` `store`                                                         |
//! | 3 work     | `fetch` `sign` `unpack` `assemble` `plan` `compile`                      |
//! | 4 uses     | `mount` `unit` `session` `ask` `newer` `activate` `obtain` `upgrade`     |
//! |            | `rollback` `inventory` `listing` `data` `verify` `pin` `publish`         |
//! | 5 Python   | `py`                                                                     |
//!
//! A lower floor never imports a higher one, and only `py` knows Python.

pub mod activate;
pub mod ask;
pub mod assemble;
pub mod audit;
pub mod compile;
pub mod data;
pub mod descriptor;
pub mod error;
pub mod fetch;
pub mod inventory;
pub mod layout;
pub mod listing;
pub mod lockfile;
pub mod manifest;
pub mod mount;
pub mod name;
pub mod newer;
pub mod obtain;
pub mod origin;
pub mod pin;
pub mod plan;
pub mod progress;
pub mod publish;
#[cfg(feature = "python")]
mod py;
pub mod rollback;
pub mod session;
pub mod settings;
pub mod sign;
pub mod store;
pub mod threads;
pub mod unit;
pub mod unpack;
pub mod upgrade;
pub mod verify;
