//! Where an actor is found: ractor's registry is global to the process, so every name carries the farm's instance.

use std::sync::Arc;

use farmhand_records::{DeviceName, SessionId};

/// The names of one farm's actors. A restarted actor has the same name; a reference to its predecessor is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Arc<str>);

impl Names {
    /// The names of the farm with this instance id, unique in the process.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Self(instance.into())
    }

    fn of(&self, role: &str) -> String {
        format!("farmhand/{}/{role}", self.0)
    }

    /// The root: it starts and watches the others.
    #[must_use]
    pub fn farm(&self) -> String {
        self.of("farm")
    }

    /// The event log.
    #[must_use]
    pub fn events(&self) -> String {
        self.of("events")
    }

    /// The device directory.
    #[must_use]
    pub fn directory(&self) -> String {
        self.of("directory")
    }

    /// The scheduler.
    #[must_use]
    pub fn scheduler(&self) -> String {
        self.of("scheduler")
    }

    /// The package installer.
    #[must_use]
    pub fn installer(&self) -> String {
        self.of("installer")
    }

    /// The compiler pool.
    #[must_use]
    pub fn compiler(&self) -> String {
        self.of("compiler")
    }

    /// A session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> String {
        self.of(&format!("session/{id}"))
    }

    /// A device.
    #[must_use]
    pub fn device(&self, name: &DeviceName) -> String {
        self.of(&format!("device/{name}"))
    }

    /// A device's serial port.
    #[must_use]
    pub fn serial(&self, name: &DeviceName) -> String {
        self.of(&format!("serial/{name}"))
    }
}
