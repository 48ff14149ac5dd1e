//! Who is told what happens: the callback of `on_event`, what shows progress, and whoever waits
//! for one operation.
//!
//! All of them are called in the thread that waits. What they raise ends the work. A listener
//! with a method `tick` is asked at every tick, so that it can end what makes no progress; a
//! renderer with a method `fail` cleans up after a failure.

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::dict::dict;
use crate::error::{SENTENCE, shown};
use crate::events::{Event, Heard};
use crate::session::Session;
use crate::settings::Show;

/// Who is told about events: the callback of `on_event`, and what shows progress.
#[derive(Default)]
struct Listeners {
    callback: Option<Py<PyAny>>,
    renderer: Option<Py<PyAny>>,
    renderer_asked: bool,
    /// Readers of `events()`.
    watchers: Vec<Py<PyAny>>,
}

static LISTENERS: Mutex<Listeners> = Mutex::new(Listeners {
    callback: None,
    renderer: None,
    renderer_asked: false,
    watchers: Vec::new(),
});

impl Listeners {
    /// Whether anybody wants to know.
    fn any(&self) -> bool {
        self.callback.is_some() || self.renderer.is_some() || !self.watchers.is_empty()
    }
}

/// Sets the callback of `on_event`.
pub fn set_callback(session: &Session, callback: Option<Py<PyAny>>) {
    let mut listeners = LISTENERS.lock();
    let before = std::mem::replace(&mut listeners.callback, callback);
    session.engine.events.listen(listeners.any());
    drop(listeners);
    // Its end may run Python, which must not meet the lock.
    drop(before);
}

/// One more is told of every event; what it raises ends the act.
pub fn watch(session: &Session, watcher: Py<PyAny>) {
    let mut listeners = LISTENERS.lock();
    listeners.watchers.push(watcher);
    session.engine.events.listen(true);
}

/// It is told of no further one.
pub fn unwatch(session: &Session, watcher: &Py<PyAny>) {
    let mut listeners = LISTENERS.lock();
    let gone = listeners.watchers.extract_if(.., |it| it.is(watcher)).collect::<Vec<_>>();
    session.engine.events.listen(listeners.any());
    drop(listeners);
    // As above.
    drop(gone);
}

/// Whoever wants to see something is found before there is something to see.
pub fn listen(py: Python<'_>, session: &Session) -> PyResult<()> {
    let asked = std::mem::replace(&mut LISTENERS.lock().renderer_asked, true);
    if !asked
        && session.engine.settings.progress != Show::Off
        && may_show(py, session.engine.settings.progress)?
    {
        let mode = session.engine.settings.progress.as_str();
        let renderer = py.import("magic_module._py.progress")?.call_method1("renderer", (mode,))?;
        LISTENERS.lock().renderer = (!renderer.is_none()).then(|| renderer.unbind());
    }
    let listeners = LISTENERS.lock();
    session.engine.events.listen(listeners.any());
    Ok(())
}

/// Without a terminal or a notebook, `auto` shows nothing and imports nothing.
fn may_show(py: Python<'_>, show: Show) -> PyResult<bool> {
    use std::io::IsTerminal;
    let notebook = py.import("sys")?.getattr("modules")?.contains("IPython")?;
    Ok(show != Show::Auto || notebook || std::io::stderr().is_terminal())
}

/// Hands out what has happened. The first thing that a listener raises is raised.
pub fn deliver(py: Python<'_>, session: &Session) -> PyResult<()> {
    let events = session.engine.events.take();
    if events.is_empty() {
        return Ok(());
    }
    let targets: Vec<Py<PyAny>> = {
        let listeners = LISTENERS.lock();
        let all = [&listeners.callback, &listeners.renderer].into_iter().flatten();
        all.chain(&listeners.watchers).map(|held| held.clone_ref(py)).collect()
    };
    for event in events {
        let shown = as_dict(py, &event)?;
        for target in &targets {
            target.call1(py, (&shown,))?;
        }
    }
    Ok(())
}

/// Hands the fetch events of one operation to whoever asked for them.
pub fn tell(py: Python<'_>, listener: Option<&Py<PyAny>>, heard: Option<&Heard>) -> PyResult<()> {
    let (Some(listener), Some(heard)) = (listener, heard) else { return Ok(()) };
    let events = std::mem::take(&mut *heard.lock());
    for event in events {
        listener.call1(py, (as_dict(py, &event)?,))?;
    }
    Ok(())
}

fn as_dict<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let event = event.shown();
    Ok(dict!(py,
        event: event.event,
        unit: shown(event.unit, SENTENCE),
        artifact: shown(event.artifact, SENTENCE),
        url: shown(&event.url, SENTENCE),
        bytes: event.bytes,
        total: event.total,
        percentage: event.percentage(),
        status: event.status,
    ))
}

/// What is shown gives way to what is printed about a failure.
pub fn fail(py: Python<'_>) {
    let renderer = LISTENERS.lock().renderer.as_ref().map(|renderer| renderer.clone_ref(py));
    let _ = call_if_there(py, renderer.as_ref(), "fail");
}

pub fn call_if_there(py: Python<'_>, target: Option<&Py<PyAny>>, method: &str) -> PyResult<()> {
    match target.map(|target| target.getattr(py, method)) {
        Some(Ok(method)) => method.call0(py).map(drop),
        _ => Ok(()),
    }
}
