//! Import what you have not downloaded yet.
//!
//! `import magic_module.alpha` is one walk from left to right; each step stands in the
//! file that bears its name, and data goes this way only:
//!
//! ```text
//! name ─ mount ─ record ─ spec ─ missing artifacts ─ fetched, verified ─ tree ─ module
//! ```
//!
//! - Python asks `find_spec` in `py/hook/finder.rs`. A [`name`] belongs to the [`mount`] with
//!   the longest namespace. The [`session`] holds the mounts of a process; its `lookup.rs` tells
//!   what a name is, without ever waiting. [`uses::ask`] finds out what it could not tell, and
//!   [`uses::newer`] whether something newer was published that mends a failure.
//! - What there is, the mount's [`supply`] answers: its [`index`] says which unit may hold the
//!   name, its [`manifest`] has the unit's record. From the record alone follow its
//!   [`layout`] and with it the whole spec (`py/hook/spec.rs`), before anything is downloaded.
//! - A second kind of supply is a lock, read by [`pylock`]. `supply/lock/` chooses its [`wheel`]s,
//!   [`inspect`] learns what is in them, and all becomes one document, [`resolved`]; [`furnish`]
//!   lays out its view. From there on a wheel is a unit like any other.
//! - When the module's code is wanted, `py/hook/ready.rs` has the [`unit`](mod@unit) made usable:
//!   [`uses::activate`] finds what it requires, [`plan`] what is missing, [`fetch`] brings that,
//!   where [`policy`] lets it, from its [`origin`] into the [`store`], and `assemble` builds the
//!   tree, with [`unpack`] reading the packs. `py/hook/code.rs` takes the code from there.
//! - Last, the generation is written that lists the unit. [`uses::moves::upgrade`] moves to
//!   another one, [`uses::moves::rollback`] back, and both leave everything as it was if they fail.
//!
//! Around that walk, in [`uses`], are the other verbs: [`publish`](uses::publish) writes the site
//! that a mount reads. The [`engine`] is what all share, [`settings`] reads the environment, [`sign`]
//! accepts manifests, [`events`] tells what happens, [`error`] why something did not. What a script
//! needs, `scan` reads out of it and [`known`] names; what was allowed, the [`journal`] keeps. A
//! [`space`] is what one tenant has of its own, and `uses/run/` keeps a script within limits.
//!
//! | floor      | modules                                                                  |
//! |------------|--------------------------------------------------------------------------|
//! | 0 words    | `error` `name` `settings` `events` `audit` `descriptor` `threads`        |
//! |            | `clock` `per_process` `forking` `status` `notation` `space` `files`      |
//! | 1 formats  | `manifest` `index` `layout` `lockfile` `distribution` `wheel` `resolved` |
//! |            | `policy` `pylock` `project` `known`                                      |
//! | 2 devices  | `origin` `store`                                                         |
//! | 3 work     | `fetch` `sign` `unpack` `assemble` `plan` `compile` `furnish`            |
//! |            | `inspect` `journal` `scan`                                               |
//! | 4 centre   | `engine` `supply` `mount` `unit` `session`                               |
//! | 5 uses     | `uses`                                                                   |
//! | 6 Python   | `py`                                                                     |
//!
//! A lower floor never imports a higher one, no modules import each other in a circle, and only
//! `py` knows Python.

mod assemble;
pub mod audit;
mod clock;
mod compile;
mod descriptor;
mod distribution;
pub mod engine;
pub mod error;
pub mod events;
pub mod fetch;
mod files;
pub mod forking;
pub mod furnish;
pub mod index;
pub mod inspect;
pub mod journal;
pub mod known;
pub mod layout;
mod lockfile;
pub mod manifest;
pub mod mount;
pub mod name;
mod notation;
pub mod origin;
mod per_process;
pub mod plan;
pub mod policy;
pub mod project;
#[cfg(feature = "python")]
mod py;
pub mod pylock;
pub mod resolved;
#[cfg(feature = "scan")]
pub mod scan;
pub mod session;
pub mod settings;
pub mod sign;
pub mod space;
mod status;
pub mod store;
pub mod supply;
mod threads;
pub mod unit;
pub mod unpack;
pub mod uses;
pub mod wheel;
