//! Which chip, and which loader on it.

use std::fmt;

use super::dialogue::{Next, Script};
use super::{Doing, Synced};
use crate::stk500v1::command::{Command, Parameter};
use crate::stk500v1::reply::Reply;

/// The three bytes that tell the chip (manufacturer, flash size, which of that size; the chip's data sheet,
/// "Signature Bytes"). A loader answers with what it was compiled for, not with what the silicon says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 3]);

impl Signature {
    /// ATmega328P (its data sheet, table "Device ID").
    pub const ATMEGA328P: Self = Self([0x1e, 0x95, 0x0f]);

    /// Of a reply to [`Command::ReadSignature`], which has three bytes.
    pub(super) fn of(reply: &Reply) -> Self {
        Self(
            reply.data[..]
                .try_into()
                .expect("the reply parser takes as many bytes as the command says: three"),
        )
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [manufacturer, size, part] = self.0;
        write!(f, "{manufacturer:02x} {size:02x} {part:02x}")
    }
}

/// A loader's own version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoaderVersion {
    /// [`Parameter::SW_MAJOR`].
    pub major: u8,
    /// [`Parameter::SW_MINOR`].
    pub minor: u8,
}

impl fmt::Display for LoaderVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What [`Identify`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Which chip the loader was built for.
    pub signature: Signature,
    /// Which loader.
    pub loader: LoaderVersion,
}

/// Asks for the signature, where it is not known, and for the loader's version.
#[derive(Debug, Clone)]
pub struct Identify {
    signature: Option<Signature>,
    major: Option<u8>,
}

impl Identify {
    /// Asks for all of it.
    pub fn new() -> Self {
        Self { signature: None, major: None }
    }

    /// Asks for what [`super::Synchronize`] has not already found: a round trip less.
    pub fn after(synced: &Synced) -> Self {
        Self { signature: Some(synced.signature), major: None }
    }

    fn ask<T>(doing: Doing, command: Command) -> Next<T> {
        Next::Ask { doing, commands: vec![command] }
    }
}

impl Default for Identify {
    fn default() -> Self {
        Self::new()
    }
}

impl Script for Identify {
    type Value = Identity;

    fn first(&mut self) -> Next<Identity> {
        match self.signature {
            None => Self::ask(Doing::ReadSignature, Command::ReadSignature),
            Some(_) => Self::ask(Doing::ReadVersion, Command::GetParameter(Parameter::SW_MAJOR)),
        }
    }

    fn next(&mut self, replies: Vec<Reply>) -> Next<Identity> {
        let reply = &replies[0];
        match (self.signature, self.major) {
            (None, _) => {
                self.signature = Some(Signature::of(reply));
                Self::ask(Doing::ReadVersion, Command::GetParameter(Parameter::SW_MAJOR))
            }
            (Some(_), None) => {
                self.major = Some(reply.data[0]);
                Self::ask(Doing::ReadVersion, Command::GetParameter(Parameter::SW_MINOR))
            }
            (Some(signature), Some(major)) => {
                Next::Done(Identity { signature, loader: LoaderVersion { major, minor: reply.data[0] } })
            }
        }
    }
}
