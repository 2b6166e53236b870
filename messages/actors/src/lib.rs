//! What actors say to each other: one file a receiver, each variant documented - who sends it, what it promises,
//! what it answers, whether it is safe to send again.
//!
//! A request that must arrive is a call that answers after its record is durable. A message that tells something
//! which can be asked for again is a cast, and says so. An answer that does not come proves nothing.

pub mod compiler;
pub mod device;
pub mod directory;
pub mod events;
pub mod fastboot;
pub mod installer;
mod names;
pub mod packages;
pub mod scheduler;
pub mod serial;
pub mod session;

pub use compiler::CompilerMessage;
pub use device::DeviceMessage;
pub use directory::DirectoryMessage;
pub use events::EventsMessage;
pub use installer::InstallerMessage;
pub use names::Names;
pub use scheduler::SchedulerMessage;
pub use serial::SerialMessage;
pub use session::SessionMessage;
