//! A front end's end of a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use farmhand_api::{
    API, Answer, ClientFrame, FRAME_BYTES_MAX, Hello, HelloAnswer, Item, Problem, ProblemClass, Request,
    RequestId, ServerFrame, decode, encode,
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frames::{FrameReader, FrameWriter};
use super::socket;

mod task;

use task::{Command, Task};

/// A farm answers a hello from memory; one behind a slow line or a loaded machine too.
const HELLO: Duration = Duration::from_secs(10);
/// A question that one actor answers; the farm's own deadlines are shorter, and it says which one passed.
const ANSWER: Duration = Duration::from_secs(180);
/// Requests that may wait to be written.
const COMMANDS: usize = 16;
/// Items of one stream that may wait for its reader; when they are full, all streams of the connection wait.
const ITEMS: usize = 256;

/// Why a farm did not answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No farm runs in that folder.
    #[error("no farm runs in {}", .home.display())]
    NoFarm {
        /// The folder.
        home: PathBuf,
    },
    /// The socket cannot be used.
    #[error("connect to the farm in {}: {source}", .home.display())]
    Connect {
        /// The folder.
        home: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The farm is of another version.
    #[error("{farm} (pid {pid}) speaks API {api}, and this program API {API}")]
    OtherApi {
        /// What it is.
        farm: String,
        /// Its process.
        pid: u32,
        /// What it speaks.
        api: u32,
    },
    /// What is there is no farm.
    #[error("what answers is no farm: {0}")]
    NotAFarm(String),
    /// The connection ended before the answer. What was asked may still be done.
    #[error("the farm has gone")]
    Lost,
    /// No answer came in time. What was asked may still be done.
    #[error("the farm did not answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    /// The request does not fit in a frame.
    #[error("the request has {0} bytes, more than the {FRAME_BYTES_MAX} of a frame")]
    TooLarge(usize),
    /// The farm's answer: it cannot be done.
    #[error("{}", .0.message)]
    Problem(Box<Problem>),
}

impl ClientError {
    /// Whether the connection is of no use any more, and another may be.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost | Self::NoFarm { .. } | Self::Connect { .. })
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let (class, code, help): (_, _, &[&str]) = match &error {
            ClientError::Problem(problem) => return (**problem).clone(),
            ClientError::NoFarm { .. } => {
                (ProblemClass::Infra, "F820", &["any command that needs a farm starts one"])
            }
            ClientError::Connect { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => {
                (ProblemClass::Permission, "F821", &["choose another folder: FARMHAND_HOME=..."])
            }
            ClientError::Connect { .. } => {
                (ProblemClass::Infra, "F821", &["is FARMHAND_HOME a folder of yours?"])
            }
            ClientError::OtherApi { .. } => (
                ProblemClass::Infra,
                "F822",
                &["restart the farm: end it with SIGTERM; any command starts a new one"],
            ),
            ClientError::NotAFarm(_) | ClientError::Lost => {
                (ProblemClass::Infra, "F823", &["farmhand status"])
            }
            ClientError::NoAnswer(_) => (ProblemClass::Infra, "F825", &["farmhand status"]),
            ClientError::TooLarge(_) => (ProblemClass::Usage, "F826", &["ask for less at once"]),
        };
        let help = help.iter().map(|&line| line.to_owned()).collect();
        Self { class, code: code.into(), message: error.to_string(), detail: Vec::new(), help, place: None }
    }
}

/// A connection to a farm. Cheap to clone: all clones share it, and it ends with the last.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    farm: HelloAnswer,
}

/// What a request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// One item of the stream.
    Item(Item),
    /// The answer, last.
    Done(Answer),
}

/// What a request brings, as it comes. Dropped, it ends the stream.
#[derive(Debug)]
pub struct Replies {
    id: RequestId,
    commands: mpsc::Sender<Command>,
    replies: mpsc::Receiver<Result<Reply, Problem>>,
    ended: bool,
}

impl Client {
    /// Connects to the farm of a folder.
    pub async fn connect(home: &Path) -> Result<Self, ClientError> {
        let home = home.to_owned();
        match timeout(HELLO, socket::connect(&home)).await {
            Ok(Ok(Some(stream))) => Self::over(stream).await,
            Ok(Ok(None)) => Err(ClientError::NoFarm { home }),
            Ok(Err(source)) => Err(ClientError::Connect { home, source }),
            Err(_) => Err(ClientError::NoAnswer(HELLO)),
        }
    }

    /// Says hello over any stream that a farm's gateway is at the other end of.
    pub async fn over<S>(stream: S) -> Result<Self, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        let (mut frames, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
        let hello = async {
            let client = format!("farmhand {} pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
            let sent = writer.send(encode(&ClientFrame::Hello(Hello { api: API, client }))).await;
            sent.map_err(|_| ClientError::Lost)?;
            let frame = frames.next().await.map_err(|error| match error.kind() {
                std::io::ErrorKind::InvalidData => ClientError::NotAFarm(error.to_string()),
                _ => ClientError::Lost,
            })?;
            match decode(&frame.ok_or(ClientError::Lost)?) {
                Ok(ServerFrame::Hello(answer)) => Ok(answer),
                Ok(_) => Err(ClientError::NotAFarm("it began without a hello".into())),
                Err(error) => Err(ClientError::NotAFarm(error.to_string())),
            }
        };
        let farm = timeout(HELLO, hello).await.map_err(|_| ClientError::NoAnswer(HELLO))??;
        if farm.api != API {
            let HelloAnswer { api, farm, pid } = farm;
            return Err(ClientError::OtherApi { farm, pid, api });
        }
        let (commands, queued) = mpsc::channel(COMMANDS);
        tokio::spawn(Task::new(queued).run(frames, writer));
        Ok(Self { commands, farm })
    }

    /// Who answers.
    #[must_use]
    pub fn farm(&self) -> &HelloAnswer {
        &self.farm
    }

    /// Asks, and waits for the answer. Items of a stream are passed over.
    pub async fn ask(&self, request: Request) -> Result<Answer, ClientError> {
        self.ask_within(request, ANSWER).await
    }

    /// As [`Client::ask`], with a deadline.
    pub async fn ask_within(&self, request: Request, deadline: Duration) -> Result<Answer, ClientError> {
        let asked = async {
            let mut replies = self.stream(request).await?;
            loop {
                if let Reply::Done(answer) = replies.next().await?.ok_or(ClientError::Lost)? {
                    return Ok(answer);
                }
            }
        };
        timeout(deadline, asked).await.unwrap_or(Err(ClientError::NoAnswer(deadline)))
    }

    /// Asks for a stream. It must be read, or dropped: a reader that stands still holds up the whole connection, and
    /// nobody else.
    pub async fn stream(&self, request: Request) -> Result<Replies, ClientError> {
        let id = task::next_id();
        let frame = encode(&ClientFrame::Ask(id, request));
        if frame.len() > FRAME_BYTES_MAX {
            return Err(ClientError::TooLarge(frame.len()));
        }
        let (to, replies) = mpsc::channel(ITEMS);
        self.commands.send(Command::Ask { id, frame, to }).await.map_err(|_| ClientError::Lost)?;
        Ok(Replies { id, commands: self.commands.clone(), replies, ended: false })
    }
}

impl Replies {
    /// The next item or the answer; `None` after the answer. Safe to cancel.
    pub async fn next(&mut self) -> Result<Option<Reply>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let reply = match self.replies.recv().await {
            Some(Ok(reply @ Reply::Item(_))) => return Ok(Some(reply)),
            Some(Ok(reply)) => Ok(Some(reply)),
            Some(Err(problem)) => Err(ClientError::Problem(Box::new(problem))),
            None => Err(ClientError::Lost),
        };
        self.ended = true;
        reply
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        if !self.ended {
            // Where it does not fit now, it is said at the stream's next item.
            let _it_has_gone = self.commands.try_send(Command::Hush(self.id));
        }
    }
}
