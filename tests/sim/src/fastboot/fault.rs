//! What a phone can be asked to do wrong.

use std::str::FromStr;

use super::options::{OptionError, UsbId, byte_count};

/// How faults are written, one a line.
pub const FAULTS: &str = "\
stall [COMMAND]              answer nothing from the next such command on, until `clear` or a restart
stall-data BYTES             so, after that many bytes of a data phase
cut BYTES                    cut the connection after that many bytes of a data phase
cut-at COMMAND               cut it when that command comes, and do not carry it out
data-length BYTES            say in DATA that many more than were asked for; fewer, if negative
nonsense KIND [COMMAND]      answer with unknown-tag, short, not-utf8, long (300 bytes) or endless-info
fail COMMAND TEXT            refuse it
vanish [VENDOR:PRODUCT]      leave the bus at once, and come back as that, or not at all
datagrams DROP DUPLICATE REORDER SEED   do that to so many of 1000 datagrams of UDP, both ways
slow BYTES                   take no more than that a second (not over USB)
boot-unanswered              on `boot`: start the image, and lose the answer
boot-ignored                 on `boot`: answer OKAY, and start nothing
clear                        no fault any more";

/// What a phone answers that is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonsense {
    /// Four letters that nobody knows.
    UnknownTag,
    /// Two bytes.
    Short,
    /// `OKAY`, and bytes that are not UTF-8.
    NotUtf8,
    /// `OKAY`, 300 bytes long.
    Long,
    /// `INFO` after `INFO`, for ever.
    EndlessInfo,
}

/// What goes wrong. Each is over once it happened, but for [`Fault::Datagrams`] and [`Fault::Slow`], which last.
///
/// `at` is how the command begins; an empty one is any command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers nothing from such a command on.
    Stall {
        /// The command.
        at: String,
    },
    /// Neither takes nor gives anything more in a data phase.
    StallData {
        /// After so many bytes of it.
        after: u64,
    },
    /// Cuts the connection in a data phase.
    Cut {
        /// After so many bytes of it.
        after: u64,
    },
    /// Cuts the connection when such a command comes.
    CutAt {
        /// The command.
        at: String,
    },
    /// Lies in `DATA`.
    DataLength {
        /// By so many bytes.
        by: i64,
    },
    /// Answers with no answer.
    Nonsense {
        /// Which.
        kind: Nonsense,
        /// The command.
        at: String,
    },
    /// Refuses.
    Fail {
        /// The command.
        at: String,
        /// What it says.
        text: String,
    },
    /// Leaves the bus.
    Vanish {
        /// What it comes back as.
        next: Option<UsbId>,
    },
    /// Does harm to datagrams.
    Datagrams(Datagrams),
    /// Takes its time.
    Slow {
        /// So many bytes a second.
        bytes_per_s: u64,
    },
    /// Starts what it was sent and does not say so.
    BootUnanswered,
    /// Says that it starts what it was sent, and does not.
    BootIgnored,
    /// None any more.
    Clear,
}

/// How many of 1000 datagrams come to harm, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagrams {
    /// Are lost.
    pub drop: u16,
    /// Come twice.
    pub duplicate: u16,
    /// Come after the next one.
    pub reorder: u16,
    /// Of the dice.
    pub seed: u64,
}

impl FromStr for Nonsense {
    type Err = OptionError;

    fn from_str(text: &str) -> Result<Self, OptionError> {
        Ok(match text {
            "unknown-tag" => Self::UnknownTag,
            "short" => Self::Short,
            "not-utf8" => Self::NotUtf8,
            "long" => Self::Long,
            "endless-info" => Self::EndlessInfo,
            _ => {
                let wanted = "unknown-tag, short, not-utf8, long or endless-info";
                return Err(OptionError::new("nonsense", wanted, text));
            }
        })
    }
}

impl FromStr for Fault {
    type Err = OptionError;

    fn from_str(line: &str) -> Result<Self, OptionError> {
        let wrong = || OptionError::new("a fault", "as `help` lists them", line);
        let (name, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let rest = rest.trim();
        let alone = |fault| if rest.is_empty() { Ok(fault) } else { Err(wrong()) };
        match name {
            "stall" => Ok(Self::Stall { at: rest.to_owned() }),
            "stall-data" => Ok(Self::StallData { after: byte_count(rest)? }),
            "cut" => Ok(Self::Cut { after: byte_count(rest)? }),
            "cut-at" if !rest.is_empty() => Ok(Self::CutAt { at: rest.to_owned() }),
            "data-length" => Ok(Self::DataLength { by: rest.parse().map_err(|_| wrong())? }),
            "nonsense" => {
                let (kind, at) = rest.split_once(' ').unwrap_or((rest, ""));
                Ok(Self::Nonsense { kind: kind.parse()?, at: at.to_owned() })
            }
            "fail" => {
                let (at, text) = rest.split_once(' ').ok_or_else(wrong)?;
                Ok(Self::Fail { at: at.to_owned(), text: text.to_owned() })
            }
            "vanish" if rest.is_empty() => Ok(Self::Vanish { next: None }),
            "vanish" => Ok(Self::Vanish { next: Some(rest.parse()?) }),
            "datagrams" => {
                let numbers: Option<Vec<u64>> =
                    rest.split_whitespace().map(|number| number.parse().ok()).collect();
                match numbers.as_deref() {
                    Some(&[drop, duplicate, reorder, seed]) if drop + duplicate + reorder <= 1000 => {
                        let (drop, duplicate, reorder) = (drop as u16, duplicate as u16, reorder as u16);
                        Ok(Self::Datagrams(Datagrams { drop, duplicate, reorder, seed }))
                    }
                    _ => Err(wrong()),
                }
            }
            "slow" => match byte_count(rest)? {
                0 => Err(wrong()),
                bytes_per_s => Ok(Self::Slow { bytes_per_s }),
            },
            "boot-unanswered" => alone(Self::BootUnanswered),
            "boot-ignored" => alone(Self::BootIgnored),
            "clear" => alone(Self::Clear),
            _ => Err(wrong()),
        }
    }
}

/// What will go wrong.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        // Of those that last, the newest holds.
        self.waiting.retain(|old| match fault {
            Fault::Datagrams(_) => !matches!(old, Fault::Datagrams(_)),
            Fault::Slow { .. } => !matches!(old, Fault::Slow { .. }),
            _ => true,
        });
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The first that happens with this command; it is over.
    pub(super) fn with_command(&mut self, command: &str) -> Option<Fault> {
        let at = self.waiting.iter().position(|fault| match fault {
            Fault::Stall { at } | Fault::CutAt { at } => command.starts_with(at),
            Fault::Nonsense { at, .. } | Fault::Fail { at, .. } => command.starts_with(at),
            Fault::BootUnanswered | Fault::BootIgnored => command == "boot",
            _ => false,
        })?;
        Some(self.waiting.remove(at))
    }

    /// By how much `DATA` lies; it is over.
    pub(super) fn data_length(&mut self) -> i64 {
        let at = self.waiting.iter().position(|fault| matches!(fault, Fault::DataLength { .. }));
        match at.map(|at| self.waiting.remove(at)) {
            Some(Fault::DataLength { by }) => by,
            _ => 0,
        }
    }

    /// After how many bytes of a data phase one happens.
    pub(super) fn data_limit(&self) -> Option<u64> {
        self.waiting.iter().find_map(in_data)
    }

    /// That one; it is over.
    pub(super) fn at_data_limit(&mut self) -> Option<Fault> {
        let at = self.waiting.iter().position(|fault| in_data(fault).is_some())?;
        Some(self.waiting.remove(at))
    }

    pub(super) fn bytes_per_s(&self) -> Option<u64> {
        self.waiting.iter().find_map(|fault| match fault {
            Fault::Slow { bytes_per_s } => Some(*bytes_per_s),
            _ => None,
        })
    }

    pub(super) fn datagrams(&self) -> Option<Datagrams> {
        self.waiting.iter().find_map(|fault| match fault {
            Fault::Datagrams(datagrams) => Some(*datagrams),
            _ => None,
        })
    }
}

fn in_data(fault: &Fault) -> Option<u64> {
    match fault {
        Fault::Cut { after } | Fault::StallData { after } => Some(*after),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_that_is_documented_is_read() {
        let examples = [
            "stall boot",
            "stall-data 4K",
            "cut 10",
            "cut-at flash:boot",
            "data-length -5",
            "nonsense long getvar:",
            "fail erase: no such luck",
            "vanish 0525:a4a7",
            "datagrams 100 50 50 7",
            "slow 1M",
            "boot-unanswered",
            "boot-ignored",
            "clear",
        ];
        assert_eq!(FAULTS.lines().count(), examples.len());
        for (documented, example) in FAULTS.lines().zip(examples) {
            assert_eq!(documented.split(' ').next(), example.split(' ').next());
            example.parse::<Fault>().unwrap_or_else(|error| panic!("{error}"));
        }
        for wrong in
            ["", "stal", "cut", "cut x", "cut-at", "fail boot", "slow 0", "datagrams 900 101 0 1", "clear 1"]
        {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
    }
}
