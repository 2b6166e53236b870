//! A serial port on USB (CDC 1.2 and its PSTN subclass 1.2): echoes, prints what it is told to, and keeps what it got.

use bytes::{Bytes, BytesMut};

use super::descriptors::{Descriptors, Endpoint, Interface, Speed, Transfer};
use super::function::{Control, Function, In, Out, Setup};

const DATA_OUT: u8 = 0x01;
const DATA_IN: u8 = 0x81;
const NOTIFICATIONS: u8 = 0x82;
/// What it holds for a host that does not read, in bytes; what it is sent meanwhile must wait.
const UNREAD_BYTES_MAX: usize = 1 << 20;

/// PSTN 1.2, 6.3.10 to 6.3.13.
const SET_LINE_CODING: u8 = 0x20;
const GET_LINE_CODING: u8 = 0x21;
const SET_CONTROL_LINE_STATE: u8 = 0x22;
const SEND_BREAK: u8 = 0x23;

/// How the host set the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineCoding {
    /// In bits a second.
    pub baud: u32,
    /// 0 for one, 1 for one and a half, 2 for two.
    pub stop_bits: u8,
    /// 0 none, 1 odd, 2 even, 3 mark, 4 space.
    pub parity: u8,
    /// Bits of a byte.
    pub data_bits: u8,
}

/// The port.
#[derive(Debug, Clone)]
pub struct Acm {
    serial: String,
    ids: (u16, u16),
    echo: bool,
    plugged_in: Option<u32>,
    unread: BytesMut,
    received: BytesMut,
    line: LineCoding,
    dtr: bool,
    dtr_raised: u32,
}

impl Acm {
    /// With that serial number; by its ids an Arduino Uno.
    pub fn new(serial: impl Into<String>) -> Self {
        Self {
            serial: serial.into(),
            ids: (0x2341, 0x0043),
            echo: false,
            plugged_in: Some(0),
            unread: BytesMut::new(),
            received: BytesMut::new(),
            line: LineCoding { baud: 9600, stop_bits: 0, parity: 0, data_bits: 8 },
            dtr: false,
            dtr_raised: 0,
        }
    }

    /// What it gets it sends back.
    #[must_use]
    pub fn echoing(self) -> Self {
        Self { echo: true, ..self }
    }

    /// With that vendor and product.
    #[must_use]
    pub fn with_ids(self, vendor: u16, product: u16) -> Self {
        Self { ids: (vendor, product), ..self }
    }

    /// Says something, as soon as the host reads.
    pub fn print(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// How much of what it said the host has not read yet, in bytes.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread.len()
    }

    /// All that it got.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The line as the host set it last.
    #[must_use]
    pub fn line(&self) -> LineCoding {
        self.line
    }

    /// Whether the host has it open, as far as a device can tell.
    #[must_use]
    pub fn dtr(&self) -> bool {
        self.dtr
    }

    /// How often DTR was raised: what resets many boards.
    #[must_use]
    pub fn dtr_raised(&self) -> u32 {
        self.dtr_raised
    }
}

impl Function for Acm {
    fn plugged_in(&self) -> Option<u32> {
        self.plugged_in
    }

    fn descriptors(&self) -> Descriptors {
        // Header (CDC 1.10), call management (none), abstract control (line coding and state), union.
        let extra = [&[5, 0x24, 0, 0x10, 1][..], &[5, 0x24, 1, 0, 1], &[4, 0x24, 2, 2], &[5, 0x24, 6, 0, 1]];
        let notifications =
            Endpoint { address: NOTIFICATIONS, transfer: Transfer::Interrupt, max_packet: 16, interval: 8 };
        Descriptors {
            speed: Speed::High,
            class: [2, 0, 0],
            vendor: self.ids.0,
            product: self.ids.1,
            version_bcd: 0x0001,
            manufacturer: Some("farmhand".into()),
            product_name: Some("simulated serial port".into()),
            serial: Some(self.serial.clone()),
            interfaces: vec![
                Interface {
                    class: [2, 2, 1],
                    name: None,
                    extra: extra.concat(),
                    endpoints: vec![notifications],
                },
                Interface {
                    class: [0x0a, 0, 0],
                    name: None,
                    extra: Vec::new(),
                    endpoints: vec![Endpoint::bulk(DATA_OUT), Endpoint::bulk(DATA_IN)],
                },
            ],
        }
    }

    fn control(&mut self, setup: Setup, data: &Bytes) -> Control {
        match (setup.request_type, setup.request, &data[..]) {
            (0x21, SET_LINE_CODING, &[b0, b1, b2, b3, stop_bits, parity, data_bits]) => {
                let baud = u32::from_le_bytes([b0, b1, b2, b3]);
                self.line = LineCoding { baud, stop_bits, parity, data_bits };
                Control::Done(Bytes::new())
            }
            (0xa1, GET_LINE_CODING, _) => {
                let mut line = BytesMut::from(&self.line.baud.to_le_bytes()[..]);
                line.extend_from_slice(&[self.line.stop_bits, self.line.parity, self.line.data_bits]);
                Control::Done(line.freeze())
            }
            (0x21, SET_CONTROL_LINE_STATE, _) => {
                let dtr = setup.value & 1 != 0;
                self.dtr_raised += u32::from(dtr && !self.dtr);
                self.dtr = dtr;
                Control::Done(Bytes::new())
            }
            (0x21, SEND_BREAK, _) => Control::Done(Bytes::new()),
            _ => Control::Stall,
        }
    }

    fn bulk_out(&mut self, _endpoint: u8, data: &Bytes) -> Out {
        if self.echo && self.unread.len() + data.len() > UNREAD_BYTES_MAX {
            return Out::Nak;
        }
        self.received.extend_from_slice(data);
        if self.echo {
            self.unread.extend_from_slice(data);
        }
        Out::Taken
    }

    fn bulk_in(&mut self, _endpoint: u8, length: u32) -> In {
        if self.unread.is_empty() {
            return In::Nak;
        }
        let bytes = self.unread.len().min(length as usize);
        In::Data(self.unread.split_to(bytes).freeze())
    }

    fn reset(&mut self) {
        self.dtr = false;
    }
}
