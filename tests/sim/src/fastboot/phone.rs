//! A phone, as its hosts see it: what they send goes in, what it answers comes out. No I/O but its partitions', no clock.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bytes::Bytes;
use farmhand_wire::fastboot::device::{Dialogue, DialogueError, Heard};
use farmhand_wire::fastboot::{Command, CommandLimit, Reply};
use sha2::{Digest, Sha256};

use super::fault::{Datagrams, Fault, Faults, Nonsense};
use super::options::{PartitionSpec, PhoneOptions, SLOTS_MAX};
use super::presence::{Mode, Out, Presence, cut_to_fit};
use super::record::{Asked, Counters, Downloaded, Log};
use super::storage::{Storage, hex};

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) storage: Storage,
    pub(super) kind: String,
    pub(super) logical: bool,
}

/// A phone.
#[derive(Debug)]
pub struct Phone {
    pub(super) options: PhoneOptions,
    presence: Presence,
    pub(super) partitions: BTreeMap<String, Partition>,
    /// From 0.
    pub(super) slot: u8,
    pub(super) locked: bool,
    pub(super) counters: Counters,
    pub(super) faults: Faults,
    pub(super) log: Log,
    dialogue: Dialogue,
    out: VecDeque<Out>,
    /// What it is at once its answer is on its way.
    then: Option<Mode>,
    /// Nothing comes from it any more.
    stalled: bool,
    /// What came of a piece behind the byte at which it stalled, and whether that ends a packet: taken once it goes on.
    held: Option<(Vec<u8>, bool)>,
    endless: bool,
    /// Of the download that is under way, or was last; whole or not.
    hasher: Sha256,
    /// What was downloaded, or staged by a command of the maker's.
    pub(super) buffer: Vec<u8>,
    /// Its hash, once it is whole.
    pub(super) whole: Option<Downloaded>,
    /// On its way to the host.
    sending: Option<Bytes>,
    /// Bytes of the data phase that is under way.
    data_done: u64,
    /// The host sent more than the data phase held.
    overrun: bool,
}

impl Phone {
    /// In its bootloader, for the first time. Fails where its partitions' files cannot be had.
    pub fn new(options: PhoneOptions) -> io::Result<Self> {
        let slots = options.slots.min(SLOTS_MAX);
        let mut phone = Self {
            presence: Presence { plug: 0, mode: Mode::Away, boot: 0 },
            partitions: BTreeMap::new(),
            slot: 0,
            locked: options.locked,
            counters: Counters::default(),
            faults: Faults::default(),
            log: Log::default(),
            dialogue: Dialogue::new(CommandLimit::Long),
            out: VecDeque::new(),
            then: None,
            stalled: false,
            held: None,
            endless: false,
            hasher: Sha256::new(),
            buffer: Vec::new(),
            whole: None,
            sending: None,
            data_done: 0,
            overrun: false,
            options: PhoneOptions { slots, ..options },
        };
        for spec in phone.options.partitions.clone() {
            if spec.slotted && slots > 0 {
                for slot in 0..slots {
                    let name = format!("{}_{}", spec.name, slot_letter(slot));
                    phone.add_partition(PartitionSpec { name, ..spec.clone() })?;
                }
            } else {
                phone.add_partition(spec)?;
            }
        }
        phone.enter(Mode::Loader);
        Ok(phone)
    }

    pub(super) fn add_partition(&mut self, spec: PartitionSpec) -> io::Result<()> {
        let storage = match &self.options.folder {
            Some(folder) => Storage::file(&folder.join(format!("{}.img", spec.name)), spec.len)?,
            None => Storage::memory(spec.len)?,
        };
        let partition = Partition { storage, kind: spec.kind, logical: spec.logical };
        self.partitions.insert(spec.name, partition);
        Ok(())
    }

    /// Where and as what it is to be found.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.presence
    }

    /// What it was made as.
    #[must_use]
    pub fn options(&self) -> &PhoneOptions {
        &self.options
    }

    /// What it has counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What it was asked, the oldest first.
    pub fn asked(&self) -> impl DoubleEndedIterator<Item = &Asked> {
        self.log.asked()
    }

    /// Lines for people about what happened since they were last taken.
    pub fn take_lines(&mut self) -> Vec<String> {
        self.log.take_lines()
    }

    /// What is in a partition's first bytes, as SHA-256; of all of it without a length.
    pub fn partition_sha256(&self, name: &str, len: Option<u64>) -> Option<io::Result<String>> {
        let storage = &self.partitions.get(name)?.storage;
        Some(storage.sha256(len.unwrap_or(u64::MAX).min(storage.len())))
    }

    /// Does something wrong, now or when its time comes.
    pub fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::Clear => {
                self.faults.clear();
                self.endless = false;
                // A command that it fell silent at is given up: it listens to the next.
                if std::mem::take(&mut self.stalled) && self.dialogue.receiving().is_none() {
                    self.log.end(None);
                    self.dialogue.reset();
                }
                if let Some((bytes, last)) = self.held.take() {
                    self.receive(&bytes, last);
                }
            }
            Fault::Vanish { next } => self.enter(next.map_or(Mode::Away, Mode::Other)),
            fault => self.faults.add(fault),
        }
    }

    /// As a person does it, with its keys or its plug: it is at something else, whatever it was at.
    pub fn enter(&mut self, mode: Mode) {
        self.log.end(None);
        self.forget_host();
        self.buffer = Vec::new();
        self.whole = None;
        self.stalled = false;
        self.presence.plug += 1;
        self.presence.mode = mode;
        match mode {
            Mode::Loader => {
                self.presence.boot += 1;
                self.counters.loader_starts += 1;
            }
            Mode::System => self.counters.system_starts += 1,
            _ => {}
        }
        let now = match mode {
            Mode::Loader => "in its bootloader".to_owned(),
            Mode::Userspace => "in fastboot in user space".to_owned(),
            Mode::Booted => format!("in the image that it was sent ({})", self.options.next),
            Mode::System => format!("in what is installed ({})", self.options.system),
            Mode::Recovery => "in its recovery".to_owned(),
            Mode::Other(id) => format!("on the bus as {id}"),
            Mode::Away => "away".to_owned(),
        };
        self.log.say(format!("now {now}, plug {} boot {}", self.presence.plug, self.presence.boot));
    }

    /// Whether the connection is to be cut next.
    #[must_use]
    pub fn cuts(&self) -> bool {
        self.out.front() == Some(&Out::Cut)
    }

    /// Its plug is pulled and put back: the same start of the same bootloader, at another address.
    pub fn replug(&mut self) {
        self.log.end(None);
        self.forget_host();
        self.presence.plug += 1;
    }

    /// A host begins: whatever an earlier one left is over. What that has downloaded stays.
    pub fn host_arrived(&mut self) {
        self.host_left();
        self.log.end(None);
        self.forget_host();
        self.counters.hosts += 1;
    }

    /// A host has gone, perhaps without its answer: what was to follow that happens all the same.
    pub fn host_left(&mut self) {
        self.out.clear();
        self.sent();
    }

    fn forget_host(&mut self) {
        self.give_download_up();
        self.dialogue.reset();
        self.out.clear();
        self.then = None;
        self.held = None;
        self.endless = false;
        self.sending = None;
        self.overrun = false;
    }

    /// A download that is under way is cut: what came of it is recorded.
    fn give_download_up(&mut self) {
        if self.dialogue.receiving().is_some() {
            self.record_download();
            self.buffer.clear();
        }
    }

    fn record_download(&mut self) -> Downloaded {
        let data = self.downloaded_so_far();
        self.hasher = Sha256::new();
        self.log.data(data.clone());
        data
    }

    fn downloaded_so_far(&self) -> Downloaded {
        Downloaded { len: self.buffer.len() as u64, sha256: hex(&self.hasher.clone().finalize()) }
    }

    /// Whether it neither takes nor gives anything.
    #[must_use]
    pub fn stalled(&self) -> bool {
        self.stalled || !self.presence.speaks_fastboot()
    }

    /// Bytes that it takes in a second, where it is slow.
    #[must_use]
    pub fn bytes_per_s(&self) -> Option<u64> {
        self.faults.bytes_per_s()
    }

    /// What harm comes to datagrams.
    #[must_use]
    pub fn datagrams(&self) -> Option<Datagrams> {
        self.faults.datagrams()
    }

    /// A piece of what the host sends: bytes, and whether they end a packet. Dropped while it is stalled.
    pub fn receive(&mut self, mut bytes: &[u8], last: bool) {
        if self.stalled() {
            return;
        }
        if let Some(remaining) = self.dialogue.receiving() {
            if bytes.len() as u64 > remaining {
                self.overrun = true;
                bytes = &bytes[..remaining as usize];
            }
            if let Some(limit) = self.faults.data_limit() {
                let room = limit.saturating_sub(self.data_done);
                if bytes.len() as u64 > room {
                    let (taken, rest) = bytes.split_at(room as usize);
                    self.take(taken, false);
                    self.at_data_limit();
                    if self.stalled {
                        self.held = Some((rest.to_vec(), last));
                        self.log.data(self.downloaded_so_far());
                    }
                    return;
                }
            }
        }
        self.take(bytes, last);
    }

    fn take(&mut self, bytes: &[u8], last: bool) {
        match self.dialogue.received(bytes, last) {
            Ok(Heard::Need) => {}
            Ok(Heard::Command(command)) => self.command(&command),
            Ok(Heard::Bad { error, packet }) => {
                self.begin(packet.escape_ascii().to_string());
                self.finish(Reply::Fail(error.to_string()));
            }
            Ok(Heard::Data { bytes, remaining }) => {
                self.hasher.update(bytes);
                self.buffer.extend_from_slice(bytes);
                self.data_done += bytes.len() as u64;
                self.counters.download_bytes += bytes.len() as u64;
                if remaining == 0 {
                    self.downloaded();
                }
            }
            Err(DialogueError::OutOfTurn) => self.counters.out_of_turn += 1,
            // It is cut to what remains, and what is sent is counted here.
            Err(error) => self.finish(Reply::Fail(error.to_string())),
        }
    }

    fn downloaded(&mut self) {
        let data = self.record_download();
        self.whole = Some(data);
        self.counters.downloads += 1;
        if std::mem::take(&mut self.overrun) {
            self.finish(Reply::Fail("more data than the data phase holds".to_owned()));
        } else {
            self.finish(Reply::Okay(String::new()));
        }
    }

    fn at_data_limit(&mut self) {
        match self.faults.at_data_limit() {
            Some(Fault::StallData { .. }) => self.stalled = true,
            _ => self.cut(),
        }
    }

    fn cut(&mut self) {
        self.log.end(None);
        self.forget_host();
        self.out.push_back(Out::Cut);
    }

    fn begin(&mut self, command: String) {
        self.counters.commands += 1;
        self.log.begin(self.counters.commands, self.presence.boot, command);
    }

    fn command(&mut self, command: &Command) {
        let text = command.to_string();
        self.begin(text.clone());
        if *command == Command::Boot {
            self.counters.boot_commands += 1;
        }
        let fault = self.faults.with_command(&text);
        match fault {
            Some(Fault::Stall { .. }) => self.stalled = true,
            Some(Fault::CutAt { .. }) => self.cut(),
            Some(Fault::Nonsense { kind, .. }) => self.nonsense(kind),
            Some(Fault::Fail { text, .. }) => self.finish(Reply::Fail(text)),
            fault => self.carry_out(command, fault.as_ref()),
        }
    }

    fn nonsense(&mut self, kind: Nonsense) {
        let packet = match kind {
            Nonsense::UnknownTag => b"WHATis this".to_vec(),
            Nonsense::Short => b"OK".to_vec(),
            Nonsense::NotUtf8 => b"OKAY\xff\xfe\x80".to_vec(),
            Nonsense::Long => [&b"OKAY"[..], &[b'x'; 296]].concat(),
            Nonsense::EndlessInfo => {
                self.endless = true;
                return;
            }
        };
        self.log.end(Some(packet.escape_ascii().to_string()));
        self.dialogue.reset();
        self.out.push_back(Out::Reply(packet.into()));
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        let packet = self
            .dialogue
            .reply(reply)
            .expect("replies are short, hold no NUL, and come when it is their turn");
        self.out.push_back(Out::Reply(packet.into()));
    }

    /// The end of a command, and what comes of it.
    pub(super) fn finish(&mut self, reply: Reply) {
        self.log.end(Some(match &reply {
            Reply::Fail(text) => format!("FAIL {text}"),
            Reply::Okay(text) if text.is_empty() => "OKAY".to_owned(),
            Reply::Okay(text) => format!("OKAY {text}"),
            other => format!("{other:?}"),
        }));
        self.reply(&cut_to_fit(reply));
    }

    /// Once the answer is on its way, it is at something else.
    pub(super) fn then(&mut self, mode: Mode) {
        self.then = Some(mode);
    }

    /// A download of this length begins.
    pub(super) fn expect_data(&mut self, len: u32) {
        let said = u32::try_from(i64::from(len) + self.faults.data_length()).unwrap_or(0);
        self.buffer.clear();
        self.whole = None;
        self.hasher = Sha256::new();
        self.data_done = 0;
        self.overrun = false;
        self.reply(&Reply::Data(said));
        if said == 0 {
            self.downloaded();
        }
    }

    /// These bytes go to the host.
    pub(super) fn send_data(&mut self, bytes: Bytes) {
        let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let said = u32::try_from(len + self.faults.data_length()).unwrap_or(0);
        self.data_done = 0;
        self.reply(&Reply::Data(said));
        let mut bytes = bytes;
        bytes.truncate(said as usize);
        if said == 0 {
            return self.finish(Reply::Okay(String::new()));
        }
        self.sending = Some(bytes);
    }

    /// What goes to the host next, at most so many bytes of a data phase at once. To be followed by [`Self::sent`].
    pub fn next_out(&mut self, len_max: usize) -> Option<Out> {
        if let Some(out) = self.out.pop_front() {
            return Some(out);
        }
        if self.stalled() {
            return None;
        }
        if self.endless {
            return Some(Out::Reply(Bytes::from_static(b"INFOand so on")));
        }
        let sending = self.sending.as_mut()?;
        let mut len = sending.len().min(len_max);
        if let Some(limit) = self.faults.data_limit() {
            let room = limit.saturating_sub(self.data_done);
            if room == 0 {
                self.at_data_limit();
                return self.out.pop_front();
            }
            len = len.min(room as usize);
        }
        let bytes = sending.split_to(len);
        self.data_done += len as u64;
        self.dialogue.sent(len as u64).expect("what is sent is what DATA said, or less");
        if sending.is_empty() {
            self.sending = None;
            // Where DATA said more than there is, the host waits for what does not come.
            if self.dialogue.sending().is_none() {
                self.finish(Reply::Okay(String::new()));
            }
        }
        Some(Out::Data(bytes))
    }

    /// All that was taken is on its way: what was to follow the answer happens now.
    pub fn sent(&mut self) {
        if self.out.is_empty()
            && let Some(mode) = self.then.take()
        {
            match mode {
                Mode::Booted => self.start_image(),
                mode => self.enter(mode),
            }
        }
    }

    /// What it was sent runs: counted here, since whoever holds the keys boots nothing.
    pub(super) fn start_image(&mut self) {
        self.counters.boots += 1;
        self.enter(Mode::Booted);
    }
}

/// `a` for 0.
pub(super) fn slot_letter(slot: u8) -> char {
    char::from(b'a' + slot)
}
