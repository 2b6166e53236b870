//! A file from a server, by its hash: resumed after a cut or a crash, from the next mirror where one fails, never
//! whole in memory.

mod answer;
mod growing;
mod part;
mod state;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farmhand_api::InstallStage;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::InstallError;
use crate::apt::Sha256;
use crate::packages::{Held, in_thread};
use crate::progress::Progress;
use crate::shelf::remove_all;
pub(crate) use growing::{Arrivals, Growing, growing};
use part::Part;
use state::{Cut, End, Next, Tries};

/// Downloads of this process at once.
const AT_ONCE: usize = 4;
/// Who is offline is told within three seconds: this is shared by all mirrors.
const CONNECT_ALL: Duration = Duration::from_millis(2400);
const _: () = assert!(CONNECT_ALL.as_secs() < 3);
/// The least that one mirror gets of it.
const CONNECT_MIN: Duration = Duration::from_millis(400);
/// How long a server may say nothing while there are others that were never asked.
const STALL_BEFORE_OTHERS: Duration = Duration::from_secs(20);
/// Pieces between who receives and who writes: a few megabytes at most.
const QUEUE: usize = 16;

/// A place for each download that may go on.
static PLACES: Semaphore = Semaphore::const_new(AT_ONCE);

/// A file to fetch.
pub(crate) struct Wanted<'a> {
    pub(crate) package: &'a str,
    /// Where it is; the first that serves it does.
    pub(crate) urls: &'a [String],
    /// What it must be; none: what it is, is learnt by taking it.
    pub(crate) sha256: Option<[u8; 32]>,
    /// Where it is to be.
    pub(crate) file: PathBuf,
    /// The most that it may have.
    pub(crate) bytes_max: u64,
    /// Nothing arrives for so long: it is tried again. Sooner where another server was never asked.
    pub(crate) stall: Duration,
}

/// Why a mirror did not serve it, in a line.
struct Failure {
    url: String,
    why: String,
    unreachable: bool,
    /// What its bytes were.
    found: Option<[u8; 32]>,
    too_long: bool,
}

/// How an answer broke off.
enum BrokeOff {
    /// Nothing arrived for too long.
    Mute,
    /// Why, in a line.
    Cut(String),
}

/// Where a file lies while it arrives.
pub(crate) fn part_of(file: &Path) -> PathBuf {
    file.with_extension("part")
}

/// Fetches a file; gives its length, and what it is. `arrivals` is told how much of it is there.
pub(crate) async fn fetch(
    wanted: &Wanted<'_>,
    arrivals: Arrivals,
    progress: &Progress,
    held: &Held,
) -> Result<(u64, [u8; 32]), InstallError> {
    let part = part_of(&wanted.file);
    let (expected, bytes_max) = (wanted.sha256, wanted.bytes_max);
    let open = {
        let (held, whole, part) = (held.clone(), wanted.file.clone(), part.clone());
        // Whole or not, what is there is hashed: it is the disk's word until then.
        move || {
            if whole.exists() && !part.exists() {
                std::fs::rename(&whole, &part).map_err(|error| InstallError::io("rename", &whole, error))?;
            }
            if expected.is_none() {
                // Nothing tells whether it is of what is served now.
                remove_all(&part).map_err(|error| InstallError::io("remove", &part, error))?;
            }
            Part::open(&part, expected, bytes_max, arrivals, &held)
        }
    };
    let part = in_thread(held.clone(), open).await?;
    if part.is_whole() {
        return part.finish(&wanted.file);
    }
    let _place = PLACES.acquire().await;
    progress.stage(InstallStage::Fetch, part.length(), 0);
    let part = Fetching {
        wanted,
        progress,
        held,
        client: client(wanted)?,
        stall: wanted.stall,
        failures: Vec::new(),
    }
    .run(part)
    .await?;
    part.finish(&wanted.file)
}

/// A client for these servers. It takes the proxy that the environment names.
fn client(wanted: &Wanted<'_>) -> Result<Client, InstallError> {
    let mirrors = u32::try_from(wanted.urls.len().max(1)).unwrap_or(u32::MAX);
    let builder = || {
        Client::builder()
            .user_agent(concat!("farmhand/", env!("CARGO_PKG_VERSION")))
            .connect_timeout((CONNECT_ALL / mirrors).max(CONNECT_MIN))
    };
    // There is one provider in this program: the first call chooses it, and the others find it chosen.
    let _chosen_already = rustls::crypto::ring::default_provider().install_default();
    let built = match builder().build() {
        // A machine without any roots reaches its own servers.
        Err(_) if wanted.urls.iter().all(|url| url.starts_with("http:")) => {
            builder().tls_certs_only([]).build()
        }
        built => built,
    };
    built.map_err(|error| InstallError::Offline {
        package: wanted.package.to_owned(),
        detail: vec![chain(&error)],
    })
}

/// An error with all that it came from, in a line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = error.source();
    }
    text
}

struct Fetching<'a> {
    wanted: &'a Wanted<'a>,
    progress: &'a Progress,
    held: &'a Held,
    client: Client,
    /// How long the server that is asked now may say nothing.
    stall: Duration,
    failures: Vec<Failure>,
}

impl Fetching<'_> {
    async fn run(mut self, mut part: Part) -> Result<Part, InstallError> {
        let mut tries = Tries::new(self.wanted.urls.len(), part.length());
        let mut mirror = 0;
        loop {
            let url = self.wanted.urls[mirror].clone();
            self.stall = match tries.has_fresh() {
                true => self.wanted.stall.min(STALL_BEFORE_OTHERS),
                false => self.wanted.stall,
            };
            let end;
            (end, part) = self.attempt(&url, part).await?;
            tracing::debug!(package = self.wanted.package, url, ?end, "a try ended");
            match tries.step(end) {
                Next::Done => return Ok(part),
                Next::GiveUp { afresh } => {
                    // What nobody could take up is not left for anybody.
                    if afresh || part.length() == 0 || self.wanted.sha256.is_none() {
                        part.discard()?;
                    }
                    return Err(self.failed());
                }
                Next::Try { mirror: next, wait, afresh } => {
                    if afresh {
                        part.clear()?;
                    }
                    sleep(wait).await;
                    mirror = next;
                }
            }
        }
    }

    fn note(&mut self, url: &str, why: String, unreachable: bool) {
        self.failures.retain(|failure| failure.url != url || failure.found.is_some());
        self.failures.push(Failure { url: url.to_owned(), why, unreachable, found: None, too_long: false });
    }

    /// One request, to its end.
    async fn attempt(&mut self, url: &str, mut part: Part) -> Result<(End, Part), InstallError> {
        let have = part.length();
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
            if let Some(validator) = part.validator() {
                request = request.header(IF_RANGE, validator);
            }
        }
        // What no byte came of.
        let nothing = |mute| End::Cut(Cut { length: have, again: false, mute });
        let started = Instant::now();
        let response = match timeout(self.stall, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let unreachable = error.is_connect() || error.is_builder();
                self.note(url, chain(&error), unreachable);
                let timed_out = error.is_timeout() || started.elapsed() >= CONNECT_MIN;
                let end = if unreachable { End::Unreachable { timed_out } } else { nothing(false) };
                return Ok((end, part));
            }
            Err(_) => {
                self.note(url, "it does not answer".into(), false);
                return Ok((nothing(true), part));
            }
        };
        let status = response.status();
        let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let total = match answer::judge(status.as_u16(), range, response.content_length(), have) {
            answer::Bytes::Follow { total } => {
                part.another_piece(None)?;
                total
            }
            answer::Bytes::Begin { total } => {
                part.clear()?;
                part.another_piece(validator(response.headers()))?;
                total
            }
            answer::Bytes::Stray => {
                part.clear()?;
                self.note(url, "it sends another part than was asked for".into(), false);
                return Ok((End::Cut(Cut { length: 0, again: have > 0, mute: false }), part));
            }
            answer::Bytes::NoMore => {
                self.wrong(url, &part);
                return Ok((End::Wrong { one_piece: part.is_one_piece() }, part));
            }
            answer::Bytes::Busy => {
                self.note(url, format!("it says {status}"), false);
                return Ok((nothing(false), part));
            }
            answer::Bytes::Refused => {
                self.note(url, format!("it says {status}"), false);
                return Ok((End::Refused, part));
            }
        };
        if total.is_some_and(|total| total > self.wanted.bytes_max) {
            return Ok((self.too_long(url), part));
        }
        let again = part.length() < have;
        let (broke_off, mut part) = self.receive(response, part, total).await?;
        if part.is_too_long() {
            return Ok((self.too_long(url), part));
        }
        let short = total.is_some_and(|total| part.length() < total);
        if broke_off.is_none() && !short {
            part.end();
        }
        if part.is_whole() {
            return Ok((End::Whole, part));
        }
        let mute = matches!(broke_off, Some(BrokeOff::Mute));
        match broke_off {
            Some(BrokeOff::Mute) => {
                self.note(url, format!("nothing arrived for {} s", self.stall.as_secs_f32()), false);
            }
            Some(BrokeOff::Cut(why)) => self.note(url, why, false),
            None if short => self.note(url, "it broke off".into(), false),
            None => {
                self.wrong(url, &part);
                return Ok((End::Wrong { one_piece: part.is_one_piece() }, part));
            }
        }
        Ok((End::Cut(Cut { length: part.length(), again, mute }), part))
    }

    fn wrong(&mut self, url: &str, part: &Part) {
        self.failures.retain(|failure| failure.url != url);
        let (why, found) = ("its bytes are wrong".to_owned(), Some(part.found()));
        self.failures.push(Failure { url: url.to_owned(), why, unreachable: false, found, too_long: false });
    }

    fn too_long(&mut self, url: &str) -> End {
        let why = format!("it sends more than {} bytes", self.wanted.bytes_max);
        self.note(url, why, false);
        if let Some(failure) = self.failures.last_mut() {
            failure.too_long = true;
        }
        End::TooLong
    }

    /// Takes in what comes; why it broke off, where it did.
    async fn receive(
        &self,
        mut response: Response,
        part: Part,
        total: Option<u64>,
    ) -> Result<(Option<BrokeOff>, Part), InstallError> {
        let (sender, mut arriving) = mpsc::channel::<Bytes>(QUEUE);
        let mut length = part.length();
        // A thread, for the disk blocks and hashing takes a processor: the next bytes arrive meanwhile.
        let writing = in_thread(self.held.clone(), move || {
            let mut part = part;
            part.take_in(&mut arriving)?;
            Ok(part)
        });
        let receiving = async move {
            loop {
                match timeout(self.stall, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        length += bytes.len() as u64;
                        self.progress.step(InstallStage::Fetch, length, total.unwrap_or(0).max(length));
                        if sender.send(bytes).await.is_err() {
                            // Why is the writer's to tell.
                            return None;
                        }
                    }
                    Ok(Ok(None)) => return None,
                    Ok(Err(error)) => return Some(BrokeOff::Cut(chain(&error))),
                    Err(_) => return Some(BrokeOff::Mute),
                }
            }
        };
        let (broke_off, part) = tokio::join!(receiving, writing);
        Ok((broke_off, part?))
    }

    /// Why no mirror served it.
    fn failed(self) -> InstallError {
        let package = self.wanted.package.to_owned();
        let detail: Vec<_> =
            self.failures.iter().map(|failure| format!("{}: {}", failure.url, failure.why)).collect();
        if let Some((url, found)) =
            self.failures.iter().rev().find_map(|failure| Some((&failure.url, failure.found?)))
        {
            let expected = self.wanted.sha256.map_or_else(String::new, |hash| Sha256(hash).to_string());
            let found = Sha256(found).to_string();
            return InstallError::WrongHash { file: Path::new(url).to_owned(), expected, found };
        }
        if let Some(failure) = self.failures.iter().rev().find(|failure| failure.too_long) {
            return InstallError::EndlessDownload {
                url: failure.url.clone(),
                bytes_max: self.wanted.bytes_max,
            };
        }
        if self.failures.iter().all(|failure| failure.unreachable) {
            return InstallError::Offline { package, detail };
        }
        InstallError::NotServed { package, detail }
    }
}

/// What names this version of a file: an entity tag that is not weak, or its date.
fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    text(ETAG).filter(|tag: &String| !tag.starts_with("W/")).or_else(|| text(LAST_MODIFIED))
}
