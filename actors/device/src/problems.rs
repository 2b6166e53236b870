//! What can be wrong with a device, as it is told to people: class, stable code, what to do next.

use std::path::Path;

use farmhand_api::{Problem, ProblemClass};
use farmhand_messages::serial::OpenPortError;
use farmhand_records::DeviceName;

use crate::driver::DriverError;

fn problem(class: ProblemClass, code: &str, message: String, help: &[String]) -> Problem {
    Problem { class, code: code.into(), message, detail: Vec::new(), help: help.to_vec(), place: None }
}

/// The port could not be opened.
pub(crate) fn not_opened(device: &DeviceName, error: &OpenPortError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        OpenPortError::Held { holder, .. } => {
            let help = format!("end {holder}, or wait until it is done");
            problem(ProblemClass::Busy, "F221", message, &[help])
        }
        OpenPortError::Permission { path } => problem(
            ProblemClass::Permission,
            "F222",
            message,
            &[
                "join the port's group, then log in again: sudo usermod -aG dialout $USER".into(),
                format!(
                    "or give yourself access for now: sudo setfacl -m u:$USER:rw {}; for good: a udev rule with \
                     TAG+=\"uaccess\"",
                    path.display()
                ),
            ],
        ),
        OpenPortError::Missing { .. } => problem(
            ProblemClass::NoDevice,
            "F223",
            message,
            &["is it plugged in? `farmhand devices` lists what is there".into()],
        ),
        _ => problem(ProblemClass::Infra, "F224", message, &[]),
    }
}

/// A driver did not do it.
pub(crate) fn not_done(device: &DeviceName, error: &DriverError) -> Problem {
    let message = format!("{device}: {error}");
    match error {
        DriverError::NoLoader { .. } => problem(
            ProblemClass::Infra,
            "F231",
            format!("{device} does not answer in its loader: {error}"),
            &[
                "press its reset button, and try again".into(),
                "is it the right board? its loader may speak at another rate, or be missing".into(),
            ],
        ),
        DriverError::WrongSignature { .. } => problem(
            ProblemClass::NoDevice,
            "F232",
            format!("{device} {error}"),
            &["nothing was written; another board is plugged in, or `board` is wrong".into()],
        ),
        DriverError::Verify { .. } => problem(
            ProblemClass::Infra,
            "F233",
            message,
            &["its flash may be worn out, or its line disturbed".into()],
        ),
        DriverError::Image(_) => problem(
            ProblemClass::Build,
            "F235",
            message,
            &["the program is not for this board, or too large for it".into()],
        ),
        DriverError::Talk(_) | DriverError::Reset(_) => problem(
            ProblemClass::Infra,
            "F234",
            message,
            &["is its cable firm? it can be tried again".into()],
        ),
    }
}

/// No driver of that name, or not with that configuration.
pub(crate) fn no_driver(device: &DeviceName, why: &str) -> Problem {
    problem(ProblemClass::Configuration, "F236", format!("{device}: {why}"), &[])
}

/// The virtual board is not to be had.
pub(crate) fn no_board(device: &DeviceName, folder: &Path, why: &str) -> Problem {
    let help = format!("its own words are in {}", folder.join("log").display());
    problem(ProblemClass::Infra, "F241", format!("{device}, a virtual board: {why}"), &[help])
}

/// The package that a board is made of has not what it should have.
pub(crate) fn no_loader(device: &DeviceName, path: &Path) -> Problem {
    let message = format!("{device}: package arduino-avr has no {}", path.display());
    problem(ProblemClass::Package, "F245", message, &["install it anew".into()])
}

/// The device's state could not be written.
pub(crate) fn not_recorded(device: &DeviceName, why: &str) -> Problem {
    let help = "is the disk full? nothing was done that would have had to be recorded first".to_owned();
    problem(ProblemClass::Infra, "F242", format!("{device}: its state could not be recorded: {why}"), &[help])
}

/// Another actor that is needed does not answer.
pub(crate) fn no_answer(device: &DeviceName, who: &str, why: &str) -> Problem {
    problem(ProblemClass::Infra, "F243", format!("{device}: {who} {why}"), &[])
}

/// Too many ask at once.
pub(crate) fn busy(device: &DeviceName, waiting: usize) -> Problem {
    problem(ProblemClass::Busy, "F244", format!("{device}: {waiting} commands wait already"), &[])
}

/// A command that may not be given now.
pub(crate) fn out_of_order(device: &DeviceName, why: String) -> Problem {
    problem(ProblemClass::Infra, "F246", format!("{device}: {why}"), &[])
}
