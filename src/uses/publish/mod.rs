//! `publish`: a folder of modules and data becomes files for any static host.
//!
//! ```text
//! SRC ─ source ─▶ units and distributions ─ records: drafts, then records
//!                                                          │
//! OUT ◀─ site: files/ packs/ parts/ signatures/, then manifest.json ◀─ history: serial, versions
//! ```
//!
//! Everything but `manifest.json` is named by its content and never changes, so a
//! reader of the old or the new manifest finds all of its files. OUT may be in a bucket
//! (bucket.rs). What SRC lacks or gets wrong is refused before the first byte is written. See
//! `docs/reference/manifest.md`.
//! A lock is published with its wheels, and with what it means for this interpreter (lock.rs).

mod bucket;
mod catalogue;
mod code;
mod distribution;
mod glob;
mod history;
pub mod lock;
mod overrides;
mod pack;
mod records;
mod signatures;
mod site;
mod source;
mod target;
mod used;
mod version;
mod walk;
mod wheels;

use std::path::{Path, PathBuf};

use crate::clock::now;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::manifest::{Body, FORMAT, Manifest, Modules, PATHS, rfc3339};
use crate::name::{Namespace, UnitName, Version};
use crate::settings::Settings;
use crate::sign::secret::Signer;

pub use bucket::{Check, Reach};
pub use catalogue::{CATALOGUE_ABOVE, Parts, split};
pub use code::Compiler;
pub use used::PacksFor;

const OTHER_FOLDER: &str = "choose another output folder";

/// How often others may be faster.
const ATTEMPTS: u32 = 8;

/// How far a manifest may be ahead of a client's clock, in seconds.
const DAY: u64 = 86_400;

/// How a folder is published.
#[derive(Debug, Clone)]
pub struct Options {
    /// What stands before the units' names.
    pub namespace: Namespace,
    /// Forget versions that were replaced more than so many days ago, and their files.
    pub drop_older_than: Option<u64>,
    /// The time of publishing, in seconds since 1970.
    pub clock: u64,
    /// `clock` came from `SOURCE_DATE_EPOCH`: it says nothing about today.
    pub settings_epoch: bool,
    /// Keys that sign the manifest; the first one's signature stands beside it.
    pub sign: Vec<Signer>,
    /// Compiles the sources for one interpreter.
    pub compiler: Option<Compiler>,
    /// How a bucket is reached.
    pub reach: Reach,
    /// What of the wheels of a lock is packed apart from the rest.
    pub packs_for: Option<PacksFor>,
}

impl Options {
    /// What the command line says; the settings have the time, and the password of keys that
    /// are named without one.
    pub fn new(
        settings: &Settings,
        namespace: &str,
        drop_older_than: Option<u64>,
        sign: &[(PathBuf, Option<String>)],
        compiler: Option<Compiler>,
    ) -> Result<Self> {
        let signer = |(path, password): &(PathBuf, Option<String>)| {
            Signer::read(path, settings.password(password.as_deref()))
        };
        Ok(Self {
            namespace: Namespace::new(namespace).map_err(|error| {
                Error::new(Kind::Configuration, "--namespace is wrong").caused_by(&error)
            })?,
            drop_older_than,
            clock: settings.source_date_epoch.unwrap_or_else(now),
            settings_epoch: settings.source_date_epoch.is_some(),
            sign: sign.iter().map(signer).collect::<Result<_>>()?,
            compiler,
            reach: Reach::new(settings),
            packs_for: None,
        })
    }
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// False: the site held exactly this already, and its manifest was not touched.
    pub changed: bool,
    /// A signature was added.
    pub signed: bool,
    /// Of the manifest that is there now.
    pub serial: u64,
    /// Where that is: a path, or the URL of an object.
    pub manifest: PathBuf,
    /// All that SRC holds, by name.
    pub units: Vec<PublishedUnit>,
    /// Units that the manifest held before, and SRC does not hold any more.
    pub removed: Vec<UnitName>,
    /// Older versions that were forgotten.
    pub dropped_versions: u64,
    /// Files that were deleted.
    pub dropped: u64,
    /// What SRC holds and the site does not, by path.
    pub left_out: Vec<LeftOut>,
}

/// A file or folder of SRC that is not published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// As it stands in SRC; a folder ends in a slash, and stands for all that is below it.
    pub path: String,
    /// Why not, in a few words.
    pub reason: &'static str,
}

impl LeftOut {
    fn file(path: String, reason: &'static str) -> Self {
        Self { path, reason }
    }

    fn folder(path: String, reason: &'static str) -> Self {
        Self { path: path + "/", reason }
    }
}

/// What became of a unit of SRC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedUnit {
    /// Below the namespace.
    pub name: UnitName,
    /// The newest that the site held; `None`, if the unit is new.
    pub old_version: Option<Version>,
    /// The one that it holds now.
    pub version: Version,
    /// Their number, those of its variants included.
    pub files: u64,
    /// Those of its variants included.
    pub bytes: u64,
    /// Its record is not as it was.
    pub changed: bool,
}

/// Publishes the folder `source` into `output`: a folder, or what a URL of an object store names.
pub fn publish(source: &Path, output: &Path, options: &Options) -> Result<Published> {
    again(output, || attempt(source, output, options))
}

/// Once more from the start for as long as somebody else was faster. Into a folder one publishes
/// after the other; in a bucket a manifest takes the place of the one that it was made from only.
fn again<T>(output: &Path, attempt: impl Fn() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..ATTEMPTS {
        if let Some(done) = attempt()? {
            return Ok(done);
        }
    }
    Err(overtaken(output))
}

/// Others were faster again and again.
fn overtaken(output: &Path) -> Error {
    let shown = output.display();
    let what = format!("cannot publish into {shown}: others published {ATTEMPTS} times meanwhile");
    Error::new(Kind::Store, what).path(shown.to_string()).hint("publish again")
}

/// `None`: somebody else published meanwhile.
fn attempt(source: &Path, output: &Path, options: &Options) -> Result<Option<Published>> {
    let (source, output) = apart(source, output)?;
    let overrides = overrides::read(&source)?;
    let mut source = source::read(&source, &options.namespace, &overrides)?;
    let drafts = records::drafts(&mut source, &overrides)?;
    let mut left_out = source.left_out;
    left_out.sort();
    left_out.dedup();

    let mut site = site::Site::open(&output, options)?;
    let previous = history::previous(&site, &options.namespace)?;
    if previous.manifest.as_ref().is_some_and(|manifest| manifest.lock.is_some()) {
        return Err(refused(output.display(), "it has a lock", OTHER_FOLDER));
    }
    site.know(site::references(&previous.modules));
    site.know(previous.parts.clone());
    let mut modules = Modules::default();
    for draft in drafts {
        let (name, before) = (draft.name.clone(), previous.record(&draft.name));
        let record = records::record(draft, before, options.compiler.as_ref(), &mut site)?;
        modules.0.insert(name, Box::new(record));
    }
    let dropped_versions = history::merge(&previous, &mut modules, &overrides, options)?;
    let units = units(&previous, &modules);
    let removed = previous.modules.0.keys().filter(|name| !modules.0.contains_key(*name));
    let removed = removed.cloned().collect();

    let same = previous.manifest.as_ref().is_some_and(|manifest| {
        previous.modules == modules && manifest.max_age == overrides.max_age
    });
    let (serial, signed) = if same {
        site.still_uses(&previous.parts);
        let serial = previous.serial().unwrap_or_default();
        (serial, sign_again(&mut site, serial, options)?)
    } else {
        if options.sign.is_empty() {
            signatures::refuse_unsigned(&site)?;
        }
        match write(&mut site, &previous, &modules, overrides.max_age, options)? {
            Some(written) => written,
            None => return Ok(None),
        }
    };
    let sweep = |days| site.sweep(&site::references(&modules), days, options.clock);
    let dropped = options.drop_older_than.map_or(Ok(0), sweep)?;
    Ok(Some(Published {
        changed: !same,
        signed,
        serial,
        manifest: site.manifest_path(),
        units,
        removed,
        dropped_versions,
        dropped,
        left_out,
    }))
}

/// Writes the parts of a catalogue, if there is to be one, and the manifest last. `None`: somebody
/// else published meanwhile.
fn write(
    site: &mut site::Site,
    previous: &history::Previous,
    modules: &Modules,
    max_age: Option<u64>,
    options: &Options,
) -> Result<Option<(u64, bool)>> {
    let serial = history::next_serial(previous.serial(), options)?;
    let mut manifest = Manifest {
        manifest: FORMAT,
        namespace: options.namespace.clone(),
        serial: Some(serial),
        created: Some(rfc3339(options.clock)),
        max_age,
        needs: if modules.any_form() { vec![PATHS.to_owned()] } else { Vec::new() },
        body: Body::Modules(modules.clone()),
        lock: None,
    };
    // What a client would refuse is never published: the records are read back
    // whole, also where they go into the parts of a catalogue.
    Manifest::parse(&to_json(&manifest)?)?;
    if modules.0.len() > CATALOGUE_ABOVE && !options.namespace.is_empty() {
        let parts = split(modules, previous.bits())?;
        for (digest, bytes) in &parts.parts {
            site.keep_part(digest, bytes)?;
        }
        manifest.needs.push("catalogue".to_owned());
        manifest.body = Body::Catalogue(parts.catalogue);
    }
    let mut before = site::references(&previous.modules);
    before.extend(previous.parts.iter().cloned());
    before.extend(signatures::current(site)?);
    let bytes = to_json(&manifest)?;
    let signed = signatures::put(site, &bytes, &options.sign, &comment(serial, options))?;
    let is_ours = site.commit(&bytes, &before, &site::references(modules))?;
    Ok(is_ours.then_some((serial, signed)))
}

/// The records are the same, but a key may be new.
fn sign_again(site: &mut site::Site, serial: u64, options: &Options) -> Result<bool> {
    let Some(bytes) = site.read(site::MANIFEST)?.filter(|_| !options.sign.is_empty()) else {
        return Ok(false);
    };
    let signed = signatures::put(site, &bytes, &options.sign, &comment(serial, options))?;
    site.flush().map(|()| signed)
}

/// What is signed beside the manifest, for people who look at a signature.
fn comment(serial: u64, options: &Options) -> String {
    format!("magic_module manifest\tnamespace:{}\tserial:{serial}", options.namespace)
}

/// One space of indentation: people read manifests, and compare them line by line.
fn to_json(manifest: &Manifest) -> Result<Vec<u8>> {
    use serde::Serialize as _;
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    manifest.serialize(&mut writer).map_err(|error| cannot_write(&error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn cannot_write(cause: &serde_json::Error) -> Error {
    Error::new(Kind::Manifest, "cannot write the manifest").caused_by(cause)
}

fn units(previous: &history::Previous, modules: &Modules) -> Vec<PublishedUnit> {
    let unit = |name: &UnitName, record: &crate::manifest::Record| {
        let before = previous.record(name);
        PublishedUnit {
            name: name.clone(),
            old_version: before.map(|before| before.version.clone()),
            version: record.version.clone(),
            files: record.all_files().count() as u64,
            bytes: record.all_files().map(|file| file.size).sum(),
            changed: before.is_none_or(|before| !history::same(before, record)),
        }
    };
    modules.0.iter().map(|(name, record)| unit(name, record)).collect()
}

/// Both folders with all links resolved; neither may hold the other.
fn apart(source: &Path, output: &Path) -> Result<(PathBuf, PathBuf)> {
    let shown = source.display();
    let unfit = |why: &str| {
        Error::new(Kind::Configuration, format!("cannot publish {shown}: {why}"))
            .path(shown.to_string())
            .hint("name the folder that holds the modules")
    };
    let real = files::real(source).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => unfit("it does not exist"),
        _ => unfit("it cannot be read").caused_by(&error),
    })?;
    if !real.is_dir() {
        return Err(unfit("it is not a folder"));
    }
    let output = resolve(output)?;
    if real.starts_with(&output) || output.starts_with(&real) {
        let into = output.display();
        let what = format!("cannot publish {shown} into {into}: one lies inside the other");
        return Err(Error::new(Kind::Configuration, what)
            .path(into.to_string())
            .hint("choose an output folder beside the source folder"));
    }
    Ok((real, output))
}

/// The real path of a folder that may not exist yet; a URL as it is.
fn resolve(path: &Path) -> Result<PathBuf> {
    if bucket::url_of(path).is_some() {
        return Ok(path.to_owned());
    }
    let absolute = std::path::absolute(path).map_err(|error| {
        Error::new(Kind::Configuration, format!("cannot publish into {}", path.display()))
            .caused_by(&error)
            .hint("name an output folder")
    })?;
    let real = absolute.ancestors().find_map(|ancestor| {
        let mut real = files::real(ancestor).ok()?;
        real.extend(absolute.strip_prefix(ancestor).ok()?);
        Some(real)
    });
    Ok(real.unwrap_or(absolute))
}

/// SRC cannot be published as it is: what, why, and the remedy.
fn refused(what: impl std::fmt::Display, why: impl std::fmt::Display, hint: &str) -> Error {
    Error::new(Kind::Configuration, format!("cannot publish {what}: {why}"))
        .path(what.to_string())
        .hint(hint)
}

/// A file of SRC that cannot be read.
fn unreadable(what: impl std::fmt::Display, cause: &std::io::Error) -> Error {
    Error::new(Kind::Configuration, format!("cannot publish {what}"))
        .path(what.to_string())
        .caused_by(cause)
        .hint("make it readable, or move it out of the source folder")
}
