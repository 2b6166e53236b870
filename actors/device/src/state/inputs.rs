//! What the machine is told, and what it has done.

use farmhand_api::Problem;
use farmhand_messages::device::{Connected, DeviceError, Since, Transferred, Variables};
use farmhand_records::v1::{Device, Evidence, Identity, LoaderStay};
use farmhand_records::{ContentHash, Epoch, FencingToken};

use crate::evidence::Try;

/// Names a question, so that its answer finds the one who asked.
pub type AskId = u64;

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Open the port, for a lease.
    Connect {
        /// The console's rate.
        baud: u32,
    },
    /// Put an image on the device.
    Transfer {
        /// For which try.
        of: Try,
        /// Which image.
        artifact: ContentHash,
        /// The console's rate afterwards.
        baud: u32,
    },
    /// Reserve an epoch.
    Reserve,
    /// Hand off.
    Handoff {
        /// Which try.
        of: Try,
        /// The epoch that it begins.
        epoch: Epoch,
    },
    /// What is known of a try?
    Evidence {
        /// Which.
        of: Try,
    },
    /// Is this still the epoch that runs?
    Confirm {
        /// Which.
        epoch: Epoch,
    },
    /// The lease is over.
    Disconnect,
    /// To be told when what came before has been done.
    Idle,
    /// Open the port, for readers.
    Console {
        /// The console's rate, where it matters.
        baud: Option<u32>,
    },
    /// A person's word to a bootloader, or a question to it; the shell keeps what.
    Word,
    /// To be made what a snapshot says that it was; the shell keeps which.
    Restore,
    /// From the shell: try to open the port again.
    Reopen,
    /// From the shell: the board counted a start.
    Note {
        /// Its count.
        starts: u64,
        /// Why.
        cause: String,
    },
}

impl Wish {
    /// The answer that refuses it.
    #[must_use]
    pub fn refused(&self, error: DeviceError) -> Answer {
        match self {
            Self::Connect { .. } => Answer::Connected(Err(error)),
            Self::Transfer { .. } => Answer::Transferred(Err(error)),
            Self::Reserve => Answer::Reserved(Err(error)),
            Self::Handoff { .. } => Answer::HandedOff(Err(error)),
            Self::Evidence { .. } => Answer::Evidence(Err(error)),
            Self::Confirm { .. } => Answer::Confirmed(Err(error)),
            Self::Disconnect | Self::Idle => Answer::Disconnected,
            Self::Word | Self::Restore => Answer::Said(Err(error)),
            Self::Console { .. } | Self::Reopen | Self::Note { .. } => Answer::Console(Err(error)),
        }
    }
}

/// What a command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Wish::Connect`].
    Connected(Result<Connected, DeviceError>),
    /// To [`Wish::Transfer`].
    Transferred(Result<Transferred, DeviceError>),
    /// To [`Wish::Reserve`].
    Reserved(Result<Epoch, DeviceError>),
    /// To [`Wish::Handoff`].
    HandedOff(Result<Evidence, DeviceError>),
    /// To [`Wish::Evidence`].
    Evidence(Result<Evidence, DeviceError>),
    /// To [`Wish::Confirm`].
    Confirmed(Result<Option<Since>, DeviceError>),
    /// To [`Wish::Disconnect`] and [`Wish::Idle`].
    Disconnected,
    /// To [`Wish::Console`].
    Console(Result<(), DeviceError>),
    /// To [`Wish::Word`].
    Said(Result<Said, DeviceError>),
}

/// What a bootloader answered a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// To a command.
    Text(String),
    /// To a question for variables.
    Variables(Variables),
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A command.
    Ask {
        /// Where the answer goes; none: nowhere.
        id: Option<AskId>,
        /// The lease's, where the command needs one.
        token: Option<FencingToken>,
        /// What.
        wish: Wish,
    },
    /// The record of the last [`Effects::persist`] is on disk.
    Persisted,
    /// It is not, for this reason.
    Unsaved(String),
    /// The last [`Effects::act`] ended.
    Ended(Box<Outcome>),
    /// The stay in the loader ended by itself.
    StayEnded {
        /// Whose it was.
        of: Try,
        /// Why.
        why: String,
        /// The epoch of the start that ended it, where there was one.
        began: Option<Epoch>,
        /// The board's count of starts then.
        starts: Option<u64>,
    },
    /// The port vanished.
    Vanished,
    /// Whoever asked this does not wait for its answer any more.
    AskerGone(AskId),
}

/// A port that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The epoch that is recorded from here.
    pub epoch: Epoch,
    /// The board's count of starts in it, where it counts them.
    pub starts: Option<u64>,
    /// How its console is.
    pub console: ConsoleIs,
}

/// How a console is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleIs {
    /// Open.
    Open,
    /// Still to come, with what is booted.
    ToCome,
    /// There is none.
    None,
}

/// A port that was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unopened {
    /// Why.
    pub problem: Box<Problem>,
    /// It may have been opened, and an epoch begun.
    pub perhaps: bool,
}

/// An image that is on the device, which waits in its loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnDevice {
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// What the device is.
    pub identity: Identity,
    /// The epoch of the reset that led into the loader, where one was made.
    pub epoch: Option<Epoch>,
    /// The board's count of starts, in the loader.
    pub starts: Option<u64>,
    /// Its count of handoff commands accepted, before.
    pub handoffs: Option<u64>,
}

/// A transfer that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoiled {
    /// Why.
    pub problem: Box<Problem>,
    /// The epoch of the last reset, if there was one.
    pub began: Option<Epoch>,
    /// The board's count of starts afterwards.
    pub starts: Option<u64>,
    /// Something was sent to the device.
    pub touched: bool,
    /// A step that may not be repeated may have been done.
    pub ambiguous: bool,
}

impl Spoiled {
    /// Nothing was sent to the device.
    #[must_use]
    pub fn untouched(problem: Problem) -> Self {
        Self { problem: Box::new(problem), began: None, starts: None, touched: false, ambiguous: false }
    }
}

/// What came of a handoff.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The device acknowledged it.
    Acknowledged {
        /// In its words.
        said: String,
        /// The board's count of starts, with the one that follows.
        starts: Option<u64>,
        /// The port's owner said that the epoch is recorded.
        recorded: bool,
    },
    /// Its loader had gone: not issued.
    LoaderGone {
        /// Why it is known to have.
        why: String,
        /// The epoch of the program's start.
        began: Option<Epoch>,
        /// The board's count of starts in it.
        starts: Option<u64>,
    },
    /// The device refused it: not done.
    Refused(Box<Problem>),
    /// Nobody knows.
    Ambiguous(String),
}

/// What came of an act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Of [`Act::Open`].
    Opened(Result<Line, Unopened>),
    /// Of [`Act::Transfer`].
    Transferred(Result<OnDevice, Spoiled>),
    /// Of [`Act::Leave`].
    Left(Left),
    /// Of [`Act::Settle`].
    Settled {
        /// What is known.
        evidence: Evidence,
        /// The port, where it was opened for that.
        line: Option<Line>,
        /// The stay in the loader is ours again, and is kept awake.
        stays: bool,
    },
    /// Of [`Act::Count`]: the board's count of starts, and why the last was.
    Counted(Result<(u64, String), Box<Problem>>),
    /// Of [`Act::Count`]: the board has ended.
    BoardGone,
    /// Of [`Act::Word`].
    Said(Result<Said, Box<Problem>>),
    /// Of [`Act::Restore`]: it runs in its epoch, and its console is open; in words, and what its starts are counted from. Or it
    /// does not, and whether what ran before is gone.
    Restored(Result<(String, u64), (Box<Problem>, bool)>),
    /// Of [`Act::Begin`].
    Begun,
    /// Of [`Act::LetGo`].
    LetGo {
        /// The epoch of the start that follows.
        began: Option<Epoch>,
        /// The board's count of starts in it.
        starts: Option<u64>,
    },
}

/// What the shell is to do. One at a time; each ends in an [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// See to it that there is a board, and open its port.
    Open {
        /// The rate.
        baud: u32,
        /// The epoch that was last known to run, and the board's count of starts in it.
        known: Option<(Epoch, Option<u64>)>,
        /// Epochs to begin where that has ended; durable.
        fresh: Vec<Epoch>,
        /// It vanished, and nobody has asked where it is now.
        again: bool,
    },
    /// Reset into the loader, write, read back, and stay there, kept awake.
    Transfer {
        /// For which try.
        of: Try,
        /// Epochs to begin; durable.
        epochs: Vec<Epoch>,
        /// It is thought to be there already.
        holds: bool,
        /// For lending.
        token: FencingToken,
    },
    /// Issue the handoff command from the stay.
    Leave {
        /// Of which try.
        of: Try,
        /// The epoch that it begins; durable.
        epoch: Epoch,
    },
    /// Take evidence, and go on with the stay if there still is one.
    Settle {
        /// Of which try.
        of: Try,
        /// What is recorded of the stay.
        noted: LoaderStay,
        /// Epochs to begin; durable.
        epochs: Vec<Epoch>,
        /// For lending.
        token: FencingToken,
    },
    /// Ask the board for its count of starts.
    Count,
    /// Begin an epoch that nobody owns.
    Begin {
        /// Which; durable.
        epoch: Epoch,
        /// Why.
        cause: String,
        /// The board's count of starts in it.
        starts: u64,
    },
    /// Say it to the bootloader, or ask it.
    Word,
    /// Make it what a snapshot says that it was, and let it go on.
    Restore {
        /// The epoch that this begins; durable.
        epoch: Epoch,
    },
    /// End the stay: the loader will start the program.
    LetGo,
}

/// Why the record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persisting {
    /// A newer token.
    Fence,
    /// Epochs.
    Epoch,
    /// What is on the device, and its stay in the loader.
    Stay,
    /// A handoff that the device acknowledged.
    Handoff,
}

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// All of it.
    pub record: Box<Device>,
    /// Why.
    pub why: Persisting,
}

/// What the shell must do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Write this, and say [`Input::Persisted`].
    pub persist: Option<Persist>,
    /// Do this, and say [`Input::Ended`]. Never together with `persist`.
    pub act: Option<(Option<AskId>, Act)>,
    /// Answer these.
    pub answers: Vec<(AskId, Answer)>,
    /// Ask [`Wish::Reopen`] after a while.
    pub reopen: bool,
    /// What is being done is not wanted any more: it ends before its next command that writes, and says how far it came.
    pub stop: bool,
}
