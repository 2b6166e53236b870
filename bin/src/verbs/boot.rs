//! `boot`: an image from memory, once; and what a job that goes through a bootloader needs to know first.

use std::path::{Path, PathBuf};

use farmhand::config::Flag;
use farmhand::protocol::{
    Answer, DeviceName, DeviceSelect, DeviceState, DeviceView, Goal, Job, ProblemClass, Request, Source,
};

use super::run::submit_and_follow;
use super::{block_on, bootloader, plan};
use crate::args::{BootFlags, Global};
use crate::failed::Failed;
use crate::project;
use crate::reach::Reach;
use crate::term::Term;

pub(crate) fn run(
    global: &Global,
    term: &Term,
    image: Option<&Path>,
    flags: &BootFlags,
) -> Result<u8, Failed> {
    // A folder is a project, a file is an image.
    let folder = image.filter(|image| image.is_dir());
    let mut over = flags.flags()?;
    if let Some(image) = image.filter(|_| folder.is_none()) {
        over.push(Flag { key: "boot.image", flag: "IMAGE", values: vec![bootloader::absolute(image)?] });
    }
    let (project, config) = project::load(global, folder, over)?;
    if config.get("boot.image").is_none() {
        let help = ["farmhand boot IMAGE", "or set image in [boot] of farmhand.toml"];
        return Err(Failed::usage("nothing says what to boot", &help));
    }
    let expects = ["test.expect", "test.fail-on"].into_iter().any(|key| config.get(key).is_some());
    let goal = if expects { Goal::Run } else { Goal::Flash };
    let mut job = config.job(&project, goal)?;
    let Source::Boot(boot) = &job.build.source else {
        let help = ["farmhand run", "or name the image: farmhand boot IMAGE"];
        return Err(Failed::usage("this project is built, not booted from memory", &help));
    };
    if let Some(name) = Path::new(&boot.image).file_name() {
        job.title = name.to_string_lossy().into_owned();
    }
    if global.dry_run {
        return Ok(plan::show(term, &job));
    }
    let board_is_set = config.get("board").is_some();
    let mut reach = Reach::new(global)?;
    block_on(async move {
        find_device(&mut reach, &mut job, board_is_set).await?;
        let done = submit_and_follow(&mut reach, term, job).await;
        reach.close().await;
        done
    })
}

/// What was said of the device becomes what the farm calls it, and its board the job's where none was set.
pub(crate) async fn find_device(reach: &mut Reach, job: &mut Job, board_is_set: bool) -> Result<(), Failed> {
    let said = match &job.device {
        DeviceSelect::Board if board_is_set => return Ok(()),
        DeviceSelect::Board => None,
        DeviceSelect::Named(name) => Some(name.to_string()),
        DeviceSelect::Port(port) => Some(port.clone()),
    };
    let Answer::Devices(devices) = reach.ask(Request::Devices).await? else { return Ok(()) };
    let named = devices.into_iter().filter_map(|view| Some((view.name.clone()?, view)));
    let place = said.as_deref().map(bootloader::place);
    let is_it = |name: &DeviceName, view: &DeviceView| match (&said, &place) {
        (Some(said), Some(place)) => name.as_str() == said || view.port.as_deref() == Some(place.as_str()),
        _ => view.driver == farmhand::FASTBOOT && view.state != DeviceState::Absent,
    };
    let found: Vec<_> = named.filter(|(name, view)| is_it(name, view)).collect();
    match (found.as_slice(), place) {
        ([(name, view)], _) => {
            if !board_is_set {
                job.board.clone_from(&view.board);
            }
            job.device = DeviceSelect::Named(name.clone());
        }
        // Of those that nobody has claimed yet, the farm takes the only one.
        ([], None) => {}
        ([], Some(place)) => job.device = DeviceSelect::Port(place),
        (several, _) => {
            let help: Vec<_> = several.iter().map(|(name, _)| format!("this one: --device {name}")).collect();
            let help: Vec<_> = help.iter().map(String::as_str).collect();
            let message = format!("{} devices speak fastboot; none is chosen for you", several.len());
            return Err(Failed::new(ProblemClass::NoDevice, "F206", message, &help));
        }
    }
    Ok(())
}

impl BootFlags {
    fn flags(&self) -> Result<Vec<Flag>, Failed> {
        let mut flags = Vec::new();
        let mut add = |key, flag, values: Vec<String>| {
            if !values.is_empty() {
                flags.push(Flag { key, flag, values });
            }
        };
        let path = |path: &Option<PathBuf>| {
            path.iter().map(|path| bootloader::absolute(path)).collect::<Result<_, _>>()
        };
        let one = |value: &Option<String>| value.iter().cloned().collect();
        add("board", "--profile", one(&self.profile));
        add("boot.ramdisk", "--ramdisk", path(&self.ramdisk)?);
        add("boot.dtb", "--dtb", path(&self.dtb)?);
        add("boot.cmdline", "--cmdline", one(&self.cmdline));
        add("test.expect", "--expect", self.expect.clone());
        add("test.fail-on", "--fail-on", self.fail_on.clone());
        add("test.timeout", "--timeout", one(&self.timeout));
        add("monitor.baud", "--baud", one(&self.baud));
        Ok(flags)
    }
}
