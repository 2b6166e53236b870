//! What a phone does with each command.

use farmhand_wire::fastboot::{Command, Effect, Extent, Partition as Name, RebootTarget, Reply, Variable};

use super::bootimage;
use super::fault::Fault;
use super::options::PartitionSpec;
use super::phone::{Phone, slot_letter};
use super::presence::Mode;
use super::record::Downloaded;
use super::sparse;
use super::variables;

/// What a command came to; `Err` is FAIL.
type Done = Result<String, String>;

impl Phone {
    pub(super) fn carry_out(&mut self, command: &Command, fault: Option<&Fault>) {
        if self.locked && refused_when_locked(command) {
            return self.finish(Reply::Fail(format!("{} is not allowed in locked state", name_of(command))));
        }
        let done = match command {
            Command::Download(len) => match *len {
                0 => Err("a download of no bytes".to_owned()),
                len if len > self.options.max_download => Err("data too large".to_owned()),
                len => return self.expect_data(len),
            },
            Command::Upload => match &self.whole {
                None => Err("nothing is staged".to_owned()),
                Some(_) => return self.send_data(self.buffer.clone().into()),
            },
            Command::Fetch { partition, extent } => match self.fetched(partition, *extent) {
                Ok(bytes) => return self.send_data(bytes.into()),
                Err(text) => Err(text),
            },
            Command::Boot => return self.boot(fault),
            Command::Continue => return self.leave(Mode::System),
            Command::PowerDown => return self.leave(Mode::Away),
            Command::Reboot(RebootTarget::System) => return self.leave(Mode::System),
            Command::Reboot(RebootTarget::Bootloader) => return self.leave(Mode::Loader),
            Command::Reboot(RebootTarget::Fastboot) => return self.leave(Mode::Userspace),
            Command::Reboot(RebootTarget::Recovery) => return self.leave(Mode::Recovery),
            Command::GetVar(variable) => self.variable(variable),
            Command::Flash(partition) => self.flash(partition),
            Command::Erase(partition) => self.erase(partition),
            Command::SetActive(slot) => self.set_active(slot.as_str()),
            Command::Oem(arguments) => self.oem(arguments.as_str()),
            Command::Flashing(arguments) => self.flashing(arguments.as_str()),
            Command::CreateLogical { partition, len } => self.create(partition, *len),
            Command::DeleteLogical(partition) => self.logical(partition).map(|name| {
                self.partitions.remove(&name);
                String::new()
            }),
            Command::ResizeLogical { partition, len } => self.resize(partition, *len),
            Command::UpdateSuper { .. } | Command::Raw(_) => Err("unknown command".to_owned()),
        };
        self.finish(match done {
            Ok(text) => Reply::Okay(text),
            Err(text) => Reply::Fail(text),
        });
    }

    /// The answer first, then it goes.
    fn leave(&mut self, mode: Mode) {
        self.finish(Reply::Okay(String::new()));
        self.then(mode);
    }

    fn boot(&mut self, fault: Option<&Fault>) {
        if let Some(data) = self.whole.clone() {
            self.log.data(data);
        }
        let image: &[u8] = if self.whole.is_some() { &self.buffer } else { &[] };
        if let Err(error) = bootimage::check(image) {
            return self.finish(Reply::Fail(error.to_string()));
        }
        match fault {
            Some(Fault::BootUnanswered) => self.start_image(),
            Some(Fault::BootIgnored) => self.finish(Reply::Okay(String::new())),
            _ => self.leave(Mode::Booted),
        }
    }

    fn variable(&mut self, variable: &Variable) -> Done {
        if variable.as_str() != "all" {
            return variables::value(self, variable.as_str()).ok_or_else(|| "unknown variable".to_owned());
        }
        for (name, value) in variables::all(self) {
            self.reply(&Reply::Info(format!("{name}:{value}")));
        }
        Ok(String::new())
    }

    /// The whole name of a partition: of the active slot, where it is given without one.
    fn whole_name(&self, name: &Name) -> Result<String, String> {
        let name = name.as_str();
        let slotted = format!("{name}_{}", slot_letter(self.slot));
        let found = [name, &slotted].into_iter().find(|name| self.partitions.contains_key(*name));
        found.map(str::to_owned).ok_or_else(|| format!("partition {name} does not exist"))
    }

    fn flash(&mut self, name: &Name) -> Done {
        let data = self.whole.clone().ok_or("nothing was downloaded")?;
        self.log.data(data);
        let whole_name = self.whole_name(name)?;
        let partition = self.partitions.get_mut(&whole_name).expect("it was just found");
        let sparse =
            sparse::flash(&mut partition.storage, &self.buffer).map_err(|error| error.to_string())?;
        self.counters.flashes += 1;
        self.reply(&Reply::Info(format!("writing {whole_name}{}", if sparse { " (sparse)" } else { "" })));
        Ok(String::new())
    }

    fn erase(&mut self, name: &Name) -> Done {
        let name = self.whole_name(name)?;
        let partition = self.partitions.get_mut(&name).expect("it was just found");
        partition.storage.clear().map_err(|error| format!("storage: {error}"))?;
        self.counters.erases += 1;
        Ok(String::new())
    }

    fn fetched(&self, name: &Name, extent: Extent) -> Result<Vec<u8>, String> {
        if self.options.max_fetch == 0 {
            return Err("unknown command".to_owned());
        }
        let storage = &self.partitions[&self.whole_name(name)?].storage;
        let (offset, len) = match extent {
            Extent::All => (0, storage.len()),
            Extent::From { offset } => (offset, storage.len().saturating_sub(offset)),
            Extent::Part { offset, len } => (offset, len),
        };
        if offset.checked_add(len).is_none_or(|end| end > storage.len()) {
            return Err("beyond the end of the partition".to_owned());
        }
        if len > u64::from(self.options.max_fetch) {
            return Err("more than max-fetch-size".to_owned());
        }
        storage.read(offset, len as usize).map_err(|error| format!("storage: {error}"))
    }

    fn set_active(&mut self, slot: &str) -> Done {
        let found = (0..self.options.slots).find(|one| slot == slot_letter(*one).to_string());
        self.slot = found.ok_or_else(|| format!("slot {slot} does not exist"))?;
        Ok(String::new())
    }

    fn oem(&mut self, what: &str) -> Done {
        match what {
            "log" => {
                let lines: Vec<_> = self.asked().rev().take(5).map(ToString::to_string).collect();
                for line in lines.into_iter().rev() {
                    self.reply(&Reply::Info(line.chars().take(200).collect()));
                }
                self.reply(&Reply::Text("no line of its own, ".to_owned()));
                self.reply(&Reply::Text("and its end\n".to_owned()));
                Ok(String::new())
            }
            "device-info" => {
                self.reply(&Reply::Info(format!("serial {}", self.options.serial)));
                self.reply(&Reply::Info(format!("unlocked {}", !self.locked)));
                Ok(String::new())
            }
            "stage-log" => {
                let text: String = self.asked().map(|asked| format!("{asked}\n")).collect();
                self.buffer = text.into_bytes();
                let sha256 = sha256(&self.buffer);
                self.whole = Some(Downloaded { len: self.buffer.len() as u64, sha256 });
                Ok(String::new())
            }
            _ => Err("unknown oem command".to_owned()),
        }
    }

    fn flashing(&mut self, what: &str) -> Done {
        match what {
            "get_unlock_ability" => {
                self.reply(&Reply::Info(format!(
                    "get_unlock_ability: {}",
                    u8::from(self.options.unlockable)
                )));
            }
            "unlock" if !self.options.unlockable => return Err("unlocking is not allowed".to_owned()),
            "unlock" if !self.locked => return Err("already unlocked".to_owned()),
            "lock" if self.locked => return Err("already locked".to_owned()),
            "lock" | "unlock" => {
                self.locked = what == "lock";
                // Either way, what the owner had on it is gone.
                if let Some(userdata) = self.partitions.get_mut("userdata") {
                    userdata.storage.clear().map_err(|error| format!("storage: {error}"))?;
                }
            }
            "lock_critical" | "unlock_critical" => {}
            _ => return Err("unknown command".to_owned()),
        }
        Ok(String::new())
    }

    fn in_userspace(&self) -> Result<(), String> {
        match self.presence().mode {
            Mode::Userspace => Ok(()),
            _ => Err("only in fastboot in user space".to_owned()),
        }
    }

    fn logical(&self, name: &Name) -> Result<String, String> {
        self.in_userspace()?;
        let name = name.as_str();
        match self.partitions.get(name) {
            None => Err(format!("partition {name} does not exist")),
            Some(partition) if !partition.logical => Err(format!("partition {name} is not logical")),
            Some(_) => Ok(name.to_owned()),
        }
    }

    fn create(&mut self, name: &Name, len: u64) -> Done {
        self.in_userspace()?;
        if self.partitions.contains_key(name.as_str()) {
            return Err(format!("partition {name} exists"));
        }
        let spec = PartitionSpec { logical: true, ..PartitionSpec::new(name.as_str(), len) };
        let file_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !spec.name.bytes().all(file_name) || len > LOGICAL_LEN_MAX {
            return Err("no room for it".to_owned());
        }
        self.add_partition(spec).map_err(|error| format!("storage: {error}"))?;
        Ok(String::new())
    }

    fn resize(&mut self, name: &Name, len: u64) -> Done {
        let name = self.logical(name)?;
        if len > LOGICAL_LEN_MAX {
            return Err("no room for it".to_owned());
        }
        let partition = self.partitions.get_mut(&name).expect("it was just found");
        partition.storage.resize(len).map_err(|error| format!("storage: {error}"))?;
        Ok(String::new())
    }
}

/// Bytes of a logical partition, at most: they may be in memory.
const LOGICAL_LEN_MAX: u64 = 4 << 30;

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    super::storage::hex(&Sha256::digest(bytes))
}

/// What writes, and what starts something that was not signed. What the maker's own commands do here writes nothing.
fn refused_when_locked(command: &Command) -> bool {
    match command {
        Command::Boot | Command::Fetch { .. } => true,
        Command::Oem(_) | Command::Raw(_) | Command::Flashing(_) => false,
        command => matches!(command.effect(), Effect::Writes(_)),
    }
}

fn name_of(command: &Command) -> String {
    let text = command.to_string();
    text.split(':').next().unwrap_or_default().to_owned()
}
