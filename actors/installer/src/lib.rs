//! The package installer: named, versioned, hashed packages, each installed once.
//!
//! [`Packages`] installs, with no actor and no store; [`InstallerActor`] is its shell in a farm, where all who ask
//! for one thing wait for one installation of it. The sources (`source/`) are Debian's archive, through apt without root,
//! servers, files of this machine, git, pip and npm.
//!
//! Where a package lies is said in `shelf.rs`; an installed one is a prefix that holds what its archives would
//! unpack to `/`, with no link that leads out of it:
//!
//! | package | in its prefix |
//! |---|---|
//! | `avr-gcc` | `usr/bin/avr-gcc`, `avr-g++`, `avr-ar`, `avr-objcopy`, ...; `usr/lib/avr` is the C library |
//! | `arduino-avr` | `usr/share/arduino/hardware/arduino/avr`: cores, variants, `boards.txt`, bootloaders |
//! | `riscv-gcc` | `usr/bin/riscv64-unknown-elf-gcc`, `-g++`, `-ld`, ...: for 32 and 64 bits, with no C library |
//! | `riscv-picolibc` | `usr/lib/picolibc/riscv64-unknown-elf`: that C library; gcc finds it by `--specs` and `--picolibc-prefix` |
//! | `arm-picolibc`, `arm-newlib` | C libraries for it: `usr/lib/picolibc/arm-none-eabi`, `usr/lib/arm-none-eabi/newlib` |
//! | `clang` | `ziglang/zig`: clang and lld for all targets, from PyPI's `ziglang` |
//! | `arm-gcc` | `usr/bin/arm-none-eabi-gcc`, `-g++`, `-ld`, ...: with no C library |
//! | `simavr` | `usr/include/simavr`, `usr/lib/TRIPLET/libsimavr.so.*` |
//! | `avrdude` | `usr/bin/avrdude`, `etc/avrdude.conf` |
//! | `make` | `usr/bin/make`: what builds are measured against |
//! | `qemu-x86` | `usr/bin/qemu-system-x86_64`, `usr/share/qemu`, `usr/share/seabios` |
//! | `qemu-arm` | `usr/bin/qemu-system-arm` |
//! | `qemu-misc` | `usr/bin/qemu-system-riscv32`, `-riscv64`, `-avr` |
//! | `fastboot` | `usr/bin/fastboot`: what our host is compared with |
//! | `qemu-img` | `usr/bin/qemu-img` |
//! | `linux-guest` | a Linux guest's parts: `boot/vmlinuz-*`, `lib/modules`, busybox |
//! | `usb-bench` | a guest's parts: `boot/vmlinuz-*`, `lib/modules`, udev, busybox, fastboot |
//!
//! Programs of a prefix need the environment that [`Installed`] names.

mod actor;
mod apt;
mod bundle;
mod catalogue;
mod config;
mod deb;
mod error;
mod fetch;
mod gc;
mod lease;
mod local;
mod lock;
mod lockfile;
mod moved;
mod offers;
mod pack;
mod packages;
mod progress;
mod project;
mod record;
mod secrets;
mod shelf;
mod source;
mod state;
mod unpack;

use std::path::Path;

pub use actor::{InstallerActor, InstallerArgs};
pub use catalogue::names;
pub use config::{APT_SOURCES, Config};
pub use error::InstallError;
pub use farmhand_messages::installer::{Installed, PackageWish};
pub use farmhand_messages::packages::{PackageKind, PackageOrigin, PackageSpec};
pub use gc::{Keep, Stored, Verdict};
pub use lease::Lease;
pub use lockfile::{LOCK_FILE, LockedPackage};
pub use offers::offers_of;
pub use packages::{INSTALL_DEADLINE, Packages, shelf_name};
pub use project::{LockMode, check_declared, locked};
pub use unpack::Limits;

/// Has a package installed below `packages` (absolute), with this machine's configuration.
pub async fn install(
    packages: &Path,
    wish: &PackageWish,
    progress: impl Fn(farmhand_api::InstallEvent) + Send + Sync + 'static,
) -> Result<Installed, InstallError> {
    Packages::new(packages).install(wish, progress).await
}

/// The package of that name, if it is complete. Blocks for well below a millisecond.
#[must_use]
pub fn installed(packages: &Path, name: &str) -> Option<Installed> {
    Packages::new(packages).installed(name)
}
