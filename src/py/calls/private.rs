//! What `magic_module._py` asks for: the command line, the doctor, metadata.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::api::{hidden_by, locate, mount_called};
use super::mounting::join_search_path;
use crate::clock::now;
use crate::error::{Error, Kind, SENTENCE, shown};
use crate::mount::Mount;
use crate::name::{Namespace, SafeUrl, UrlText};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{code_of, know_tags, session};
use crate::py::hook::finder::refresh_filter;
use crate::settings::{Settings, parse_size};
use crate::sign::secret::{Signer, generate, needs_password};
use crate::store::prune::usage;
use crate::store::tree::Tree;
use crate::uses::publish::{Compiler, Options, publish};

#[pyfunction]
fn _settings(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let settings = &session(py)?.engine.settings;
    let dict = PyDict::new(py);
    dict.set_item("manifest_url", settings.manifest_url.as_ref().map(UrlText::as_str))?;
    dict.set_item("public_key", &settings.public_keys)?;
    let pins: Vec<String> =
        settings.pins.iter().map(|(name, version)| format!("{name}=={version}")).collect();
    dict.set_item("pins", pins)?;
    dict.set_item("allow_http", settings.allow_http)?;
    dict.set_item("cache_dir", settings.cache_dir.to_string_lossy().as_ref())?;
    dict.set_item("cache_limit", settings.cache_limit)?;
    dict.set_item("trusted_owners", &settings.trusted_owners)?;
    dict.set_item("offline", settings.offline)?;
    dict.set_item("progress", settings.progress.as_str())?;
    dict.set_item("concurrency", settings.concurrency)?;
    // Whether there is one; never the password itself.
    dict.set_item("key_password", settings.key_password.is_some())?;
    dict.set_item("verify", if settings.verify_full { "full" } else { "default" })?;
    Ok(dict)
}

/// Text of a stranger, as it may be shown to people.
#[pyfunction]
#[pyo3(signature = (text, limit=SENTENCE))]
fn _shown(text: &Bound<'_, PyString>, limit: usize) -> String {
    shown(&text.to_string_lossy(), limit).into_owned()
}

/// Bytes, as `MAGIC_MODULE_CACHE_LIMIT` says them; None if it is no size.
#[pyfunction]
fn _parse_size(text: &str) -> Option<u64> {
    parse_size(text)
}

#[pyfunction]
#[pyo3(signature = (source, output, namespace, drop_older_than=None, sign=Vec::new(), *, compile=None))]
fn _publish<'py>(
    py: Python<'py>,
    source: &str,
    output: &str,
    namespace: &str,
    drop_older_than: Option<u64>,
    sign: Vec<(String, Option<String>)>,
    compile: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let raised = Arc::new(Mutex::new(None));
    let compiler = compile.map(|compile| compiler(py, compile, &raised)).transpose()?;
    let settings = Settings::from_env().or_raise(py)?;
    let signer = |(path, password): (String, Option<String>)| {
        let own = settings.key_password.as_ref().map(|password| password.reveal());
        Signer::read(Path::new(&path), password.as_deref().or(own))
    };
    let sign: Result<Vec<_>, _> = py.detach(|| sign.into_iter().map(signer).collect());
    let namespace = Namespace::new(namespace)
        .map_err(|error| Error::new(Kind::Configuration, "--namespace is wrong").caused_by(&error))
        .or_raise(py)?;
    let options = Options {
        namespace,
        drop_older_than,
        clock: settings.source_date_epoch.unwrap_or_else(now),
        settings_epoch: settings.source_date_epoch.is_some(),
        sign: sign.or_raise(py)?,
        compiler,
    };
    let published = py.detach(|| publish(Path::new(source), Path::new(output), &options));
    if let Some(error) = raised.lock().take() {
        return Err(error);
    }
    let published = published.or_raise(py)?;
    let dict = PyDict::new(py);
    dict.set_item("changed", published.changed)?;
    dict.set_item("signed", published.signed)?;
    dict.set_item("serial", published.serial)?;
    dict.set_item("manifest", published.manifest.to_string_lossy().as_ref())?;
    dict.set_item("dropped", published.dropped)?;
    let units = PyList::empty(py);
    for unit in &published.units {
        let entry = PyDict::new(py);
        entry.set_item("name", unit.name.as_str())?;
        entry.set_item("old_version", unit.old_version.as_ref().map(|version| version.as_str()))?;
        entry.set_item("version", unit.version.as_str())?;
        entry.set_item("files", unit.files)?;
        entry.set_item("bytes", unit.bytes)?;
        entry.set_item("changed", unit.changed)?;
        units.append(entry)?;
    }
    dict.set_item("units", units)?;
    let left_out = PyList::empty(py);
    for left in &published.left_out {
        let entry = PyDict::new(py);
        entry.set_item("path", &left.path)?;
        entry.set_item("reason", left.reason)?;
        left_out.append(entry)?;
    }
    dict.set_item("left_out", left_out)?;
    Ok(dict)
}

/// A compiler that asks Python. What that raises ends publishing, and waits in `raised`.
fn compiler(
    py: Python<'_>,
    compile: Py<PyAny>,
    raised: &Arc<Mutex<Option<PyErr>>>,
) -> PyResult<Compiler> {
    let (interpreter, raised) = (code_of(py)?, raised.clone());
    let compile = move |path: &str, source: &[u8]| {
        Python::attach(|py| {
            py.check_signals()?;
            compile.call1(py, (path, source))?.extract::<Option<Vec<u8>>>(py)
        })
        .map_err(|error| {
            *raised.lock() = Some(error);
            Error::new(Kind::Configuration, format!("cannot compile {path}"))
        })
    };
    Ok(Compiler { interpreter, compile: Arc::new(compile) })
}

/// `pin` and `upgrade` look at what there is, not at what was locked.
#[pyfunction]
fn _ignore_lock(py: Python<'_>) -> PyResult<()> {
    session(py)?.project.ignore();
    Ok(())
}

/// Every mount of this process refuses what is not locked.
#[pyfunction]
fn _freeze(py: Python<'_>) -> PyResult<()> {
    session(py)?.project.freeze();
    Ok(())
}

/// Writes `magic.lock`; without names, everything in use of the namespace.
#[pyfunction]
#[pyo3(signature = (namespace, names, frozen=None))]
fn _pin<'py>(
    py: Python<'py>,
    namespace: &str,
    names: Vec<String>,
    frozen: Option<bool>,
) -> PyResult<Bound<'py, PyDict>> {
    let session = session(py)?;
    know_tags(py, session)?;
    let mut groups: Vec<(Arc<Mount>, Vec<String>)> = Vec::new();
    for name in &names {
        let (mount, relative) = locate(py, session, name)?;
        groups.push((mount, vec![relative]));
    }
    if names.is_empty() {
        groups.extend(mount_called(py, session, namespace)?.into_iter().map(|it| (it, Vec::new())));
    }
    let mut locked = Vec::new();
    let whole = names.is_empty().then(|| groups.first().map(|(mount, _)| mount.namespace.clone()));
    for (mount, names) in groups {
        let work = {
            let session = session.clone();
            async move { session.lockable(&mount, &names).await }
        };
        locked.extend(block(py, session, None, work)?);
    }
    let units = PyDict::new(py);
    for (name, entry) in &locked {
        units.set_item(name, entry.version.as_str())?;
    }
    let here = std::env::current_dir()?;
    let lock =
        crate::uses::pin::write(&here, locked, whole.flatten().as_ref(), frozen).or_raise(py)?;
    let dict = PyDict::new(py);
    dict.set_item("path", lock.path.to_string_lossy().as_ref())?;
    dict.set_item("frozen", lock.frozen)?;
    dict.set_item("units", units)?;
    Ok(dict)
}

/// True if the secret key in a file has a password.
#[pyfunction]
fn _key_needs_password(py: Python<'_>, path: &str) -> PyResult<bool> {
    needs_password(Path::new(path)).or_raise(py)
}

/// Writes a key pair; the environment's password is for keys that are to have one.
#[pyfunction]
#[pyo3(signature = (path, password=None, *, protect=false))]
fn _keygen<'py>(
    py: Python<'py>,
    path: &str,
    password: Option<String>,
    protect: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let settings = Settings::from_env().or_raise(py)?;
    let own = settings.key_password.as_ref().filter(|_| protect).map(|password| password.reveal());
    let made = py.detach(|| generate(Path::new(path), password.as_deref().or(own))).or_raise(py)?;
    let dict = PyDict::new(py);
    dict.set_item("secret", made.secret.to_string_lossy().as_ref())?;
    dict.set_item("public", made.public.to_string_lossy().as_ref())?;
    dict.set_item("public_key", made.public_key)?;
    dict.set_item("id", made.id)?;
    Ok(dict)
}

/// Every mount of this process, the environment's included.
#[pyfunction]
fn _mounts(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let session = session(py)?;
    if let Ok(mount) = session.own_mount() {
        join_search_path(py, session, &mount)?;
    }
    refresh_filter(session);
    let list = PyList::empty(py);
    for mount in session.mounts() {
        let dict = PyDict::new(py);
        dict.set_item("namespace", mount.namespace.as_str())?;
        dict.set_item("manifest_url", mount.shown_url().to_string())?;
        dict.set_item("identity", mount.identity.to_hex())?;
        dict.set_item("first", mount.request.first)?;
        let bound = mount.bound();
        dict.set_item("generation", bound.as_ref().map(|bound| bound.generation.number))?;
        let active = PyDict::new(py);
        for (key, entry) in bound.iter().flat_map(|bound| &bound.generation.active) {
            let unit = PyDict::new(py);
            unit.set_item("version", entry.version.as_str())?;
            unit.set_item("tree", entry.tree.to_hex())?;
            active.set_item(key.as_str(), unit)?;
        }
        dict.set_item("active", active)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// The doctor's findings that only the core can make.
#[pyfunction]
fn _diagnose(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let findings = PyList::empty(py);
    let add = |check: &str, outcome: Result<String, Error>| -> PyResult<()> {
        let dict = PyDict::new(py);
        dict.set_item("check", check)?;
        dict.set_item("ok", outcome.is_ok())?;
        let (message, hint) = match outcome {
            Ok(message) => (message, None),
            Err(error) => {
                let hint = error.details().hint.clone();
                let whole = error.to_string();
                let bare = hint
                    .as_ref()
                    .and_then(|hint| whole.strip_suffix(&format!("; {hint}")).map(str::to_owned));
                (bare.unwrap_or(whole), hint)
            }
        };
        dict.set_item("message", message)?;
        dict.set_item("hint", hint)?;
        findings.append(dict)
    };
    if let Err(error) = Settings::from_env() {
        add("settings", Err(error))?;
        return Ok(findings);
    }
    let session = session(py)?;
    let mounted = session.mounts().len() as u64;
    let manifest = match session.engine.settings.require_manifest_url() {
        Ok(url) => Ok(SafeUrl::new(url.as_str()).map_or_else(
            |_| "the manifest URL is set".to_owned(),
            |url| format!("the manifest is {url}"),
        )),
        // Whoever mounts by other means needs no variable.
        Err(_) if mounted > 0 => {
            Ok(format!("{} mounted without the environment", count(mounted, "namespace")))
        }
        Err(error) => Err(error),
    };
    add("settings", manifest)?;
    let store = &session.engine.store;
    add("directory", store.create().map(|()| format!("the cache is {}", store.cache().display())))?;
    add("permissions", store.check().map(|_| "only you may write to it".to_owned()))?;
    let _ = session.own_mount();
    refresh_filter(session);
    for mount in session.mounts() {
        let work = {
            let (session, mount) = (session.clone(), mount.clone());
            async move { Ok(session.available_now(&mount).await) }
        };
        let outcome = block(py, session, None, work)?;
        add(
            "manifest",
            outcome.map(|units| {
                format!("{} answers with {}", mount.shown_url(), count(units, "unit"))
            }),
        )?;
        let broken = mount.bound().map_or(0, |bound| {
            let trees = bound.generation.active.values().map(|active| active.tree);
            trees.filter(|tree| !matches!(Tree::open(store, tree), Ok(Some(_)))).count()
        });
        let units = if broken == 0 {
            Ok(format!("the cached units of {} are complete", mount.describe()))
        } else {
            Err(Error::new(
                Kind::Integrity,
                format!("{broken} cached units of {} are damaged", mount.describe()),
            )
            .hint("run `magic-module verify`"))
        };
        add("units", units)?;
        for unit in session.known_names(&mount) {
            let name = mount.namespace.join(&unit);
            if let Some(by) = hidden_by(py, session, &mount, &name)? {
                add("hidden", Ok(format!("{name} is hidden by {by}")))?;
            }
        }
    }
    Ok(findings)
}

fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

#[pyfunction]
fn _cache_usage(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let session = session(py)?;
    let used = py.detach(|| usage(&session.engine.store)).or_raise(py)?;
    let dict = PyDict::new(py);
    dict.set_item("directory", session.engine.store.cache().to_string_lossy().as_ref())?;
    dict.set_item("bytes", used.bytes)?;
    dict.set_item("blobs", used.blobs)?;
    dict.set_item("trees", used.trees)?;
    dict.set_item("limit", session.engine.settings.cache_limit)?;
    let mounts = PyList::empty(py);
    for folder in crate::store::prune::mount_folders(&session.engine.store).or_raise(py)? {
        let text = fs_err::read_to_string(folder.path.join("mount.json")).unwrap_or_default();
        let described: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let entry = PyDict::new(py);
        entry.set_item("namespace", described["namespace"].as_str())?;
        entry.set_item("manifest_url", described["manifest_url"].as_str())?;
        entry.set_item(
            "identity",
            folder.path.file_name().map(|name| name.to_string_lossy().into_owned()),
        )?;
        entry.set_item("generation", folder.current().or_raise(py)?)?;
        entry.set_item("directory", folder.path.to_string_lossy().as_ref())?;
        entry.set_item("changed", folder.changed())?;
        mounts.append(entry)?;
    }
    dict.set_item("mounts", mounts)?;
    Ok(dict)
}

/// `(name, folder)` of every `.dist-info` in an active tree.
#[pyfunction]
fn _distributions(py: Python<'_>) -> PyResult<Vec<(String, String)>> {
    let session = session(py)?;
    Ok(session.distributions())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(pyo3::wrap_pyfunction!(_settings, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_parse_size, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_shown, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_publish, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_ignore_lock, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_freeze, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_pin, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_keygen, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_key_needs_password, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_mounts, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_diagnose, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_cache_usage, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_distributions, module)?)
}
