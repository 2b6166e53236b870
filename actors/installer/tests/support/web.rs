//! A server on loopback that does what it is told, however wrong.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A request.
pub struct Asked {
    /// Which it is, from 0.
    pub number: usize,
    /// The first line: `GET /x HTTP/1.1`.
    pub line: String,
    /// Where a range begins.
    pub from: Option<usize>,
    pub if_range: Option<String>,
    pub host: Option<String>,
}

type Answer = dyn Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// One that answers as it is told; it ends with the test's process.
pub struct Web {
    pub port: u16,
    asked: Arc<AtomicUsize>,
}

impl Web {
    pub fn that(
        answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let (counter, answer): (_, Arc<Answer>) = (asked.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (counter, answer) = (counter.clone(), answer.clone());
                std::thread::spawn(move || {
                    let Some(mut asked) = read(&stream) else { return };
                    asked.number = counter.fetch_add(1, Ordering::SeqCst);
                    let _client_ended = answer(&asked, &mut stream);
                });
            }
        });
        Self { port, asked }
    }

    /// One that serves a file well.
    pub fn serving(body: Vec<u8>) -> Self {
        Self::that(move |asked, stream| serve(asked, stream, &body))
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/x.tar", self.port)
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut asked = Asked { number: 0, line: line.trim().to_owned(), from: None, if_range: None, host: None };
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? <= 2 {
            return Some(asked);
        }
        let (name, value) = header.trim().split_once(": ")?;
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.from = value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "host" => asked.host = Some(value.to_owned()),
            "if-range" => asked.if_range = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// The head of an answer that ends with its connection.
pub fn head(stream: &mut TcpStream, status: &str, headers: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}

/// The head of the answer to who asks for a file of that length, or for what follows of it.
pub fn good_head(asked: &Asked, stream: &mut TcpStream, length: usize, more: &str) -> std::io::Result<usize> {
    match asked.from {
        None => head(stream, "200 OK", &format!("Content-Length: {length}\r\n{more}"))?,
        Some(from) if from >= length => {
            head(stream, "416 Range Not Satisfiable", &format!("Content-Range: bytes */{length}\r\n"))?;
            return Ok(length);
        }
        Some(from) => {
            let (left, last) = (length - from, length - 1);
            let range = format!("Content-Length: {left}\r\nContent-Range: bytes {from}-{last}/{length}\r\n");
            head(stream, "206 Partial Content", &format!("{range}{more}"))?;
        }
    }
    Ok(asked.from.unwrap_or(0))
}

/// Serves a file as a server should.
pub fn serve(asked: &Asked, stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let from = good_head(asked, stream, body.len(), "")?;
    stream.write_all(&body[from..])
}
