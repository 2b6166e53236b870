//! The phone on a simulated USB: whatever it is at, it is a device there.

use bytes::Bytes;
use farmhand_wire::fastboot::USB_INTERFACE;

use super::options::UsbId;
use super::phone::Phone;
use super::presence::{Mode, Out};
use crate::usbredir::{
    Acm, Control, Descriptors, Endpoint, Function, In, Interface, Out as Taken, Setup, Speed,
};

const DATA_OUT: u8 = 0x01;
const DATA_IN: u8 = 0x81;

/// A phone, as a USB device. In its bootloader it has the fastboot interface; once it runs what it was sent it is that
/// image's gadget, with a serial port that prints the banner where it has one.
///
/// [`Fault::Slow`](super::Fault::Slow) does nothing here: a USB device has no clock in this simulation.
#[derive(Debug)]
pub struct UsbPhone {
    phone: Phone,
    /// Its serial port, and the plug-in that it is of.
    console: Option<(u32, Acm)>,
}

impl UsbPhone {
    /// That phone.
    pub fn new(phone: Phone) -> Self {
        Self { phone, console: None }
    }

    /// The phone, to look at or to change.
    pub fn phone(&mut self) -> &mut Phone {
        self.settle();
        &mut self.phone
    }

    /// The serial port of what it was sent, while that runs.
    pub fn console(&mut self) -> Option<&mut Acm> {
        self.settle();
        self.console.as_mut().map(|(_, console)| console)
    }

    /// Follows the phone: a cut is a plug that is pulled, and the console begins with its image.
    fn settle(&mut self) {
        if self.phone.cuts() {
            self.phone.replug();
        }
        let presence = self.phone.presence();
        if self.console.as_ref().is_some_and(|(plug, _)| *plug == presence.plug) {
            return;
        }
        let options = self.phone.options();
        self.console = match (&options.banner, presence.mode) {
            (Some(banner), Mode::Booted) => {
                let UsbId { vendor, product } = options.next;
                let mut console = Acm::new(&options.serial).with_ids(vendor, product);
                console.print(format!("{banner}\r\n").as_bytes());
                Some((presence.plug, console))
            }
            _ => None,
        };
    }

    fn plain(&self, id: UsbId, interface: Interface) -> Descriptors {
        let options = self.phone.options();
        Descriptors {
            speed: Speed::High,
            class: [0; 3],
            vendor: id.vendor,
            product: id.product,
            version_bcd: 0x0100,
            manufacturer: Some("farmhand".to_owned()),
            product_name: Some(options.product.clone()),
            serial: Some(options.serial.clone()),
            interfaces: vec![interface],
        }
    }
}

impl Function for UsbPhone {
    fn plugged_in(&self) -> Option<u32> {
        let presence = self.phone.presence();
        (presence.mode != Mode::Away).then_some(presence.plug)
    }

    fn descriptors(&self) -> Descriptors {
        let options = self.phone.options();
        let (class, subclass, protocol) = USB_INTERFACE;
        let fastboot = Interface {
            class: [class, subclass, protocol],
            name: Some("fastboot".to_owned()),
            extra: vec![],
            endpoints: vec![Endpoint::bulk(DATA_IN), Endpoint::bulk(DATA_OUT)],
        };
        // Of a maker's own kind, that no driver takes.
        let other = Interface { class: [0xff, 0xff, 0xff], name: None, extra: vec![], endpoints: vec![] };
        match self.phone.presence().mode {
            Mode::Loader | Mode::Userspace | Mode::Away => self.plain(options.loader, fastboot),
            Mode::Booted if options.banner.is_some() => {
                Acm::new(&options.serial).with_ids(options.next.vendor, options.next.product).descriptors()
            }
            Mode::Booted => self.plain(options.next, other),
            Mode::System | Mode::Recovery => self.plain(options.system, other),
            Mode::Other(id) => self.plain(id, other),
        }
    }

    fn control(&mut self, setup: Setup, data: &Bytes) -> Control {
        self.settle();
        self.console.as_mut().map_or(Control::Stall, |(_, console)| console.control(setup, data))
    }

    fn bulk_out(&mut self, endpoint: u8, data: &Bytes) -> Taken {
        self.settle();
        if let Some((_, console)) = &mut self.console {
            return console.bulk_out(endpoint, data);
        }
        if self.phone.stalled() {
            return Taken::Nak;
        }
        self.phone.receive(data, true);
        self.settle();
        Taken::Taken
    }

    fn bulk_in(&mut self, endpoint: u8, length: u32) -> In {
        self.settle();
        if let Some((_, console)) = &mut self.console {
            return console.bulk_in(endpoint, length);
        }
        match self.phone.next_out(length as usize) {
            Some(Out::Reply(bytes) | Out::Data(bytes)) => {
                self.phone.sent();
                In::Data(bytes)
            }
            Some(Out::Cut) => {
                self.phone.replug();
                In::Nak
            }
            None => In::Nak,
        }
    }

    fn interrupt_in(&mut self, endpoint: u8, max_packet: u16) -> In {
        self.settle();
        self.console.as_mut().map_or(In::Nak, |(_, console)| console.interrupt_in(endpoint, max_packet))
    }

    fn configured(&mut self, configuration: u8) {
        if let Some((_, console)) = &mut self.console {
            console.configured(configuration);
        }
    }

    fn halt_cleared(&mut self, endpoint: u8) {
        if let Some((_, console)) = &mut self.console {
            console.halt_cleared(endpoint);
        }
    }

    fn reset(&mut self) {
        self.settle();
        if let Some((_, console)) = &mut self.console {
            return console.reset();
        }
        if self.phone.presence().speaks_fastboot() {
            self.phone.host_arrived();
        }
    }
}
