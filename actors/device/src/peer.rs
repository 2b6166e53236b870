//! For tests: the other end of a lent port, a loader that keeps to optiboot's ways over the wire crate's own parser. That
//! the real one agrees is tested where the virtual board is.

use std::collections::VecDeque;

use bytes::Bytes;
use farmhand_api::EpochCause;
use farmhand_messages::serial::{LentPort, PortCommand};
use farmhand_records::Epoch;
use farmhand_wire::stk500v1::Command;
use farmhand_wire::stk500v1::device::{CommandParser, Heard, Status, Told, encode_reply};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::driver::{Epochs, Transport};
use crate::link::Link;
use crate::reset::ResetLine;

/// What is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) signature: [u8; 3],
    pub(crate) flash: Vec<u8>,
    /// Answers come in chunks of so many bytes.
    pub(crate) chunk: usize,
    /// Before its first answer it says this: what the program said before the reset.
    pub(crate) garbage: Vec<u8>,
    /// It answers nothing before so many resets.
    pub(crate) deaf_resets: u32,
    /// So many times it reads back a byte that is not there.
    pub(crate) flips: u32,
    /// It loses what comes in one write behind a first command.
    pub(crate) loses_bytes: bool,
    /// The handoff command is taken, and not answered.
    pub(crate) mute_leave: bool,
    /// After this command it has gone, and the program speaks instead.
    pub(crate) gone_after: Option<Command>,
    /// It has gone when it is asked for the first time after so many answered questions whether it is there.
    pub(crate) gone_after_syncs: Option<u32>,
    /// What the program says when it starts.
    pub(crate) program: Vec<u8>,
    /// It sees all that is asked, and counts.
    pub(crate) seen: Seen,
}

/// What a peer has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) resets: u32,
    pub(crate) pages_written: u32,
    pub(crate) leaves: u32,
    pub(crate) syncs: u32,
    pub(crate) bauds: Vec<u32>,
    pub(crate) epochs: Vec<(Epoch, EpochCause, Vec<u8>)>,
    /// All that came while the program ran.
    pub(crate) to_program: Vec<u8>,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            signature: [0x1e, 0x95, 0x0f],
            flash: vec![0xff; 0x8000],
            chunk: usize::MAX,
            garbage: Vec::new(),
            deaf_resets: 0,
            flips: 0,
            loses_bytes: false,
            mute_leave: false,
            gone_after: None,
            gone_after_syncs: None,
            program: b"hello\r\n".to_vec(),
            seen: Seen::default(),
        }
    }
}

impl Peer {
    /// Runs it. It ends, and tells what it saw, when the port is given back.
    pub(crate) fn run(self) -> (Transport, JoinHandle<Self>) {
        let (to_host, bytes) = mpsc::channel(1024);
        let (commands, orders) = mpsc::channel(1);
        let link = Link::new(LentPort { bytes: bytes.into(), commands });
        let peer = tokio::spawn(
            Running { peer: self, to_host, gone: true, word: 0, out: VecDeque::new() }.run(orders),
        );
        (Transport { link, reset: ResetLine::Port }, peer)
    }
}

/// Epochs that nobody records.
pub(crate) fn epochs(numbers: std::ops::RangeInclusive<u64>) -> Epochs {
    let (epochs, mut resets) = Epochs::new(numbers.map(Epoch));
    tokio::spawn(async move {
        while let Some((_, recorded)) = resets.recv().await {
            recorded.send(()).unwrap();
        }
    });
    epochs
}

struct Running {
    peer: Peer,
    to_host: mpsc::Sender<Bytes>,
    /// The program runs.
    gone: bool,
    word: u16,
    out: VecDeque<u8>,
}

impl Running {
    async fn run(mut self, mut orders: mpsc::Receiver<PortCommand>) -> Peer {
        let mut parser = CommandParser::new();
        while let Some(order) = orders.recv().await {
            match order {
                PortCommand::Write { bytes, done } => {
                    done.send(Ok(())).unwrap();
                    self.take(&mut parser, &bytes);
                }
                PortCommand::Baud { baud, done } => {
                    self.peer.seen.bauds.push(baud);
                    done.send(Ok(())).unwrap();
                }
                PortCommand::Lines { dtr, done, .. } => {
                    if dtr {
                        self.peer.seen.resets += 1;
                        self.gone = self.peer.seen.resets <= self.peer.deaf_resets;
                        parser = CommandParser::new();
                        let garbage = std::mem::take(&mut self.peer.garbage);
                        self.out.extend(garbage);
                    }
                    done.send(Ok(true)).unwrap();
                }
                PortCommand::BeginEpoch { epoch, cause, unread, done } => {
                    self.peer.seen.epochs.push((epoch, cause, unread.to_vec()));
                    done.send(()).unwrap();
                }
            }
            while !self.out.is_empty() {
                let len = self.peer.chunk.min(self.out.len());
                let chunk: Bytes = self.out.drain(..len).collect::<Vec<_>>().into();
                // The host may have dropped its end meanwhile.
                let _host_gone = self.to_host.send(chunk).await;
            }
        }
        self.peer
    }

    fn take(&mut self, parser: &mut CommandParser, bytes: &[u8]) {
        if self.gone {
            return self.peer.seen.to_program.extend_from_slice(bytes);
        }
        let mut rest = bytes;
        while let Heard::Told { told, unused } = parser.feed(rest) {
            rest = if self.peer.loses_bytes { &[] } else { unused };
            let Told::Command(command) = told else { panic!("the host said {told:?}") };
            self.obey(&command);
            if self.gone {
                return;
            }
        }
    }

    fn obey(&mut self, command: &Command) {
        if *command == Command::GetSync && self.peer.gone_after_syncs == Some(self.peer.seen.syncs) {
            self.gone = true;
            return self.out.extend(self.peer.program.clone());
        }
        let at = usize::from(self.word) * 2;
        let peer = &mut self.peer;
        let data = match command {
            Command::GetSync => {
                peer.seen.syncs += 1;
                vec![]
            }
            Command::GetParameter(_) => vec![4],
            Command::ReadSignature => peer.signature.to_vec(),
            Command::LoadAddress(word) => {
                self.word = *word;
                vec![]
            }
            Command::ProgPage { data, .. } => {
                peer.seen.pages_written += 1;
                peer.flash[at..at + data.len()].copy_from_slice(data);
                vec![]
            }
            Command::ReadPage { len, .. } => {
                let mut page = peer.flash[at..at + usize::from(*len)].to_vec();
                if peer.flips > 0 {
                    peer.flips -= 1;
                    page[1] ^= 1;
                }
                page
            }
            Command::LeaveProgmode => {
                peer.seen.leaves += 1;
                self.gone = true;
                vec![]
            }
            other => panic!("the driver says {other:?}"),
        };
        let leaves = *command == Command::LeaveProgmode;
        if !(leaves && peer.mute_leave) {
            let mut answer = Vec::new();
            encode_reply(&data, Status::Ok, &mut answer);
            self.out.extend(answer);
        }
        if peer.gone_after.as_ref() == Some(command) {
            self.gone = true;
        }
        if self.gone {
            self.out.extend(peer.program.clone());
        }
    }
}
