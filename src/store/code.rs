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
//! A pack is derived: an entry whose check fails is compiled again from the verified
//! source, and what cannot be read as an entry is cut off by the next writer. The
//! check binds every entry to its pack, so that neither an entry nor a whole pack can
//! stand in for another. This stops damage and mix-ups, not code that runs as this user.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::Digest as _;

use super::lock::{no_follow, open_in_place};
use super::tree::open_to_others;
use crate::name::Digest;

const FORMAT: &[u8] = b"magic_module code 1\n";
const HEADER: usize = FORMAT.len() + 32;
const ENTRY: usize = 4 + 4 + 32 + 32;

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

#[derive(Debug)]
pub struct CodePack {
    path: PathBuf,
    binding: [u8; 32],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Arc<Vec<u8>>,
    entries: HashMap<String, Entry>,
    /// Where the readable part of the file ended when it was read or last written.
    end: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    source: [u8; 32],
    check: [u8; 32],
    /// Position in `bytes`; entries that this process added are not kept.
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
    /// Reads the pack into private memory. A missing or foreign one is empty.
    pub fn open(
        folder: &std::path::Path,
        identity: &Digest,
        tree: &Digest,
        interpreter: &Interpreter,
    ) -> Self {
        let Interpreter { cache_tag, magic, optimization } = interpreter;
        let path = folder.join(format!("{tree}.{cache_tag}.{optimization}"));
        let mut hasher = sha2::Sha256::new();
        for part in [
            identity.as_bytes().as_slice(),
            tree.as_bytes(),
            cache_tag.as_bytes(),
            magic,
            &[*optimization],
        ] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let pack = Self { path, binding: hasher.finalize().into(), state: Mutex::default() };
        if let Ok(bytes) = read(&pack.path) {
            *pack.state.lock() = pack.parse(bytes);
        }
        pack
    }

    fn parse(&self, bytes: Vec<u8>) -> State {
        let mut state = State::default();
        if bytes.get(..FORMAT.len()) != Some(FORMAT)
            || bytes.get(FORMAT.len()..HEADER) != Some(&self.binding)
        {
            return state;
        }
        let mut at = HEADER;
        while let Some((path, entry)) = entry_at(&bytes, at) {
            at = entry.code.end;
            state.entries.insert(path, entry);
        }
        state.end = at as u64;
        state.bytes = Arc::new(bytes);
        state
    }

    /// The marshalled code of `path`, if it was compiled from this source and is undamaged.
    pub fn get(&self, path: &str, source: &Digest) -> Option<Code> {
        let (bytes, entry) = {
            let state = self.state.lock();
            let entry =
                state.entries.get(path).filter(|entry| entry.source == *source.as_bytes())?;
            (state.bytes.clone(), entry.clone())
        };
        let code = bytes.get(entry.code.clone())?;
        let good = self.check(path, &entry.source, code) == entry.check;
        good.then_some(Code { bytes, at: entry.code })
    }

    fn check(&self, path: &str, source: &[u8; 32], code: &[u8]) -> [u8; 32] {
        let mut hasher = sha2::Sha256::new();
        hasher.update(self.binding);
        hasher.update((path.len() as u32).to_le_bytes());
        hasher.update((code.len() as u32).to_le_bytes());
        hasher.update(source);
        hasher.update(path.as_bytes());
        hasher.update(code);
        hasher.finalize().into()
    }

    /// Appends an entry. A pack that cannot be written is no error: the code is only
    /// compiled once more.
    pub fn add(&self, path: &str, source: &Digest, code: &[u8]) {
        let (Ok(path_length), Ok(code_length)) =
            (u32::try_from(path.len()), u32::try_from(code.len()))
        else {
            return;
        };
        let mut entry = Vec::with_capacity(ENTRY + path.len() + code.len());
        entry.extend_from_slice(&path_length.to_le_bytes());
        entry.extend_from_slice(&code_length.to_le_bytes());
        entry.extend_from_slice(source.as_bytes());
        entry.extend_from_slice(&self.check(path, source.as_bytes(), code));
        entry.extend_from_slice(path.as_bytes());
        entry.extend_from_slice(code);
        let _ = self.append(&entry);
    }

    fn append(&self, entry: &[u8]) -> std::io::Result<()> {
        let mut state = self.state.lock();
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        no_follow(&mut options, 0o644);
        let mut file = open_in_place(&options, &self.path)?;
        if open_to_others(&file.metadata()?) {
            // Begun anew: who has opened it for writing keeps the old one.
            fs_err::remove_file(&self.path)?;
            file = options.open(&self.path)?;
            state.end = 0;
        }
        // Somebody else is writing: they, or the next process, will add it.
        if file.file().try_lock().is_err() {
            return Ok(());
        }
        let length = file.metadata()?.len();
        if length != state.end || state.end == 0 {
            // Another process appended, or the end is damaged: find where the entries end.
            let parsed = self.parse(read(&self.path).unwrap_or_default());
            state.end = parsed.end;
            if parsed.end == 0 {
                file.set_len(0)?;
                file.write_all(FORMAT)?;
                file.write_all(&self.binding)?;
                state.end = HEADER as u64;
            } else {
                file.set_len(parsed.end)?;
            }
        }
        let end = state.end;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(entry)?;
        state.end += entry.len() as u64;
        Ok(())
    }
}

fn read(path: &std::path::Path) -> std::io::Result<Vec<u8>> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    no_follow(&mut options, 0);
    let mut file = options.open(path)?;
    let metadata = file.metadata()?;
    refuse_open_to_others(&metadata)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The digests in a pack only show damage: whoever may write to it could plant code.
fn refuse_open_to_others(metadata: &std::fs::Metadata) -> std::io::Result<()> {
    if open_to_others(metadata) { Err(std::io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

fn entry_at(bytes: &[u8], at: usize) -> Option<(String, Entry)> {
    let rest = bytes.get(at..)?;
    let head = rest.get(..ENTRY)?;
    let length = |from: usize| -> Option<usize> {
        let word: [u8; 4] = head.get(from..from + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(word)).ok()
    };
    let (path_length, code_length) = (length(0)?, length(4)?);
    let path = rest.get(ENTRY..ENTRY.checked_add(path_length)?)?;
    let start = at + ENTRY + path_length;
    let code = start..start.checked_add(code_length)?;
    bytes.get(code.clone())?;
    let entry = Entry {
        source: head.get(8..40)?.try_into().ok()?,
        check: head.get(40..72)?.try_into().ok()?,
        code,
    };
    Some((std::str::from_utf8(path).ok()?.to_owned(), entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(root: &std::path::Path, tree: &[u8]) -> CodePack {
        let interpreter =
            Interpreter { cache_tag: "cpython-313".into(), magic: vec![1, 2], optimization: 0 };
        CodePack::open(root, &Digest::of(b"mount"), &Digest::of(tree), &interpreter)
    }

    fn path_of(root: &std::path::Path) -> PathBuf {
        open(root, b"tree").path
    }

    #[test]
    fn entries_come_back_and_are_bound_to_their_source() {
        let root = tempfile::tempdir().unwrap();
        let source = Digest::of(b"x = 1");
        for name in ["a.py", "b.py"] {
            open(root.path(), b"tree").add(name, &source, name.as_bytes());
        }
        let pack = open(root.path(), b"tree");
        assert_eq!(pack.get("a.py", &source).unwrap().as_ref(), b"a.py");
        assert_eq!(pack.get("b.py", &source).unwrap().as_ref(), b"b.py");
        assert!(pack.get("a.py", &Digest::of(b"x = 2")).is_none());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let source = Digest::of(b"x = 1");
        open(root.path(), b"tree").add("a.py", &source, b"code of a");
        let good = fs_err::read(path_of(root.path())).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs_err::write(path_of(root.path()), &bad).unwrap();
            assert!(open(root.path(), b"tree").get("a.py", &source).is_none(), "byte {at}");
        }
    }

    #[test]
    fn another_trees_pack_is_empty_and_a_torn_end_is_cut_off() {
        let root = tempfile::tempdir().unwrap();
        let source = Digest::of(b"x = 1");
        open(root.path(), b"tree").add("a.py", &source, b"code of a");
        let bytes = fs_err::read(path_of(root.path())).unwrap();
        let other = open(root.path(), b"other");
        fs_err::write(&other.path, &bytes).unwrap();
        assert!(open(root.path(), b"other").get("a.py", &source).is_none());

        fs_err::write(path_of(root.path()), [&bytes[..], b"torn"].concat()).unwrap();
        open(root.path(), b"tree").add("b.py", &source, b"code of b");
        let pack = open(root.path(), b"tree");
        assert_eq!(pack.get("a.py", &source).unwrap().as_ref(), b"code of a");
        assert_eq!(pack.get("b.py", &source).unwrap().as_ref(), b"code of b");
    }

    #[cfg(unix)]
    #[test]
    fn a_pack_that_others_may_write_to_or_that_is_a_link_is_begun_anew() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let (source, path) = (Digest::of(b"x = 1"), path_of(root.path()));
        open(root.path(), b"tree").add("a.py", &source, b"code of a");
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(open(root.path(), b"tree").get("a.py", &source).is_none());
        open(root.path(), b"tree").add("b.py", &source, b"code of b");
        let pack = open(root.path(), b"tree");
        assert!(pack.get("a.py", &source).is_none() && pack.get("b.py", &source).is_some());

        let elsewhere = root.path().join("elsewhere");
        fs_err::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(open(root.path(), b"tree").get("b.py", &source).is_none());
        open(root.path(), b"tree").add("c.py", &source, b"code of c");
        assert!(open(root.path(), b"tree").get("c.py", &source).is_some());
        assert!(fs_err::symlink_metadata(&path).unwrap().is_file());
    }
}
