//! Packs: what is read out of an archive that a stranger made.
//!
//! An entry is only ever looked up by a path that the manifest pinned, and read up
//! to the size that the manifest pinned; nothing in the archive chooses a name, a
//! mode or a length. What does not match is refused before a byte is written.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use sha2::Digest as _;
use zip::{CompressionMethod, ZipArchive};

use crate::error::{Error, Kind, Result};
use crate::name::{Digest, FilePath};

/// An archive that is open for reading.
pub struct Pack {
    archive: ZipArchive<io::BufReader<fs_err::File>>,
    label: Arc<str>,
}

impl Pack {
    /// Opens a pack that must hold exactly `paths`.
    pub fn open(path: &Path, label: &str, paths: &BTreeSet<&FilePath>) -> Result<Self> {
        let mut pack = Self::open_any(path, label)?;
        pack.check_headers()?;
        let held: BTreeSet<&str> = paths.iter().map(|path| path.as_str()).collect();
        let mut found = BTreeSet::new();
        for name in pack.archive.file_names() {
            let name = name
                .map_err(|error| pack.broken("holds a name that is not UTF-8").caused_by(&error))?;
            if !held.contains(name.as_ref()) {
                return Err(
                    pack.broken(&format!("holds {name:?}, which the manifest does not list in it"))
                );
            }
            found.insert(name.into_owned());
        }
        match held.iter().find(|path| !found.contains(**path)) {
            Some(missing) => {
                Err(pack
                    .broken(&format!("does not hold {missing}, which the manifest lists in it")))
            }
            None => Ok(pack),
        }
    }

    fn check_headers(&mut self) -> Result<()> {
        let label = self.label.clone();
        let broken = |why: &str| broken(&label, why);
        let archive = &mut self.archive;
        if archive.has_duplicate_names() {
            return Err(broken("holds a name twice"));
        }
        if archive
            .has_overlapping_entries()
            .map_err(|error| broken("has damaged headers").caused_by(&error))?
        {
            return Err(broken("has entries that overlap"));
        }
        archive
            .validate_header_consistency()
            .map_err(|error| broken("has headers that contradict each other").caused_by(&error))?;
        Ok(())
    }

    /// Opens a pack whose list of paths is no longer known; each entry is still
    /// verified by its own digest.
    pub fn open_any(path: &Path, label: &str) -> Result<Self> {
        let broken = |why: &str| broken(label, why);
        let file = fs_err::File::open(path)
            .map_err(|error| Error::store("cannot open a pack", path, &error))?;
        let config = zip::read::Config { archive_offset: zip::read::ArchiveOffset::Known(0) };
        let archive = ZipArchive::with_config(config, io::BufReader::new(file))
            .map_err(|error| broken("is no zip archive").caused_by(&error))?;
        Ok(Self { archive, label: label.into() })
    }

    /// Copies the entry `inner` to `target`, if it is what was pinned.
    pub fn copy(
        &mut self,
        inner: &FilePath,
        size: u64,
        sha256: &Digest,
        target: &mut impl Write,
    ) -> Result<()> {
        let label = self.label.clone();
        let refuse = |why: String| broken(&label, &why);
        let mut entry = self
            .archive
            .by_name(inner.as_str())
            .map_err(|error| refuse(format!("does not give {inner}")).caused_by(&error))?;
        if !entry.is_file() || entry.encrypted() {
            return Err(refuse(format!("holds {inner} as something other than a plain file")));
        }
        if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
            return Err(refuse(format!("holds {inner} in an unknown compression")));
        }
        if entry.size() != size {
            return Err(refuse(format!("holds {inner} in another size"))
                .expected(size.to_string())
                .got(entry.size().to_string()));
        }
        let mut hasher = sha2::Sha256::new();
        let mut buffer = vec![0; usize::try_from(size.clamp(1, 1 << 17)).unwrap_or(1 << 17)];
        let mut left = size;
        loop {
            let count = entry
                .read(&mut buffer)
                .map_err(|error| refuse(format!("does not give {inner}")).caused_by(&error))?;
            if count == 0 {
                break;
            }
            left = left
                .checked_sub(count as u64)
                .ok_or_else(|| refuse(format!("holds more of {inner} than it declares")))?;
            hasher.update(&buffer[..count]);
            target.write_all(&buffer[..count]).map_err(|error| {
                Error::store(format!("cannot unpack {inner}"), Path::new(inner.as_str()), &error)
            })?;
        }
        let got = Digest::from_bytes(hasher.finalize().into());
        if left > 0 || got != *sha256 {
            return Err(refuse(format!("holds other bytes for {inner}"))
                .expected(sha256.to_hex())
                .got(got.to_hex()));
        }
        Ok(())
    }

    fn broken(&self, why: &str) -> Error {
        broken(&self.label, why)
    }
}

fn broken(label: &str, why: &str) -> Error {
    Error::new(Kind::Integrity, format!("the pack {label} {why}"))
        .hint("ask the author to publish it again; nothing of it was used")
}
