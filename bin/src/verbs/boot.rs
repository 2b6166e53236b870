//! `boot`: an image from memory, once; and what a job that goes through a bootloader needs to know first.

use std::path::{Path, PathBuf};

use farmhand::config::Flag;
use farmhand::protocol::{
    Answer, DeviceSelect, DeviceState, DeviceView, Goal, Job, ProblemClass, Request, Source,
};

use super::run::submit_and_follow;
use super::{block_on, bootloader, plan};
use crate::args::{BootFlags, Global};
use crate::failed::Failed;
use crate::project::{self, flag};
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
    let mut job = config.job(&project, Goal::Run)?;
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
    let place = said.as_deref().map(bootloader::place);
    let mut found: Vec<_> = devices.iter().filter(|view| is_it(view, said.as_deref())).collect();
    if found.is_empty() && said.is_none() {
        // What did not answer last over a network may do so now: only who tries knows.
        found = devices.iter().filter(|view| is_over_network(view)).collect();
    }
    match (found.as_slice(), place) {
        ([view], place) => match (&view.name, &view.port) {
            (Some(name), _) => {
                if !board_is_set {
                    job.board.clone_from(&view.board);
                }
                job.device = DeviceSelect::Named(name.clone());
            }
            // Nobody has claimed it yet: the farm does, by where it is.
            (None, Some(port)) => job.device = DeviceSelect::Port(bootloader::place(port)),
            (None, None) => job.device = place.map_or(DeviceSelect::Board, DeviceSelect::Port),
        },
        ([], None) => {}
        ([], Some(place)) => job.device = DeviceSelect::Port(place),
        (several, _) => return Err(too_many(several, said.as_deref())),
    }
    Ok(())
}

/// By its name, its serial number, or where it is; none: whatever is there and speaks fastboot.
fn is_it(view: &DeviceView, said: Option<&str>) -> bool {
    let Some(said) = said else {
        return view.driver == farmhand::FASTBOOT && view.state != DeviceState::Absent;
    };
    let port = view.port.as_deref().map(bootloader::place);
    view.name.as_ref().is_some_and(|name| name.as_str() == said)
        || view.serial.as_deref() == Some(said)
        || port == Some(bootloader::place(said))
}

fn is_over_network(view: &DeviceView) -> bool {
    let is_place = |port: &String| port.starts_with("tcp:") || port.starts_with("udp:");
    view.driver == farmhand::FASTBOOT && view.port.as_ref().is_some_and(is_place)
}

fn too_many(several: &[&DeviceView], said: Option<&str>) -> Failed {
    let one = |view: &&DeviceView| {
        let name = view.name.as_ref().map(ToString::to_string);
        format!("this one: --device {}", name.or_else(|| view.port.clone()).unwrap_or_default())
    };
    let help: Vec<_> = several.iter().map(one).collect();
    let help: Vec<_> = help.iter().map(String::as_str).collect();
    let message = match said {
        None => format!("{} devices speak fastboot; none is chosen for you", several.len()),
        Some(said) => format!("{} devices are {said}; none is chosen for you", several.len()),
    };
    Failed::new(ProblemClass::NoDevice, "F206", message, &help)
}

impl BootFlags {
    fn flags(&self) -> Result<Vec<Flag>, Failed> {
        let path = |path: &Option<PathBuf>| path.as_deref().map(bootloader::absolute).transpose();
        let own = [
            flag("board", "--profile", self.profile.clone()),
            flag("boot.ramdisk", "--ramdisk", path(&self.ramdisk)?),
            flag("boot.dtb", "--dtb", path(&self.dtb)?),
            flag("boot.cmdline", "--cmdline", self.cmdline.clone()),
        ];
        let mut flags: Vec<_> = own.into_iter().flatten().collect();
        flags.extend(self.watch.flags());
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use farmhand::protocol::DeviceName;

    use super::*;

    fn phone(name: Option<&str>, port: &str, serial: Option<&str>) -> DeviceView {
        DeviceView {
            name: name.map(|name| DeviceName::new(name).unwrap()),
            board: "oneplus-fajita".into(),
            driver: farmhand::FASTBOOT.into(),
            state: if name.is_some() { DeviceState::Free } else { DeviceState::Unclaimed },
            holder: None,
            since_unix_ms: None,
            port: Some(port.into()),
            serial: serial.map(str::to_owned),
            seen_unix_ms: None,
            virtual_: false,
            epoch: None,
            note: None,
        }
    }

    #[test]
    fn a_device_is_said_by_its_name_its_serial_number_or_its_place() {
        let claimed = phone(Some("phone-1"), "usb:1-4.2", Some("c0ffee"));
        for said in ["phone-1", "c0ffee", "1-4.2", "usb:1-4.2"] {
            assert!(is_it(&claimed, Some(said)), "{said}");
        }
        assert!(!is_it(&claimed, Some("c0ffe")) && !is_it(&claimed, Some("1-4")));
        let unclaimed = phone(None, "1-4.3", None);
        assert!(is_it(&unclaimed, Some("1-4.3")) && is_it(&unclaimed, None));
        let over_tcp = phone(Some("phone-2"), "tcp:lab:5554", None);
        assert!(is_it(&over_tcp, Some("tcp:lab")));
        assert!(is_over_network(&over_tcp) && !is_over_network(&claimed));
        let absent = DeviceView { state: DeviceState::Absent, ..claimed };
        assert!(!is_it(&absent, None) && is_it(&absent, Some("c0ffee")));
        let uno = DeviceView { driver: farmhand::STK500V1.into(), ..unclaimed };
        assert!(!is_it(&uno, None));
    }

    #[test]
    fn a_serial_number_of_two_is_an_error_that_names_both() {
        let (one, other) = (phone(Some("a"), "usb:1-1", Some("x")), phone(None, "1-2", Some("x")));
        let Failed(problem) = too_many(&[&one, &other], Some("x"));
        assert_eq!((problem.class, problem.code.as_str()), (ProblemClass::NoDevice, "F206"));
        assert_eq!(problem.help, ["this one: --device a", "this one: --device 1-2"]);
    }
}
