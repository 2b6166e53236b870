//! The job that a project's settings make.

use std::fs;
use std::path::{Path, PathBuf};

use farmhand_api::{
    BootSource, Build, CLibrary, ChosenTools, Compilers, DeviceName, DeviceSelect, Goal, GuestSource,
    GuestStart, Job, LIB_ARCHIVE, LIB_COMPAT, OnGap, Place, Source, Toolchain, is_linux,
};
use farmhand_compiler::check_input;
use farmhand_messages::fastboot::ANY;

use super::error::{ConfigError, Fault};
use super::{Config, Origin, PlatformIo, Project, Setting, Value};

/// What a Linux guest says once a program has ended (the device's driver has it said).
const ENDED_WELL: &str = "farmhand: exit 0";
const ENDED_ILL: &str = "farmhand: (exit [1-9]|ended)";
/// What is there of a plain tree of sources.
const TREE: [&str; 5] = ["c", "cc", "cpp", "cxx", "S"];

impl Config {
    /// The job. Paths become absolute.
    pub fn job(&self, project: &Project, goal: Goal) -> Result<Job, ConfigError> {
        let folder = absolute(&project.folder)?;
        let source = match &project.artifact {
            Some(artifact) => Source::Artifact(text_of(&absolute(artifact)?)?),
            None => self.source(project, &folder)?,
        };
        let source = match source {
            Source::Artifact(program) if self.text("board").is_some_and(|board| is_linux(&board)) => {
                Source::Guest(GuestSource { program, start: self.start() })
            }
            other => self.has_no_start(other)?,
        };
        let title = match &project.artifact {
            Some(artifact) => artifact.file_name(),
            None => folder.file_name(),
        };
        let boots = matches!(source, Source::Boot(_));
        // What is booted says itself what it is for; a profile is needed only where an image is made.
        let board = self.text("board").or_else(|| boots.then(|| ANY.to_owned()));
        let board = board.ok_or_else(|| {
            ConfigError::nowhere(match &self.sketch.profiles[..] {
                [] => Fault::NoBoard(project.folder.clone()),
                // Each has its own.
                profiles => Fault::WhichEnvironment(profiles.to_vec()),
            })
        })?;
        let once = self.bool("flash.once") || boots;
        let mut expect = self.list("test.expect");
        let mut fail_on = self.texts("test.fail-on");
        if is_linux(&board) && expect.is_empty() && fail_on.is_empty() {
            // A program of a Linux guest's says by itself how it ended.
            expect.push((ENDED_WELL.to_owned(), None));
            fail_on.push(ENDED_ILL.to_owned());
        }
        let goal = match goal {
            // A device that is booted need have no console: where nothing is expected, that it booted is all there is.
            Goal::Run if boots && expect.is_empty() && fail_on.is_empty() => Goal::Flash,
            goal => goal,
        };
        let toolchain = self.toolchain(&source, &folder)?;
        Ok(Job {
            title: title.map_or_else(|| "/".into(), |name| name.to_string_lossy().into_owned()),
            project: text_of(&folder)?,
            goal,
            board,
            build: Build {
                source,
                toolchain,
                flags: self.texts("build.flags"),
                cxx_flags: self.texts("build.cxx-flags"),
                link_flags: self.texts("build.link-flags"),
                jobs: self.number("build.jobs"),
            },
            device: self.select()?,
            once,
            expect: expect.iter().map(|(text, _)| text.clone()).collect(),
            // Of a flag or a variable there is no place.
            expect_places: expect.into_iter().map_while(|(_, place)| place).collect(),
            fail_on,
            timeout_ms: match self.get("test.timeout") {
                Some(Setting { value: Value::Time(time), .. }) => {
                    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
                }
                _ => 0,
            },
            on_gap: self.on_gap(once, boots)?,
            baud: self.number("monitor.baud"),
            infra_retries: self.number("run.infra-retries"),
        })
    }

    /// Which tools build it, with the packages of the project's as its lock pins them.
    fn toolchain(&self, source: &Source, folder: &Path) -> Result<Toolchain, ConfigError> {
        let needed = match source {
            Source::Sketch(_)
            | Source::Profile(_)
            | Source::Tree(_)
            | Source::Command(..)
            | Source::CommandOf(..) => &[][..],
            Source::Environment(of) => &of.libraries.needed,
            // Nothing is built.
            _ => return Ok(Toolchain::Managed),
        };
        let own = self.packages.iter().filter(|spec| match &spec.needed_as {
            Some(words) => needed.contains(words),
            None => true,
        });
        let own: Vec<_> = own.cloned().collect();
        let packages = farmhand_installer::locked(folder, &own)
            .map_err(|error| ConfigError::nowhere(Fault::Lock(Box::new((&error).into()))))?;
        let compilers = match self.text("build.toolchain").as_deref() {
            Some("system") => Compilers::System,
            Some("clang") => Compilers::Clang,
            _ => Compilers::Managed,
        };
        let c_library = match self.text("build.c-library").as_deref() {
            Some("newlib") => CLibrary::Newlib,
            _ => CLibrary::Picolibc,
        };
        Ok(Toolchain::of(ChosenTools { compilers, c_library, packages }))
    }

    fn start(&self) -> GuestStart {
        match self.text("start").as_deref() {
            Some("healthy") => GuestStart::Healthy,
            _ => GuestStart::Boot,
        }
    }

    /// What is no file for a Linux guest begins at its beginning.
    fn has_no_start(&self, source: Source) -> Result<Source, ConfigError> {
        match (self.start(), self.get("start")) {
            (GuestStart::Healthy, Some(start)) => {
                let why =
                    "a file that a Linux guest runs (board qemu:linux-x86_64, build.artifact) can begin so";
                let fault = Fault::Value { key: "start".into(), why: why.into(), nearest: None };
                Err(ConfigError::at(fault, start.origin.clone()))
            }
            _ => Ok(source),
        }
    }

    /// Which device will do.
    pub fn select(&self) -> Result<DeviceSelect, ConfigError> {
        let (device, port) = (self.get("device"), self.get("port"));
        match (device, port) {
            (Some(device), Some(port)) if device.layer == port.layer => {
                Err(contradiction(("device", device), ("port", port), "each names a device"))
            }
            (Some(device), port) if port.is_none_or(|port| device.layer < port.layer) => {
                Ok(self.device_name().map_or(DeviceSelect::Board, DeviceSelect::Named))
            }
            (_, Some(Setting { value: Value::Text(port), .. })) => Ok(DeviceSelect::Port(port.clone())),
            _ => Ok(DeviceSelect::Board),
        }
    }

    fn device_name(&self) -> Option<DeviceName> {
        // It was checked when it was read.
        self.text("device").and_then(|name| DeviceName::new(name).ok())
    }

    fn source(&self, project: &Project, folder: &Path) -> Result<Source, ConfigError> {
        if let Some(boot) = self.boot(folder)? {
            return Ok(Source::Boot(boot));
        }
        let ways = ["build.sketch", "build.source", "build.command"];
        let set: Vec<_> = ways.into_iter().filter_map(|way| Some((way, self.get(way)?))).collect();
        // A stronger layer's way replaces a weaker one's.
        let strongest = set.iter().map(|(_, setting)| setting.layer).min();
        let chosen: Vec<_> =
            set.into_iter().filter(|(_, setting)| Some(setting.layer) == strongest).collect();
        if let [one, other, ..] = chosen[..] {
            return Err(contradiction(one, other, "each says what to build"));
        }
        if let (Some(inputs), None) = (self.get("build.inputs"), self.get("build.command")) {
            let why = "it goes with build.command; what a sketch or a tree is made of is seen by itself";
            let fault = Fault::Value { key: "build.inputs".into(), why: why.into(), nearest: None };
            return Err(ConfigError::at(fault, inputs.origin.clone()));
        }
        let below = |key: &str| self.text(key).map(|path| folder.join(path));
        let there = |key: &str| {
            let path = below(key).unwrap_or_else(|| folder.to_owned());
            text_of(&path.canonicalize().map_err(|_| self.not_there(key, path))?)
        };
        match (chosen.first(), self.text("build.artifact")) {
            (Some(("build.sketch", _)), _) => there("build.sketch").map(Source::Sketch),
            (Some(("build.source", _)), _) => there("build.source").map(Source::Tree),
            (Some((_, command)), Some(artifact)) => {
                let (folder, command) = (text_of(folder)?, raw(&command.value));
                let inputs = self.inputs(Path::new(&folder))?;
                Ok(match inputs.is_empty() {
                    true => Source::Command(folder, command, artifact),
                    false => Source::CommandOf(folder, command, artifact, inputs),
                })
            }
            (Some((_, command)), None) => {
                let why = "it needs build.artifact: the file that it leaves".to_owned();
                let fault = Fault::Value { key: "build.command".into(), why, nearest: None };
                Err(ConfigError::at(fault, command.origin.clone()))
            }
            (None, Some(_)) => there("build.artifact").map(Source::Artifact),
            (None, None) if self.platformio != PlatformIo::None => self.environment(),
            (None, None) if has(folder, &["ino"]) => Ok(match &self.sketch.chosen {
                Some(profile) => Source::Profile(Box::new(profile.clone())),
                None => Source::Sketch(text_of(folder)?),
            }),
            (None, None) if has(folder, &TREE) => Ok(Source::Tree(text_of(folder)?)),
            (None, None) if has(&folder.join("src"), &TREE) => {
                Ok(Source::Tree(text_of(&folder.join("src"))?))
            }
            (None, None) => Err(ConfigError::nowhere(Fault::NothingToBuild(project.folder.clone()))),
        }
    }

    /// The environment of `platformio.ini`.
    fn environment(&self) -> Result<Source, ConfigError> {
        match &self.platformio {
            PlatformIo::One(environment) => {
                let mut source = environment.source.clone();
                // For another board than it says, what it says of its own does not hold.
                if self.text("board").is_some_and(|board| board != environment.board) {
                    source.unlisted = false;
                    source.board.retain(|(key, _)| key == LIB_ARCHIVE || key == LIB_COMPAT);
                    for (_, mode) in source.board.iter_mut().filter(|(key, _)| key == LIB_COMPAT) {
                        // Its platform is another one's, too.
                        mode.truncate(mode.find(' ').unwrap_or(mode.len()));
                    }
                }
                Ok(Source::Environment(Box::new(source)))
            }
            PlatformIo::Several(names) => Err(ConfigError::nowhere(Fault::WhichEnvironment(names.clone()))),
            PlatformIo::None => Err(ConfigError::nowhere(Fault::WhichEnvironment(Vec::new()))),
        }
    }

    /// What is booted from memory, where the settings say so. A stronger layer's image replaces a weaker one's build,
    /// and the other way round.
    fn boot(&self, folder: &Path) -> Result<Option<BootSource>, ConfigError> {
        let built = ["build.sketch", "build.source", "build.command", "build.artifact", "build.inputs"];
        let built = built.into_iter().filter_map(|key| Some((key, self.get(key)?)));
        let Some(image) = self.get("boot.image") else {
            let alone = ["boot.ramdisk", "boot.dtb", "boot.cmdline"];
            let Some((key, setting)) = alone.into_iter().find_map(|key| Some((key, self.get(key)?))) else {
                return Ok(None);
            };
            // A flag is of the verb that boots; a file's table says what it wants.
            let why = "it needs boot.image: what is booted".to_owned();
            let fault = Fault::Value { key: key.into(), why, nearest: None };
            return Err(ConfigError::at(fault, setting.origin.clone()));
        };
        if let Some((key, other)) = built.min_by_key(|(_, setting)| setting.layer) {
            if other.layer < image.layer {
                return Ok(None);
            }
            if other.layer == image.layer {
                let why = "what [boot] boots is there already, and nothing is built for it";
                return Err(contradiction(("boot.image", image), (key, other), why));
            }
        }
        let file = |key: &str| match self.text(key).map(|path| folder.join(path)) {
            None => Ok(None),
            Some(path) if !path.is_file() => Err(self.not_there(key, path)),
            Some(path) => {
                let path = path.canonicalize().map_err(|error| ConfigError::read(&path, &error))?;
                text_of(&path).map(Some)
            }
        };
        Ok(Some(BootSource {
            image: file("boot.image")?.expect("it is set"),
            ramdisk: file("boot.ramdisk")?,
            dtb: file("boot.dtb")?,
            cmdline: self.text("boot.cmdline"),
        }))
    }

    /// What the command reads: each of it is there, or this is not what was meant.
    fn inputs(&self, folder: &Path) -> Result<Vec<String>, ConfigError> {
        let there = |(pattern, place): (String, Option<Place>)| {
            check_input(folder, &pattern).map(|()| pattern).map_err(|error| {
                let why = error.to_string();
                let fault = Fault::Value { key: "build.inputs".into(), why, nearest: None };
                let whole = || self.get("build.inputs").map(|setting| setting.origin.clone());
                let origin = place.map(Origin::File).or_else(whole).unwrap_or(Origin::BuiltIn);
                ConfigError::at(fault, origin)
            })
        };
        self.list("build.inputs").into_iter().map(there).collect()
    }

    fn not_there(&self, key: &str, path: PathBuf) -> ConfigError {
        let origin = self.get(key).map_or(Origin::BuiltIn, |setting| setting.origin.clone());
        let fault =
            Fault::Value { key: key.into(), why: format!("there is no {}", path.display()), nearest: None };
        ConfigError::at(fault, origin)
    }

    fn on_gap(&self, once: bool, boots: bool) -> Result<OnGap, ConfigError> {
        if let (true, Some("reset"), Some(gap), Some(image)) =
            (boots, self.text("test.on-gap").as_deref(), self.get("test.on-gap"), self.get("boot.image"))
        {
            let why = "a reset loses what was booted from memory, and a boot is never repeated";
            return Err(contradiction(("[boot]", image), ("test.on-gap = \"reset\"", gap), why));
        }
        match (self.text("test.on-gap").as_deref(), self.get("test.on-gap"), self.get("flash.once")) {
            (Some("reset"), Some(gap), Some(flash)) if once => {
                let why = "a reset is a new handoff, and this one is never repeated";
                Err(contradiction(("flash.once = true", flash), ("test.on-gap = \"reset\"", gap), why))
            }
            (Some("unknown"), ..) => Ok(OnGap::Unknown),
            (None, ..) if once => Ok(OnGap::Unknown),
            _ => Ok(OnGap::Reset),
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        self.get(key).map(|setting| raw(&setting.value))
    }

    fn bool(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Setting { value: Value::Bool(true), .. }))
    }

    fn number(&self, key: &str) -> u32 {
        match self.get(key) {
            Some(Setting { value: Value::Number(number), .. }) => u32::try_from(*number).unwrap_or(u32::MAX),
            _ => 0,
        }
    }

    /// A list's elements, and where in a file each was said.
    fn list(&self, key: &str) -> Vec<(String, Option<Place>)> {
        let Some(Setting { value: Value::Texts(elements), .. }) = self.get(key) else { return Vec::new() };
        elements.iter().map(|element| (element.text.clone(), element.place.clone())).collect()
    }

    fn texts(&self, key: &str) -> Vec<String> {
        self.list(key).into_iter().map(|(text, _)| text).collect()
    }
}

fn raw(value: &Value) -> String {
    if let Value::Text(text) = value { text.clone() } else { value.to_string() }
}

fn contradiction(one: (&str, &Setting), other: (&str, &Setting), why: &'static str) -> ConfigError {
    let fault = Fault::Contradiction { one: one.0.into(), other: other.0.into(), why };
    ConfigError::at(fault, other.1.origin.clone())
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    path.canonicalize().map_err(|error| ConfigError::read(path, &error))
}

/// A path as it is told to a farm: made lossy, it would name another file.
pub(super) fn text_of(path: &Path) -> Result<String, ConfigError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| ConfigError::nowhere(Fault::NotText(path.to_owned())))
}

/// Whether a folder has files of these kinds.
fn has(folder: &Path, kinds: &[&str]) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mut kinds_there =
        entries.flatten().filter_map(|entry| entry.path().extension()?.to_str().map(str::to_owned));
    kinds_there.any(|kind| kinds.contains(&kind.as_str()))
}
