//! A USB device outside of a virtual machine, plugged into it through the USB redirection protocol that QEMU's
//! `usb-redir` device speaks ("USB Network Redirection protocol description", version 0.7).
//!
//! - [`Packet`] and [`Codec`]: what is said on the wire, both sides of it, without I/O.
//! - [`Function`]: what a device does; [`Descriptors`]: what it says it is.
//! - [`Redirected`]: the device's end of one connection, a state machine without I/O.
//! - [`Plugged`]: that machine on a Unix socket on which QEMU listens. Its end is a pulled plug, and another may
//!   connect.
//! - [`Acm`]: a serial port (CDC-ACM).
//!
//! ```text
//! qemu-system-x86_64 -device qemu-xhci -chardev socket,id=p0,path=P0,server=on,wait=off -device usb-redir,chardev=p0
//! ```

mod acm;
mod codec;
mod descriptors;
mod function;
mod packet;
mod plugged;
mod redirected;
mod standard;

pub use acm::{Acm, LineCoding};
pub use codec::{BODY_BYTES_MAX, Codec, CodecError};
pub use descriptors::{Descriptors, Endpoint, Interface, Speed, Transfer};
pub use function::{Control, Function, In, Out, Setup};
pub use packet::{
    BulkPacket, Capabilities, Capability, ControlPacket, DeviceConnect, EndpointInfo, Hello, InterfaceInfo,
    InterruptPacket, Packet, Status, endpoint_index,
};
pub use plugged::{CALL_DEADLINE, PlugError, Plugged};
pub use redirected::Redirected;
