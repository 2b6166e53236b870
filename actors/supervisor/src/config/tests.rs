//! Configuration as data: files, variables and flags in; settings, a job or an error out.

use std::fs;
use std::time::Duration;

use farmhand_api::{BootSource, DeviceSelect, Goal, Job, OnGap, Problem, ProblemClass, Source, Toolchain};
use farmhand_messages::fastboot::Allow;

use super::*;

mod packages;
mod sketch;

struct Case {
    folder: tempfile::TempDir,
    sources: Sources,
}

/// A project's folder with a sketch and these files.
fn project(files: &[(&str, &str)]) -> Case {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("blink.ino"), "").unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let sources = Sources { project: Some(folder.path().to_owned()), ..Sources::default() };
    Case { folder, sources }
}

impl Case {
    fn flag(mut self, key: &'static str, values: &[&str]) -> Self {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        self.sources.flags.push(Flag { key, flag: "--flag", values });
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.into(), value.into()));
        self
    }

    fn environment(mut self, name: &str) -> Self {
        self.sources.environment = Some(name.into());
        self
    }

    fn load(&self) -> Result<Config, ConfigError> {
        Config::load(&self.sources)
    }

    fn job(&self) -> Result<Job, ConfigError> {
        let project = Project { folder: self.folder.path().to_owned(), artifact: None };
        self.load()?.job(&project, Goal::Run)
    }

    /// `line:column code message | help`, of whatever goes wrong.
    fn wrong(&self) -> String {
        let problem = Problem::from(self.job().expect_err("it is wrong"));
        let place = problem.place.map(|place| {
            let file = Path::new(&place.file).file_name().unwrap().to_string_lossy().into_owned();
            format!("{file}:{}:{} ", place.line, place.column)
        });
        let folder = self.folder.path().canonicalize().unwrap().display().to_string();
        let text = format!(
            "{}{} {} | {}",
            place.unwrap_or_default(),
            problem.code,
            problem.message,
            problem.help.join(" | ")
        );
        text.replace(&folder, "PROJECT").replace(&self.folder.path().display().to_string(), "PROJECT")
    }

    /// Each setting with where it came from, files by their names.
    fn shown(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let config = self.load().unwrap();
        let said = config.settings().filter(|(_, setting)| setting.origin != Origin::BuiltIn);
        said.map(|(key, Setting { value, origin, .. })| {
            format!("{key} = {value} from {}", origin.to_string().replace(&folder, ""))
        })
        .collect()
    }
}

const WHOLE: &str = r#"board = "arduino:avr:uno"
[build]
sketch = "."
toolchain = "system"
flags = ["-DLED=13"]
[test]
expect = ["blink 2", 'blink \d']
fail-on = "panic"
timeout = "1m 30s"
[monitor]
baud = 9600
"#;

#[test]
fn a_whole_file_makes_its_job() {
    let case = project(&[("farmhand.toml", WHOLE)]);
    let job = case.job().unwrap();
    let folder = case.folder.path().canonicalize().unwrap().display().to_string();
    assert_eq!(job.board, "arduino:avr:uno");
    assert_eq!((&job.project, &job.build.source), (&folder, &Source::Sketch(folder.clone())));
    assert_eq!(job.build.toolchain, Toolchain::System);
    assert_eq!(job.build.flags, ["-DLED=13"]);
    assert_eq!(job.expect, ["blink 2", r"blink \d"]);
    let places: Vec<_> = job.expect_places.iter().map(|place| (place.line, place.column)).collect();
    assert_eq!(places, [(7, 11), (7, 22)]);
    assert_eq!(job.fail_on, ["panic"]);
    assert_eq!((job.timeout_ms, job.baud), (90_000, 9600));
    assert_eq!((job.once, job.on_gap, job.infra_retries), (false, OnGap::Reset, 0));
    assert_eq!(job.device, DeviceSelect::Board);
    assert!(folder.ends_with(&job.title), "{}", job.title);
}

#[test]
fn the_stronger_layer_wins_key_by_key_and_is_named() {
    let mut case = project(&[
        (
            "farmhand.toml",
            "board = 'from-project'\nport = '/dev/p'\n[monitor]\nbaud = 1200\n[test]\ntimeout = '1s'",
        ),
        ("farmhand.local.toml", "[monitor]\nbaud = 2400\n[run]\ninfra-retries = 2"),
        ("user.toml", "board = 'from-user'\n[build]\njobs = 3\n[run]\ninfra-retries = 9"),
    ])
    .variable("FARMHAND_TEST_TIMEOUT", "2s")
    .variable("FARMHAND_BUILD_JOBS", "4")
    .variable("FARMHAND_HOME", "/not/a/key")
    .flag("build.jobs", &["5"]);
    case.sources.user = Some(case.folder.path().join("user.toml"));
    assert_eq!(
        case.shown(),
        [
            "board = \"from-project\" from farmhand.toml:1:9",
            "build.jobs = 5 from --flag",
            "monitor.baud = 2400 from farmhand.local.toml:2:8",
            "port = \"/dev/p\" from farmhand.toml:2:8",
            "run.infra-retries = 2 from farmhand.local.toml:4:17",
            "test.timeout = \"2s\" from FARMHAND_TEST_TIMEOUT",
        ]
    );
}

#[test]
fn an_environment_lies_over_its_own_file() {
    let file =
        "board = 'b'\n[env.fast.test]\ntimeout = '1s'\n[env.fast]\nboard = 'c'\n[test]\ntimeout = '9s'";
    let case = project(&[("farmhand.toml", file), ("farmhand.local.toml", "[monitor]\nbaud = 300")]);
    assert_eq!(case.job().unwrap().timeout_ms, 9000);
    let case = case.environment("fast");
    let job = case.job().unwrap();
    assert_eq!((job.timeout_ms, job.board.as_str(), job.baud), (1000, "c", 300));
    assert_eq!(
        case.environment("fats").wrong(),
        "F019 --environment: there is no environment fats | did you mean fast?"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_the_nearest() {
    let cases = [
        ("bord = 'x'", "farmhand.toml:1:1 F012 there is no key \"bord\" | did you mean board?"),
        (
            "board='b'\n[test]\n  timout = '1s'",
            "farmhand.toml:3:3 F012 there is no key \"timout\" in [test] | did you mean timeout?",
        ),
        ("expect = ['x']", "farmhand.toml:1:1 F012 there is no key \"expect\" | did you mean [test] expect?"),
        (
            "[env.x.monitor]\nbuad = 1",
            "farmhand.toml:2:1 F012 there is no key \"buad\" in [monitor] | did you mean baud?",
        ),
        (
            "[test]\nexpect = ['a', '(']",
            "farmhand.toml:2:16 F014 \"(\" is not a regular expression: unclosed group | \
          a literal . ( [ { * + ? | \\ ^ $ is written with a \\ before it",
        ),
        (
            "[test]\ntimeout = 20",
            "farmhand.toml:2:11 F013 test.timeout: it wants a length of time such as \"20s\", not a number | ",
        ),
        (
            "[test]\ntimeout = 'soon'",
            "farmhand.toml:2:11 F013 test.timeout: it wants a length of time such as \"20s\" or \"3m\", not \"soon\" | ",
        ),
        ("[test]\ntimeout = '2days'", "farmhand.toml:2:11 F013 test.timeout: it wants at most 1day | "),
        (
            "[test]\nexpect = [1]",
            "farmhand.toml:2:11 F013 test.expect: it wants a list of regular expressions, not a number | ",
        ),
        (
            "[monitor]\nbaud = -1",
            "farmhand.toml:2:8 F013 monitor.baud: it wants a whole number from 50 to 4000000 | ",
        ),
        (
            "[build]\ntoolchain = 'sytem'",
            "farmhand.toml:2:13 F013 build.toolchain: it wants \"managed\" or \"system\" or \"clang\", not \"sytem\" | did you mean system?",
        ),
        (
            "device = 'a/b'",
            "farmhand.toml:1:10 F013 device: \"a/b\" cannot name a device: it has letters, digits, '-', '_' and '.' only | ",
        ),
        ("test = 3", "farmhand.toml:1:8 F013 [test]: it wants a table: keys of its own | "),
        ("\u{e9} = 1", "farmhand.toml:1:1 F011 invalid unquoted key, expected letters, numbers, `-`, `_` | "),
        ("board = ", "farmhand.toml:1:9 F011 string values must be quoted, expected literal string | "),
        ("board='b'\nboard='c'", "farmhand.toml:2:1 F011 duplicate key | "),
        (
            "board='b'\ndevice='d'\nport='p'",
            "farmhand.toml:3:6 F015 device and port do not go together: each names a device | ",
        ),
        (
            "board='b'\n[build]\nsketch='.'\ncommand='make'",
            "farmhand.toml:4:9 F015 build.sketch and build.command do not go together: each says what to build | ",
        ),
        (
            "board='b'\n[build]\ncommand='make'",
            "farmhand.toml:3:9 F013 build.command: it needs build.artifact: the file that it leaves | ",
        ),
        (
            "[test]\nexpect = ['']",
            "farmhand.toml:2:11 F013 test.expect: an empty expression is seen in any output, and in none | ",
        ),
        (
            "[test]\nfail-on = ['x', '']",
            "farmhand.toml:2:17 F013 test.fail-on: an empty expression is seen in any output, and in none | ",
        ),
        (
            "board='b'\n[build]\ncommand='make'\nartifact='a'\ninputs=['blink.ino', 'srx/*.c']",
            "farmhand.toml:5:22 F013 build.inputs: \"srx/*.c\" matches no file or folder in PROJECT | ",
        ),
        (
            "board='b'\n[build]\nsketch='.'\ninputs=['blink.ino']",
            "farmhand.toml:4:8 F013 build.inputs: it goes with build.command; what a sketch or a tree is made of is seen by itself | ",
        ),
        (
            "board='b'\n[build]\nsketch='gone'",
            "farmhand.toml:3:8 F013 build.sketch: there is no PROJECT/gone | ",
        ),
        (
            "board='b'\n[flash]\nonce=true\n[test]\non-gap='reset'",
            "farmhand.toml:5:8 F015 flash.once = true and test.on-gap = \"reset\" do not go together: a reset is a new handoff, and this one is never repeated | ",
        ),
        (
            "board='b'\n[build]\nsketch='.'\n[boot]\nimage='boot.img'",
            "farmhand.toml:3:8 F015 boot.image and build.sketch do not go together: what [boot] boots is there already, and nothing is built for it | ",
        ),
        ("[boot]\nimage='gone.img'", "farmhand.toml:2:7 F013 boot.image: there is no PROJECT/gone.img | "),
        (
            "[boot]\nimage='blink.ino'\ndtb='gone'",
            "farmhand.toml:3:5 F013 boot.dtb: there is no PROJECT/gone | ",
        ),
        (
            "[boot]\ncmdline='quiet'",
            "farmhand.toml:2:9 F013 boot.cmdline: it needs boot.image: what is booted | ",
        ),
        ("[boot]\nimage=['a']", "farmhand.toml:2:7 F013 boot.image: it wants text, not a list | "),
        ("[boot]\nimg='a'", "farmhand.toml:2:1 F012 there is no key \"img\" in [boot] | did you mean image?"),
        (
            "[boot]\nimage='blink.ino'\n[test]\non-gap='reset'",
            "farmhand.toml:4:8 F015 [boot] and test.on-gap = \"reset\" do not go together: a reset loses what was booted from memory, and a boot is never repeated | ",
        ),
        ("", "F017 no board is set for PROJECT | farmhand init | or once: --board arduino:avr:uno"),
    ];
    for (file, want) in cases {
        assert_eq!(project(&[("farmhand.toml", file)]).wrong(), want, "{file}");
    }
}

#[test]
fn a_command_is_run_always_or_where_what_it_reads_has_changed() {
    let file = |inputs: &str| format!("board='b'\n[build]\ncommand='make'\nartifact='a.elf'\n{inputs}");
    let source = |inputs: &str| project(&[("farmhand.toml", &file(inputs))]).job().unwrap().build.source;
    assert!(
        matches!(source(""), Source::Command(_, command, artifact) if (&*command, &*artifact) == ("make", "a.elf"))
    );
    assert!(matches!(source("inputs=[]"), Source::Command(..)));
    assert!(matches!(source("inputs='*.ino'"), Source::CommandOf(_, _, _, inputs) if inputs == ["*.ino"]));
}

#[test]
fn variables_and_flags_are_checked_and_named() {
    let case = || project(&[("farmhand.toml", "board = 'b'")]);
    let wrong = case().variable("FARMHAND_MONITOR_BAUD", "fast").wrong();
    assert_eq!(
        wrong,
        "F013 FARMHAND_MONITOR_BAUD: monitor.baud: it wants a whole number from 50 to 4000000 | "
    );
    let flag = case().flag("test.expect", &["ok", "["]);
    assert!(flag.wrong().starts_with("F014 --flag: \"[\" is not a regular expression"), "{}", flag.wrong());
    assert_eq!(Problem::from(flag.job().unwrap_err()).class, ProblemClass::Usage);
    let one = case().variable("FARMHAND_TEST_EXPECT", "a, b").job().unwrap();
    assert_eq!(one.expect, ["a, b"]);
    let list = case().variable("FARMHAND_TEST_EXPECT", "['a', \"b\"]").job().unwrap();
    assert_eq!(list.expect, ["a", "b"]);
    assert_eq!(list.expect_places, []);
}

#[test]
fn a_port_on_the_command_line_is_stronger_than_a_device_in_the_file() {
    let case = project(&[("farmhand.toml", "board = 'b'\ndevice = 'uno-1'")]);
    assert!(matches!(case.job().unwrap().device, DeviceSelect::Named(name) if name.as_str() == "uno-1"));
    let case = case.flag("port", &["/dev/ttyACM3"]);
    assert_eq!(case.job().unwrap().device, DeviceSelect::Port("/dev/ttyACM3".into()));
    let way =
        project(&[("farmhand.toml", "board = 'b'\n[build]\nsource = '.'")]).flag("build.sketch", &["."]);
    assert!(matches!(way.job().unwrap().build.source, Source::Sketch(_)));
}

#[test]
fn a_folder_without_settings_is_what_is_in_it() {
    let source = |files: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::create_dir_all(folder.path().join(file).parent().unwrap()).unwrap();
            fs::write(folder.path().join(file), "").unwrap();
        }
        let project = Project { folder: folder.path().to_owned(), artifact: None };
        let flags = vec![Flag { key: "board", flag: "--board", values: vec!["b".into()] }];
        let config = Config::load(&Sources { flags, ..Sources::default() }).unwrap();
        let root = folder.path().canonicalize().unwrap().display().to_string();
        config.job(&project, Goal::Build).map(|job| {
            let kind = format!("{:?}", job.build.source);
            kind.replace(&root, "PROJECT")
        })
    };
    assert_eq!(source(&["a.ino", "b.cpp"]).unwrap(), "Sketch(\"PROJECT\")");
    assert_eq!(source(&["main.c"]).unwrap(), "Tree(\"PROJECT\")");
    assert_eq!(source(&["src/main.cpp"]).unwrap(), "Tree(\"PROJECT/src\")");
    assert!(matches!(source(&["README.md"]).unwrap_err().fault.as_ref(), Fault::NothingToBuild(_)));
}

#[test]
fn what_is_meant_by_a_path() {
    let root = tempfile::tempdir().unwrap();
    let inner = root.path().join("p/sub");
    fs::create_dir_all(&inner).unwrap();
    fs::write(root.path().join("p/farmhand.toml"), "").unwrap();
    let elf = inner.join("app.elf");
    fs::write(&elf, "").unwrap();
    let find = |path: Option<&Path>, dir: Option<&Path>| Project::find(path, dir, &inner);
    assert_eq!(find(None, None).unwrap().folder, Path::new(".."));
    assert_eq!(find(Some(&inner), None).unwrap(), Project { folder: inner.clone(), artifact: None });
    let file = find(Some(&elf), None).unwrap();
    assert_eq!((file.folder.as_path(), file.artifact), (Path::new(".."), Some(elf.clone())));
    assert_eq!(find(Some(&elf), Some(root.path())).unwrap().folder, root.path());
    for name in ["sub.ino", "main.cpp"] {
        fs::write(inner.join(name), "").unwrap();
    }
    let main = find(Some(&inner.join("sub.ino")), None).unwrap();
    assert_eq!(main, Project { folder: inner.clone(), artifact: None }, "a sketch's main file is the sketch");
    let source = Problem::from(find(Some(&inner.join("main.cpp")), None).unwrap_err());
    assert_eq!((source.class, source.help.len()), (ProblemClass::Usage, 1), "{source:?}");
    let gone = find(Some(Path::new("/gone/there")), None).unwrap_err();
    assert_eq!(Problem::from(gone).class, ProblemClass::Usage);
    assert!(matches!(
        find(Some(&inner), Some(root.path())).unwrap_err().fault.as_ref(),
        Fault::TwoFolders(..)
    ));
    assert_eq!(Project::find(None, None, root.path()).unwrap().folder, Path::new("."));
}

#[test]
fn folders_of_the_farm_and_the_user() {
    let set = |pairs: &'static [(&str, &str)]| {
        move |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    };
    assert_eq!(home(set(&[("FARMHAND_HOME", "/f"), ("HOME", "/h")])), Some("/f".into()));
    assert_eq!(home(set(&[("XDG_DATA_HOME", "/x"), ("HOME", "/h")])), Some("/x/farmhand".into()));
    assert_eq!(
        home(set(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")])),
        Some("/h/.local/share/farmhand".into())
    );
    assert_eq!(home(set(&[])), None);
    assert_eq!(user_config(set(&[("HOME", "/h")])), Some("/h/.config/farmhand/config.toml".into()));
}

#[test]
fn the_schema_holds_together() {
    let mut variables: Vec<_> = keys().iter().map(Key::variable).collect();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), keys().len());
    // Variables that mean something else.
    for taken in ["FARMHAND_HOME", "FARMHAND_HOST", "FARMHAND_FARM", "FARMHAND_LOG", "FARMHAND_FAILPOINT"] {
        assert!(!variables.iter().any(|name| name == taken), "{taken}");
    }
    let built_in = schema::built_in();
    assert_eq!(built_in.len(), keys().iter().filter(|key| key.default.is_some()).count());
    let timeout = built_in.iter().find(|(key, ..)| *key == "test.timeout").unwrap();
    assert_eq!(timeout.1, Value::Time(Duration::from_secs(30)));
}

#[test]
fn a_file_that_cannot_be_read_is_said() {
    let case = project(&[]);
    fs::create_dir(case.folder.path().join("farmhand.toml")).unwrap();
    assert!(case.wrong().starts_with("F010 read PROJECT/farmhand.toml: "), "{}", case.wrong());
    let huge = project(&[("farmhand.toml", &" ".repeat((1 << 20) + 1))]);
    assert!(huge.wrong().contains("it has 1048577 bytes"), "{}", huge.wrong());
    let binary = project(&[]);
    fs::write(binary.folder.path().join("farmhand.toml"), [0xff, 0xfe]).unwrap();
    assert!(binary.wrong().contains("UTF-8"), "{}", binary.wrong());
}

fn farm(text: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farm.toml");
    fs::write(&path, text).unwrap();
    match read_devices(&path) {
        Ok(devices) => Ok(devices.unwrap().into_iter().map(|device| device.name.to_string()).collect()),
        Err(error) => {
            let problem = Problem::from(error);
            let place = problem.place.unwrap();
            Err(format!("{}:{} {} | {}", place.line, place.column, problem.message, problem.help.join(" | ")))
        }
    }
}

#[test]
fn a_farms_devices() {
    let two = "[[device]]\nname='uno'\nboard='b'\ndriver='virtual-uno'\ncount=2\n[[device]]\nname='real'\nboard='b'\nmatch={usb=['2341:0043'],serial='7'}";
    assert_eq!(farm(two).unwrap(), ["uno-1", "uno-2", "real"]);
    assert!(read_devices(Path::new("/gone/farm.toml")).unwrap().is_none());
    let device = |rest: &str| farm(&format!("[[device]]\nname='u'\nboard='b'\n{rest}")).unwrap_err();
    assert_eq!(
        farm("[[devices]]\nname='u'").unwrap_err(),
        "1:3 there is no key \"devices\" | did you mean device?"
    );
    assert_eq!(device("drvier='x'"), "4:1 there is no key \"drvier\" in [device] | did you mean driver?");
    assert_eq!(
        device("match={port-pat='1'}"),
        "4:8 there is no key \"port-pat\" in [device.match] | did you mean port-path?"
    );
    assert_eq!(
        device("driver='stk500'\nmatch={port='p'}"),
        "4:8 driver: there is no driver \"stk500\"; there are: stk500v1, virtual-uno, fastboot, qemu | did you mean stk500v1?"
    );
    assert_eq!(
        device("match={usb=['2341']}"),
        "4:7 match.usb: \"2341\" is not vendor:product in hexadecimal, such as 2341:0043 | "
    );
    assert_eq!(device(""), "1:1 device: it needs match: usb, serial, port-path, port, tcp or udp | ");
    assert_eq!(
        device("match={port='p'}\ncount=2"),
        "5:7 count: each real device has its own entry; only virtual-uno and qemu can be counted | "
    );
    let twice = "[[device]]\nname='u'\nboard='b'\ndriver='virtual-uno'\n[[device]]\nname='u'\nboard='b'\ndriver='virtual-uno'";
    assert_eq!(farm(twice).unwrap_err(), "5:1 name: u is already the one of line 1 | ");
    let phone = |name: &str, tcp: &str| {
        format!("[[device]]\nname='{name}'\nboard='fastboot'\ndriver='fastboot'\nmatch={{tcp='{tcp}'}}\n")
    };
    assert_eq!(
        farm(&(phone("a", "h") + &phone("b", "h:5554"))).unwrap_err(),
        "6:1 match: tcp h:5554 is a already, of line 1: one device has one entry | "
    );
    let bad = farm("[[device]]\nname='a/b'\nboard='b'").unwrap_err();
    assert!(bad.starts_with("2:6 device: \"a/b\" cannot name a device"), "{bad}");
    let bad = farm("[[device]]\nname='a'\nboard=3").unwrap_err();
    assert!(bad.starts_with("3:7 device: invalid type"), "{bad}");
    let bad = farm("[[device]]\nname='a'").unwrap_err();
    assert!(bad.contains("missing field `board`"), "{bad}");
}

#[test]
fn a_device_that_speaks_fastboot() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farm.toml");
    let read = |more: &str| {
        let text = format!("[[device]]\nname='p'\nboard='b'\n{more}\n");
        fs::write(&path, text).unwrap();
        read_devices(&path).map(|devices| devices.unwrap()).map_err(|error| error.to_string())
    };
    let phone = "driver='fastboot'\nmatch={serial='c0ffee'}";
    let device = read(&format!("{phone}\nallow=['boot','set-active']\nconsole={{serial='auto'}}")).unwrap();
    assert_eq!(device[0].allow, [Allow::Boot, Allow::SetActive]);
    assert_eq!(device[0].console.clone().unwrap().serial.as_deref(), Some("auto"));
    let over_tcp = read("driver='fastboot'\nmatch={tcp='127.0.0.1'}").unwrap();
    assert_eq!(over_tcp[0].allow, [], "what nobody allowed is not allowed");
    let wrong = |more: &str| read(more).unwrap_err();
    assert!(wrong(&format!("{phone}\nallow=['flsh']")).contains("flsh"));
    assert!(wrong(&format!("{phone}\nconsole={{sreial='auto'}}")).contains("sreial"));
    assert!(wrong("match={serial='x'}\nallow=['boot']").contains("only the driver fastboot"));
    assert!(wrong("match={tcp='h'}").contains("goes over a network"));
}

#[test]
fn a_device_that_is_added_is_read_as_it_was_meant_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("farm.toml");
    let device = |name: &str| crate::DeviceEntry {
        name: name.parse().unwrap(),
        board: "arduino:avr:uno".into(),
        driver: crate::STK500V1.into(),
        matching: crate::Match {
            usb: vec!["2341:0043".into()],
            serial: Some(format!("a \"quoted\" {name}")),
            port_path: None,
            port: None,
            ..crate::Match::default()
        },
        count: None,
        allow: Vec::new(),
        console: None,
    };
    append_device(&path, &device("one")).unwrap();
    let own = "# mine\n";
    fs::write(&path, format!("{own}{}", fs::read_to_string(&path).unwrap())).unwrap();
    append_device(&path, &device("two")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().starts_with(own));
    assert_eq!(read_devices(&path).unwrap().unwrap(), [device("one"), device("two")]);
    assert!(append_device(&path, &device("two")).is_err());
}

#[test]
fn what_is_booted_needs_no_board_and_is_never_booted_twice() {
    let case = project(&[
        ("farmhand.toml", "[boot]\nimage = 'boot.img'\ncmdline = 'console=ttyGS0'\n"),
        ("boot.img", "x"),
    ]);
    let job = case.job().unwrap();
    let image = case.folder.path().canonicalize().unwrap().join("boot.img").display().to_string();
    let boot = BootSource { image, ramdisk: None, dtb: None, cmdline: Some("console=ttyGS0".into()) };
    assert_eq!((job.board.as_str(), &job.build.source), ("fastboot", &Source::Boot(boot)));
    assert!(job.once);
    assert_eq!(job.on_gap, OnGap::Unknown);
    let config = case.load().unwrap();
    let origin = config.get("boot.cmdline").unwrap().origin.to_string();
    assert!(origin.ends_with("farmhand.toml:3:11"), "{origin}");
}

#[test]
fn a_stronger_layer_says_whether_something_is_built_or_booted() {
    let built = "board = 'b'\n[build]\nsketch = '.'\n";
    let booted = "[boot]\nimage = 'boot.img'\n";
    let of = |project_file, local| {
        let files = [("farmhand.toml", project_file), ("farmhand.local.toml", local), ("boot.img", "x")];
        project(&files).job().unwrap().build.source
    };
    assert!(matches!(of(built, booted), Source::Boot(_)));
    assert!(matches!(of(booted, built), Source::Sketch(_)));
}

#[test]
fn sizes_as_people_write_them() {
    assert_eq!(
        ["0", "1000", "5GB", "200 mb", "7k"].map(|text| size(text).ok()),
        [Some(0), Some(1000), Some(5_000_000_000), Some(200_000_000), Some(7000)]
    );
    for text in ["", "GB", "5TB", "-1", "1.5GB", "99999999999999999999"] {
        assert!(size(text).is_err(), "{text}");
    }
    for shown in ["\"0\"", "\"5GB\"", "\"1500MB\"", "\"7kB\"", "\"1001\""] {
        assert_eq!(Value::Size(size(shown.trim_matches('"')).unwrap()).to_string(), shown);
    }
}

#[test]
fn the_users_alone_is_how_large_the_cache_may_grow() {
    let folder = tempfile::tempdir().unwrap();
    let user = folder.path().join("config.toml");
    let nothing = |_: &str| None;
    assert_eq!(cache_bytes(nothing, Some(user.clone())).unwrap(), farmhand_compiler::CACHE_BYTES);
    fs::write(&user, "[cache]\nbytes = \"200MB\"\n").unwrap();
    assert_eq!(cache_bytes(nothing, Some(user.clone())).unwrap(), 200_000_000);
    let variable = |name: &str| (name == "FARMHAND_CACHE_BYTES").then(|| "7000".to_owned());
    assert_eq!(cache_bytes(variable, Some(user.clone())).unwrap(), 7000);
    fs::write(folder.path().join("farmhand.toml"), "board = \"x\"\n[cache]\nbytes = 0\n").unwrap();
    let sources = Sources { project: Some(folder.path().to_owned()), user: Some(user), ..Sources::default() };
    let error = Problem::from(Config::load(&sources).unwrap_err());
    assert_eq!((error.code.as_str(), error.place.unwrap().line), ("F013", 3));
}
