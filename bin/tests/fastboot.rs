//! `boot`, `fastboot`, `profile`, `devices --watch` and `doctor` for real: a simulated phone over TCP, a farm, and the
//! program that people type.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

const FARMHAND: &str = env!("CARGO_BIN_EXE_farmhand");

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(FARMHAND);
        command.args(args).current_dir(self.folder.path());
        command.env("FARMHAND_HOME", self.folder.path().join("home"));
        command.env("XDG_CONFIG_HOME", self.folder.path().join("config"));
        for unset in ["CI", "FARMHAND_HOST", "FARMHAND_LOG", "ANDROID_SERIAL"] {
            command.env_remove(unset);
        }
        command
    }

    fn farmhand(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it answers; it ends with this code.
    fn expect(&self, code: i32, args: &[&str]) -> (String, String) {
        let output = self.farmhand(args);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        (out, err)
    }

    fn json(&self, code: i32, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.expect(code, args).0).unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _none_runs = self.farmhand(&["stop", "--drain", "0s"]);
    }
}

/// `farmhand sim fastboot`: it ends when its standard input does.
struct Phone {
    process: Child,
    stdin: Option<ChildStdin>,
    address: String,
    control: PathBuf,
}

impl Phone {
    fn start(home: &Home) -> Self {
        let control = home.folder.path().join("phone.sock");
        let place = control.to_str().unwrap();
        let args = ["sim", "fastboot", "--tcp", "127.0.0.1:0", "--die-with-stdin", "--control", place];
        let mut command = home.command(&args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take();
        let mut told = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
        let tcp = told.next().unwrap();
        let address = format!("tcp:{}", tcp.strip_prefix("tcp ").expect("it says where it listens"));
        let rest: Vec<_> = told.by_ref().take_while(|line| line != "ready").collect();
        assert!(rest.iter().all(|line| line.starts_with("control ")), "{rest:?}");
        Self { process, stdin, address, control }
    }

    /// Tells it something, and hears that it was done.
    fn told(&self, order: &str) {
        let mut control = UnixStream::connect(&self.control).unwrap();
        writeln!(control, "{order}").unwrap();
        control.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        control.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "ok\n", "{order}");
    }

    /// What it was asked, from its beginning; it ends with that.
    fn asked(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let mut said = String::new();
        self.process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(&format!("try: farmhand fastboot -s {} getvar all", self.address)), "{said}");
        // `#7 boot 1 flash:misc -> OKAY`: without its number and the phone's count of its starts.
        let command = |line: &str| line.trim().strip_prefix('#')?.splitn(4, ' ').nth(3).map(str::to_owned);
        said.lines().filter_map(command).filter(|line| !line.starts_with("getvar:")).collect()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _it_ends_by_itself = self.process.wait();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A boot image of version 0 (AOSP, "Boot image header"): a header, a kernel, each filled to a page.
fn boot_image() -> Vec<u8> {
    const PAGE: usize = 2048;
    let kernel = [0x5a_u8; 900];
    let mut image = vec![0; PAGE];
    image[..8].copy_from_slice(b"ANDROID!");
    image[8..12].copy_from_slice(&u32::try_from(kernel.len()).unwrap().to_le_bytes());
    image[36..40].copy_from_slice(&u32::try_from(PAGE).unwrap().to_le_bytes());
    image.extend(kernel);
    image.resize(2 * PAGE, 0);
    image
}

#[test]
fn an_image_is_booted_once_and_what_is_none_is_refused() {
    let home = Home::new();
    let phone = Phone::start(&home);
    home.write("boot.img", boot_image());
    home.write("no.img", "nothing that boots");
    let (_, err) = home.expect(7, &["boot", "no.img", "--device", &phone.address]);
    assert!(err.contains("no.img"), "{err}");
    let (_, err) = home.expect(2, &["boot", "gone.img", "--device", &phone.address]);
    assert!(err.contains("gone.img"), "{err}");
    let (out, err) = home.expect(0, &["boot", "boot.img", "--device", &phone.address]);
    assert!(out.starts_with("passed  s-"), "{out}{err}");
    let asked = phone.asked();
    let boots = asked.iter().filter(|line| line.starts_with("boot")).count();
    assert_eq!(boots, 1, "{asked:?}");
    assert!(!asked.iter().any(|line| line.starts_with("flash") || line.starts_with("erase")), "{asked:?}");
}

#[test]
fn a_project_says_what_is_booted() {
    let home = Home::new();
    let phone = Phone::start(&home);
    home.write("project/boot.img", boot_image());
    home.write("project/farmhand.toml", "[boot]\nimage = 'boot.img'\n");
    let result = home.json(0, &["boot", "project", "--port", &phone.address, "--json"]);
    assert_eq!((&result["ok"], &result["verdict"]), (&true.into(), &"passed".into()));
    // It runs what it was sent: there is no bootloader any more.
    let (_, err) = home.expect(4, &["fastboot", "-s", &phone.address, "getvar", "product"]);
    assert!(err.contains("refused"), "{err}");
    assert_eq!(phone.asked().iter().filter(|line| line.starts_with("boot")).count(), 1);
}

#[test]
fn a_variable_is_printed_as_people_know_it_and_one_that_there_is_not_is_a_failure() {
    let home = Home::new();
    let phone = Phone::start(&home);
    let at = phone.address.as_str();
    let (out, _) = home.expect(0, &["fastboot", "-s", at, "getvar", "product"]);
    assert_eq!(out, "product: farmhand-phone\n");
    // The only one there is needs no name, once it is known.
    let (out, _) = home.expect(0, &["fastboot", "getvar", "product", "getvar", "partition-size:misc"]);
    assert_eq!(out, "product: farmhand-phone\npartition-size:misc: 0x100000\n");
    let (out, _) = home.expect(0, &["fastboot", "getvar", "all", "-s", at]);
    for line in ["product: farmhand-phone", "partition-type:userdata: f2fs", "slot-count: 2"] {
        assert!(out.lines().any(|said| said == line), "{line}: {out}");
    }
    let all = home.json(0, &["fastboot", "-s", at, "getvar", "all", "--json"]);
    assert_eq!(all["variables"]["partition-type:userdata"], "f2fs");
    let (out, err) = home.expect(2, &["fastboot", "-s", at, "getvar", "colour"]);
    assert!(out.is_empty() && err.contains("knows no variable \"colour\""), "{out}{err}");
    let (out, _) = home.expect(0, &["fastboot", "devices"]);
    assert!(out.contains("fastboot") && out.contains(at), "{out}");
}

#[test]
fn what_writes_says_what_it_touches_and_is_refused_where_it_is_not_allowed() {
    let home = Home::new();
    let phone = Phone::start(&home);
    let at = phone.address.clone();
    home.write("misc.img", [7; 5000]);
    let (out, err) = home.expect(5, &["fastboot", "-s", &at, "flash", "misc", "misc.img"]);
    assert!(err.contains("writes") && err.contains("misc with misc.img (5000 B)"), "{err}");
    assert!(err.contains("error[F264]") && err.contains("farm.toml") && err.contains("\"flash\""), "{err}");
    assert!(out.starts_with("permission  s-1"), "{out}");
    let (_, err) = home.expect(5, &["fastboot", "-s", &at, "flashing", "unlock"]);
    assert!(err.contains("its lock: unlock") && err.contains("error[F264]"), "{err}");
    // What is said about it can be pasted as it stands.
    let (_, err) = home.expect(5, &["fastboot", "-s", &at, "flash", "misc", "misc.img"]);
    let pasted: Vec<_> = err.lines().skip_while(|line| line.trim() != "[[device]]").collect();
    home.write("home/farm.toml", pasted.join("\n"));
    home.expect(0, &["stop"]);
    let (out, err) = home.expect(0, &["fastboot", "-s", &at, "flash", "misc", "misc.img"]);
    assert!(out.starts_with("passed  s-"), "{out}{err}");
    let asked = phone.asked();
    let asked: Vec<_> = asked.iter().filter_map(|line| line.split([':', ' ']).next()).collect();
    assert_eq!(asked, ["download", "flash"], "nothing reached the phone before that");
}

#[test]
fn partitions_in_a_row_are_one_session_that_leaves_the_bootloader() {
    let home = Home::new();
    let phone = Phone::start(&home);
    let (out, _) = home.expect(0, &["init", "--add", &phone.address, "--name", "phone-1"]);
    assert!(out.starts_with("added  phone-1 (fastboot)"), "{out}");
    let file = home.folder.path().join("home/farm.toml");
    let farm = std::fs::read_to_string(&file).unwrap();
    let allowed = farm.replace("allow = [\"boot\"]", "allow = ['boot', 'flash', 'erase', 'set-active']");
    assert_ne!(farm, allowed, "nothing that writes is allowed by itself");
    std::fs::write(file, allowed).unwrap();
    let image: Vec<u8> = (0..70_000_u32).map(|at| (at % 251) as u8).collect();
    home.write("misc.img", &image);
    home.write("boot.img", boot_image());
    let (out, err) = home.expect(0, &["fastboot", "flash", "misc", "misc.img", "erase", "userdata"]);
    assert!(out.starts_with("passed  s-1  phone-1"), "{out}{err}");
    assert!(err.contains("on phone-1: misc with misc.img (70.0 kB); userdata, which is erased"), "{err}");
    home.expect(0, &["fastboot", "-s", "phone-1", "fetch", "misc", "back.img"]);
    let back = std::fs::read(home.folder.path().join("back.img")).unwrap();
    assert!(back.starts_with(&image), "what was written is there");
    home.expect(0, &["fastboot", "stage", "misc.img", "get_staged", "staged.img"]);
    let staged = std::fs::read(home.folder.path().join("staged.img")).unwrap();
    assert_eq!(staged, image);
    home.expect(0, &["fastboot", "--set-active", "b"]);
    let (out, err) = home.expect(0, &["fastboot", "flash", "boot", "boot.img", "reboot", "--json"]);
    let result: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&result["verdict"], &result["device"]), (&"passed".into(), &"phone-1".into()), "{err}");
    let asked = phone.asked();
    let writes: Vec<_> = asked
        .iter()
        .filter_map(|line| line.split([' ', '[']).next())
        .filter(|line| !line.starts_with("download") && !line.starts_with("fetch") && *line != "upload")
        .collect();
    assert_eq!(
        writes,
        ["flash:misc", "erase:userdata", "set_active:b", "flash:boot_b", "reboot"],
        "{asked:?}"
    );
}

/// A phone that may be written, and its name: `phone-1`.
fn allowed(home: &Home) -> Phone {
    let phone = Phone::start(home);
    home.expect(0, &["init", "--add", &phone.address, "--name", "phone-1"]);
    let file = home.folder.path().join("home/farm.toml");
    let farm = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, farm.replace("allow = [\"boot\"]", "allow = ['boot', 'flash', 'erase']")).unwrap();
    phone
}

/// The phone gives 16 MiB at once, and its boot partition has 64 MiB.
#[test]
fn a_partition_is_fetched_whole_in_as_many_extents_as_the_phone_makes_it() {
    let home = Home::new();
    let phone = allowed(&home);
    let mut state = 1_u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let mut image: Vec<u8> = noise.take((48 << 20) + 4321).collect();
    home.write("given.img", &image);
    home.expect(0, &["fastboot", "flash", "boot", "given.img"]);
    home.write("back.img", "what was there before");
    let (out, _) = home.expect(0, &["fastboot", "fetch", "boot", "back.img"]);
    let path = home.folder.path().join("back.img");
    assert_eq!(out, format!("67108864 bytes into {}\n", path.display()));
    image.resize(64 << 20, 0);
    assert!(std::fs::read(path).unwrap() == image, "it is what the partition holds");
    let asked = phone.asked();
    let fetches: Vec<_> = asked.iter().filter_map(|line| line.strip_prefix("fetch:")).collect();
    assert_eq!(fetches.len(), 4, "{asked:?}");
    assert!(fetches[3].starts_with("boot_a:0x03000000:0x01000000"), "{fetches:?}");
}

/// Whichever verb it is for.
#[test]
fn an_empty_file_is_one_error() {
    let home = Home::new();
    let phone = allowed(&home);
    home.write("empty.img", "");
    let verbs: [&[&str]; 3] = [
        &["boot", "empty.img", "--device", "phone-1"],
        &["fastboot", "flash", "misc", "empty.img"],
        &["fastboot", "stage", "empty.img"],
    ];
    for verb in verbs {
        let (_, err) = home.expect(7, verb);
        assert!(err.contains("error[F133]") && err.contains("empty.img: it is empty"), "{err}");
    }
    assert_eq!(phone.asked(), [] as [&str; 0]);
}

/// The connection is cut where nobody can know whether the partition was written: what is once is left to a person.
#[test]
fn what_is_once_is_never_written_twice() {
    for (once, code, error) in [(false, 8, "error[F263]"), (true, 9, "error[F301]")] {
        let home = Home::new();
        let phone = allowed(&home);
        home.write("misc.img", [7; 5000]);
        phone.told("fault cut-at flash:misc");
        let mut words = vec!["fastboot", "flash", "misc", "misc.img"];
        words.extend(once.then_some("--once"));
        let (_, err) = home.expect(code, &words);
        assert!(err.contains(error), "{err}");
        assert_eq!(err.contains("cannot prove whether a partition of phone-1 was written"), once, "{err}");
    }
}

/// Guard: what is handed over goes into a file beside it, in `Taken`.
#[test]
fn what_is_not_handed_over_leaves_the_file_that_is_there() {
    let home = Home::new();
    let phone = Phone::start(&home);
    let at = phone.address.as_str();
    let mine = home.write("folder/mine.img", "mine");
    let wrong: [&[&str]; 2] = [&["fetch", "nvram", "folder/mine.img"], &["get_staged", "folder/mine.img"]];
    for words in wrong {
        let (_, err) = home.expect(8, &[&["fastboot", "-s", at], words].concat());
        assert!(err.contains("error[F259]"), "{err}");
        assert_eq!(std::fs::read(&mine).unwrap(), b"mine");
    }
    assert_eq!(std::fs::read_dir(mine.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
}

#[test]
fn a_probe_says_which_profile_fits_and_a_check_what_is_wrong_with_one() {
    let home = Home::new();
    let profile = "title = 'The simulated phone'\n[[probe]]\ngetvar = 'product'\nequals = 'farmhand-phone'\n";
    let file = home.write("config/farmhand/profiles/sim-phone.toml", profile);
    let phone = Phone::start(&home);
    let (out, _) = home.expect(0, &["profile", "probe", "--device", &phone.address]);
    assert!(out.contains("product") && out.contains("farmhand-phone"), "{out}");
    assert!(out.ends_with("fits  sim-phone\n"), "{out}");
    let probed = home.json(0, &["profile", "probe", "--device", &phone.address, "--json"]);
    assert_eq!(probed["fits"], serde_json::json!(["sim-phone"]));
    // As another one it is none that is known.
    std::fs::write(&file, profile.replace("farmhand-phone", "another")).unwrap();
    let (out, err) = home.expect(4, &["profile", "probe", "--device", &phone.address]);
    assert!(out.contains("farmhand-phone") && !out.contains("fits"), "{out}");
    assert!(err.contains("error[F273]: no profile fits this device") && err.contains("getvar all"), "{err}");
    let probed = home.json(4, &["profile", "probe", "--device", &phone.address, "--json"]);
    assert_eq!(probed["fits"], serde_json::json!([]));
    assert_eq!(phone.asked(), [] as [&str; 0], "it only asks");
    std::fs::write(&file, profile).unwrap();

    let (out, _) = home.expect(0, &["profile", "list"]);
    assert!(out.contains("The simulated phone") && out.contains("oneplus-fajita"), "{out}");
    assert_eq!(home.expect(0, &["profile", "check"]).0, format!("ok  sim-phone  {}\n", file.display()));
    home.write("wrong.toml", "title = 'x'\n[[probe]]\ngetvar = 'product'\nequal = 'y'\n");
    let (out, err) = home.expect(3, &["profile", "check", "wrong.toml"]);
    assert!(
        out.is_empty() && err.contains("wrong.toml:4:1") && err.contains("did you mean equals?"),
        "{err}"
    );
}

#[test]
fn devices_are_watched_as_they_come() {
    let home = Home::new();
    let phone = Phone::start(&home);
    let mut command = home.command(&["devices", "--watch", "--json"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    home.expect(0, &["fastboot", "-s", &phone.address, "getvar", "product"]);
    let came = lines.find_map(|line| {
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        (event["port"] == phone.address.as_str()).then_some(event)
    });
    let came = came.unwrap();
    assert_eq!((&came["event"], &came["driver"]), (&"device.came".into(), &"fastboot".into()));
    let pid = rustix::process::Pid::from_child(&watch);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn rules_are_written_where_they_belong_or_here() {
    let home = Home::new();
    let root = home.folder.path().join("root");
    std::fs::create_dir_all(root.join("etc/udev/rules.d")).unwrap();
    let root = root.to_str().unwrap();
    let before = home.json(0, &["doctor", "--root", root, "--json"]);
    let says = |findings: &serde_json::Value, what: &str| {
        let all = findings["findings"].as_array().unwrap();
        all.iter().any(|one| one["what"].as_str().unwrap().contains(what))
    };
    assert!(says(&before, "no udev rules of farmhand"), "{before}");
    let (out, err) = home.expect(0, &["doctor", "--root", root, "--write-rules"]);
    assert!(
        out.contains("etc/udev/rules.d/70-farmhand.rules") && err.contains("udevadm control"),
        "{out}{err}"
    );
    let rules = std::fs::read_to_string(format!("{root}/etc/udev/rules.d/70-farmhand.rules")).unwrap();
    assert!(rules.contains("ATTR{idVendor}==\"18d1\"") && rules.contains(":ff4203:"), "{rules}");
    let after = home.json(0, &["doctor", "--root", root, "--json"]);
    assert!(says(&after, "/etc/udev/rules.d/70-farmhand.rules"), "{after}");

    let elsewhere = home.folder.path().join("empty").display().to_string();
    let (out, err) = home.expect(0, &["doctor", "--root", &elsewhere, "--write-rules"]);
    assert_eq!(out, "wrote  70-farmhand.rules\n");
    assert!(err.contains("sudo install -m 644 70-farmhand.rules /etc/udev/rules.d/"), "{err}");
    assert_eq!(std::fs::read_to_string(home.folder.path().join("70-farmhand.rules")).unwrap(), rules);
}
