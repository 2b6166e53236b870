//! What the device of a session must be, where it can be asked.

use serde::{Deserialize, Serialize};

use crate::{Kind, Record, SessionId};

/// What a variable of a bootloader must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// This.
    Equals(String),
    /// It begins so.
    StartsWith(String),
    /// It exists, and is not this.
    NotEquals(String),
    /// It exists, whatever it is.
    Exists,
    /// The bootloader does not know it: it answers FAIL.
    NotExists,
}

impl Wanted {
    /// Whether an answer is what is wanted. `None`: the bootloader does not know the variable. Some put blanks around
    /// values.
    #[must_use]
    pub fn holds(&self, answer: Option<&str>) -> bool {
        let answer = answer.map(str::trim);
        match self {
            Self::Equals(text) => answer == Some(text),
            Self::StartsWith(text) => answer.is_some_and(|answer| answer.starts_with(text.as_str())),
            Self::NotEquals(text) => answer.is_some_and(|answer| answer != text),
            Self::Exists => answer.is_some(),
            Self::NotExists => answer.is_none(),
        }
    }
}

/// One question to a bootloader. They are asked in order, and the first that does not hold ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The variable.
    pub getvar: String,
    /// What it must be.
    pub wanted: Wanted,
}

/// A model of devices that speak fastboot, as far as one of them is made sure of, and taken evidence from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its profile's name.
    pub id: String,
    /// `vendor:product` of its bootloader; any of them. Empty: nothing is known of that.
    pub usb: Vec<String>,
    /// Its USB serial number, where the profile is of one device.
    pub serial: Option<String>,
    /// Its USB port path, where the profile is of one place.
    pub port_path: Option<String>,
    /// How it is told from others by asking.
    pub probes: Vec<Probe>,
    /// What it shows itself as once it runs what was booted; empty: nothing is known of that.
    pub next: Vec<String>,
    /// What its console says then, and its bootloader never.
    pub banner: Option<String>,
}

/// The model that a session's image was made for. Its profile may be changed, or belong to a project: it is read once, and
/// durable before a device is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOf {
    /// Whose.
    pub session: SessionId,
    /// Which; none: any device that speaks fastboot will do.
    pub model: Option<Model>,
}

impl Record for ModelOf {
    const KIND: Kind = Kind::Model;
    const VERSION: u16 = 1;

    fn key(&self) -> Vec<u8> {
        self.session.0.to_be_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fail_means_that_the_variable_does_not_exist() {
        let check = |wanted: Wanted| {
            [None, Some(""), Some(" sdm845"), Some("msm8916")].map(|answer| wanted.holds(answer))
        };
        assert_eq!(check(Wanted::Equals("sdm845".into())), [false, false, true, false]);
        assert_eq!(check(Wanted::StartsWith("sdm".into())), [false, false, true, false]);
        assert_eq!(check(Wanted::NotEquals("sdm845".into())), [false, true, false, true]);
        assert_eq!(check(Wanted::Exists), [false, true, true, true]);
        assert_eq!(check(Wanted::NotExists), [true, false, false, false]);
    }
}
