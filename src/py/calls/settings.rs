//! What the environment says, and how text and sizes are written.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::{SENTENCE, shown};
use crate::name::{UrlText, closest, hashed};
use crate::notation;
use crate::py::bridge::dict::dict;
use crate::py::bridge::state::session;
use crate::settings::{AutoInstall, parse_size, text_of_mounts};

#[pyfunction]
pub fn _settings(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let settings = &session(py)?.engine.settings;
    let pin = |(name, version)| format!("{name}=={version}");
    Ok(dict!(py,
        manifest_url: settings.manifest_url.as_ref().map(UrlText::as_str),
        public_key: &settings.public_keys,
        pins: settings.pins.iter().map(pin).collect::<Vec<_>>(),
        allow_http: settings.allow_http,
        space: settings.space.as_ref().map(|space| space.name.as_str()),
        spaces_dir: settings.spaces_dir.as_ref().map(|path| path.to_string_lossy()),
        lock: settings.lock.as_ref().map(|lock| lock.to_string_lossy()),
        mounts: text_of_mounts(&settings.mounts),
        registry: settings.registry.as_ref().map(|path| path.to_string_lossy()),
        auto_install: settings.auto_install.map(AutoInstall::as_str),
        sync: settings.sync,
        trace_part: settings.trace_part.as_ref().map(|path| path.to_string_lossy()),
        start: settings.start,
        cache_dir: settings.caches().to_string_lossy(),
        cache_limit: settings.cache_limit,
        trusted_owners: &settings.trusted_owners,
        bundles: settings.bundles.as_ref().map(|path| path.to_string_lossy()),
        offline: settings.offline,
        progress: settings.progress.as_str(),
        concurrency: settings.concurrency,
        fresh: settings.fresh,
        // Whether there is one; never the password itself.
        key_password: settings.key_password.is_some(),
        verify: if settings.verify_full { "full" } else { "default" },
    ))
}

/// How many bytes this thread has hashed, and for how many seconds: what a load costs that
/// verifies.
#[pyfunction]
pub fn _hashed() -> (u64, f64) {
    let (bytes, time) = hashed();
    (bytes, time.as_secs_f64())
}

/// Text of a stranger, as it may be shown to people.
#[pyfunction]
#[pyo3(signature = (text, limit=SENTENCE))]
pub fn _shown(text: &Bound<'_, PyString>, limit: usize) -> String {
    shown(&text.to_string_lossy(), limit).into_owned()
}

/// TOML as JSON; or what is wrong with it.
#[pyfunction]
pub fn _parse_toml(text: &str) -> (Option<String>, Option<String>) {
    match notation::read(text.as_bytes()) {
        Ok(table) => (Some(notation::json(table.into()).to_string()), None),
        Err(why) => (None, Some(why)),
    }
}

/// Of several names the one that somebody may have meant who wrote another.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "as Python gives it")]
pub fn _closest(name: &str, names: Vec<String>) -> Option<String> {
    closest(name, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Bytes, as `MAGIC_MODULE_CACHE_LIMIT` says them; None if it is not a size.
#[pyfunction]
pub fn _parse_size(text: &str) -> Option<u64> {
    parse_size(text)
}
