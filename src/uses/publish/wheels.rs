//! What a wheel holds, read where the site has it.

use std::io;

use super::code;
use super::site::Site;
use super::{Options, pack};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Pack, PackFormat};
use crate::name::{Digest, FilePath};
use crate::resolved::{Distribution, FileEntry};
use crate::store::disk;
use crate::unpack::{Limits, Pack as Archive};
use crate::wheel::{Contents, Scheme};

/// A larger file is a pack by itself; smaller ones share packs of this size, in bytes. More would
/// be fewer requests, and fewer threads that unpack.
const TOTAL: u64 = 8 << 20;

/// A wheel that is published.
pub(super) struct Wheel {
    path: std::path::PathBuf,
    label: String,
    files: Vec<WheelEntry>,
}

/// One file of it.
pub(super) struct WheelEntry {
    /// Below the prefix of an environment.
    pub path: FilePath,
    entry: FilePath,
    size: u64,
    sha256: Digest,
}

impl Wheel {
    pub fn of(
        it: &Distribution,
        contents: &Contents,
        scheme: &Scheme,
        site: &Site,
    ) -> Result<Self> {
        let placed = FileEntry::of(contents, scheme).map_err(|why| {
            let what = format!("the wheel of {} cannot be installed", it.name);
            Error::new(Kind::Integrity, what).caused_by(&why)
        })?;
        let files = contents.files.iter().zip(placed).map(|(file, placed)| WheelEntry {
            path: placed.path,
            entry: file.entry.clone(),
            size: file.size,
            sha256: file.sha256,
        });
        let (path, label) = (site.wheel(&it.sha256), it.name.clone());
        Ok(Self { path, label, files: files.collect() })
    }

    /// All of them, where an installer puts them.
    pub fn placed(&self) -> Vec<FileEntry> {
        let placed = |it: &WheelEntry| FileEntry { path: it.path.clone(), sha256: it.sha256 };
        self.files.iter().map(placed).collect()
    }

    /// Those of its files that `is_wanted`, in the order of their paths.
    pub fn files(&self, is_wanted: impl Fn(&FilePath) -> bool) -> Vec<&WheelEntry> {
        let mut files: Vec<_> = self.files.iter().filter(|file| is_wanted(&file.path)).collect();
        files.sort_unstable_by_key(|file| &file.path);
        files
    }

    /// What `use_it` makes of each of these files, whose bytes it gets.
    pub fn each<T>(
        &self,
        files: &[&WheelEntry],
        mut use_it: impl FnMut(&WheelEntry, Vec<u8>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut wheel = self.open()?;
        files.iter().map(|file| use_it(file, bytes(&mut wheel, file)?)).collect()
    }

    /// These files as packs; several are made at a time.
    pub fn packs(&self, files: Vec<&WheelEntry>) -> Result<Vec<Packed>> {
        let is_large = |it: &&WheelEntry| pack::in_a_pack(it.path.as_str(), it.size) > TOTAL;
        let (large, small): (Vec<_>, Vec<_>) = files.into_iter().partition(is_large);
        let groups = pack::within(small, TOTAL, |it| (it.path.as_str(), it.size));
        let groups = groups.into_iter().map(|it| (PackFormat::ZipZstd, it));
        let large = large.into_iter().map(|it| (PackFormat::Zip, vec![it]));
        let groups: Vec<_> = groups.chain(large).collect();
        let made = pack::each(&groups, |(format, group)| {
            let named = |file: &WheelEntry, bytes| Ok((file.path.as_str().to_owned(), bytes));
            let entries = self.each(group, named)?;
            match format {
                PackFormat::ZipZstd => pack::zip_zstd(&entries),
                _ => pack::zip_of_frames(&entries),
            }
        })?;
        let packed = |((format, group), bytes): ((_, Vec<&WheelEntry>), _)| Packed {
            format,
            bytes,
            paths: group.into_iter().map(|file| file.path.clone()).collect(),
        };
        Ok(groups.into_iter().zip(made).map(packed).collect())
    }

    /// The code of these files: what the site has of it, and what is compiled now.
    pub fn code(
        &self,
        files: &[&WheelEntry],
        known: Option<&Vec<Pack>>,
        options: &Options,
        site: &mut Site,
    ) -> Result<Vec<Pack>> {
        let mut packs = known.map_or_else(Vec::new, |known| code::old(known, site));
        if let Some(compiler) = &options.compiler
            && let tag = compiler.interpreter.tag()
            && !packs.iter().any(|pack| pack.is_code_for(&tag))
        {
            let sources = files.iter().filter(|file| file.path.is_source());
            let sources: Vec<_> = sources.copied().collect();
            let mut wheel = self.open()?;
            let read = |at: usize| match sources.get(at) {
                Some(file) => bytes(&mut wheel, file),
                None => Ok(Vec::new()),
            };
            let all = sources.iter().map(|file| (file.path.as_str(), file.sha256));
            packs.extend(code::of_sources(all, read, compiler, &tag, site)?);
        }
        packs.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(packs)
    }

    fn open(&self) -> Result<Archive<io::BufReader<fs_err::File>>> {
        let (opened, _) = disk::open(&self.path)
            .map_err(|error| Error::store("cannot read what is published", &self.path, &error))?;
        Archive::read(opened, &self.label, &Limits::NONE)
    }
}

/// A pack that is made, and has no place yet.
pub(super) struct Packed {
    pub format: PackFormat,
    pub bytes: Vec<u8>,
    pub paths: Vec<FilePath>,
}

fn bytes(wheel: &mut Archive<io::BufReader<fs_err::File>>, file: &WheelEntry) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    wheel.copy(&file.entry, file.size, &file.sha256, &mut bytes)?;
    Ok(bytes)
}
