//! Fetching by name.

use parking_lot::Mutex;
use pyo3::prelude::*;
use tokio::sync::oneshot;

use crate::py::bridge::attempt::{fetched, or_newer};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;

/// Download units and what they require now, in parallel; import nothing.
///
/// Args:
///     names: what follows `import`, also with a version: `acme.heavy==1.1.0`.
///     progress: called with each event of the download (`bytes`, `total`, `percentage`), at most
///         10 times a second, on this thread.
///
/// Raises:
///     UnitNotFoundError: a manifest does not have a name.
///     FetchError: the network or the server failed.
///     IntegrityError: bytes are not the pinned ones.
///     RequirementError: there is no such version, or something required is not installed.
///     PolicyError: the version was taken back, or a lock does not list it.
///
/// Example:
///     >>> mm.prefetch("acme.heavy", "acme.light==1.1.0")
#[pyfunction]
#[pyo3(signature = (*names, progress=None))]
pub fn prefetch(py: Python<'_>, names: Vec<String>, progress: Option<Py<PyAny>>) -> PyResult<()> {
    let session = session(py)?;
    let label = names.join(", ");
    for (mount, names) in session.by_mount(&names).or_raise(py)? {
        or_newer(py, session, &mount, mount.known(), None, || {
            let (asked, names) = (mount.clone(), names.clone());
            fetched(py, session, progress.as_ref(), (&mount, &label), async move |session| {
                session.all_wanted(&asked, &names).await
            })
        })?;
    }
    Ok(())
}

/// What ends [`_bring_rests`] when it is dropped.
static STOP: Mutex<Option<oneshot::Sender<()>>> = Mutex::new(None);

/// Fetches the rest of every wheel whose first part is here.
#[pyfunction]
pub fn _bring_rests(py: Python<'_>) -> PyResult<()> {
    let session = session(py)?;
    let (stop, stopped) = oneshot::channel();
    *STOP.lock() = Some(stop);
    block(py, session, None, async move |session| {
        tokio::select! {
            done = session.bring_rests() => done,
            _ = stopped => Ok(()),
        }
    })
}

/// Ends that, wherever it is.
#[pyfunction]
pub fn _stop_rests() {
    STOP.lock().take();
}

/// The units of this process's locks that only whoever has its logins can fetch.
#[pyfunction]
pub fn _behind_logins(py: Python<'_>) -> PyResult<Vec<String>> {
    let session = session(py)?;
    let mut names = Vec::new();
    for mount in session.mounts() {
        let found =
            block(py, session, None, async move |session| Ok(session.behind_logins(&mount).await))?;
        names.extend(found.iter().map(ToString::to_string));
    }
    Ok(names)
}
