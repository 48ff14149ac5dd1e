//! The index of a supply: import name ─▶ the units that may hold it.
//!
//! | supply   | index                                                        |
//! |----------|--------------------------------------------------------------|
//! | manifest | the identity: `a.b.c` is held by `a`, `a.b` or `a.b.c`       |

use crate::name::prefixes;

/// Names of units, the shortest first.
pub type Units<'a> = Box<dyn Iterator<Item = &'a str> + Send + 'a>;

/// A unit bears the import name of what it holds.
pub fn named_alike(name: &str) -> Units<'_> {
    Box::new(prefixes(name))
}
