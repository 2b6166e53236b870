//! The USB bench: a virtual machine with a stock kernel, in which farmhand itself runs on real usbfs, udev and serial
//! nodes, and devices outside of it (`farmhand-sim`) that are plugged in and pulled out while it runs.
//!
//! Everything comes as packages, without root, once; QEMU emulates in software, so it runs on any machine. A guest
//! starts in some seconds: a test file has one guest, and runs its scenarios in it one after another.
//!
//! ```text
//!   test ── commands ──> guest's agent (virtio-serial)          farmhand, farmhandd, fastboot, udevd, busybox
//!   test ── Plugged  ──> usb-redir slots 0.. ──> qemu-xhci ──>  /dev/bus/usb, /dev/ttyACM*
//!   test ── Ftdi     ──> QEMU's usb-serial   ──> qemu-xhci ──>  /dev/ttyUSB*
//! ```
//!
//! Where a package cannot be had the bench says in one line what is missing, and its tests pass over; with
//! [`MUST_NOT_SKIP`] set they fail. A guest that does not come up is a failure, with its console's last lines.

mod bench;
mod ftdi;
mod guest;
mod initrd;
mod libraries;
mod parts;
mod qmp;

pub use bench::{Bench, MUST_NOT_SKIP, SLOTS};
pub use ftdi::Ftdi;
pub use parts::MissingParts;
pub use qmp::{Qmp, QmpError};
