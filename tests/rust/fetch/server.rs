//! A server on the loopback whose answers a test writes by hand, byte by byte.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use url::Url;

/// How TLS begins (<https://www.rfc-editor.org/rfc/rfc8446#section-5.1>).
const TLS_HANDSHAKE: u8 = 22;

/// One request as it arrived. Header names are lower case.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Counted from zero over the server's life.
    pub number: usize,
    pub path: String,
    pub headers: HashMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Answers on one connection, which is closed afterwards.
type Answer = dyn Fn(&Seen, &mut Connection) -> io::Result<()> + Send + Sync;

pub struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub struct Connection {
    pub stream: TcpStream,
}

impl Server {
    pub fn start(
        answer: impl Fn(&Seen, &mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let answer: Arc<Answer> = Arc::new(answer);
        let (log, end) = (seen.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut connections = Vec::new();
            let mut streams = Vec::new();
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                streams.push(stream.try_clone().unwrap());
                let (log, answer) = (log.clone(), answer.clone());
                let mut connection = Connection { stream };
                connections.push(std::thread::spawn(move || {
                    // A client that goes away is not a failure of the test.
                    let _ = connection.serve(&log, &*answer);
                }));
            }
            // Ends what still writes to a client that does not read.
            for stream in streams {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            for connection in connections {
                connection.join().unwrap();
            }
        });
        Self { address, seen, stop, thread: Some(thread) }
    }

    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("http://{}/{path}", self.address)).unwrap()
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Connection {
    fn serve(&mut self, log: &Mutex<Vec<Seen>>, answer: &Answer) -> io::Result<()> {
        let mut first = [0; 1024];
        if self.stream.peek(&mut first)? > 0 && first[0] == TLS_HANDSHAKE {
            let _ = self.stream.read(&mut first)?;
            return self.empty("400 Bad Request", &[]);
        }
        let mut reader = BufReader::new(self.stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let seen = {
            let mut log = log.lock().unwrap();
            let seen = Seen { number: log.len(), path, headers };
            log.push(seen.clone());
            seen
        };
        answer(&seen, self)
    }

    /// The head of an answer; the connection is closed after its body.
    pub fn head(&mut self, status: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        self.stream.write_all((text + "\r\n").as_bytes())
    }

    pub fn empty(&mut self, status: &str, headers: &[(&str, &str)]) -> io::Result<()> {
        self.head(status, &[headers, &[("Content-Length", "0")]].concat())
    }

    pub fn body(&mut self, body: &[u8], headers: &[(&str, &str)]) -> io::Result<()> {
        let length = body.len().to_string();
        self.head("200 OK", &[headers, &[("Content-Length", length.as_str())]].concat())?;
        self.stream.write_all(body)
    }

    /// Answers a `Range: bytes=N-` as it should be, everything else in full.
    pub fn body_or_rest(
        &mut self,
        seen: &Seen,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> io::Result<()> {
        let Some(first) = seen
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        else {
            return self.body(body, headers);
        };
        let rest: &[u8] = &body[first..];
        let length = rest.len().to_string();
        let range = format!("bytes {first}-{}/{}", body.len() - 1, body.len());
        let own = [("Content-Length", length.as_str()), ("Content-Range", range.as_str())];
        self.head("206 Partial Content", &[headers, &own].concat())?;
        self.stream.write_all(rest)
    }

    /// Says nothing more until the client goes away or the server stops.
    pub fn stall(&mut self) -> io::Result<()> {
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }

    /// Ends the connection with a reset.
    pub fn reset(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        self.stream.shutdown(std::net::Shutdown::Both)
    }
}
