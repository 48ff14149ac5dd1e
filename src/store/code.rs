//! Code packs: the compiled modules of one tree for one interpreter.
//!
//! ```text
//! mounts/<identity>/code/<tree>.<cache tag>.<optimisation>
//!
//!   magic_module code 1 LF   the format
//!   binding                  32 bytes: mount, tree, cache tag, magic number, optimisation
//!   entry …                  appended as modules are first used
//!
//!   entry: length of path, length of code (u32 each, little endian), sha256 of the
//!          source, check = sha256(binding, all of the entry but check), path, code
//! ```
//!
//! An entry without code says that an extension module was loaded: the next process hashes it
//! ahead. It chooses nothing but the order of work.
//!
//! The highest bit of a path's length marks code that the author published, where all
//! other code was compiled here. A project's lock pins sources only, so what it holds is
//! never taken from published code.
//!
//! A pack is derived: an entry whose check fails is compiled again from the verified
//! source, and what cannot be read as an entry is cut off by the next writer. The
//! check binds every entry to its pack, so that neither an entry nor a whole pack can
//! stand in for another. This stops damage and mix-ups, not code that runs as this user.

mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk;
use crate::name::{Digest, Hasher};

const FORMAT: &[u8] = b"magic_module code 1\n";
const HEADER: usize = FORMAT.len() + 32;
const ENTRY: usize = 4 + 4 + 32 + 32;
/// The largest pack, in bytes; a larger one is damage.
const LIMIT: u64 = 512 << 20;
/// Marks what was compiled on this machine.
const HERE: u32 = 0;
/// Marks what the author published.
const PUBLISHED: u32 = 1 << 31;
/// Published code is appended in portions of so many bytes.
const PORTION: usize = 4 << 20;

/// What code is good for. Everything that changes bytecode is in here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Interpreter {
    /// `sys.implementation.cache_tag`, such as `cpython-313`.
    pub cache_tag: String,
    /// `_imp` magic number of the bytecode.
    pub magic: Vec<u8>,
    /// `sys.flags.optimize`.
    pub optimization: u8,
}

impl Interpreter {
    /// What a manifest calls it: `cpython-313-f30d0d0a-0`.
    pub fn tag(&self) -> String {
        let magic: String = self.magic.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{magic}-{}", self.cache_tag, self.optimization)
    }
}

/// Whose code counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// What was compiled on this machine.
    Compiled,
    /// That, and what the author published.
    Published,
}

/// One tree's compiled modules, open for reading and for adding to.
#[derive(Debug)]
pub struct CodePack {
    path: PathBuf,
    binding: Digest,
    /// What was there when the pack was opened; what is added is not kept in memory.
    held: Held,
    writer: Mutex<Option<writer::Writer>>,
    /// Those of further caches, which are only read.
    behind: Vec<CodePack>,
}

#[derive(Debug, Default)]
struct Held {
    bytes: Arc<Vec<u8>>,
    entries: HashMap<String, Entry>,
    /// Where the whole entries end.
    end: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    /// Who compiled it: [`HERE`] or [`PUBLISHED`].
    mark: u32,
    source: Digest,
    check: Digest,
    /// Position in the bytes that were read.
    code: std::ops::Range<usize>,
}

/// Marshalled code, where the pack was read to.
#[derive(Debug, PartialEq)]
pub struct Code {
    bytes: Arc<Vec<u8>>,
    at: std::ops::Range<usize>,
}

impl AsRef<[u8]> for Code {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.at.clone()).unwrap_or_default()
    }
}

impl CodePack {
    /// Reads the pack into private memory. A missing or foreign one is empty. What is not
    /// trusted is left out.
    pub fn open(
        folder: &Path,
        identity: &Digest,
        tree: &Digest,
        interpreter: &Interpreter,
        trust: Trust,
    ) -> Self {
        let Interpreter { cache_tag, magic, optimization } = interpreter;
        let path = path_of(folder, tree, interpreter);
        let mut hasher = Hasher::default();
        for part in [
            identity.as_bytes().as_slice(),
            tree.as_bytes(),
            cache_tag.as_bytes(),
            magic,
            &[*optimization],
        ] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut pack = Self {
            path,
            binding: hasher.finish(),
            held: Held::default(),
            writer: Mutex::default(),
            behind: Vec::new(),
        };
        // Code that cannot be read is compiled once more.
        if let Ok(bytes) = disk::read_private(&pack.path, LIMIT) {
            pack.held = pack.parse(bytes, trust);
        }
        pack
    }

    /// The same with what lies in folders of further caches.
    #[must_use]
    pub fn before(mut self, behind: Vec<Self>) -> Self {
        self.behind = behind;
        self
    }

    /// True if there is a pack of this tree, whatever is in it.
    pub fn exists(folder: &Path, tree: &Digest, interpreter: &Interpreter) -> bool {
        path_of(folder, tree, interpreter).exists()
    }

    fn parse(&self, bytes: Vec<u8>, trust: Trust) -> Held {
        let mut held = Held::default();
        if !self.is_ours(&bytes) {
            return held;
        }
        let mut at = HEADER;
        while let Some((path, entry)) = entry_at(&bytes, at) {
            at = entry.code.end;
            if trust == Trust::Published || entry.mark == HERE {
                held.entries.insert(path, entry);
            }
        }
        held.end = at as u64;
        held.bytes = Arc::new(bytes);
        held
    }

    fn is_ours(&self, bytes: &[u8]) -> bool {
        bytes.get(..FORMAT.len()) == Some(FORMAT)
            && bytes.get(FORMAT.len()..HEADER) == Some(self.binding.as_bytes())
    }

    /// The marshalled code of `path`, if it was compiled from this source and is undamaged.
    pub fn get(&self, path: &str, source: &Digest) -> Option<Code> {
        self.own(path, source).or_else(|| self.behind.iter().find_map(|it| it.own(path, source)))
    }

    fn own(&self, path: &str, source: &Digest) -> Option<Code> {
        let Held { bytes, entries, .. } = &self.held;
        let entry = entries.get(path).filter(|entry| entry.source == *source)?;
        let code = bytes.get(entry.code.clone())?;
        let lengths = lengths(path, code, entry.mark)?;
        let good = self.check(lengths, path, &entry.source, code) == entry.check;
        good.then(|| Code { bytes: bytes.clone(), at: entry.code.clone() })
    }

    /// True if there is code of this source; whether it is undamaged is seen when it is used.
    pub fn lists(&self, path: &str, source: &Digest) -> bool {
        self.all().any(|it| it.held.entries.get(path).is_some_and(|it| it.source == *source))
    }

    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.behind)
    }

    /// Notes that an extension module was loaded: it stands among the others, without code.
    pub fn note_loaded(&self, path: &str, source: &Digest) {
        if !self.lists(path, source) {
            self.add(path, source, &[]);
        }
    }

    /// The extension modules that were loaded, in the order in which they first were.
    pub fn loaded(&self) -> Vec<String> {
        let mut all = Vec::new();
        for pack in self.all() {
            let entries = pack.held.entries.iter().filter(|(_, entry)| entry.code.is_empty());
            let mut found: Vec<(usize, &String)> =
                entries.map(|(path, entry)| (entry.code.start, path)).collect();
            found.sort_unstable();
            all.extend(found.into_iter().map(|(_, path)| path.clone()));
        }
        all
    }

    fn check(&self, lengths: [u8; 8], path: &str, source: &Digest, code: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        let (binding, source) = (self.binding.as_bytes(), source.as_bytes());
        for part in [binding.as_slice(), &lengths, source, path.as_bytes(), code] {
            hasher.update(part);
        }
        hasher.finish()
    }

    /// Appends what was compiled here, once. A pack that cannot be written is not an error: the code
    /// is only compiled once more.
    pub fn add(&self, path: &str, source: &Digest, code: &[u8]) {
        let mut entry = Vec::new();
        if entry.try_reserve_exact(ENTRY + path.len() + code.len()).is_err() {
            return;
        }
        self.encode(path, source, code, HERE, &mut entry);
        let _ = self.append(&entry);
    }

    /// Appends `(path, source, code)` as the author published them, but for what is here.
    pub fn add_published<'a>(&self, entries: impl Iterator<Item = (&'a str, Digest, Vec<u8>)>) {
        let mut portion = Vec::new();
        for (path, source, code) in entries.filter(|(path, ..)| !self.has(path)) {
            self.encode(path, &source, &code, PUBLISHED, &mut portion);
            if portion.len() >= PORTION {
                let _ = self.append(&portion);
                portion.clear();
            }
        }
        if !portion.is_empty() {
            let _ = self.append(&portion);
        }
    }

    fn has(&self, path: &str) -> bool {
        self.all()
            .filter_map(|it| it.held.entries.get(path))
            .any(|entry| self.get(path, &entry.source).is_some())
    }

    fn encode(&self, path: &str, source: &Digest, code: &[u8], mark: u32, target: &mut Vec<u8>) {
        let Some(lengths) = lengths(path, code, mark) else { return };
        target.extend_from_slice(&lengths);
        target.extend_from_slice(source.as_bytes());
        target.extend_from_slice(self.check(lengths, path, source, code).as_bytes());
        target.extend_from_slice(path.as_bytes());
        target.extend_from_slice(code);
    }
}

fn path_of(folder: &Path, tree: &Digest, interpreter: &Interpreter) -> PathBuf {
    let Interpreter { cache_tag, optimization, .. } = interpreter;
    folder.join(format!("{tree}.{cache_tag}.{optimization}"))
}

/// How an entry begins; `None` for what no entry can hold.
fn lengths(path: &str, code: &[u8], mark: u32) -> Option<[u8; 8]> {
    let path = u32::try_from(path.len()).ok().filter(|length| length & PUBLISHED == 0)?;
    let code = u32::try_from(code.len()).ok()?;
    let (path, code) = ((path | mark).to_le_bytes(), code.to_le_bytes());
    let mut lengths = [0; 8];
    lengths[..4].copy_from_slice(&path);
    lengths[4..].copy_from_slice(&code);
    Some(lengths)
}

fn entry_at(bytes: &[u8], at: usize) -> Option<(String, Entry)> {
    let rest = bytes.get(at..)?;
    let head = rest.get(..ENTRY)?;
    let length = |from: usize| -> Option<u32> {
        Some(u32::from_le_bytes(head.get(from..from + 4)?.try_into().ok()?))
    };
    let digest = |from: usize| -> Option<Digest> {
        Some(Digest::from_bytes(head.get(from..from + 32)?.try_into().ok()?))
    };
    let mark = length(0)? & PUBLISHED;
    let path_length = usize::try_from(length(0)? & !PUBLISHED).ok()?;
    let code_length = usize::try_from(length(4)?).ok()?;
    let path = rest.get(ENTRY..ENTRY.checked_add(path_length)?)?;
    let start = at + ENTRY + path_length;
    let code = start..start.checked_add(code_length)?;
    bytes.get(code.clone())?;
    let entry = Entry { mark, source: digest(8)?, check: digest(40)?, code };
    Some((std::str::from_utf8(path).ok()?.to_owned(), entry))
}

#[cfg(test)]
mod tests;
