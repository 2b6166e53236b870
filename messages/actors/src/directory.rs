//! To the device directory: who is plugged in.

use std::path::PathBuf;

use farmhand_api::Problem;
use farmhand_records::DeviceName;
use farmhand_records::v1::Identity;
use ractor::RpcReplyPort;

use crate::fastboot::{Address, Profile, UsbIdentity};

/// Something that is plugged in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PluggedIn {
    /// `2341:0043`.
    pub usb_id: Option<String>,
    /// Its USB serial number.
    pub serial: Option<String>,
    /// Its USB port path, such as `1-4.2`.
    pub port_path: Option<String>,
    /// Its serial port, such as `/dev/ttyACM0`.
    pub path: Option<String>,
    /// It has an interface that speaks fastboot (class ff/42/03).
    pub bootloader: bool,
}

/// What a board's own files (`boards.txt`, the chip's header) say of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardFacts {
    /// Bits a second at which its loader speaks.
    pub upload_baud: u32,
    /// Its chip's signature bytes.
    pub signature: Vec<u8>,
    /// Bytes of a flash page.
    pub page_bytes: u32,
    /// Bytes that a program may have.
    pub flash_bytes_max: u32,
    /// `vendor:product` of boards of this kind.
    pub usb_ids: Vec<String>,
}

/// To the device directory.
#[derive(Debug)]
pub enum DirectoryMessage {
    /// From a session, before it asks for a lease: see to it that there is a device for this board, claiming the one
    /// that is plugged in, or making a virtual one where none is and farmhand has one. Answers when the scheduler
    /// knows it and its actors run, or with why there is none: class `NoDevice`, `Package` or `Infra`. Where devices
    /// are configured for the board it does nothing. Safe to send again.
    Provide {
        /// The board.
        board: String,
        /// Only a device on this port (a path), claimed for this job.
        port: Option<String>,
        /// It is for a bootloader that speaks fastboot, and shows itself so.
        bootloader: Option<UsbIdentity>,
        /// Whether there is one.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
    /// From a gateway, or a session that is about to connect: have actors for this device, where it is plugged in now. Safe
    /// to send again.
    Claim {
        /// Which.
        device: DeviceName,
        /// They run, or there is no such device: class `NoDevice`.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
    /// From a gateway: new emulated machines, under names that no device has. Answers once the scheduler was told. Not safe to
    /// send again: others are made.
    Machines {
        /// Their board, such as `qemu:riscv32-virt`.
        board: String,
        /// They are called this, and a number.
        called: String,
        /// How many.
        count: u16,
        /// Their names; or why not: class `Usage`.
        reply: RpcReplyPort<Result<Vec<DeviceName>, Problem>>,
    },
    /// From a gateway: there is to be an emulated machine of this name. Answers once the scheduler was told. Safe.
    Machine {
        /// Its board, where it is made: such as `qemu:linux-x86_64`.
        board: String,
        /// Its name.
        device: DeviceName,
        /// There is, and whether it was made now; or why not: class `Usage`.
        reply: RpcReplyPort<Result<bool, Problem>>,
    },
    /// From a gateway: these are not wanted any more, as far as they were made for one. Answers once the scheduler was told:
    /// whoever asks for the devices then is not shown them. Safe.
    Unmake {
        /// Which.
        devices: Vec<DeviceName>,
        /// They are gone.
        reply: RpcReplyPort<()>,
    },
    /// From a gateway: what is plugged in and no configuration names. Safe.
    Unclaimed {
        /// All of it.
        reply: RpcReplyPort<Vec<PluggedIn>>,
    },
    /// From a gateway: drivers of the devices, by name. Safe.
    Drivers {
        /// Name and driver.
        reply: RpcReplyPort<Vec<(DeviceName, String)>>,
    },
    /// From a session or a gateway: the profile of this board; none: it is [`ANY`](crate::fastboot::ANY), of which nothing is
    /// known. Read anew. Safe.
    Profile {
        /// The board: a profile's name.
        board: String,
        /// The project's folder, which may have profiles of its own.
        project: Option<String>,
        /// As it stands there, or what is wrong with it: class `NoDevice` or `Configuration`.
        reply: RpcReplyPort<Result<Option<Profile>, Problem>>,
    },
    /// From a device actor: the serial port that this device shows itself, by its path; none: none is there now. Safe.
    ConsoleOf {
        /// Which.
        device: DeviceName,
        /// Where it is.
        reply: RpcReplyPort<Option<PathBuf>>,
    },
    /// From a device actor: at which serial port it is plugged in now; none: it is not there. Safe.
    PortOf {
        /// Which.
        device: DeviceName,
        /// By its path.
        reply: RpcReplyPort<Option<PathBuf>>,
    },
    /// From a device actor: where its bootloader is; none: it shows itself as something else now, or is away. Safe.
    AddressOf {
        /// Which.
        device: DeviceName,
        /// Where.
        reply: RpcReplyPort<Option<Address>>,
    },
    /// From a device actor: it was tried over a network. Answers once the scheduler knows as much: who is told how the try
    /// went, and lists the devices then, sees it so. Safe.
    Answered {
        /// Which.
        device: DeviceName,
        /// Whether it answered.
        well: bool,
        /// Told.
        reply: RpcReplyPort<()>,
    },
    /// From a device actor: its bootloader was reached, and calls itself this. Answers once the scheduler knows as much. Safe.
    Met {
        /// Which.
        device: DeviceName,
        /// What it calls itself.
        identity: Identity,
        /// Other names of the same device.
        reply: RpcReplyPort<Vec<DeviceName>>,
    },
    /// From a device actor: other names of the same device, as far as anybody knows. Safe.
    AlsoOf {
        /// Which.
        device: DeviceName,
        /// They.
        reply: RpcReplyPort<Vec<DeviceName>>,
    },
    /// From its own task: an address that nobody had named before was tried for this wish.
    Tried {
        /// As it was wished.
        board: String,
        /// As it was wished.
        bootloader: UsbIdentity,
        /// As it was wished.
        port: String,
        /// Whether a bootloader that speaks fastboot answered there.
        answered: Result<(), Problem>,
        /// As it was wished.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
    /// From a gateway: what does this device show itself as? Safe.
    Shown {
        /// Which.
        device: DeviceName,
        /// What it is on USB; nothing of it where it is not there.
        reply: RpcReplyPort<UsbIdentity>,
    },
    /// From a gateway: all device profiles. Read anew. Safe.
    Profiles {
        /// Those of the project in this folder too.
        project: Option<String>,
        /// All of them, the later ones having replaced the earlier; and what is wrong with others.
        reply: RpcReplyPort<(Vec<Profile>, Vec<Problem>)>,
    },
    /// From its own task: these are the profiles that no project has.
    ProfilesRead(Vec<Profile>),
    /// From its own clock, or a hot-plug watch: look again.
    Look,
    /// From its own task: this is plugged in.
    Seen(Vec<PluggedIn>),
    /// From its own task: what a board's own files say of it; the wish that asked is looked at again.
    Learnt {
        /// The board.
        board: String,
        /// As it was wished.
        port: Option<String>,
        /// What is known.
        facts: Box<BoardFacts>,
        /// As it was wished.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
    /// From its own task: what this machine has of the files of a claimed device's board; none where they are not there.
    Known {
        /// As it was claimed.
        device: DeviceName,
        /// What is known.
        facts: Option<Box<BoardFacts>>,
        /// As it was claimed.
        reply: RpcReplyPort<Result<(), Problem>>,
    },
}
