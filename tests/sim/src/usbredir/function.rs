//! What a USB device does, as a state machine: it is asked, and answers at once, if only by "not yet".

use bytes::Bytes;

use super::descriptors::Descriptors;

/// The first eight bytes of a control transfer (USB 2.0, 9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// `bmRequestType`.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`: how much the host has for the device, or takes from it.
    pub length: u16,
}

impl Setup {
    /// Whether data goes to the host.
    #[must_use]
    pub fn reads(&self) -> bool {
        self.request_type & 0x80 != 0
    }
}

/// The end of a control transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Well; with this for the host where it reads, cut to what it takes.
    Done(Bytes),
    /// Refused.
    Stall,
}

/// What becomes of data for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    /// It is the device's now.
    Taken,
    /// Not yet: the same is offered again after the next thing that happens to the device.
    Nak,
    /// The endpoint is halted until the host clears that.
    Stall,
}

/// What the device has for the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum In {
    /// This ends the transfer. More than was asked for is babble, as on a real bus.
    Data(Bytes),
    /// Nothing yet: it is asked again after the next thing that happens to the device.
    Nak,
    /// The endpoint is halted until the host clears that.
    Stall,
}

/// A USB device's function. Standard requests, halted endpoints and the bus are dealt with around it.
pub trait Function: Send + 'static {
    /// Which plug-in this is; `None` while it is unplugged. Looked at after everything that happens to the device: where the
    /// number has changed, the device was unplugged, and is plugged in as what its descriptors now say.
    fn plugged_in(&self) -> Option<u32> {
        Some(0)
    }

    /// What it says it is.
    fn descriptors(&self) -> Descriptors;

    /// A request of its class or vendor; `data` is what the host sent with it.
    fn control(&mut self, setup: Setup, data: &Bytes) -> Control {
        let (_, _) = (setup, data);
        Control::Stall
    }

    /// The host sends this: one transfer.
    fn bulk_out(&mut self, endpoint: u8, data: &Bytes) -> Out;

    /// The host takes up to `length` bytes: one transfer.
    fn bulk_in(&mut self, endpoint: u8, length: u32) -> In;

    /// The host polls an interrupt endpoint, for `max_packet` bytes.
    fn interrupt_in(&mut self, endpoint: u8, max_packet: u16) -> In {
        let (_, _) = (endpoint, max_packet);
        In::Nak
    }

    /// The host sends this to an interrupt endpoint.
    fn interrupt_out(&mut self, endpoint: u8, data: &Bytes) -> Out {
        let (_, _) = (endpoint, data);
        Out::Stall
    }

    /// The host has chosen a configuration; 0 is none.
    fn configured(&mut self, configuration: u8) {
        let _ = configuration;
    }

    /// The host has cleared an endpoint's halt.
    fn halt_cleared(&mut self, endpoint: u8) {
        let _ = endpoint;
    }

    /// The bus was reset, or the device was plugged in.
    fn reset(&mut self) {}
}
