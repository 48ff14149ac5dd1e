//! Bytes on their way into the store, hashed as they pass.
//!
//! A small artifact is hashed and written where it arrives, the smallest in one piece. A
//! large one has two threads, while the next bytes arrive; what waits for them is bounded
//! by bytes, over all downloads of the process:
//!
//! ```text
//! network ─ queue ─ write to the part file ─ queue ─ hash
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::{Error, Kind, Result};
use crate::name::{Digest, Hasher};
use crate::store::blob::BlobWriter;
use crate::threads;

/// From this size on threads of its own pay.
const THREAD_FROM: u64 = 8 << 20;

/// Up to this size an artifact is written in one piece.
const WHOLE_TO: u64 = 64 << 10;

/// What may wait for such threads, in bytes.
pub const QUEUE: usize = 4 << 20;

/// How long a cancelled download waits for its thread to let go of the part file.
const LET_GO: Duration = Duration::from_millis(100);

pub(super) enum Sink {
    Whole(Hashed, Vec<u8>),
    Here(Hashed),
    Thread(Thread),
}

impl Sink {
    pub(super) fn new(writer: BlobWriter, size: u64, queue: &Arc<Semaphore>) -> Result<Self> {
        let hashed = Hashed { writer, hasher: Hasher::default() };
        if size <= WHOLE_TO {
            return Ok(Self::Whole(hashed, Vec::new()));
        }
        if size < THREAD_FROM {
            return Ok(Self::Here(hashed));
        }
        let thread = Thread::start(Box::new(hashed), queue.clone());
        Ok(thread.map_or_else(|hashed| Self::Here(*hashed), Self::Thread))
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<()> {
        match self {
            Self::Whole(_, waiting) => {
                waiting.extend_from_slice(&bytes);
                Ok(())
            }
            Self::Here(hashed) => hashed.write(&bytes),
            Self::Thread(thread) => {
                let length = u32::try_from(bytes.len().min(QUEUE)).unwrap_or(u32::MAX);
                let permit = thread.queue.clone().acquire_many_owned(length).await;
                // The semaphore is never closed.
                let Ok(permit) = permit else { return Err(ended()) };
                thread.send(Message::Step(Step::Bytes(bytes, permit)))
            }
        }
    }

    /// Back to the beginning.
    pub fn restart(&mut self) -> Result<()> {
        match self {
            Self::Whole(_, waiting) => {
                waiting.clear();
                Ok(())
            }
            Self::Here(hashed) => hashed.restart(),
            Self::Thread(thread) => thread.send(Message::Step(Step::Restart)),
        }
    }

    /// What all bytes hash to, and the writer that is to be committed if that is right.
    pub async fn finish(self) -> Result<(Digest, BlobWriter)> {
        match self {
            Self::Whole(mut hashed, waiting) => {
                hashed.write(&waiting)?;
                Ok(hashed.finish())
            }
            Self::Here(hashed) => Ok(hashed.finish()),
            Self::Thread(thread) => {
                let (answer, done) = oneshot::channel();
                thread.send(Message::Finish(answer))?;
                done.await.map_err(|_| thread.failure())
            }
        }
    }
}

/// A blob's writer and the hash of what it wrote.
pub struct Hashed {
    writer: BlobWriter,
    hasher: Hasher,
}

impl Hashed {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.writer.write(bytes)
    }

    fn restart(&mut self) -> Result<()> {
        self.hasher = Hasher::default();
        self.writer.restart()
    }

    fn finish(self) -> (Digest, BlobWriter) {
        (self.hasher.finish(), self.writer)
    }
}

enum Message {
    Step(Step),
    Finish(oneshot::Sender<(Digest, BlobWriter)>),
}

enum Step {
    Bytes(Bytes, OwnedSemaphorePermit),
    Restart,
}

/// The near end of the threads that write and hash.
pub struct Thread {
    queue: Arc<Semaphore>,
    messages: Option<mpsc::Sender<Message>>,
    error: Arc<Mutex<Option<Error>>>,
    cancelled: Arc<AtomicBool>,
    ended: mpsc::Receiver<()>,
}

impl Thread {
    /// What it would have written comes back where there is no thread.
    fn start(hashed: Box<Hashed>, queue: Arc<Semaphore>) -> std::result::Result<Self, Box<Hashed>> {
        let (sender, messages) = mpsc::channel();
        let (running, ended) = mpsc::channel();
        let error = Arc::new(Mutex::new(None));
        let cancelled = Arc::new(AtomicBool::new(false));
        let (slot, stop) = (error.clone(), cancelled.clone());
        let body = move |hashed: Box<Hashed>| {
            if let Err(error) = drain(*hashed, messages, &stop) {
                *slot.lock() = Some(error);
            }
            drop(running);
        };
        threads::start("magic_module-write", hashed, body)?;
        Ok(Self { queue, messages: Some(sender), error, cancelled, ended })
    }

    fn send(&self, message: Message) -> Result<()> {
        match &self.messages {
            Some(messages) => messages.send(message).map_err(|_| self.failure()),
            None => Err(ended()),
        }
    }

    /// Why the thread ended before its time.
    fn failure(&self) -> Error {
        // It drops its end of the queue before it tells why.
        let _ = self.ended.recv();
        self.error.lock().take().unwrap_or_else(ended)
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
        self.messages = None;
        // At most one write is under way.
        let _ = self.ended.recv_timeout(LET_GO);
    }
}

fn drain(hashed: Hashed, messages: mpsc::Receiver<Message>, stop: &AtomicBool) -> Result<()> {
    let Hashed { mut writer, hasher } = hashed;
    let mut hashing = Hashing::start(hasher);
    for message in messages {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match message {
            Message::Step(step) => {
                match &step {
                    Step::Bytes(bytes, _) => writer.write(bytes)?,
                    Step::Restart => writer.restart()?,
                }
                hashing.step(step);
            }
            Message::Finish(answer) => {
                let hasher = hashing.finish().ok_or_else(ended)?;
                // If nobody is there any more, the writer cleans up after itself.
                let _ = answer.send(Hashed { writer, hasher }.finish());
                break;
            }
        }
    }
    Ok(())
}

/// Beside the writing, where there is one more thread; else between one piece and the next.
enum Hashing {
    Thread(mpsc::Sender<Step>, std::thread::JoinHandle<Option<Hasher>>),
    Here(Hasher),
}

impl Hashing {
    fn start(hasher: Hasher) -> Self {
        let (sender, written) = mpsc::channel();
        let work = |(mut hasher, written): (Hasher, mpsc::Receiver<Step>)| {
            written.into_iter().for_each(|step| step.enter(&mut hasher));
            hasher
        };
        match threads::start("magic_module-hash", (hasher, written), work) {
            Ok(thread) => Self::Thread(sender, thread),
            Err((hasher, _)) => Self::Here(hasher),
        }
    }

    fn step(&mut self, step: Step) {
        match self {
            // It ends only when the sender is dropped.
            Self::Thread(sender, _) => drop(sender.send(step)),
            Self::Here(hasher) => step.enter(hasher),
        }
    }

    fn finish(self) -> Option<Hasher> {
        match self {
            Self::Thread(sender, thread) => {
                drop(sender);
                thread.join().ok().flatten()
            }
            Self::Here(hasher) => Some(hasher),
        }
    }
}

impl Step {
    fn enter(self, hasher: &mut Hasher) {
        match self {
            Self::Bytes(bytes, permit) => {
                hasher.update(&bytes);
                drop((bytes, permit));
            }
            Self::Restart => *hasher = Hasher::default(),
        }
    }
}

fn ended() -> Error {
    Error::new(Kind::Store, "the thread that writes to the cache ended")
}
