//! Devices that no file of configuration names.

use serde::{Deserialize, Serialize};

use crate::{DeviceName, Kind, Record};

/// A device that was claimed for whoever asked for it, by how it is found: a bootloader that speaks fastboot. Durable before
/// anybody can have it, so that who had it when a farm died finds it again, and nobody else gets its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What it is called.
    pub device: DeviceName,
    /// For which board it was claimed.
    pub board: String,
    /// Its USB serial number, where it has one.
    pub serial: Option<String>,
    /// Its USB port path, where nothing else tells it from its twins.
    pub port_path: Option<String>,
    /// `host:port`, where it is spoken to over TCP.
    pub tcp: Option<String>,
    /// `host:port`, where it is spoken to over UDP.
    pub udp: Option<String>,
}

impl Record for Claim {
    const KIND: Kind = Kind::Claim;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.device.as_str().as_bytes().to_vec()
    }
}
