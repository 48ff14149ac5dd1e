//! A static HTTP/1.1 server that can delay each answer and share one slow link among all connections. It keeps what is
//! put there, as a bucket does.
//!
//! ```text
//! origin FOLDER LOG DELAY_IN_MILLISECONDS LINK_IN_MEGABITS     prints its port; ends when its input does
//! ```
//!
//! A thread per connection, small answers in one write, large ones by `sendfile`: it must never be what is measured.
//! Each request is one line in LOG (`bytes of the body`, a space, `path`), written before it is answered; of a PUT the
//! path follows the method. If whoever asked goes before the whole body is sent, another line takes back what was not.
//! It needs the standard library alone, so that `rustc -O` makes it within a second.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a tool of its own, not the library"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Bodies up to this size leave in one write with their head.
const SMALL: u64 = 64 << 10;
/// Who slept too long between two portions may catch up by this much: timers are coarse, links are not.
const LATE: Duration = Duration::from_millis(5);

struct Origin {
    folder: PathBuf,
    log: File,
    delay: Duration,
    link: Option<Link>,
}

/// One link for all connections: whoever sends takes its turn behind what others have under way.
struct Link {
    bytes_per_second: f64,
    free_at: Mutex<Instant>,
}

impl Link {
    /// Waits until `bytes` have passed; `later` portions of a body may make up for a late timer.
    fn pass(&self, bytes: u64, later: bool) {
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        let now = Instant::now();
        let earliest = if later { now.checked_sub(LATE).unwrap_or(now) } else { now };
        let until = {
            let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
            *free_at = (*free_at).max(earliest) + takes;
            *free_at
        };
        std::thread::sleep(until.saturating_duration_since(now));
    }

    /// About half a millisecond's worth.
    fn portion(&self) -> u64 {
        ((self.bytes_per_second / 2000.0) as u64).clamp(4 << 10, 64 << 10)
    }
}

/// How many answers are under way.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
/// How long the end waits for them: whoever asked is gone, so that each comes to know it soon.
const PATIENCE: Duration = Duration::from_secs(1);

/// One of them, while it lasts.
struct Answering;

impl Answering {
    fn begun() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an answer depends on.
struct Request {
    path: String,
    head_only: bool,
    /// How long what is put is.
    put: Option<u64>,
    known: Option<String>,
    /// The first and the last byte that are wanted; without a first one, so many at the end.
    part: Option<(Option<u64>, Option<u64>)>,
    close: bool,
}

impl Request {
    /// The next request of a connection; nothing when it ended.
    fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_ascii_whitespace();
        let method = words.next();
        let (head_only, is_put) = (method == Some("HEAD"), method == Some("PUT"));
        let path = decoded(words.next().unwrap_or("/").split(['?', '#']).next().unwrap_or("/"));
        let put = is_put.then_some(0);
        let mut request = Self { path, head_only, put, known: None, part: None, close: false };
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "if-none-match" => request.known = Some(value.trim().to_owned()),
                "range" => request.part = part(value.trim()),
                "content-length" if is_put => request.put = value.trim().parse().ok(),
                "connection" => request.close = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Ok(Some(request))
    }
}

/// One part, as `Range` asks for it; of several, none.
fn part(value: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let number =
        |text: &str| if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) };
    Some((number(first)?, number(last)?))
}

/// Percent signs and what follows them.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Origin {
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Request::read(&mut reader)? {
            let answering = Answering::begun();
            match request.put {
                Some(size) => self.keep(stream, &mut reader, &request.path, size)?,
                None => self.answer(stream, &request)?,
            }
            drop(answering);
            if request.close {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, mut stream: &TcpStream, request: &Request) -> io::Result<()> {
        let index = if request.path.ends_with('/') { "index.html" } else { "" };
        let path = self.folder.join(format!("{}{index}", request.path.trim_start_matches('/')));
        let file = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        let found = file.ok().filter(|(metadata, _)| metadata.is_file());
        let Some((metadata, mut file)) = found else {
            self.note(0, &request.path)?;
            std::thread::sleep(self.delay);
            return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        };
        let changed = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let size = metadata.len();
        let tag = format!("\"{:x}-{size:x}\"", changed.as_nanos());
        let same = request.known.as_deref() == Some(tag.as_str());
        let (first, end) = match request.part {
            Some((Some(first), last)) => {
                (first.min(size), last.map_or(size, |it| (it + 1).min(size)))
            }
            Some((None, Some(count))) => (size.saturating_sub(count), size),
            _ => (0, size),
        };
        let body = if same || request.head_only { 0 } else { end - first };
        self.note(body.into(), &request.path)?;
        std::thread::sleep(self.delay);
        let fields = format!("ETag: {tag}\r\n{}", fields_of(&path));
        let head = if same {
            format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n")
        } else if request.part.is_some() {
            file.seek(io::SeekFrom::Start(first))?;
            let range =
                format!("Content-Range: bytes {first}-{}/{size}\r\n", end.saturating_sub(1));
            let length = end - first;
            format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Length: {length}\r\n{range}{fields}\r\n"
            )
        } else {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n{fields}\r\n")
        };
        if body <= SMALL {
            let mut bytes = head.into_bytes();
            Read::take(&mut file, body).read_to_end(&mut bytes)?;
            if let Some(link) = &self.link {
                link.pass(bytes.len() as u64, false);
            }
            return stream.write_all(&bytes);
        }
        stream.write_all(head.as_bytes())?;
        let mut left = body;
        let sent = self.send(stream, &mut file, &mut left);
        if left > 0 {
            self.note(-i128::from(left), &request.path)?;
        }
        sent
    }

    /// What is put becomes a file. Whoever puts it is alone: no condition is looked at.
    fn keep(
        &self,
        mut stream: &TcpStream,
        reader: &mut impl BufRead,
        path: &str,
        size: u64,
    ) -> io::Result<()> {
        self.note(size.into(), &format!("PUT {path}"))?;
        let path = self.folder.join(path.trim_start_matches('/'));
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        io::copy(&mut reader.take(size), &mut File::create(&path)?)?;
        std::thread::sleep(self.delay);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    }

    fn send(&self, mut stream: &TcpStream, file: &mut File, left: &mut u64) -> io::Result<()> {
        let body = *left;
        while *left > 0 {
            let portion = self.link.as_ref().map_or(*left, |link| link.portion().min(*left));
            if let Some(link) = &self.link {
                link.pass(portion, *left < body);
            }
            let sent = io::copy(&mut Read::take(&mut *file, portion), &mut stream)?;
            if sent == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *left -= sent;
        }
        Ok(())
    }

    fn note(&self, bytes: i128, path: &str) -> io::Result<()> {
        (&self.log).write_all(format!("{bytes} {path}\n").as_bytes())
    }
}

/// What the servers of the peers say too: the type that installers insist on, how long an index lets its answers be
/// kept, the commit that a hub names.
fn fields_of(path: &Path) -> String {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let age = match path.extension().and_then(|extension| extension.to_str()) {
        Some("whl" | "metadata") => "Cache-Control: max-age=365000000, immutable, public\r\n",
        Some("html") => "Cache-Control: max-age=600, public\r\n",
        _ => "",
    };
    format!("Content-Type: {kind}\r\n{age}X-Repo-Commit: {:040}\r\n", 1)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, log, delay, megabits] = arguments.as_slice() else {
        return Err(
            "usage: origin FOLDER LOG DELAY_IN_MILLISECONDS LINK_IN_MEGABITS (0: no limit)".into(),
        );
    };
    let megabits: f64 = megabits.parse()?;
    let link = (megabits > 0.0)
        .then(|| Link { bytes_per_second: megabits * 125e3, free_at: Mutex::new(Instant::now()) });
    let origin: &'static Origin = Box::leak(Box::new(Origin {
        folder: PathBuf::from(folder),
        log: OpenOptions::new().append(true).create(true).open(log)?,
        delay: Duration::from_secs_f64(delay.parse::<f64>()? / 1e3),
        link,
    }));
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let begin = Instant::now();
        while UNDER_WAY.load(Ordering::SeqCst) > 0 && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::process::exit(0);
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let stream = stream?;
        std::thread::Builder::new().stack_size(256 << 10).spawn(move || {
            let _ = origin.converse(&stream);
        })?;
    }
    Ok(())
}
