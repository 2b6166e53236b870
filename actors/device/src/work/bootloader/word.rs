//! A person's word to a bootloader, and the question what it is.

use std::path::Path;

use farmhand_api::{BootloaderCommand, EventBody, Problem, RebootTo};
use farmhand_messages::device::{FastbootWay, Variables};
use farmhand_messages::fastboot::{Allow, Model};
use farmhand_wire::fastboot::{CommandError, RebootTarget};
use tokio::fs::File;
use tokio::sync::mpsc;

use super::super::Tools;
use super::tell::Tell;
use crate::fastboot::{ClientError, Departure};
use crate::problems;
use crate::taken::Taken;

/// A person's word.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) command: BootloaderCommand,
    /// That the device must be of, for what writes.
    pub(crate) model: Option<Model>,
    pub(crate) progress: Option<mpsc::Sender<EventBody>>,
}

impl Word {
    /// Says it; gives what the device answered at last.
    pub(crate) async fn say(self, tools: &Tools, way: &FastbootWay) -> Result<String, Box<Problem>> {
        let Self { command, model, progress } = self;
        say(tools, way, (&command, model.as_ref()), progress).await
    }
}

async fn say(
    tools: &Tools,
    way: &FastbootWay,
    (command, model): (&BootloaderCommand, Option<&Model>),
    progress: Option<mpsc::Sender<EventBody>>,
) -> Result<String, Box<Problem>> {
    let name = &tools.config.name;
    if let Some((what, touches)) = needs(command)
        && !way.allow.contains(&what)
    {
        let farm = tools.ctx.paths.home();
        return Err(Box::new(problems::not_allowed(&tools.config, way, farm, what, &touches)));
    }
    // What writes goes to the device that is meant, of the model that is meant, as an image does; and what does more than to
    // ask goes to nobody's but ours.
    let mut client = match command {
        BootloaderCommand::GetVar(_) | BootloaderCommand::GetVarAll => tools.meet(way).await?,
        _ => tools.reach(way, model).await?.client,
    };
    let mut tell = Tell(progress);
    let failed = |error: ClientError| Box::new(problems::bootloader_failed(name, &error));
    let wrong = |text: &str| {
        let text = text.to_owned();
        move |error: CommandError| failed(ClientError::Command { command: text, error })
    };
    let file = |path: &str, error: std::io::Error| {
        Box::new(problems::file_of_a_persons(name, Path::new(path), &error))
    };
    match command {
        BootloaderCommand::GetVar(variable) => {
            let said = client.ask(&variable.parse().map_err(wrong(variable))?).await.map_err(failed)?;
            said.map_err(|words| Box::new(problems::no_such_variable(name, variable, &words)))
        }
        BootloaderCommand::GetVarAll => {
            client.getvar_all(&mut tell).await.map_err(failed)?;
            Ok(String::new())
        }
        BootloaderCommand::Stage(path) => {
            let source = File::open(path).await.map_err(|error| file(path, error))?;
            let bytes = source.metadata().await.map_err(|error| file(path, error))?.len();
            if bytes == 0 {
                return Err(Box::new(problems::empty_file(path)));
            }
            let most = client.max_download_size().await.map_err(failed)?.unwrap_or(u64::from(u32::MAX));
            let Some(whole) = u32::try_from(bytes).ok().filter(|_| bytes <= most) else {
                let why = format!("{path} has {bytes} bytes, and the device takes {most} at once");
                return Err(Box::new(problems::does_not_fit(name, &why)));
            };
            let source = Box::new(source.into_std().await);
            client.download(source, whole, &mut tell).await.map_err(failed)
        }
        BootloaderCommand::GetStaged(path) => {
            let mut out = Taken::begin(Path::new(path)).await.map_err(|error| file(path, error))?;
            let bytes = client.upload(&mut out.file, &mut tell).await.map_err(failed)?;
            out.keep().await.map_err(|error| file(path, error))?;
            Ok(format!("{bytes} bytes into {path}"))
        }
        BootloaderCommand::Fetch(partition, path) => {
            let partition = partition.parse().map_err(wrong(partition))?;
            let mut out = Taken::begin(Path::new(path)).await.map_err(|error| file(path, error))?;
            let partition = client.in_active_slot(&partition).await.map_err(failed)?;
            let bytes = client.fetch_whole(&partition, &mut out.file, &mut tell).await.map_err(failed)?;
            out.keep().await.map_err(|error| file(path, error))?;
            Ok(format!("{bytes} bytes into {path}"))
        }
        BootloaderCommand::Continue => client.resume_boot(&mut tell).await.map(departed).map_err(failed),
        BootloaderCommand::Reboot(to) => {
            let target = match to {
                RebootTo::System => RebootTarget::System,
                RebootTo::Bootloader => RebootTarget::Bootloader,
                RebootTo::Fastboot => RebootTarget::Fastboot,
                RebootTo::Recovery => RebootTarget::Recovery,
            };
            client.reboot(target, &mut tell).await.map(departed).map_err(failed)
        }
        BootloaderCommand::SetActive(slot) => {
            let parsed = slot.parse().map_err(wrong(slot))?;
            if !client.has_slot(&parsed).await.map_err(failed)? {
                return Err(Box::new(problems::no_such_slot(name, slot)));
            }
            client.set_active(&parsed, &mut tell).await.map_err(failed)
        }
        BootloaderCommand::Oem(words) => {
            client.oem(&words.parse().map_err(wrong(words))?, &mut tell).await.map_err(failed)
        }
        BootloaderCommand::Flashing(words) => {
            client.flashing(&words.parse().map_err(wrong(words))?, &mut tell).await.map_err(failed)
        }
    }
}

/// Asks for these variables.
pub(crate) async fn ask_for(
    tools: &Tools,
    way: &FastbootWay,
    variables: &[String],
) -> Result<Variables, Box<Problem>> {
    let mut client = tools.meet(way).await?;
    let failed = |error: ClientError| Box::new(problems::bootloader_failed(&tools.config.name, &error));
    let mut asked = Vec::new();
    for name in variables {
        let answer = match name.parse() {
            Ok(variable) => client.getvar(&variable).await.map_err(failed)?,
            // One that cannot be asked for is not known to any bootloader.
            Err(_) => None,
        };
        asked.push((name.clone(), answer));
    }
    Ok(asked)
}

/// What must be allowed for it, and what it touches.
fn needs(command: &BootloaderCommand) -> Option<(Allow, String)> {
    match command {
        BootloaderCommand::GetVar(_)
        | BootloaderCommand::GetVarAll
        | BootloaderCommand::Stage(_)
        | BootloaderCommand::GetStaged(_)
        | BootloaderCommand::Fetch(..)
        | BootloaderCommand::Continue
        | BootloaderCommand::Reboot(_) => None,
        BootloaderCommand::SetActive(slot) => {
            Some((Allow::SetActive, format!("choose slot {slot} for its next start")))
        }
        BootloaderCommand::Oem(words) => {
            Some((Allow::Oem, format!("do whatever its maker means by \"{words}\"")))
        }
        BootloaderCommand::Flashing(words) if words == "get_unlock_ability" => None,
        BootloaderCommand::Flashing(words) => {
            Some((Allow::Flashing, format!("{words}, which on most devices erases its user's data")))
        }
    }
}

fn departed(departure: Departure) -> String {
    match departure {
        Departure::Acknowledged => String::new(),
        Departure::Vanished => "it went without a word".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_reads_needs_no_leave_and_what_writes_says_what_it_touches() {
        for reads in [
            BootloaderCommand::GetVar("product".into()),
            BootloaderCommand::GetVarAll,
            BootloaderCommand::Reboot(RebootTo::Bootloader),
            BootloaderCommand::Flashing("get_unlock_ability".into()),
        ] {
            assert_eq!((needs(&reads), reads.writes()), (None, false));
        }
        let (what, touches) = needs(&BootloaderCommand::Flashing("unlock".into())).unwrap();
        assert_eq!(what, Allow::Flashing);
        assert!(touches.contains("unlock"));
        for (writes, what) in [
            (BootloaderCommand::Oem("x".into()), Allow::Oem),
            (BootloaderCommand::SetActive("a".into()), Allow::SetActive),
            (BootloaderCommand::Flashing("lock".into()), Allow::Flashing),
        ] {
            assert_eq!((needs(&writes).unwrap().0, writes.writes()), (what, true));
        }
    }
}
