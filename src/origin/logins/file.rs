//! Files of settings that others wrote: read if they can be.

use std::io::Read;
use std::path::Path;

/// The largest that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// The text of a file; `None` for whatever is none.
pub fn text(path: &Path) -> Option<String> {
    // Whoever opens a pipe would wait for somebody to write into it.
    if !fs_err::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    let read = fs_err::File::open(path).ok()?.take(LARGEST).read_to_string(&mut text);
    let text = read.ok().filter(|count| (*count as u64) < LARGEST).map(|_| text)?;
    // Some editors begin a file with a mark that says nothing of UTF-8.
    Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
