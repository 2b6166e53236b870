//! One emulated machine: a QEMU that outlives the farm and is told through its monitor. No actor: the device's is its owner.
//!
//! | file | what it is |
//! |---|---|
//! | `kind.rs` | the machines there are, and what QEMU is told for each |
//! | `process.rs` | QEMU as a process: started on its own feet, known before it runs, found again, ended |
//! | `monitor.rs` | its monitor: commands with deadlines, events |
//! | `machine.rs` | a machine: loaded and held, sent on its way, adopted, ended |
//! | `snapshot` | machines kept as they were at a moment, and made again from that |
//!
//! # What is known after a crash
//!
//! A program is loaded by starting QEMU anew, with the processor held (`-S`): a machine is of one program, and nothing of an
//! earlier one is in it. QEMU says whether the processor has ever run (QAPI `RunState`: `prelaunch` until the first `cont`),
//! and goes on saying so whoever asks, so that a handoff is proven or disproven by asking.
//!
//! The guest's own reset does not go unnoticed while nobody looks: it leaves the machine stopped (`-action
//! reboot=shutdown,shutdown=pause`), and it is the owner who lets it go on, in an epoch of its own. So does a power-off, or it
//! ends QEMU (the switch of RISC-V's `virt` in 7.2).

mod kind;
mod machine;
mod monitor;
mod process;
mod snapshot;

pub use kind::{Elf, Kind, kinds};
pub use machine::{Ended, InFlight, Loaded, Machine, MachineError, Now, Program};
pub use monitor::{Monitor, MonitorError, News};
pub use process::Emulator;
pub use snapshot::{
    Description, Keep, Key, Listed, MadeBy, Part, Place, Pruned, Role, Saved, SnapshotError, SnapshotName,
    Snapshots, Verified, Wanted,
};
