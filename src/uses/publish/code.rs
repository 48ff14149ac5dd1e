//! `--compile`: the code of a unit for the interpreter that publishes, as packs of its own.
//!
//! Each run adds the packs of one interpreter, and leaves those of others alone. They all
//! go with the sources that they were made from: where a source has changed, an
//! interpreter's packs are made again, or left out until that one publishes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::pack;
use super::site::Site;
use super::source::SourceFile;
use crate::error::Result;
use crate::manifest::{File, Pack, PackFormat};
use crate::name::Digest;
use crate::store::code::Interpreter;

/// Marshalled code of a path and its source; `None` for what is not a module of this interpreter.
type Compile = dyn Fn(&str, &[u8]) -> Result<Option<Vec<u8>>> + Send + Sync;

/// Compiles for one interpreter.
#[derive(Clone)]
pub struct Compiler {
    /// What the code is for.
    pub interpreter: Interpreter,
    /// Called with the path and the bytes of every source.
    pub compile: Arc<Compile>,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Compiler").field(&self.interpreter).finish()
    }
}

/// The packs of code for `files`; `before` is what the site holds of the same unit.
pub(super) fn packs<'a>(
    files: impl Iterator<Item = &'a SourceFile>,
    before: Option<(&[File], &[Pack])>,
    compiler: Option<&Compiler>,
    site: &mut Site,
) -> Result<Vec<Pack>> {
    let sources: Vec<&SourceFile> = files.filter(|file| file.path.is_source()).collect();
    let mut packs = match before {
        Some((files, packs)) if same(&sources, files) => old(packs, site),
        _ => Vec::new(),
    };
    if let Some(compiler) = compiler
        && let tag = compiler.interpreter.tag()
        && !packs.iter().any(|pack| pack.is_code_for(&tag))
    {
        packs.extend(compiled(&sources, compiler, &tag, site)?);
    }
    packs.sort_by(|a, b| a.tag.cmp(&b.tag));
    Ok(packs)
}

fn same(sources: &[&SourceFile], before: &[File]) -> bool {
    let new: BTreeSet<&Digest> = sources.iter().map(|file| &file.sha256).collect();
    let old = before.iter().filter(|file| !file.lazy && file.path.is_source());
    new == old.map(|file| &file.sha256).collect()
}

/// An interpreter's packs stay together, or go together.
pub(super) fn old(packs: &[Pack], site: &Site) -> Vec<Pack> {
    let code = || packs.iter().filter(|pack| pack.format == PackFormat::Code);
    let lost: BTreeSet<_> =
        code().filter(|pack| !site.holds_pack(pack)).map(|pack| &pack.tag).collect();
    code().filter(|pack| !lost.contains(&pack.tag)).cloned().collect()
}

fn compiled(
    sources: &[&SourceFile],
    compiler: &Compiler,
    tag: &str,
    site: &mut Site,
) -> Result<Vec<Pack>> {
    let all = sources.iter().map(|file| (file.path.as_str(), file.sha256));
    of_sources(
        all,
        |at| sources.get(at).map_or(Ok(Vec::new()), |it| it.read()),
        compiler,
        tag,
        site,
    )
}

/// The packs of code for sources, each with its path and digest; `read` has the bytes of each, by
/// its place among them.
pub(super) fn of_sources<'a>(
    sources: impl Iterator<Item = (&'a str, Digest)>,
    mut read: impl FnMut(usize) -> Result<Vec<u8>>,
    compiler: &Compiler,
    tag: &str,
    site: &mut Site,
) -> Result<Vec<Pack>> {
    let mut code: Vec<(String, Vec<u8>)> = Vec::new();
    let mut seen: BTreeSet<Digest> = BTreeSet::new();
    for (at, (path, sha256)) in sources.enumerate() {
        if seen.insert(sha256)
            && let Some(bytes) = (compiler.compile)(path, &read(at)?)?
        {
            code.push((sha256.to_hex(), bytes));
        }
    }
    let groups = pack::within(code, pack::TOTAL, |(name, code)| (name.as_str(), code.len() as u64));
    let packs = pack::each(&groups, |group| pack::zip_zstd(group))?.into_iter();
    let tag = Some(tag.to_owned());
    packs.map(|it| site.keep_pack(PackFormat::Code, tag.clone(), &it, Vec::new())).collect()
}
