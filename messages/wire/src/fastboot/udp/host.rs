//! A host's end of a connection.

use super::packet::{HEADER_LEN, Header, PacketId};
use super::{
    ATTEMPTS_MAX, DATAGRAM_LEN_MAX, EMPTY_READS_MAX, PACKET_LEN_MIN, QUERY_ATTEMPTS_MAX, UdpError, VERSION,
};
use crate::text::printable;

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// Send [`Host::datagram`], and start the clock anew.
    Send,
    /// Only start the clock anew: the device has nothing to say yet, and is asked again then.
    Wait,
    /// Nothing came of it; the clock goes on as it was.
    Ignored,
    /// The connection stands; the clock is stopped.
    Connected {
        /// The smaller of both versions.
        version: u16,
        /// What was agreed on, in bytes with the header.
        packet_len_max: u16,
    },
    /// What was to be written has arrived; the clock is stopped.
    Written,
    /// A piece that was read; the clock is stopped.
    Received {
        /// They.
        bytes: &'a [u8],
        /// Whether the message ends with it. If not, [`Host::read`] again.
        last: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    New,
    Querying,
    Beginning,
    Idle,
    Writing,
    Reading,
    /// The device answered a read with nothing.
    Pausing,
    Ended,
}

/// A connection, from the first query on. One thing at a time: [`Host::start`], then [`Host::write`] or [`Host::read`],
/// each until [`Step::Connected`], [`Step::Written`] or [`Step::Received`].
///
/// Time is an input: [`Host::on_timeout`], once [`RESEND_AFTER`](super::RESEND_AFTER) has passed since the clock was
/// last started; what is ignored must not start it anew, or a device that babbles is waited for for ever. After an error it is at its end.
/// Connect anew with a new socket, so that no packet of the old connection comes in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Host {
    state: State,
    /// Ours, then what was agreed on.
    packet_len_max: u16,
    /// Of the packet that is under way, or of the next.
    seq: u16,
    datagram: Vec<u8>,
    /// How often it was sent.
    attempts: u32,
    /// What is being written, and how much of it is in packets that were sent.
    message: Vec<u8>,
    written: usize,
    /// Reads in a row that were answered with nothing.
    empty_reads: u32,
    /// The last piece that was read did not end its message.
    mid_message: bool,
}

impl Host {
    /// Offers packets of this length, in bytes with their header; see [`HOST_PACKET_LEN_MAX`](super::HOST_PACKET_LEN_MAX).
    /// It is brought within what the specification and UDP allow.
    pub fn new(packet_len_max: u16) -> Self {
        Self {
            state: State::New,
            packet_len_max: packet_len_max.clamp(PACKET_LEN_MIN, DATAGRAM_LEN_MAX),
            seq: 0,
            datagram: Vec::new(),
            attempts: 0,
            message: Vec::new(),
            written: 0,
            empty_reads: 0,
            mid_message: false,
        }
    }

    /// What [`Step::Send`] sends.
    pub fn datagram(&self) -> &[u8] {
        &self.datagram
    }

    /// Whether something can be begun.
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Asks the device for its number. Once, first of all.
    pub fn start(&mut self) -> Result<Step<'static>, UdpError> {
        if self.state != State::New {
            return self.fail(UdpError::Misused);
        }
        self.state = State::Querying;
        Ok(self.send(PacketId::Query, false, &[]))
    }

    /// Writes a message: a command, or a part of a data phase. Not an empty one, which would be a read.
    pub fn write(&mut self, message: &[u8]) -> Result<Step<'static>, UdpError> {
        if self.state != State::Idle || message.is_empty() {
            return self.fail(UdpError::Misused);
        }
        self.state = State::Writing;
        self.message.clear();
        self.message.extend_from_slice(message);
        self.written = 0;
        Ok(self.send_piece())
    }

    /// Reads one piece of a message.
    pub fn read(&mut self) -> Result<Step<'static>, UdpError> {
        if self.state != State::Idle {
            return self.fail(UdpError::Misused);
        }
        self.state = State::Reading;
        self.empty_reads = 0;
        Ok(self.send(PacketId::Fastboot, false, &[]))
    }

    /// The clock has run out.
    pub fn on_timeout(&mut self) -> Result<Step<'static>, UdpError> {
        let attempts_max = match self.state {
            State::New | State::Idle | State::Ended => return Ok(Step::Ignored),
            State::Pausing => {
                self.state = State::Reading;
                return Ok(self.send(PacketId::Fastboot, false, &[]));
            }
            State::Querying => QUERY_ATTEMPTS_MAX,
            State::Beginning | State::Writing | State::Reading => ATTEMPTS_MAX,
        };
        if self.attempts >= attempts_max {
            let first = self.state == State::Querying;
            return self.fail(UdpError::NoAnswer { attempts: self.attempts, first });
        }
        self.attempts += 1;
        Ok(Step::Send)
    }

    /// A packet came. One that does not answer what is under way is ignored: it is late, a double, or someone else's.
    pub fn on_datagram<'a>(&mut self, datagram: &'a [u8]) -> Result<Step<'a>, UdpError> {
        let Some((header, data)) = Header::split(datagram) else { return Ok(Step::Ignored) };
        let asked = match self.state {
            State::New | State::Idle | State::Pausing | State::Ended => return Ok(Step::Ignored),
            State::Querying => PacketId::Query,
            State::Beginning => PacketId::Init,
            State::Writing | State::Reading => PacketId::Fastboot,
        };
        if header.seq != self.seq || (header.id != asked && header.id != PacketId::Error) {
            return Ok(Step::Ignored);
        }
        if header.id == PacketId::Error {
            return self.fail(UdpError::Device(printable(&String::from_utf8_lossy(data))));
        }
        if datagram.len() > usize::from(self.packet_len_max) {
            let error = UdpError::PacketTooLong { len: datagram.len(), len_max: self.packet_len_max };
            return self.fail(error);
        }
        match self.state {
            State::Querying => self.synced(data),
            State::Beginning => self.agreed(data),
            State::Writing => self.acknowledged(data),
            _ => self.answered(header.continued, data),
        }
    }

    /// The device's number is known.
    fn synced<'a>(&mut self, data: &[u8]) -> Result<Step<'a>, UdpError> {
        let Some((seq, _)) = data.split_first_chunk::<2>() else {
            return self.fail(UdpError::BadAnswer { len: data.len() });
        };
        self.seq = u16::from_be_bytes(*seq);
        self.state = State::Beginning;
        let [version, packet_len_max] = [VERSION, self.packet_len_max].map(u16::to_be_bytes);
        Ok(self.send(PacketId::Init, false, &[version, packet_len_max].concat()))
    }

    /// The device's version and size are known.
    fn agreed<'a>(&mut self, data: &[u8]) -> Result<Step<'a>, UdpError> {
        let Some((&[v0, v1, s0, s1], _)) = data.split_first_chunk::<4>() else {
            return self.fail(UdpError::BadAnswer { len: data.len() });
        };
        let version = u16::from_be_bytes([v0, v1]).min(VERSION);
        let packet_len_max = u16::from_be_bytes([s0, s1]);
        if version < VERSION {
            return self.fail(UdpError::Version(version));
        }
        if packet_len_max < PACKET_LEN_MIN {
            return self.fail(UdpError::PacketSize(packet_len_max));
        }
        self.packet_len_max = self.packet_len_max.min(packet_len_max);
        self.done();
        Ok(Step::Connected { version, packet_len_max: self.packet_len_max })
    }

    fn acknowledged<'a>(&mut self, data: &[u8]) -> Result<Step<'a>, UdpError> {
        if !data.is_empty() {
            return self.fail(UdpError::DataInAck { len: data.len() });
        }
        if self.written == self.message.len() {
            self.done();
            return Ok(Step::Written);
        }
        self.seq = self.seq.wrapping_add(1);
        Ok(self.send_piece())
    }

    fn answered<'a>(&mut self, continued: bool, data: &'a [u8]) -> Result<Step<'a>, UdpError> {
        self.done();
        // A message may end in an empty packet; it does not begin with one, nor go on with one.
        if data.is_empty() && (continued || !self.mid_message) {
            self.empty_reads += 1;
            if self.empty_reads >= EMPTY_READS_MAX {
                return self.fail(UdpError::NothingToRead);
            }
            self.state = State::Pausing;
            return Ok(Step::Wait);
        }
        self.mid_message = continued;
        Ok(Step::Received { bytes: data, last: !continued })
    }

    /// The packet that was under way is answered.
    fn done(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        self.state = State::Idle;
    }

    fn fail<T>(&mut self, error: UdpError) -> Result<T, UdpError> {
        self.state = State::Ended;
        Err(error)
    }

    /// The next packet of the message.
    fn send_piece<'a>(&mut self) -> Step<'a> {
        let room = usize::from(self.packet_len_max) - HEADER_LEN;
        let end = self.message.len().min(self.written + room);
        let header = Header { id: PacketId::Fastboot, continued: end < self.message.len(), seq: self.seq };
        self.datagram.clear();
        self.datagram.extend_from_slice(&header.bytes());
        self.datagram.extend_from_slice(&self.message[self.written..end]);
        self.written = end;
        self.attempts = 1;
        Step::Send
    }

    fn send<'a>(&mut self, id: PacketId, continued: bool, data: &[u8]) -> Step<'a> {
        self.datagram.clear();
        self.datagram.extend_from_slice(&Header { id, continued, seq: self.seq }.bytes());
        self.datagram.extend_from_slice(data);
        self.attempts = 1;
        Step::Send
    }
}
