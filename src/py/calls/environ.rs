//! `os.environ`, in which children find the mounts that are handed down to them.

use pyo3::prelude::*;

use crate::mount::MountRequest;
use crate::name::{SafeUrl, UrlText};
use crate::py::bridge::errors::OrRaise;
use crate::resolved::Optional;
use crate::settings::{Exported, parse_mounts, text_of_mounts};
use crate::supply::Source;
use crate::supply::manifest::{self, WhenOld};

/// The variable that has them.
pub const MOUNTS: &str = "MAGIC_MODULE_MOUNTS";

/// From now on every process that this one starts has the mount.
pub fn hand_down(py: Python<'_>, request: &MountRequest) -> PyResult<()> {
    let mut mounts = handed_down(py)?;
    add(&mut mounts, without_login(request));
    environ(py)?.set_item(MOUNTS, text_of_mounts(&mounts))
}

/// One more of them, in the place of another one of its namespace.
pub fn add(mounts: &mut Vec<Exported>, own: Exported) {
    if !mounts.contains(&own) {
        mounts.retain(|other| own.namespace.is_empty() || other.namespace != own.namespace);
        mounts.push(own);
    }
}

/// True if `MAGIC_MODULE_MOUNTS` may have it: top-level names are a lock's alone.
pub fn may_be_handed_down(request: &MountRequest) -> bool {
    !request.namespace.is_empty() || request.source.as_lock().is_some()
}

/// What is started from now on does not have the mount.
pub fn take_back(py: Python<'_>, request: &MountRequest) -> PyResult<()> {
    // What cannot be read was not written here.
    let Ok(mut mounts) = handed_down(py) else { return Ok(()) };
    let (before, own) = (mounts.len(), without_login(request));
    mounts.retain(|mount| *mount != own);
    match mounts.len() {
        all if all == before => Ok(()),
        0 => environ(py)?.del_item(MOUNTS),
        _ => environ(py)?.set_item(MOUNTS, text_of_mounts(&mounts)),
    }
}

/// As the program's environment has it by now.
pub fn handed_down(py: Python<'_>) -> PyResult<Vec<Exported>> {
    let text: Option<String> = environ(py)?.call_method1("get", (MOUNTS,))?.extract()?;
    match text.filter(|text| !text.trim().is_empty()) {
        Some(text) => parse_mounts(&text).or_raise(py),
        None => Ok(Vec::new()),
    }
}

/// `os.environ`.
pub fn environ(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("os")?.getattr("environ")
}

/// A mount as everybody may know it: the login in a URL stays here, and whoever mounts it
/// elsewhere needs one of their own.
pub fn without_login(request: &MountRequest) -> Exported {
    let mut mount = exported(request);
    mount.manifest_url = mount.manifest_url.as_ref().map(public);
    mount
}

/// A URL without its login; one that has none, or is none, stays as it was written.
pub fn public(url: &UrlText) -> UrlText {
    match SafeUrl::new(url.as_str()) {
        Ok(parsed) if parsed.without_credentials() != *parsed.real() => {
            UrlText::new(parsed.without_credentials())
        }
        _ => url.clone(),
    }
}

fn said(optional: Optional) -> Option<String> {
    let text = match optional {
        Optional::Fetch => return None,
        Optional::PresentOnly => "present-only",
        Optional::Deny => "deny",
    };
    Some(text.to_owned())
}

/// A mount as this process has it, for its own children.
pub fn exported(request: &MountRequest) -> Exported {
    let common = Exported {
        namespace: request.namespace.clone(),
        first: request.first,
        pins: request.pins.clone(),
        frozen: request.frozen,
        ..Exported::default()
    };
    let of_manifest = |source: &manifest::Source| Exported {
        manifest_url: Some(source.url.clone()),
        public_key: source.public_keys.clone(),
        allow_http: source.allow_http,
        max_age: (source.max_age == WhenOld::Fail).then(|| "fail".to_owned()),
        ..common.clone()
    };
    match &request.source {
        Source::Manifest(source) => of_manifest(source),
        Source::Lock(source) => match &source.site {
            Some(site) => of_manifest(&site.source),
            None => Exported {
                lock: Some(source.path.clone()),
                extras: source.extras.clone(),
                groups: source.groups.clone(),
                build: source.build,
                unhashed: source.unhashed,
                optional: said(source.optional),
                ..common.clone()
            },
        },
    }
}
