//! The other end of a connection. For simulators, tests and fuzzers.

use std::collections::VecDeque;

use super::packet::{HEADER_LEN, Header, PacketId, packet};
use super::{DATAGRAM_LEN_MAX, PACKET_LEN_MIN, VERSION};

/// What a device hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceEvent<'a> {
    /// A host begins: what was under way is given up.
    Connected {
        /// The smaller of both versions.
        version: u16,
        /// What was agreed on, in bytes with the header.
        packet_len_max: u16,
    },
    /// A piece of a message.
    Data {
        /// They.
        bytes: &'a [u8],
        /// Whether the message ends with it.
        last: bool,
    },
    /// The host wants to read, and there is nothing: it is answered by the next [`Device::push`].
    ReadPending,
}

/// What comes of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer<'a> {
    /// To be sent to where the packet came from.
    pub send: Option<Vec<u8>>,
    /// To be acted on.
    pub event: Option<DeviceEvent<'a>>,
}

/// A device's end (README, "UDP Protocol v1", "Summary"): it answers each number once, and says the same again for the one before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    /// The number that it expects next.
    seq: u16,
    /// Its last answer.
    saved: Option<Vec<u8>>,
    /// What it takes, in bytes with the header.
    packet_len_max: u16,
    /// What was agreed on, once it was.
    agreed: Option<u16>,
    /// Messages to be read, and how much of the first has been.
    outgoing: VecDeque<Vec<u8>>,
    taken: usize,
    /// The packet of number `seq` is a read, not answered yet.
    pending: bool,
    /// The last piece that was written did not end its message.
    mid_message: bool,
}

impl Device {
    /// Expects this number first, and takes packets of this length, in bytes with their header; brought within
    /// what the specification and UDP allow.
    pub fn new(seq: u16, packet_len_max: u16) -> Self {
        Self {
            seq,
            saved: None,
            packet_len_max: packet_len_max.clamp(PACKET_LEN_MIN, DATAGRAM_LEN_MAX),
            agreed: None,
            outgoing: VecDeque::new(),
            taken: 0,
            pending: false,
            mid_message: false,
        }
    }

    /// Whether all that was pushed has been read.
    pub fn is_drained(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// A packet came.
    pub fn on_datagram<'a>(&mut self, datagram: &'a [u8]) -> Answer<'a> {
        let Some((header, data)) = Header::split(datagram) else { return Answer::default() };
        if header.id == PacketId::Query {
            return Answer { send: Some(packet(header, &self.seq.to_be_bytes())), event: None };
        }
        if header.seq == self.seq.wrapping_sub(1) {
            return Answer { send: self.saved.clone(), event: None };
        }
        if header.seq != self.seq {
            return Answer::default();
        }
        match (header.id, self.agreed) {
            (PacketId::Init, _) => self.begin(header, data),
            (PacketId::Fastboot, None) => self.refuse(header, "not initialized"),
            (PacketId::Fastboot, Some(len_max)) if datagram.len() > usize::from(len_max) => {
                self.refuse(header, "packet is longer than agreed on")
            }
            (PacketId::Fastboot, Some(_)) if data.is_empty() && !self.mid_message => self.read(),
            (PacketId::Fastboot, Some(_)) => {
                self.mid_message = header.continued;
                let event = DeviceEvent::Data { bytes: data, last: !header.continued };
                Answer { send: Some(self.answer(header, &[])), event: Some(event) }
            }
            _ => self.refuse(header, "unknown packet id"),
        }
    }

    /// Something for the host to read, as one message. If it is waiting for it, a packet to be sent.
    pub fn push(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if !message.is_empty() {
            self.outgoing.push_back(message.to_vec());
        }
        if self.pending { self.next_piece() } else { None }
    }

    /// Versions and sizes (README, "Packet Types", "Init").
    fn begin<'a>(&mut self, header: Header, data: &[u8]) -> Answer<'a> {
        let Some((&[v0, v1, s0, s1], _)) = data.split_first_chunk::<4>() else {
            return self.refuse(header, "init packet is too short");
        };
        let version = u16::from_be_bytes([v0, v1]).min(VERSION);
        let theirs = u16::from_be_bytes([s0, s1]);
        if version < VERSION || theirs < PACKET_LEN_MIN {
            return self.refuse(header, "version or packet size is not supported");
        }
        let packet_len_max = theirs.min(self.packet_len_max);
        self.agreed = Some(packet_len_max);
        self.outgoing.clear();
        self.taken = 0;
        self.mid_message = false;
        let ours = [VERSION, self.packet_len_max].map(u16::to_be_bytes).concat();
        let event = DeviceEvent::Connected { version, packet_len_max };
        Answer { send: Some(self.answer(header, &ours)), event: Some(event) }
    }

    fn read<'a>(&mut self) -> Answer<'a> {
        match self.next_piece() {
            Some(piece) => Answer { send: Some(piece), event: None },
            // The host asks again until it is answered; it is told of once.
            None if self.pending => Answer::default(),
            None => {
                self.pending = true;
                Answer { send: None, event: Some(DeviceEvent::ReadPending) }
            }
        }
    }

    /// The answer to a read of number `seq`.
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        let message = self.outgoing.front()?;
        let room = usize::from(self.agreed?) - HEADER_LEN;
        let end = message.len().min(self.taken + room);
        let piece = message[self.taken..end].to_vec();
        let continued = end < message.len();
        if continued {
            self.taken = end;
        } else {
            self.taken = 0;
            self.outgoing.pop_front();
        }
        Some(self.answer(Header { id: PacketId::Fastboot, continued, seq: self.seq }, &piece))
    }

    fn refuse<'a>(&mut self, header: Header, why: &str) -> Answer<'a> {
        let header = Header { id: PacketId::Error, ..header };
        Answer { send: Some(self.answer(header, why.as_bytes())), event: None }
    }

    /// Answers the number that was expected, and expects the next. Only an answer to a read is continued.
    fn answer(&mut self, header: Header, data: &[u8]) -> Vec<u8> {
        let continued = header.continued && !data.is_empty() && header.id == PacketId::Fastboot;
        let answer = packet(Header { continued, ..header }, data);
        self.saved = Some(answer.clone());
        self.seq = self.seq.wrapping_add(1);
        self.pending = false;
        answer
    }
}
