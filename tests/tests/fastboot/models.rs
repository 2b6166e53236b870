//! A session is held to the model that its image was made for, and a word to that of its device's board: whatever becomes of
//! the profiles meanwhile, and whoever else looks at which.

use std::fs;
use std::path::Path;

use farmhand::transport::ClientError;
use farmhand_api::{Answer, BootloaderCommand, Job, Leave, Request, SessionView, Verdict};
use farmhand_records::Record as _;
use farmhand_records::v1::ModelOf;
use farmhand_runtime::{forget, load_all};
use farmhand_sim::fastboot::Counters;
use farmhand_store::{Durability, StoreHandle};
use farmhand_tests::{
    Daemon, Home, TestPhone, boot, boot_image, follow, noise, partitions, put_file, sessions, step, submit,
};

use super::bench::{BOTH, Bench, options};

const MAY: &str = "allow = [\"boot\", \"flash\", \"set-active\"]";
/// Built in: of a phone that the simulated one is not.
const ANOTHER: &str = "oneplus-fajita";
/// A profile of any phone, by its name.
const ANY: &str = "[[probe]]\ngetvar = \"product\"\nexists = true\n";

fn add_profile(folder: &Path, id: &str, text: &str) {
    let profiles = folder.join("profiles");
    fs::create_dir_all(&profiles).unwrap();
    fs::write(profiles.join(format!("{id}.toml")), text).unwrap();
}

fn written(counters: Counters) -> (u64, u64, u64, u64) {
    (counters.boot_commands, counters.flashes, counters.erases, counters.download_bytes)
}

/// What goes with a farm that dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// The profile's file.
    Profile,
    /// The session's record of it, as if an older farmhand had built its image.
    Record,
}

/// The farm dies at that point; how the session ends in the next one.
async fn resumed_without(gone: Gone, point: &str, job: impl Fn(&Path) -> Job) {
    let over = BOTH[0];
    let phone = TestPhone::start("phone-1", over, options()).await;
    let home = Home::empty();
    home.configure(&phone.entry_as("theirs", "", MAY));
    let project = tempfile::tempdir().unwrap();
    add_profile(project.path(), "theirs", "[[probe]]\ngetvar = \"product\"\nequals = \"another\"\n");
    let project_folder = project.path().display().to_string();
    let job = Job { board: "theirs".into(), project: project_folder, ..job(home.path()) };

    let mut daemon = Daemon::spawn(&home, Some(point));
    let client = daemon.ready(&home).await.unwrap();
    let _died = submit(&client, "theirs", &job).await;
    daemon.ended().await;
    match gone {
        Gone::Profile => fs::remove_dir_all(project.path()).unwrap(),
        Gone::Record => {
            let (store, _) = StoreHandle::open(&home.paths().store()).await.unwrap();
            let known = load_all::<ModelOf>(&store).await.unwrap();
            assert_eq!(known.len(), 1);
            for model in known.into_iter().flatten() {
                forget::<ModelOf>(&store, &model.key(), Durability::Durable).await.unwrap();
            }
            store.close().await.unwrap();
        }
    }

    let (daemon, client) = Daemon::start(&home).await;
    let id = sessions(&client).await.unwrap()[0].id;
    let view: SessionView = follow(&client, id).await.unwrap().view;
    let problem = view.problem.unwrap_or_else(|| panic!("{point}: {:?}", view.verdict));
    assert_eq!((view.verdict, problem.code.as_str()), (Some(Verdict::Infra), "F257"), "{point}: {problem:?}");
    assert_eq!(written(phone.counters().await), (0, 0, 0, 0), "{point}");
    daemon.kill().await;
}

/// Guard: `model` in the session's work, which the device is held to.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_project_is_held_to_its_profile_after_a_restart() {
    let image = |folder: &Path| put_file(folder, "boot.img", &boot_image(1, 100_000));
    let boots = |folder: &Path| boot(&image(folder), "phone-1");
    let writes =
        |folder: &Path| partitions(vec![step("boot", &image(folder))], Leave::Stay, "phone-1", false);
    // It waits for a device; it has one.
    for point in ["grant-before-persist", "grant-after-persist"] {
        resumed_without(Gone::Profile, point, boots).await;
        resumed_without(Gone::Profile, point, writes).await;
    }
    resumed_without(Gone::Record, "grant-after-persist", writes).await;
}

/// Guard: the project in `Api::model`; of what a project says nothing is kept (`read_profiles` of the directory).
#[tokio::test(flavor = "multi_thread")]
async fn what_one_project_says_of_a_model_is_nothing_to_another() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry_as(ANOTHER, "", MAY)]).await;
    let other_model = async || {
        let problem = bench.word(BootloaderCommand::SetActive("b".into())).await.unwrap_err();
        assert_eq!(problem.code, "F257", "{problem:?}");
    };
    let wrong = async |project: &Path| {
        let project = Some(project.display().to_string());
        match bench.client.ask(Request::Profiles { project }).await.unwrap() {
            Answer::Profiles(_, wrong) => wrong.len(),
            answer => panic!("{answer:?}"),
        }
    };
    other_model().await;
    let project = tempfile::tempdir().unwrap();
    for (text, damaged) in [("garbage = ", 1), (ANY, 0)] {
        add_profile(project.path(), ANOTHER, text);
        assert_eq!(wrong(project.path()).await, damaged, "{text}");
        other_model().await;
        // Nor are they there once they are deleted.
        fs::remove_dir_all(project.path().join("profiles")).unwrap();
        assert_eq!(wrong(project.path()).await, 0, "{text}");
    }
    assert_eq!(phone.times("set_active").await, 0);
    // Whoever stands in it has its profile, for a word too; a damaged one is no leave to do without.
    let word = async || {
        let (device, project) = (Some("phone-1".into()), Some(project.path().display().to_string()));
        let command = BootloaderCommand::SetActive("b".into());
        bench.client.ask(Request::Bootloader { device, project, command }).await
    };
    add_profile(project.path(), ANOTHER, "garbage = ");
    word().await.unwrap_err();
    assert_eq!(phone.times("set_active").await, 0);
    add_profile(project.path(), ANOTHER, ANY);
    word().await.unwrap();
    assert_eq!(phone.times("set_active").await, 1);
    bench.stop().await;
}

/// Guard: `Profiles::of`.
#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_is_no_profile_is_not_taken_for_any() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry_as("oneplus-fajtia", "", MAY)]).await;
    let file = put_file(bench.folder(), "misc.img", &noise(1, 1000));
    let misspelt = |job: Job| Job { board: "oneplus-fajtia".into(), ..job };
    let write = misspelt(partitions(vec![step("misc", &file)], Leave::Stay, "phone-1", false));
    let problem = bench.fails("flash", &write, Verdict::Infra, "F210").await;
    assert!(problem.help.contains(&"did you mean oneplus-fajita?".into()), "{problem:?}");
    bench.fails("boot", &misspelt(boot(&bench.image(1), "phone-1")), Verdict::Infra, "F210").await;
    assert_eq!(bench.word(BootloaderCommand::SetActive("b".into())).await.unwrap_err().code, "F210");
    assert_eq!(phone.counters().await.commands, 0);
    // What it is can be asked.
    bench.word(BootloaderCommand::GetVar("product".into())).await.unwrap();
    bench.stop().await;
}

/// Guard: `held_to`.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_one_device_is_of_no_other() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry_as("mine", "", MAY)]).await;
    let project = Some(bench.folder().display().to_string());
    let word = async || {
        let (device, command) = (Some("phone-1".into()), BootloaderCommand::SetActive("b".into()));
        bench.client.ask(Request::Bootloader { device, project: project.clone(), command }).await
    };
    add_profile(bench.folder(), "mine", "match = { serial = \"decaf\" }\n");
    let ClientError::Problem(refused) = word().await.unwrap_err() else { panic!() };
    assert_eq!((refused.code.as_str(), phone.times("set_active").await), ("F252", 0), "{refused:?}");
    add_profile(bench.folder(), "mine", "match = { serial = \"c0ffee\" }\n");
    word().await.unwrap();
    bench.stop().await;
}
