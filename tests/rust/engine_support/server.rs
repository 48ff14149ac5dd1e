//! A server of static files that counts what it is asked for.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use magic_module::name::Digest;

#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    pub path: String,
    pub status: u16,
    /// Of the body.
    pub bytes: u64,
    /// It was asked with `If-None-Match`.
    pub conditional: bool,
}

type Before = Box<dyn Fn(&str) + Send>;

/// Refuses one request of so many.
#[derive(Default)]
struct Refusing {
    every: usize,
    asked: usize,
    due: usize,
    /// How often a path was refused. Who asks a fourth time gives up, so that a third time in a row is
    /// left to the next one: by chance it comes once in ten thousand, and a test has no room for chance.
    refused: HashMap<String, usize>,
}

impl Refusing {
    fn refuses(&mut self, path: &str) -> bool {
        if self.every == 0 {
            return false;
        }
        self.asked += 1;
        self.due += usize::from(self.asked.is_multiple_of(self.every));
        if self.due == 0 {
            return false;
        }
        let refused = self.refused.entry(path.to_owned()).or_default();
        let refuses = *refused < 2;
        if refuses {
            *refused += 1;
            self.due -= 1;
        }
        refuses
    }
}

struct Shared {
    root: PathBuf,
    hits: Mutex<Vec<Hit>>,
    before: Mutex<Option<Before>>,
    refusing: Mutex<Refusing>,
    down: AtomicBool,
    stop: AtomicBool,
}

pub struct Server {
    port: u16,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            root: root.to_path_buf(),
            hits: Mutex::default(),
            before: Mutex::default(),
            refusing: Mutex::default(),
            down: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let own = shared.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own.stop.load(Ordering::SeqCst) {
                    return;
                }
                // One after the other: the tests count, they do not measure.
                let _ = answer(&own, stream.unwrap());
            }
        });
        Self { port, shared, thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was asked for since the last call.
    pub fn hits(&self) -> Vec<Hit> {
        std::mem::take(&mut self.shared.hits.lock().unwrap())
    }

    pub fn paths(&self) -> Vec<String> {
        self.hits().into_iter().map(|hit| hit.path).collect()
    }

    /// While it is down, nothing but 503 comes, and it is not counted.
    pub fn down(&self, down: bool) {
        self.shared.down.store(down, Ordering::SeqCst);
    }

    /// From now on one request of so many is answered with 503, which counts as a hit; 0: none.
    #[cfg(unix)]
    pub fn refuse_one_of(&self, every: usize) {
        *self.shared.refusing.lock().unwrap() = Refusing { every, ..Refusing::default() };
    }

    /// Called with each path before it is answered, in the server's thread.
    pub fn before(&self, call: impl Fn(&str) + Send + 'static) {
        *self.shared.before.lock().unwrap() = Some(Box::new(call));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.thread.take().unwrap().join();
    }
}

fn answer(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut path, mut known) = (String::new(), String::new(), None);
    while reader.read_line(&mut line)? > 2 {
        let text = line.trim();
        if let Some(rest) = text.strip_prefix("GET /") {
            path = rest.split([' ', '?']).next().unwrap_or_default().to_owned();
        } else if let Some((name, value)) = text.split_once(':')
            && name.eq_ignore_ascii_case("if-none-match")
        {
            known = Some(value.trim().to_owned());
        }
        line.clear();
    }
    if shared.down.load(Ordering::SeqCst) {
        return respond(&mut stream, 404, "", b"");
    }
    if let Some(before) = &*shared.before.lock().unwrap() {
        before(&path);
    }
    if shared.refusing.lock().unwrap().refuses(&path) {
        let hit = Hit { path, status: 503, bytes: 0, conditional: known.is_some() };
        shared.hits.lock().unwrap().push(hit);
        return respond(&mut stream, 503, "", b"");
    }
    let read = std::fs::read(shared.root.join(&path));
    let found = read.is_ok();
    let mut body = read.unwrap_or_default();
    let tag = format!("\"{}\"", Digest::of(&body));
    let status = match found {
        false => 404,
        true if known.as_ref() == Some(&tag) => 304,
        true => 200,
    };
    if status != 200 {
        body.clear();
    }
    let hit = Hit { path, status, bytes: body.len() as u64, conditional: known.is_some() };
    shared.hits.lock().unwrap().push(hit);
    respond(&mut stream, status, &format!("ETag: {tag}\r\n"), &body)
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length =
        if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(stream, "HTTP/1.1 {status} X\r\n{headers}{length}Connection: close\r\n\r\n")?;
    stream.write_all(body)
}
