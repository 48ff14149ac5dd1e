//! The one function that waits for the network on behalf of Python.
//!
//! Work runs in a thread of its own, where there is one to be had (`fetch::Work`). The
//! waiting thread wakes every 50 ms: it hands events to their listeners and lets signals
//! through. What a listener or a signal handler raises ends the work. Workers never touch
//! Python.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use serde_json::json;
use tokio::sync::oneshot;

use super::consent::{answer, asker};
use super::detached::detached;
use super::errors::OrRaise;
use super::listeners::{call_if_there, deliver, fail, listen, tell};
use super::state::know_tags;
use super::told;
use crate::audit::{self, Act, Question, Watcher};
use crate::error::{Error, Kind, Result};
use crate::events::{self, Heard};
use crate::fetch::{Next, Work};
use crate::session::Session;

const TICK: Duration = Duration::from_millis(50);

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
    let asker = asker(py, session);
    let begun = session.engine.fetcher.begin(|sender| {
        let watcher: Watcher = {
            let sender = sender.clone();
            Arc::new(move |question, answer| drop(sender.send(Step::Asked(question, answer))))
        };
        let work = audit::asked_by(asker, audit::watched(watcher, work));
        let work = events::heard(heard.clone(), work);
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
    // Also where it failed: what was noticed may be why.
    let warned = super::notices::warn(py, session);
    let value = outcome?;
    warned?;
    Ok(value)
}

/// Tick by tick, until the work is done or something is raised.
fn wait<T: Send + 'static>(
    py: Python<'_>,
    session: &Session,
    listener: Option<&Py<PyAny>>,
    heard: Option<&Heard>,
    mut work: Work<Step<T>>,
) -> PyResult<T> {
    let (began, mut fetches) = (Instant::now(), false);
    loop {
        let next = detached(py, || work.next(TICK));
        let answered = match &next {
            Next::Told(Step::Asked(Question::May(acts), _)) => {
                fetches |= acts.iter().any(|act| matches!(act, Act::Fetch { .. }));
                super::audit::acts(py, acts)
            }
            Next::Told(Step::Asked(Question::Tags, _)) => know_tags(py, session),
            Next::Told(Step::Asked(Question::Consent(request, place), _)) => answer(py, request)
                .map(|verdict| {
                    verdict.map(|verdict| place.set(verdict));
                }),
            _ => Ok(()),
        };
        let told = answered
            .and_then(|()| deliver(py, session))
            .and_then(|()| tell(py, listener, heard))
            .and_then(|()| call_if_there(py, listener, "tick"))
            .and_then(|()| check(py));
        match (next, told) {
            (Next::Told(Step::Done(result)), Ok(())) => {
                if fetches {
                    told::tell(|| json!({"waited": began.elapsed().as_secs_f64()}));
                }
                detached(py, || work.end());
                return result.or_raise(py);
            }
            (Next::Told(Step::Asked(_, answer)), Ok(())) => {
                let _ = answer.send(());
            }
            (_, Err(raised)) => {
                detached(py, || work.end());
                return Err(raised);
            }
            (Next::Tick, Ok(())) => {}
            (Next::Ended, Ok(())) => {
                let error = Error::new(Kind::Store, "a download ended unexpectedly");
                return Err(error.hint("try again")).or_raise(py);
            }
            (Next::Closed, Ok(())) => {
                let what = "a download ended: this program closed its files and connections";
                return Err(Error::new(Kind::Store, what).hint("try again")).or_raise(py);
            }
        }
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
