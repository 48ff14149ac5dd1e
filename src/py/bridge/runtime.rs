//! The one function that waits for the network on behalf of Python.
//!
//! Work runs in a thread of its own, where there is one to be had (`fetch::Work`). The
//! waiting thread wakes every 50 ms: it hands events to their listeners and lets signals
//! through. What a listener or a signal handler raises ends the work.
//! A listener with a method `tick` is asked at every one of them, so that it can end
//! what makes no progress; a renderer with a method `fail` cleans up after a failure.
//! Workers never touch Python.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::oneshot;

use super::errors::OrRaise;
use super::state::know_tags;
use crate::audit::{self, Question, Watcher};
use crate::error::{Error, Kind, Result, SENTENCE, shown};
use crate::events::{self, Event, Heard};
use crate::fetch::{Next, Work};
use crate::session::Session;
use crate::settings::Show;

const TICK: Duration = Duration::from_millis(50);

/// Who is told about events: the callback of `on_event`, and what shows progress.
#[derive(Default)]
struct Listeners {
    callback: Option<Py<PyAny>>,
    renderer: Option<Py<PyAny>>,
    renderer_asked: bool,
}

static LISTENERS: Mutex<Listeners> =
    Mutex::new(Listeners { callback: None, renderer: None, renderer_asked: false });

/// What a worker sends to the thread that waits for it.
enum Step<T> {
    /// It waits itself, for the answer.
    Asked(Question, oneshot::Sender<()>),
    Done(Result<T>),
}

/// Waits for what `work` does with the session. `listener` is told of what it fetches, and of
/// nothing else.
pub fn block<T: Send + 'static, F: Future<Output = Result<T>> + Send + 'static>(
    py: Python<'_>,
    session: &Arc<Session>,
    listener: Option<&Py<PyAny>>,
    work: impl FnOnce(Arc<Session>) -> F,
) -> PyResult<T> {
    let work = work(session.clone());
    listen(py, session)?;
    let heard = listener.map(|_| Heard::default());
    let interrupt = Interrupt::install(py)?;
    let begun = session.engine.fetcher.begin(|sender| {
        let watcher: Watcher = {
            let sender = sender.clone();
            Arc::new(move |question, answer| drop(sender.send(Step::Asked(question, answer))))
        };
        let work = events::heard(heard.clone(), audit::watched(watcher, work));
        async move { drop(sender.send(Step::Done(work.await))) }
    });
    let outcome = match begun {
        Ok(work) => wait(py, session, listener, heard.as_ref(), work),
        Err(error) => Err(error).or_raise(py),
    };
    if outcome.is_err() {
        fail(py);
    }
    interrupt.remove(py)?;
    let value = outcome?;
    super::notices::warn(py, session)?;
    Ok(value)
}

/// What is shown gives way to what is printed about a failure.
pub fn fail(py: Python<'_>) {
    let renderer = LISTENERS.lock().renderer.as_ref().map(|renderer| renderer.clone_ref(py));
    let _ = call_if_there(py, renderer.as_ref(), "fail");
}

/// Tick by tick, until the work is done or something is raised.
fn wait<T: Send + 'static>(
    py: Python<'_>,
    session: &Session,
    listener: Option<&Py<PyAny>>,
    heard: Option<&Heard>,
    mut work: Work<Step<T>>,
) -> PyResult<T> {
    loop {
        let next = py.detach(|| work.next(TICK));
        let answered = match &next {
            Next::Told(Step::Asked(Question::May(acts), _)) => super::audit::acts(py, acts),
            Next::Told(Step::Asked(Question::Tags, _)) => know_tags(py, session),
            _ => Ok(()),
        };
        let told = answered
            .and_then(|()| deliver(py, session))
            .and_then(|()| tell(py, listener, heard))
            .and_then(|()| call_if_there(py, listener, "tick"))
            .and_then(|()| check(py));
        match (next, told) {
            (Next::Told(Step::Done(result)), Ok(())) => {
                py.detach(|| work.end());
                return result.or_raise(py);
            }
            (Next::Told(Step::Asked(_, answer)), Ok(())) => {
                let _ = answer.send(());
            }
            (_, Err(raised)) => {
                py.detach(|| work.end());
                return Err(raised);
            }
            (Next::Tick, Ok(())) => {}
            (Next::Ended, Ok(())) => {
                let error = Error::new(Kind::Store, "a download ended unexpectedly");
                return Err(error.hint("try again")).or_raise(py);
            }
            (Next::Closed, Ok(())) => {
                let what = "a download ended: this program has closed its files and connections";
                return Err(Error::new(Kind::Store, what).hint("try again")).or_raise(py);
            }
        }
    }
}

fn call_if_there(py: Python<'_>, target: Option<&Py<PyAny>>, method: &str) -> PyResult<()> {
    match target.map(|target| target.getattr(py, method)) {
        Some(Ok(method)) => method.call0(py).map(drop),
        _ => Ok(()),
    }
}

/// Signals, and the end of the main thread: nobody should wait for a download then.
fn check(py: Python<'_>) -> PyResult<()> {
    py.check_signals()?;
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(threading) = modules.get_item("threading") else { return Ok(()) };
    let alive: bool = threading.call_method0("main_thread")?.call_method0("is_alive")?.extract()?;
    if alive { Ok(()) } else { Err(PySystemExit::new_err("the main thread has ended")) }
}

/// Under `asyncio.run` the first Ctrl-C only cancels the main task, which cannot run
/// while its thread waits here; the plain handler is put in its place meanwhile.
struct Interrupt {
    previous: Option<Py<PyAny>>,
}

impl Interrupt {
    fn install(py: Python<'_>) -> PyResult<Self> {
        let none = Ok(Self { previous: None });
        let signal = py.import("_signal")?;
        let number = signal.getattr("SIGINT")?;
        let handler = signal.call_method1("getsignal", (&number,))?;
        let function = handler.getattr("func").unwrap_or_else(|_| handler.clone());
        let module: Option<String> =
            function.getattr("__module__").and_then(|module| module.extract()).ok();
        if module.as_deref() != Some("asyncio.runners") {
            return none;
        }
        // Not the main thread: it has no handlers, and gets no signals.
        match signal.call_method1("signal", (&number, signal.getattr("default_int_handler")?)) {
            Ok(_) => Ok(Self { previous: Some(handler.unbind()) }),
            Err(_) => none,
        }
    }

    fn remove(self, py: Python<'_>) -> PyResult<()> {
        let Some(previous) = self.previous else { return Ok(()) };
        let signal = py.import("_signal")?;
        signal.call_method1("signal", (signal.getattr("SIGINT")?, previous)).map(drop)
    }
}

/// Sets the callback of `on_event`.
pub fn set_callback(session: &Session, callback: Option<Py<PyAny>>) {
    let mut listeners = LISTENERS.lock();
    let before = std::mem::replace(&mut listeners.callback, callback);
    session.engine.events.listen(listeners.callback.is_some() || listeners.renderer.is_some());
    drop(listeners);
    // Its end may run Python, which must not meet the lock.
    drop(before);
}

/// Whoever wants to see something is found before there is something to see.
fn listen(py: Python<'_>, session: &Session) -> PyResult<()> {
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
    session.engine.events.listen(listeners.callback.is_some() || listeners.renderer.is_some());
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
    let (callback, renderer) = {
        let listeners = LISTENERS.lock();
        let clone = |held: &Option<Py<PyAny>>| held.as_ref().map(|held| held.clone_ref(py));
        (clone(&listeners.callback), clone(&listeners.renderer))
    };
    for event in events {
        let shown = as_dict(py, &event)?;
        for target in [callback.as_ref(), renderer.as_ref()].into_iter().flatten() {
            target.call1(py, (&shown,))?;
        }
    }
    Ok(())
}

/// Hands the fetch events of one operation to whoever asked for them.
fn tell(py: Python<'_>, listener: Option<&Py<PyAny>>, heard: Option<&Heard>) -> PyResult<()> {
    let (Some(listener), Some(heard)) = (listener, heard) else { return Ok(()) };
    let events = std::mem::take(&mut *heard.lock());
    for event in events {
        listener.call1(py, (as_dict(py, &event)?,))?;
    }
    Ok(())
}

fn as_dict<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let event = event.shown();
    dict.set_item("event", event.event)?;
    for (key, text) in [("unit", event.unit), ("artifact", event.artifact), ("url", &event.url)] {
        dict.set_item(key, shown(text, SENTENCE))?;
    }
    dict.set_item("bytes", event.bytes)?;
    dict.set_item("total", event.total)?;
    dict.set_item("percentage", event.percentage())?;
    dict.set_item("status", event.status)?;
    Ok(dict)
}
