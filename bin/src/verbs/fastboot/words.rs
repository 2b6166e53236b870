//! The words behind `farmhand fastboot`, in the order of the tool that people know: several commands may follow each
//! other. What writes or boots becomes a session, which is durable; the rest is asked at once.

use std::path::PathBuf;

use farmhand::protocol::{BootloaderCommand, Leave, RebootTo};

use crate::failed::Failed;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Which devices there are.
    Devices,
    /// A word, and an answer.
    Say(BootloaderCommand),
    /// A session that writes, and how the bootloader is left.
    Write(Vec<Step>, Leave),
    /// A session that boots this from memory, with this ramdisk.
    Boot(PathBuf, Option<PathBuf>),
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// A partition, with a file.
    Flash(String, PathBuf),
    /// A partition.
    Erase(String),
}

/// The commands, and the words of each.
const COMMANDS: &[(&str, &str)] = &[
    ("getvar", "NAME"),
    ("flash", "PARTITION FILE"),
    ("erase", "PARTITION"),
    ("boot", "IMAGE"),
    ("stage", "FILE"),
    ("get_staged", "FILE"),
    ("fetch", "PARTITION FILE"),
    ("continue", ""),
    ("reboot", "[bootloader|fastboot|recovery]"),
    ("reboot-bootloader", ""),
    ("reboot-fastboot", ""),
    ("reboot-recovery", ""),
    ("set_active", "SLOT"),
    ("oem", "WORDS..."),
    ("flashing", "WORDS..."),
    ("devices", ""),
];

/// Reads them.
pub(super) fn read(words: &[String], set_active: Option<&String>) -> Result<Vec<Wish>, Failed> {
    let mut words = Words { rest: words };
    let mut wishes = Vec::new();
    while let Some(command) = words.next() {
        one(command, &mut words, &mut wishes)?;
    }
    if let Some(slot) = set_active {
        // As the known tool: the slot is chosen before anything that leaves the bootloader, or last.
        let say = Wish::Say(BootloaderCommand::SetActive(slot.clone()));
        let leaves = |wish: &Wish| {
            let is_left =
                matches!(wish, Wish::Say(BootloaderCommand::Continue | BootloaderCommand::Reboot(_)));
            is_left || matches!(wish, Wish::Boot(..))
        };
        let at = wishes.iter().position(leaves).unwrap_or(wishes.len());
        wishes.insert(at, say);
    }
    if wishes.is_empty() {
        return Err(Failed::usage("nothing is said to the bootloader", &["farmhand fastboot getvar all"]));
    }
    Ok(joined(wishes))
}

struct Words<'a> {
    rest: &'a [String],
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn of(&mut self, command: &str) -> Result<String, Failed> {
        self.next().map(str::to_owned).ok_or_else(|| wants(command))
    }

    /// All that is left: what comes behind is the bootloader's own business.
    fn all(&mut self, command: &str) -> Result<String, Failed> {
        let all = std::mem::take(&mut self.rest);
        if all.is_empty() { Err(wants(command)) } else { Ok(all.join(" ")) }
    }

    /// The next one, where it is one of these.
    fn one_of<T: Copy>(&mut self, known: &[(&str, T)]) -> Option<T> {
        let first = self.rest.first()?;
        let (_, found) = known.iter().find(|(word, _)| word == first)?;
        self.rest = &self.rest[1..];
        Some(*found)
    }
}

fn one(command: &str, words: &mut Words<'_>, wishes: &mut Vec<Wish>) -> Result<(), Failed> {
    use BootloaderCommand as Say;
    let wish = match command {
        "getvar" => match words.of(command)?.as_str() {
            "all" => Wish::Say(Say::GetVarAll),
            name => Wish::Say(Say::GetVar(name.into())),
        },
        "flash" => {
            let (partition, file) = (words.of(command)?, words.of(command)?);
            Wish::Write(vec![Step::Flash(partition, file.into())], Leave::Stay)
        }
        "erase" => Wish::Write(vec![Step::Erase(words.of(command)?)], Leave::Stay),
        "boot" => {
            let image = words.of(command)?;
            // A second file is a ramdisk, as in the known tool; a word that is a command begins the next.
            let ramdisk = words.rest.first().filter(|word| !is_command(word)).map(PathBuf::from);
            if ramdisk.is_some() {
                words.next();
            }
            Wish::Boot(image.into(), ramdisk)
        }
        "stage" => Wish::Say(Say::Stage(words.of(command)?)),
        "get_staged" => Wish::Say(Say::GetStaged(words.of(command)?)),
        "fetch" => Wish::Say(Say::Fetch(words.of(command)?, words.of(command)?)),
        "continue" => Wish::Say(Say::Continue),
        "reboot" => {
            let known = [
                ("bootloader", RebootTo::Bootloader),
                ("fastboot", RebootTo::Fastboot),
                ("recovery", RebootTo::Recovery),
            ];
            Wish::Say(Say::Reboot(words.one_of(&known).unwrap_or(RebootTo::System)))
        }
        "reboot-bootloader" => Wish::Say(Say::Reboot(RebootTo::Bootloader)),
        "reboot-fastboot" => Wish::Say(Say::Reboot(RebootTo::Fastboot)),
        "reboot-recovery" => Wish::Say(Say::Reboot(RebootTo::Recovery)),
        "set_active" => Wish::Say(Say::SetActive(words.of(command)?)),
        "oem" => Wish::Say(Say::Oem(words.all(command)?)),
        "flashing" => Wish::Say(Say::Flashing(words.all(command)?)),
        "devices" => Wish::Devices,
        other => return Err(unknown(other)),
    };
    wishes.push(wish);
    Ok(())
}

/// What is written in a row is one session, and it leaves the bootloader as the word behind it says.
fn joined(wishes: Vec<Wish>) -> Vec<Wish> {
    let mut joined: Vec<Wish> = Vec::new();
    for wish in wishes {
        let leave = match &wish {
            Wish::Say(BootloaderCommand::Continue) => Some(Leave::Continue),
            Wish::Say(BootloaderCommand::Reboot(RebootTo::System)) => Some(Leave::Reboot),
            Wish::Say(BootloaderCommand::Reboot(RebootTo::Bootloader)) => Some(Leave::RebootBootloader),
            _ => None,
        };
        match (joined.last_mut(), wish, leave) {
            (Some(Wish::Write(steps, Leave::Stay)), Wish::Write(more, _), _) => steps.extend(more),
            (Some(Wish::Write(_, left @ Leave::Stay)), _, Some(leave)) => *left = leave,
            (_, wish, _) => joined.push(wish),
        }
    }
    joined
}

fn is_command(word: &str) -> bool {
    COMMANDS.iter().any(|(command, _)| *command == word)
}

fn wants(command: &str) -> Failed {
    let words = COMMANDS.iter().find(|(known, _)| *known == command).map_or("", |(_, words)| words);
    Failed::usage(
        format!("{command} wants {words}"),
        &[&format!("farmhand fastboot {command} {words}"), "farmhand fastboot --help"],
    )
}

fn unknown(word: &str) -> Failed {
    let near = farmhand::config::nearest(word, COMMANDS.iter().map(|(command, _)| *command));
    let meant = near.map(|near| format!("did you mean {near}?"));
    let names = COMMANDS.iter().map(|(command, _)| *command).filter(|command| !command.contains('-'));
    let there = names.collect::<Vec<_>>().join(", ");
    let help = meant.unwrap_or_else(|| format!("there are: {there}"));
    Failed::usage(format!("{word:?} is no command of fastboot"), &[&help, "farmhand fastboot --help"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Vec<Wish>, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        read(&words, None).map_err(|failed| failed.0.message)
    }

    fn flash(partition: &str, file: &str) -> Step {
        Step::Flash(partition.into(), file.into())
    }

    #[test]
    fn what_is_written_in_a_row_is_one_session_that_leaves_as_it_is_told() {
        let line = "flash boot boot.img erase userdata flash system s.img reboot";
        let steps = vec![flash("boot", "boot.img"), Step::Erase("userdata".into()), flash("system", "s.img")];
        assert_eq!(of(line).unwrap(), [Wish::Write(steps, Leave::Reboot)]);
        assert_eq!(
            of("flash boot b continue").unwrap(),
            [Wish::Write(vec![flash("boot", "b")], Leave::Continue)]
        );
        assert_eq!(
            of("flash boot b reboot-bootloader flash system s").unwrap(),
            [
                Wish::Write(vec![flash("boot", "b")], Leave::RebootBootloader),
                Wish::Write(vec![flash("system", "s")], Leave::Stay)
            ]
        );
        let recovery = Wish::Say(BootloaderCommand::Reboot(RebootTo::Recovery));
        assert_eq!(
            of("flash boot b reboot recovery").unwrap(),
            [Wish::Write(vec![flash("boot", "b")], Leave::Stay), recovery],
            "no session leaves to the recovery"
        );
    }

    /// As the known tool: what is chosen is for the next start.
    #[test]
    fn a_slot_is_chosen_before_anything_that_leaves_the_bootloader() {
        let slot = BootloaderCommand::SetActive("b".into());
        for (line, at) in [("boot k.img", 0), ("getvar product boot k.img", 1), ("getvar product", 1)] {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            let wishes = read(&words, Some(&"b".to_owned())).unwrap();
            assert_eq!(wishes[at], Wish::Say(slot.clone()), "{line}");
        }
    }

    #[test]
    fn each_command_has_its_words() {
        use BootloaderCommand as Say;
        let said = |line: &str| match of(line).unwrap().as_slice() {
            [Wish::Say(command)] => command.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(said("getvar product"), Say::GetVar("product".into()));
        assert_eq!(said("getvar all"), Say::GetVarAll);
        assert_eq!(said("stage f"), Say::Stage("f".into()));
        assert_eq!(said("get_staged f"), Say::GetStaged("f".into()));
        assert_eq!(said("fetch boot f"), Say::Fetch("boot".into(), "f".into()));
        assert_eq!(said("continue"), Say::Continue);
        assert_eq!(said("reboot"), Say::Reboot(RebootTo::System));
        assert_eq!(said("reboot fastboot"), Say::Reboot(RebootTo::Fastboot));
        assert_eq!(said("reboot-recovery"), Say::Reboot(RebootTo::Recovery));
        assert_eq!(said("set_active b"), Say::SetActive("b".into()));
        assert_eq!(said("oem device-info reboot"), Say::Oem("device-info reboot".into()));
        assert_eq!(said("flashing unlock"), Say::Flashing("unlock".into()));
        assert_eq!(of("boot a.img b.img").unwrap(), [Wish::Boot("a.img".into(), Some("b.img".into()))]);
        assert_eq!(of("devices").unwrap(), [Wish::Devices]);
        let again = [Wish::Boot("a.img".into(), None), Wish::Say(Say::GetVar("product".into()))];
        assert_eq!(of("boot a.img getvar product").unwrap(), again);
    }

    #[test]
    fn a_slot_is_chosen_before_the_bootloader_is_left() {
        let words = ["flash", "boot", "b", "reboot"].map(str::to_owned);
        let wishes = read(&words, Some(&"b".to_owned())).unwrap();
        let slot = Wish::Say(BootloaderCommand::SetActive("b".into()));
        let reboot = Wish::Say(BootloaderCommand::Reboot(RebootTo::System));
        assert_eq!(wishes, [Wish::Write(vec![flash("boot", "b")], Leave::Stay), slot, reboot]);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            ("flash boot", "flash wants PARTITION FILE"),
            ("getvar", "getvar wants NAME"),
            ("oem", "oem wants WORDS..."),
            ("flahs boot b", "\"flahs\" is no command of fastboot"),
            ("reboot sideways", "\"sideways\" is no command of fastboot"),
            ("", "nothing is said to the bootloader"),
        ];
        for (line, want) in cases {
            assert_eq!(of(line).unwrap_err(), want);
        }
    }
}
