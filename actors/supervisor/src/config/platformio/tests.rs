//! Projects of PlatformIO's: files and variables in; a job, notes or an error out.

use std::fs;
use std::path::Path;

use farmhand_api::{Goal, Job, LibraryMode, Problem, Source};

use crate::config::{Config, ConfigError, Project, Sources};

struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

fn case(files: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variables = vec![("HOME".to_owned(), "/home/me".to_owned())];
    let sources = Sources { project: Some(folder.path().to_owned()), variables, ..Sources::default() };
    Case { folder, sources }
}

impl Case {
    fn environment(mut self, name: &str) -> Self {
        self.sources.environment = Some(name.to_owned());
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.sources)
    }

    fn job(&self) -> Result<Job, ConfigError> {
        let project = Project { folder: self.folder.path().to_owned(), artifact: None };
        self.load()?.job(&project, Goal::Run)
    }

    fn source(&self) -> farmhand_api::EnvironmentSource {
        match self.job().unwrap().build.source {
            Source::Environment(of) => *of,
            other => panic!("{other:?}"),
        }
    }

    /// Paths are told from the project.
    fn told(&self, path: &str) -> String {
        let root = self.folder.path().canonicalize().unwrap();
        let below = Path::new(path).strip_prefix(&root);
        below.map_or_else(|_| path.to_owned(), |below| below.display().to_string())
    }

    /// `line code message | help`, of whatever goes wrong.
    fn wrong(&self) -> String {
        let problem = Problem::from(self.job().expect_err("it is wrong"));
        let line = problem.place.map(|place| format!("{} ", place.line)).unwrap_or_default();
        format!("{line}{} {} | {}", problem.code, problem.message, problem.help.join(" | "))
    }
}

const WHOLE: &str = "\
[platformio]
src_dir = code
default_envs = uno
[env]
platform = atmelavr
framework = arduino
[env:uno]
board = uno
monitor_speed = 57600
upload_port = /dev/ttyUSB7
build_flags = -DA ${sysenv.MORE}
build_unflags = -Os
board_build.f_cpu = 8000000L
lib_ldf_mode = deep+
lib_extra_dirs = ~/libs
lib_deps =
    Servo
    ./mine
[env:mega]
board = megaatmega2560
build_type = debug
";

#[test]
fn an_environment_makes_a_job() {
    let case = case(&[("platformio.ini", WHOLE)]).variable("MORE", "-DB");
    let job = case.job().unwrap();
    assert_eq!((job.board.as_str(), job.baud), ("arduino:avr:uno", 57600));
    assert_eq!(job.device, farmhand_api::DeviceSelect::Port("/dev/ttyUSB7".into()));
    let of = case.source();
    assert_eq!((of.name.as_str(), case.told(&of.sources).as_str()), ("uno", "code"));
    assert_eq!(of.flags, ["-DA -DB"]);
    assert_eq!(of.unflags, ["-Os"]);
    assert_eq!(of.filter, "+<*> -<.git/> -<.svn/>");
    let said = [("build.f_cpu", "8000000L"), ("lib_compat_mode", "soft atmelavr")];
    assert_eq!(of.board, said.map(|(key, value)| (key.to_owned(), value.to_owned())));
    assert!(of.arduino && !of.unlisted);
    assert_eq!(of.libraries.mode, LibraryMode::DeepPlus);
    let folders: Vec<_> = of.libraries.folders.iter().map(|folder| case.told(folder)).collect();
    assert_eq!(folders, ["lib", ".pio/libdeps/uno", "/home/me/libs", "/home/me/.platformio/lib"]);
    let mine = format!("file://{}", case.folder.path().canonicalize().unwrap().join("./mine").display());
    assert_eq!(of.libraries.needed, ["Servo".to_owned(), mine]);

    let mega = case.environment("mega");
    let job = mega.job().unwrap();
    // What PlatformIO's monitor takes where nobody says anything.
    assert_eq!((job.board.as_str(), job.baud), ("arduino:avr:mega:cpu=atmega2560", 9600));
    assert_eq!(mega.source().flags, ["-Og", "-g2", "-ggdb2", "-D__PLATFORMIO_BUILD_DEBUG__"]);
}

#[test]
fn a_folder_that_is_there_is_no_name_of_the_registry() {
    let ini = "[env:a]\nplatform = native\nlib_deps =\n  ext/A\n  who/B@^1\n  Near\n";
    let case = case(&[("platformio.ini", ini), ("ext/A/A.h", ""), ("Near/Near.h", "")]);
    let needed = case.source().libraries.needed;
    let root = case.folder.path().canonicalize().unwrap();
    assert_eq!(needed, [format!("file://{}/ext/A", root.display()), "who/B@^1".into(), "Near".into()]);
}

#[test]
fn what_farmhand_toml_says_is_stronger() {
    let toml = "board = 'arduino:avr:leonardo'\n[monitor]\nbaud = 300\n[env.fast]\nmonitor.baud = 2400\n";
    let files = [("platformio.ini", WHOLE), ("farmhand.toml", toml)];
    let job = case(&files).job().unwrap();
    assert_eq!((job.board.as_str(), job.baud), ("arduino:avr:leonardo", 300));
    assert!(matches!(job.build.source, Source::Environment(of) if of.board.len() == 1), "of another board");
    let files = [files[0], ("farmhand.toml", "[build]\nsketch = '.'\n"), ("x.ino", "")];
    assert!(matches!(case(&files).job().unwrap().build.source, Source::Sketch(_)));
}

#[test]
fn files_that_it_takes_in() {
    let files = [
        ("platformio.ini", "[platformio]\nextra_configs = more/*.ini\n[env:a]\nplatform = native\n"),
        ("more/b.ini", "[env:a]\nbuild_flags = -DLATE\n[platformio]\nextra_configs = last.ini\n"),
        ("last.ini", "[env:a]\nbuild_src_flags = -DLAST\n"),
    ];
    let of = case(&files).source();
    assert_eq!((of.flags, of.own_flags), (vec!["-DLATE".to_owned()], vec!["-DLAST".to_owned()]));
    let wrong = case(&[files[0], ("more/b.ini", "x = 1\n")]);
    assert_eq!(wrong.wrong(), "1 F011 an option before any [section]: \"x = 1\" | ");
}

#[test]
fn boards_of_json() {
    let json = r#"{"build": {"mcu": "atmega8", "core": "arduino"}, "upload": {"maximum_ram_size": 1024}}"#;
    let ini = "[env:a]\nplatform = atmelavr@^5\nboard = mine\nframework = arduino\nboard_upload.maximum_size = 8192\n";
    let own = case(&[("platformio.ini", ini), ("boards/mine.json", json)]);
    assert_eq!(own.job().unwrap().board, "arduino:avr:mine");
    let of = own.source();
    assert!(of.unlisted);
    let get = |key: &str| of.board.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    assert_eq!(get("build.mcu"), Some("atmega8"));
    assert_eq!(get("upload.maximum_data_size"), Some("1024"));
    assert_eq!(get("upload.maximum_size"), Some("8192"));
    let installed =
        case(&[("platformio.ini", ini), ("home/.platformio/platforms/atmelavr/boards/mine.json", json)]);
    let home = installed.folder.path().join("home");
    let mut installed = installed;
    installed.sources.variables = vec![("HOME".to_owned(), home.display().to_string())];
    assert!(installed.source().unlisted);
    let bad = case(&[("platformio.ini", ini), ("boards/mine.json", "{}")]);
    assert!(bad.wrong().ends_with("it has no build.mcu | "), "{}", bad.wrong());
}

#[test]
fn names_in_flags_stand_for_what_the_project_says() {
    let ini = "[platformio]\nsrc_dir = code\n[env:a]\nplatform = native @ 1.2\nbuild_flags =\n  -I$PROJECT_DIR/more -DN=\\\"$PIOENV\\\"\n  -I${PROJECT_SRC_DIR} -DP=$PIOPLATFORM $NONE\nbuild_src_flags = -DS=$$PIOENV\n";
    let case = case(&[("platformio.ini", ini)]);
    let of = case.source();
    let root = case.folder.path().canonicalize().unwrap().display().to_string();
    assert_eq!(of.flags, [format!("-I{root}/more -DN=\\\"a\\\""), format!("-I{root}/code -DP=native $NONE")]);
    assert_eq!(of.own_flags, ["-DS=$PIOENV"]);
    let config = case.load().unwrap();
    let [note] = config.notes() else { panic!("{:?}", config.notes()) };
    assert_eq!(
        (note.place.line, note.text.starts_with("$NONE in build_flags is not replaced")),
        (5, true),
        "{note:?}"
    );
}

#[test]
fn what_is_not_done_is_told_with_its_line() {
    let ini = "\
[env:a]
platform = native
extra_scripts = a.py
upload_port = 192.168.0.1
test_speed = 9600
custom_x = 1
check_tool = cppcheck
biuld_flags = -DX
";
    let case = case(&[("platformio.ini", ini)]);
    let config = case.load().unwrap();
    let notes: Vec<_> =
        config.notes().iter().map(|note| (note.place.line, note.text.split(':').next().unwrap())).collect();
    let not = |option: &str| format!("{option} is not honoured");
    assert_eq!(
        notes.iter().map(|(line, text)| (*line, (*text).to_owned())).collect::<Vec<_>>(),
        [(3, not("extra_scripts")), (4, not("upload_port")), (5, not("test_speed")), (8, not("biuld_flags"))]
    );
    assert!(config.get("port").is_none());
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let wrong = |ini: &str| case(&[("platformio.ini", ini)]).wrong();
    assert_eq!(
        wrong("[env:a]\nplatform = native\n[env:b]\nplatform = native\n"),
        "F022 the project has 2 environments: a, b | say which: -e a; `farmhand build --all` builds them all"
    );
    assert_eq!(
        wrong("[platformio]\ndefault_envs = aa\n[env:a]\nplatform = native\n"),
        "2 F019 there is no environment aa | did you mean a?"
    );
    assert_eq!(wrong("[env:a]\nboard = uno\n"), "1 F013 platform: [env:a] does not say which | ");
    assert_eq!(
        wrong("[env:a]\nplatform = espressif32\nboard = x\n"),
        "2 F013 platform: there is no core for \"espressif32\": there is one for atmelavr, native; platforms that PlatformIO installed (pio pkg install -g -p espressif32) are read in /home/me/.platformio/platforms | "
    );
    assert_eq!(
        wrong("[env:a]\nplatform = atmelavr\nboard = uno\nframework = mbed\n"),
        "4 F013 framework: \"mbed\" is not known; there is arduino | "
    );
    assert_eq!(
        wrong("[env:a]\nplatform = native\nlib_ldf_mode = chian\n"),
        "3 F013 lib_ldf_mode: it wants off, chain, deep, chain+, deep+, not \"chian\" | did you mean chain?"
    );
    assert_eq!(
        wrong("[env:a]\nplatform = native\nbuild_flags = ${x.y}\n"),
        "3 F011 ${x.y} stands for nothing: [x] has no y | "
    );
    assert_eq!(
        wrong("[env:a]\nplatform = native\nbuild_flags =\n  -DA\n  !echo -DB\n"),
        "3 F013 build_flags: \"!echo -DB\" would run a command: farmhand runs none to be told flags; write what it prints, or have it written to a file of `extra_configs` | "
    );
    assert_eq!(
        wrong("[env:a]\nplatform = native\nmonitor_speed = fast\n").split(" |").next(),
        Some("3 F013 monitor_speed: it wants a whole number from 50 to 4000000")
    );
    assert_eq!(
        wrong("[env:../a]\nplatform = native\n"),
        "1 F013 [env:../a]: a name has letters, digits, `_` and `-` | "
    );
    let none = case(&[("platformio.ini", "[env:abc]\nplatform = native\n")]).environment("abd");
    assert_eq!(none.wrong(), "F019 --environment: there is no environment abd | did you mean abc?");
}
