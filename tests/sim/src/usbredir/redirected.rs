//! The device's end of one connection: packets in, packets out, a function in between. No I/O.

use std::collections::{BTreeSet, VecDeque};

use bytes::{Bytes, BytesMut};

use super::codec::{Codec, CodecError};
use super::descriptors::{Descriptors, Transfer};
use super::function::{Control, Function, In, Out, Setup};
use super::packet::{
    BulkPacket, Capabilities, Capability, ControlPacket, Hello, InterruptPacket, Packet, Status,
};
use super::standard::{Standard, standard};

/// What we can do: all that QEMU demands of a device behind an xHCI, and the device's version.
const CAPABILITIES: [Capability; 4] = [
    Capability::ConnectDeviceVersion,
    Capability::EpInfoMaxPacketSize,
    Capability::Ids64,
    Capability::BulkLength32,
];
/// Interrupt packets that are sent unasked in one go, at most: a function that never runs dry must not hold up the rest.
const INTERRUPTS_AT_ONCE: usize = 16;

/// One device on one connection.
#[derive(Debug)]
pub struct Redirected<F> {
    function: F,
    codec: Codec,
    out: BytesMut,
    greeted: bool,
    /// What the guest was told is plugged in.
    shown: Option<(u32, Descriptors)>,
    configuration: u8,
    halted: BTreeSet<u8>,
    /// Transfers that have not ended, in the order in which they came.
    pending: VecDeque<(u64, BulkPacket)>,
    polled: BTreeSet<u8>,
    interrupts_sent: u64,
}

impl<F: Function> Redirected<F> {
    /// With that function, on a fresh connection.
    pub fn new(function: F) -> Self {
        let codec = Codec::new(Capabilities::of(&CAPABILITIES));
        let mut out = BytesMut::new();
        let version = concat!("farmhand ", env!("CARGO_PKG_VERSION")).to_owned();
        let hello = Hello { version, capabilities: Capabilities::of(&CAPABILITIES) };
        codec.encode(0, &Packet::Hello(hello), &mut out);
        Self {
            function,
            codec,
            out,
            greeted: false,
            shown: None,
            configuration: 0,
            halted: BTreeSet::new(),
            pending: VecDeque::new(),
            polled: BTreeSet::new(),
            interrupts_sent: 0,
        }
    }

    /// What is to be sent; the caller takes it away.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// The function, to change it: [`Self::settle`] afterwards.
    pub fn function(&mut self) -> &mut F {
        &mut self.function
    }

    /// The function back; the connection is over.
    pub fn into_function(self) -> F {
        self.function
    }

    /// Whether the guest has chosen a configuration: it has found the device, and bound drivers or not.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.configuration != 0
    }

    /// Takes what arrived, and does what follows from it.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.codec.feed(bytes);
        while let Some((id, packet)) = self.codec.next()? {
            self.take(id, packet);
            self.settle();
        }
        Ok(())
    }

    /// Does what the function is ready for: plugs it in or out, ends transfers.
    pub fn settle(&mut self) {
        self.plug();
        self.retry();
        self.interrupts();
        // What was just said may have been its last: a phone that boots leaves with its answer.
        self.plug();
    }

    fn send(&mut self, id: u64, packet: &Packet) {
        self.codec.encode(id, packet, &mut self.out);
    }

    fn plug(&mut self) {
        let now = self.function.plugged_in();
        if !self.greeted || self.shown.as_ref().map(|(number, _)| *number) == now {
            return;
        }
        if self.shown.take().is_some() {
            self.configuration = 0;
            self.halted.clear();
            self.pending.clear();
            self.polled.clear();
            self.send(0, &Packet::DeviceDisconnect);
        }
        let Some(number) = now else { return };
        let descriptors = self.function.descriptors();
        self.function.reset();
        self.infos(&descriptors);
        self.send(0, &Packet::DeviceConnect(descriptors.connect()));
        self.shown = Some((number, descriptors));
    }

    /// A guest looks at these before it looks at the device.
    fn infos(&mut self, descriptors: &Descriptors) {
        self.send(0, &Packet::InterfaceInfo(descriptors.interface_infos()));
        self.send(0, &Packet::EpInfo(Box::new(descriptors.endpoint_infos())));
    }

    fn take(&mut self, id: u64, packet: Packet) {
        match packet {
            Packet::Hello(_) => self.greeted = true,
            // What the guest said before it heard that the device is gone.
            _ if self.shown.is_none() => {}
            Packet::Reset => {
                self.configuration = 0;
                self.halted.clear();
                self.pending.clear();
                self.polled.clear();
                self.function.reset();
            }
            Packet::SetConfiguration(configuration) => self.set_configuration(id, configuration),
            Packet::GetConfiguration => {
                let configuration = self.configuration;
                self.send(id, &Packet::ConfigurationStatus { status: Status::Success, configuration });
            }
            Packet::SetAltSetting { interface, alt } => {
                let status =
                    if self.has_interface(interface) && alt == 0 { Status::Success } else { Status::Stall };
                self.send(id, &Packet::AltSettingStatus { status, interface, alt: 0 });
            }
            Packet::GetAltSetting { interface } => {
                let status = if self.has_interface(interface) { Status::Success } else { Status::Stall };
                self.send(id, &Packet::AltSettingStatus { status, interface, alt: 0 });
            }
            Packet::StartInterruptReceiving { endpoint } => {
                let there = self.is(endpoint, Transfer::Interrupt) && endpoint & 0x80 != 0;
                let status = if there { Status::Success } else { Status::Invalid };
                self.send(id, &Packet::InterruptReceivingStatus { status, endpoint });
                if there {
                    self.polled.insert(endpoint);
                }
            }
            Packet::StopInterruptReceiving { endpoint } => {
                self.polled.remove(&endpoint);
                let status = Status::Success;
                self.send(id, &Packet::InterruptReceivingStatus { status, endpoint });
            }
            Packet::CancelDataPacket => {
                if let Some(at) = self.pending.iter().position(|(pending, _)| *pending == id) {
                    let (_, bulk) = self.pending.remove(at).expect("it was just found");
                    self.end(id, &bulk, Status::Cancelled, Bytes::new());
                }
            }
            Packet::Control(control) => self.control(id, control),
            Packet::Bulk(bulk) if self.is(bulk.endpoint, Transfer::Bulk) => {
                self.pending.push_back((id, bulk))
            }
            Packet::Bulk(bulk) => self.end(id, &bulk, Status::Invalid, Bytes::new()),
            Packet::Interrupt(packet) => self.interrupt_out(id, packet),
            // Rules are advice; the rest is what we said we cannot do, or what only our end says.
            _ => {}
        }
    }

    fn has_interface(&self, number: u8) -> bool {
        self.shown.as_ref().is_some_and(|(_, all)| usize::from(number) < all.interfaces.len())
    }

    fn is(&self, address: u8, transfer: Transfer) -> bool {
        let endpoint = self.shown.as_ref().and_then(|(_, all)| all.endpoint(address));
        endpoint.is_some_and(|endpoint| endpoint.transfer == transfer)
    }

    fn set_configuration(&mut self, id: u64, configuration: u8) {
        let status = if configuration <= 1 { Status::Success } else { Status::Stall };
        if status == Status::Success {
            self.configuration = configuration;
            self.halted.clear();
            self.function.configured(configuration);
            if let Some((_, descriptors)) = self.shown.clone() {
                self.infos(&descriptors);
            }
        }
        let configuration = self.configuration;
        self.send(id, &Packet::ConfigurationStatus { status, configuration });
    }

    fn control(&mut self, id: u64, packet: ControlPacket) {
        let setup = Setup {
            request_type: packet.request_type,
            request: packet.request,
            value: packet.value,
            index: packet.index,
            length: packet.length,
        };
        let Some((_, descriptors)) = &self.shown else { return };
        let done = match standard(setup, descriptors, &self.halted) {
            Standard::Answered(answer) => answer,
            Standard::ClearHalt(endpoint) => {
                self.halted.remove(&endpoint);
                self.function.halt_cleared(endpoint);
                Control::Done(Bytes::new())
            }
            Standard::Halt(endpoint) => {
                self.halted.insert(endpoint);
                Control::Done(Bytes::new())
            }
            Standard::NotOurs => self.function.control(setup, &packet.data),
        };
        let (status, mut data) = match done {
            Control::Done(data) => (Status::Success, data),
            Control::Stall => (Status::Stall, Bytes::new()),
        };
        let length = if setup.reads() {
            data.truncate(usize::from(setup.length));
            data.len() as u16
        } else {
            data.clear();
            if status == Status::Success { packet.data.len() as u16 } else { 0 }
        };
        self.send(id, &Packet::Control(ControlPacket { status, length, data, ..packet }));
    }

    /// Offers what is pending to the function: of each endpoint the first, for transfers end in their order.
    fn retry(&mut self) {
        let mut waiting = BTreeSet::new();
        let mut at = 0;
        while at < self.pending.len() {
            let (id, bulk) = &self.pending[at];
            let (id, endpoint) = (*id, bulk.endpoint);
            if waiting.contains(&endpoint) {
                at += 1;
                continue;
            }
            let ended = if self.halted.contains(&endpoint) {
                Some((Status::Stall, Bytes::new()))
            } else if endpoint & 0x80 == 0 {
                match self.function.bulk_out(endpoint, &bulk.data) {
                    Out::Taken => Some((Status::Success, Bytes::new())),
                    Out::Nak => None,
                    Out::Stall => Some((Status::Stall, Bytes::new())),
                }
            } else {
                match self.function.bulk_in(endpoint, bulk.length) {
                    In::Data(data) if data.len() > bulk.length as usize => {
                        Some((Status::Babble, data.slice(..bulk.length as usize)))
                    }
                    In::Data(data) => Some((Status::Success, data)),
                    In::Nak => None,
                    In::Stall => Some((Status::Stall, Bytes::new())),
                }
            };
            let Some((status, data)) = ended else {
                waiting.insert(endpoint);
                at += 1;
                continue;
            };
            if status == Status::Stall {
                self.halted.insert(endpoint);
            }
            let (_, bulk) = self.pending.remove(at).expect("it is there");
            self.end(id, &bulk, status, data);
            // What the device has taken may be what it waited for to answer elsewhere.
            waiting.clear();
            at = 0;
            // It may also have left.
            if self.function.plugged_in() != self.shown.as_ref().map(|(number, _)| *number) {
                self.plug();
            }
        }
    }

    fn end(&mut self, id: u64, bulk: &BulkPacket, status: Status, data: Bytes) {
        let length = match (bulk.endpoint & 0x80 == 0, status) {
            (true, Status::Success) => bulk.data.len() as u32,
            (true, _) => 0,
            (false, _) => data.len() as u32,
        };
        let (endpoint, stream) = (bulk.endpoint, bulk.stream);
        self.send(id, &Packet::Bulk(BulkPacket { endpoint, status, length, stream, data }));
    }

    fn interrupts(&mut self) {
        for endpoint in self.polled.clone() {
            let described = self.shown.as_ref().and_then(|(_, all)| all.endpoint(endpoint));
            let Some(max_packet) = described.map(|endpoint| endpoint.max_packet) else { continue };
            for _ in 0..INTERRUPTS_AT_ONCE {
                let (status, mut data) = match self.function.interrupt_in(endpoint, max_packet) {
                    In::Data(data) => (Status::Success, data),
                    In::Nak => break,
                    In::Stall => (Status::Stall, Bytes::new()),
                };
                data.truncate(usize::from(max_packet));
                let length = data.len() as u16;
                let id = self.interrupts_sent;
                self.interrupts_sent += 1;
                self.send(id, &Packet::Interrupt(InterruptPacket { endpoint, status, length, data }));
                if status == Status::Stall {
                    self.polled.remove(&endpoint);
                    break;
                }
            }
        }
    }

    fn interrupt_out(&mut self, id: u64, packet: InterruptPacket) {
        let status = match self.function.interrupt_out(packet.endpoint, &packet.data) {
            Out::Taken => Status::Success,
            // The guest was told that it is done: it cannot be asked to wait.
            Out::Nak => Status::IoError,
            Out::Stall => Status::Stall,
        };
        let InterruptPacket { endpoint, length, .. } = packet;
        self.send(id, &Packet::Interrupt(InterruptPacket { endpoint, status, length, data: Bytes::new() }));
    }
}
