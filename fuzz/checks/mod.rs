//! What must hold for any bytes whatsoever, one file for each parser.
//!
//! | target       | reads                                          | must hold                              |
//! |--------------|------------------------------------------------|----------------------------------------|
//! | `manifest`   | the document behind a manifest URL             | refused as such, or the same written again |
//! | `catalogue`  | a part of a large manifest                     | refused as such, or every unit where it belongs |
//! | `tree_index` | the index of a tree in the cache               | no tree, or one whose files name blobs that it lists |
//! | `code_pack`  | compiled modules in the cache                  | only what was put in comes out, and more can be added |
//! | `generation` | a generation and a mount's state in the cache  | nothing, or the same written again     |
//! | `archive`    | a pack, in a zstd frame or not                 | refused, or never read in two ways      |
//! | `netrc`      | a file of credentials                          | no login for a machine that it does not name |
//! | `pylock`     | a lock (`pylock.toml`)                         | refused as such, or JSON that says the same |
//! | `minisign`   | public keys, signatures and secret keys        | refused with the remedy; nothing is accepted but what was signed |
//!
//! Where a file starts with a checksum of itself, the check puts the right one there:
//! behind it is where a parser could stumble.

#![allow(dead_code, reason = "each program uses one of the checks, the tests use all")]

pub mod archive;
pub mod catalogue;
pub mod code_pack;
pub mod generation;
pub mod manifest;
pub mod minisign;
pub mod netrc;
pub mod pylock;
pub mod tree_index;

use std::path::PathBuf;

use magic_module::name::Digest;
use magic_module::settings::Settings;
use magic_module::store::Store;

/// A folder of this thread's own that lasts as long as the thread.
pub fn folder() -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().unwrap();
    }
    FOLDER.with(|folder| folder.path().to_path_buf())
}

/// A store in [`folder`].
pub fn store() -> Store {
    thread_local! {
        static STORE: Store = {
            let cache_dir = folder().join("cache");
            let settings = Settings { cache_dir, ..Settings::from_env().unwrap() };
            let store = Store::new(&settings);
            store.create().unwrap();
            store
        };
    }
    STORE.with(Clone::clone)
}

/// A checksum, a line feed, and what it is of.
pub fn with_checksum(body: &[u8]) -> Vec<u8> {
    [Digest::of(body).to_hex().as_bytes(), b"\n", body].concat()
}
