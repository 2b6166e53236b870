//! To the actor of one device.

use std::sync::Arc;
use std::time::Duration;

use farmhand_agent_messages::{Command, Health, How, Stream};
use farmhand_api::{BootloaderCommand, EventBody, Problem};
use farmhand_image::Image;
use farmhand_records::v1::{Evidence, GuestStart, Holding, Identity, Leave};
use farmhand_records::{Attempt, ContentHash, DeviceName, Epoch, FencingToken, PlanHash, SessionId};
use ractor::RpcReplyPort;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::fastboot::{Address, Allow, Model, UsbIdentity};
use crate::serial::PortNews;

/// The longest that one command to a bootloader may take, whatever the device says in the meantime: one that says for ever
/// that it is at work is caught in a loop. Who waits for a device waits longer.
pub const COMMAND_MAX: Duration = Duration::from_secs(60 * 60);
/// The longest that a handoff may take: a bootloader that checks an image tells how it goes, and is done in minutes. Who
/// waits for a device waits longer.
pub const HANDOFF_MAX: Duration = Duration::from_secs(10 * 60);

/// How a device is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attachment {
    /// A serial port, by its path (resolved from the device's identity by the directory).
    Port(std::path::PathBuf),
    /// A virtual Uno of farmhand's own.
    VirtualUno,
    /// A bootloader that speaks fastboot.
    Fastboot(Box<FastbootWay>),
    /// A machine that QEMU emulates, of this kind (`farmhand_machine::kinds`).
    Machine(String),
}

/// How a device that speaks fastboot is reached, and what may be done to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FastbootWay {
    /// Where its bootloader is, over a network; on USB the directory knows where it is now.
    pub address: Option<Address>,
    /// What it is on USB: made sure of before the first byte.
    pub identity: UsbIdentity,
    /// What may be done to it.
    pub allow: Vec<Allow>,
    /// Its console, where it has one.
    pub console: Option<ConsoleAt>,
}

/// Where a console is that is a line apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleAt {
    /// On this serial port.
    Path(std::path::PathBuf),
    /// On the one that the device itself shows once it runs; the directory knows where.
    OfDevice,
}

/// What is configured of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// Its name.
    pub name: DeviceName,
    /// Its board, such as `arduino:avr:uno`.
    pub board: String,
    /// Its driver, such as `stk500v1`.
    pub driver: String,
    /// How it is reached.
    pub attachment: Attachment,
    /// The rate at which its loader speaks.
    pub upload_baud: u32,
    /// The signature that its chip must have.
    pub signature: Vec<u8>,
    /// Bytes of a flash page.
    pub page_bytes: u32,
    /// Bytes that a program may have.
    pub flash_bytes_max: u32,
}

/// A file that is kept under its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFile {
    /// As its user called it: for people.
    pub said: String,
    /// Where.
    pub path: std::path::PathBuf,
    /// The hash of its bytes.
    pub hash: ContentHash,
    /// How many there are.
    pub bytes: u64,
}

/// One step of writing partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionWork {
    /// A file is written to a partition.
    Flash {
        /// Its name, as the bootloader knows it.
        partition: String,
        /// Raw, or an Android sparse image.
        file: KeptFile,
    },
    /// A partition is erased.
    Erase {
        /// Its name.
        partition: String,
    },
}

/// What is put on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// A program, into its flash.
    Program {
        /// What it puts where.
        image: Arc<Image>,
        /// As it is kept.
        file: KeptFile,
    },
    /// A boot image, into its memory: nothing is written.
    Boot(KeptFile),
    /// Partitions, through its bootloader.
    Partitions {
        /// In this order.
        steps: Arc<Vec<PartitionWork>>,
        /// How the bootloader is left: the handoff.
        leave: Leave,
        /// No step may be issued twice.
        once: bool,
    },
    /// A program that a Linux guest runs: it is given to the guest once that has come up.
    Guest {
        /// As it is kept.
        file: KeptFile,
        /// Where the guest begins.
        start: GuestStart,
    },
}

/// What is to be put on a device.
#[derive(Debug, Clone)]
pub struct FlashPlan {
    /// The artifact's hash.
    pub artifact: ContentHash,
    /// What it puts where.
    pub payload: Payload,
    /// The hash of all that decides what the handoff does.
    pub hash: PlanHash,
    /// The console's rate after the handoff.
    pub console_baud: u32,
    /// The model that the device must be of; none: any will do.
    pub model: Option<Model>,
}

/// What a session knows of a handoff that it asks for evidence of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandoffKnown {
    /// The epoch that it was to begin: what a console said in it tells.
    pub epoch: Option<Epoch>,
    /// The model that the device must be of: what it becomes tells.
    pub model: Option<Model>,
    /// How many steps of writing partitions come before it.
    pub steps: u32,
}

/// A device that is connected and was identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// What it is, where it could be asked without a reset.
    pub identity: Option<Identity>,
    /// The epoch that is current.
    pub epoch: Epoch,
    /// What was last proven to be on it.
    pub holding: Option<Holding>,
    /// It is virtual.
    pub virtual_: bool,
    /// It has a console, there now or to come with what is booted.
    pub console: bool,
}

/// An image that is on a device and was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transferred {
    /// Bytes of the image.
    pub image_bytes: u64,
    /// Bytes that were written; 0 where the device held them already.
    pub written_bytes: u64,
    /// Since which session it held them, where nothing was written.
    pub since: Option<SessionId>,
}

/// Why an epoch has ended, with what to tell people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// The device started by itself, and is known to have: the firmware's doing, or its power's.
    Itself(String),
    /// It was ended from outside, or lost from sight: the port was opened, the device went away, another reset it. Says
    /// nothing of the firmware.
    Gone(String),
}

/// Why a device did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The command carries an older token than the device has seen.
    #[error("an older lease's token")]
    Fenced,
    /// Not begun: nothing was sent to the device. With what to tell people.
    #[error("{}", .0.message)]
    NotBegun(Box<Problem>),
    /// The device refused, or failed, and can be tried again.
    #[error("{}", .0.message)]
    Failed(Box<Problem>),
    /// It may or may not have been done: only for a handoff.
    #[error("ambiguous: {0}")]
    Ambiguous(String),
    /// The loader was gone before the handoff could be issued: its own timeout started the program, or the board lost
    /// power. The handoff was not issued. Only the incarnation that held the device in its loader can know that.
    #[error("the loader was gone before the handoff, which was not issued: {why}")]
    LoaderTimedOut {
        /// What showed that it was gone.
        why: String,
    },
}

/// To the actor of one device. Every command carries the lease's token; the first with a newer token raises the
/// fence, durably, and one with an older is refused.
#[derive(Debug)]
pub enum DeviceMessage {
    /// From the session that leases it: open the port and make sure that the device answers there. A virtual device
    /// is built (by asking installer and compiler pool), started, or adopted. Safe to send again.
    Connect {
        /// The lease's.
        token: FencingToken,
        /// Whose.
        session: SessionId,
        /// The console's rate.
        console_baud: u32,
        /// Steps, for those who watch.
        progress: Option<mpsc::Sender<EventBody>>,
        /// The device, or what is wrong: class `NoDevice`, `Permission`, `Busy`, `Package`, `Build` or `Infra`.
        reply: RpcReplyPort<Result<Connected, DeviceError>>,
    },
    /// From the session: reset into the loader, check the signature, write what differs, read all back. Leaves the
    /// device in its loader, which the device actor keeps awake until the handoff. Safe to send again within an
    /// attempt: programming is idempotent.
    Transfer {
        /// The lease's.
        token: FencingToken,
        /// Whose.
        session: SessionId,
        /// Which try.
        attempt: Attempt,
        /// What.
        plan: FlashPlan,
        /// Steps, for those who watch.
        progress: Option<mpsc::Sender<EventBody>>,
        /// The image is on the device.
        reply: RpcReplyPort<Result<Transferred, DeviceError>>,
    },
    /// From the session: reserve the next epoch. Durable before it is answered. Safe to send again: another number
    /// is reserved, and an unused one does no harm.
    ReserveEpoch {
        /// The lease's.
        token: FencingToken,
        /// The epoch.
        reply: RpcReplyPort<Result<Epoch, DeviceError>>,
    },
    /// From the session: issue the handoff command of the plan: leave programming.
    ///
    /// The caller has made `HandoffIntended` durable. Answers when the device has acknowledged; the first byte after
    /// that is in `epoch`. The same attempt is never issued twice by one device actor: asked again it answers what it
    /// knows. **Not** safe to send again otherwise: an answer that does not come is ambiguous, and is settled by
    /// `Evidence`.
    Handoff {
        /// The lease's.
        token: FencingToken,
        /// Whose.
        session: SessionId,
        /// Which try.
        attempt: Attempt,
        /// Of which plan.
        plan: PlanHash,
        /// The epoch that it begins; reserved.
        epoch: Epoch,
        /// What the device said.
        reply: RpcReplyPort<Result<Evidence, DeviceError>>,
    },
    /// From a session that restarted between intent and issued: was that handoff done? Never resets the device, and
    /// issues nothing. Safe to send again.
    Evidence {
        /// The lease's.
        token: FencingToken,
        /// Whose.
        session: SessionId,
        /// Which try.
        attempt: Attempt,
        /// Of which plan.
        plan: PlanHash,
        /// What else is known of it.
        known: HandoffKnown,
        /// What is known.
        reply: RpcReplyPort<Result<Evidence, DeviceError>>,
    },
    /// From a session that is about to give a verdict: is the epoch that it owns still the one that runs? Safe.
    Confirm {
        /// The lease's.
        token: FencingToken,
        /// The epoch it owns.
        epoch: Epoch,
        /// `Ok(None)`: still the same, as far as the device can tell. `Ok(Some)`: it has ended, and whose doing that was.
        reply: RpcReplyPort<Result<Option<Since>, DeviceError>>,
    },
    /// From a session that ends: the device is not needed any more; its console stays open. A transfer of this lease is ended
    /// first, before its next command, and none that comes behind this is begun. Safe.
    Disconnect {
        /// The lease's.
        token: FencingToken,
        /// It is done.
        reply: RpcReplyPort<()>,
    },
    /// From the actor of the same device under another name, before it is written to: answered once all that came before this
    /// has been done. Safe.
    Idle {
        /// It is.
        reply: RpcReplyPort<()>,
    },
    /// From a gateway: a person's word to a bootloader, with no lease; refused where a session has the device, and where
    /// it is not allowed. **Not** safe to send again where it writes.
    Bootloader {
        /// What.
        command: BootloaderCommand,
        /// The model that the device must be of, for what writes; none: any will do.
        model: Option<Model>,
        /// What the device says meanwhile.
        progress: Option<mpsc::Sender<EventBody>>,
        /// What it answered at last.
        reply: RpcReplyPort<Result<String, DeviceError>>,
    },
    /// From a gateway: what are these variables of its bootloader? Writes nothing; refused where a session has the device.
    /// Safe.
    GetVars {
        /// Their names.
        names: Vec<String>,
        /// Each with its value; none where the bootloader does not know it.
        reply: RpcReplyPort<Result<Variables, DeviceError>>,
    },
    /// From a gateway: save an emulated machine, or make it what it was; refused where a session has it. Once begun it comes to
    /// its end, whoever waits. Safe to send again, but that a snapshot that was made is found.
    Snapshot {
        /// Which of them.
        wish: SnapshotWish,
        /// Steps, for those who watch.
        progress: Option<mpsc::Sender<EventBody>>,
        /// What was done, in words; or why not: class `Usage`, `Busy`, `Configuration` or `Infra`.
        reply: RpcReplyPort<Result<String, DeviceError>>,
    },
    /// From a gateway: something of a Linux guest that runs. Answered once the guest has come up and done it; a session that has
    /// it goes on meanwhile. **Not** safe to send again.
    Guest {
        /// What.
        wish: GuestWish,
        /// What came of it; or why not: class `Usage`, `NoDevice` or `Infra`.
        reply: RpcReplyPort<Result<GuestSaid, DeviceError>>,
    },
    /// From the serial actor, a cast.
    Port(PortNews),
    /// From its own tasks: the board counted a start that nobody asked for.
    StartedByItself {
        /// Why, in the board's words.
        cause: String,
        /// The board's count of starts.
        starts: u64,
    },
    /// From a gateway: open the console without a lease, to read it. Safe.
    OpenConsole {
        /// The rate; none: the configured one.
        baud: Option<u32>,
        /// It is open.
        reply: RpcReplyPort<Result<(), DeviceError>>,
    },
    /// From its own tasks: an effect ended.
    Effect(Box<DeviceEffect>),
}

/// What is wanted of an emulated machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotWish {
    /// That it is saved as it is, and goes on.
    Save {
        /// What the snapshot is called.
        name: String,
        /// Whether it takes the place of one that has the name.
        replace: bool,
    },
    /// That it is what it was when that was saved.
    Restore {
        /// Which.
        name: String,
    },
    /// That a Linux guest boots, and is given nothing to run.
    Boot,
    /// That it ends.
    End,
}

/// What is wanted of a Linux guest.
#[derive(Debug)]
pub enum GuestWish {
    /// That it runs this.
    Run {
        /// What.
        command: Command,
        /// For its standard input, which ends behind that.
        input: Vec<u8>,
        /// What it says, as it says it. Where nobody takes it any more the command is killed.
        output: mpsc::Sender<(Stream, Vec<u8>)>,
    },
    /// That this file is in it, whole or not at all.
    Put {
        /// Here (absolute).
        from: std::path::PathBuf,
        /// There.
        to: String,
    },
    /// That a file of its is here, whole or not at all.
    Get {
        /// There.
        from: String,
        /// Here (absolute).
        to: std::path::PathBuf,
    },
    /// That it says how it is.
    Health,
    /// That it is found healthy, behind its last start or restore.
    Up,
}

/// What came of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GuestSaid {
    /// How the command, or the copy, ended.
    Ended(How),
    /// How it is.
    Health {
        /// As its agent says.
        health: Health,
        /// What that said and nobody had asked for.
        ignored: u64,
    },
    /// It was found healthy.
    Up,
}

/// Variables of a bootloader, each with its value; none where the bootloader does not know it.
pub type Variables = Vec<(String, Option<String>)>;

/// What a device's own task did. Opaque to everybody but the device actor, which downcasts it.
pub struct DeviceEffect(pub Box<dyn std::any::Any + Send>);

impl std::fmt::Debug for DeviceEffect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DeviceEffect")
    }
}
