//! What is refused or goes wrong before a handoff: told by name, nothing begun that was not to be, and the next run works.

use farmhand_api::{BootloaderCommand, Leave, PartitionStep, RebootTo, Verdict};
use farmhand_sim::fastboot::{Mode, PhoneOptions};
use farmhand_tests::{TestPhone, boot, boot_image, noise, partitions, put_file, step};

use super::bench::{BOTH, Bench, MOST, options};

/// Guard: `Put::allowed`, before the way to the bootloader is opened.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused_before_anything_is_sent() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[phone.entry("")]).await;
        let (image, file) = (bench.image(1), put_file(bench.folder(), "misc.img", &noise(1, 1000)));
        let problem = bench.fails("boot", &boot(&image, "phone-1"), Verdict::Infra, "F264").await;
        assert!(problem.message.contains("boot an image from its memory"), "{problem:?}");
        let write = partitions(vec![step("misc", &file)], Leave::Stay, "phone-1", false);
        let problem = bench.fails("flash", &write, Verdict::Infra, "F264").await;
        assert!(problem.message.contains("write its partition misc"), "{problem:?}");
        assert!(problem.help.iter().any(|help| help.contains("allow = [\"flash\"]")), "{problem:?}");
        let erase = vec![PartitionStep::Erase("userdata".into())];
        let erase = partitions(erase, Leave::Stay, "phone-1", false);
        let problem = bench.fails("erase", &erase, Verdict::Infra, "F264").await;
        assert!(problem.message.contains("erase its partition userdata"), "{problem:?}");
        let counters = phone.counters().await;
        assert_eq!((counters.commands, counters.hosts), (0, 0), "{over:?}: {counters}");
        bench.is_free("phone-1").await;
        bench.stop().await;
    }
}

/// What may be written in its first step is not written where the second one may not.
#[tokio::test(flavor = "multi_thread")]
async fn all_steps_are_allowed_or_none_is_begun() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry("allow = [\"flash\"]")]).await;
    let file = put_file(bench.folder(), "misc.img", &noise(1, 1000));
    let steps = vec![step("misc", &file), PartitionStep::Erase("userdata".into())];
    bench.fails("both", &partitions(steps, Leave::Stay, "phone-1", false), Verdict::Infra, "F264").await;
    assert_eq!(phone.counters().await.commands, 0);
    bench.stop().await;
}

/// Guard: the serial number is asked in `Tools::reach`.
#[tokio::test(flavor = "multi_thread")]
async fn another_phone_at_its_address_is_not_touched() {
    for over in BOTH {
        let phone =
            TestPhone::start("phone-1", over, PhoneOptions { serial: "decaf".into(), ..options() }).await;
        let entry = phone.entry_as("fastboot", ", serial = \"c0ffee\"", "allow = [\"boot\"]");
        let bench = Bench::of(&[entry]).await;
        let image = bench.image(1);
        let problem = bench.fails("boot", &boot(&image, "phone-1"), Verdict::Infra, "F252").await;
        assert!(problem.message.contains("decaf") && problem.message.contains("c0ffee"), "{problem:?}");
        let counters = phone.counters().await;
        assert_eq!((counters.download_bytes, counters.boot_commands), (0, 0), "{over:?}: {counters}");
        bench.stop().await;
    }
}

/// Guard: `is_meant`. On USB its descriptor would have told.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_does_not_tell_its_serial_number_is_not_taken_for_the_one_that_is_meant() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let entry = phone.entry_as("fastboot", ", serial = \"c0ffee\"", "allow = [\"flash\"]");
        let bench = Bench::of(&[entry]).await;
        let file = put_file(bench.folder(), "misc.img", &noise(1, 1000));
        let job = |leave| partitions(vec![step("misc", &file)], leave, "phone-1", false);
        phone.fault("fail getvar:serialno it is a secret").await;
        bench.fails("secret", &job(Leave::Stay), Verdict::Infra, "F252").await;
        assert_eq!(phone.counters().await.download_bytes, 0, "{over:?}");
        bench.passes("told", &job(Leave::Stay)).await;
        bench.stop().await;
    }
}

/// Guard: `Tools::meet` and `Tools::reach` in `say`.
#[tokio::test(flavor = "multi_thread")]
async fn no_word_is_said_to_another_phone_at_its_address() {
    for over in BOTH {
        let decaf = PhoneOptions { serial: "decaf".into(), ..options() };
        let phone = TestPhone::start("phone-1", over, decaf).await;
        let allow = "allow = [\"set-active\", \"oem\", \"flashing\"]";
        let bench = Bench::of(&[phone.entry_as("fastboot", ", serial = \"c0ffee\"", allow)]).await;
        let fetched = bench.folder().join("misc.img").display().to_string();
        for word in [
            BootloaderCommand::GetVar("product".into()),
            BootloaderCommand::Fetch("misc".into(), fetched),
            BootloaderCommand::Reboot(RebootTo::System),
            BootloaderCommand::SetActive("b".into()),
            BootloaderCommand::Oem("erase-all".into()),
            BootloaderCommand::Flashing("unlock".into()),
        ] {
            let problem = bench.word(word.clone()).await.unwrap_err();
            assert_eq!(problem.code, "F252", "{over:?} {word}: {problem:?}");
        }
        let heard = phone.asked().await;
        assert!(heard.iter().all(|asked| asked.command == "getvar:serialno"), "{over:?}: {heard:?}");
        bench.stop().await;
    }
}

/// Guard: `tools.reach` for what `needs` an allowance in `say`.
#[tokio::test(flavor = "multi_thread")]
async fn what_writes_is_not_said_to_a_phone_of_another_model() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry_as("oneplus-fajita", "", "allow = [\"set-active\"]")]).await;
    let problem = bench.word(BootloaderCommand::SetActive("b".into())).await.unwrap_err();
    assert_eq!(problem.code, "F257", "{problem:?}");
    assert_eq!(phone.times("set_active").await, 0);
    // To read what it is, is how one finds out. What it does not tell, it says in its own words.
    bench.word(BootloaderCommand::GetVar("product".into())).await.unwrap();
    phone.fault("fail getvar:secure it is a secret").await;
    let problem = bench.word(BootloaderCommand::GetVar("secure".into())).await.unwrap_err();
    assert_eq!(problem.code, "F266", "{problem:?}");
    assert!(problem.detail.iter().any(|line| line.contains("it is a secret")), "{problem:?}");
    bench.stop().await;
}

/// Over TCP a connection that is closed does not prove that it was done. Guard: `Recovery::Drain` in `Client::depart`.
#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_that_is_cut_is_no_success() {
    let phone = TestPhone::start("phone-1", BOTH[0], options()).await;
    let bench = Bench::of(&[phone.entry("allow = [\"flash\"]")]).await;
    phone.fault("cut-at reboot").await;
    let problem = bench.word(BootloaderCommand::Reboot(RebootTo::System)).await.unwrap_err();
    assert_eq!(problem.code, "F263", "{problem:?}");
    // In a session it is done again where it may be: what is written is written once.
    phone.fault("cut-at reboot").await;
    let file = put_file(bench.folder(), "misc.img", &noise(1, 1000));
    bench.passes("flash", &partitions(vec![step("misc", &file)], Leave::Reboot, "phone-1", false)).await;
    assert_eq!((phone.times("reboot").await, phone.times("flash:misc").await), (3, 1));
    assert_eq!(phone.counters().await.system_starts, 1);
    bench.stop().await;
}

/// Guard: `Quarantined` in `find_bootloader`.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_set_aside_is_read_and_nothing_else() {
    let (bench, phone) = Bench::one(BOTH[0]).await;
    phone.fault("cut-at boot").await;
    let view = bench.run("cut", &boot(&bench.image(1), "phone-1")).await;
    assert_eq!(view.verdict, Some(Verdict::Unknown), "{:?}", view.problem);
    let problem = bench.word(BootloaderCommand::Reboot(RebootTo::System)).await.unwrap_err();
    assert_eq!(problem.code, "F203", "{problem:?}");
    assert!(problem.help.iter().any(|line| line.contains(&view.id.to_string())), "{problem:?}");
    assert_eq!(phone.times("reboot").await, 0, "it is as a person has to find it");
    bench.word(BootloaderCommand::GetVar("product".into())).await.unwrap();
    bench.stop().await;
}

/// Guard: the probes in `Tools::reach`.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_another_model_is_not_touched() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[phone.entry_as("oneplus-fajita", "", "allow = [\"boot\"]")]).await;
        let image = bench.image(1);
        let mut job = boot(&image, "phone-1");
        job.board = "oneplus-fajita".into();
        let problem = bench.fails("boot", &job, Verdict::Infra, "F257").await;
        assert!(problem.message.contains("oneplus-fajita"), "{problem:?}");
        let counters = phone.counters().await;
        assert_eq!((counters.download_bytes, counters.boot_commands), (0, 0), "{over:?}: {counters}");
        bench.is_free("phone-1").await;
        bench.stop().await;
    }
}

/// On, and says nothing; then it is started anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_says_nothing_is_given_up() {
    let silent = async |over| {
        let (bench, phone) = Bench::one(over).await;
        phone.fault("stall").await;
        let image = bench.image(1);
        let view = bench.run("silent", &boot(&image, "phone-1")).await;
        let problem = view.problem.unwrap();
        assert_eq!(view.verdict, Some(Verdict::Infra), "{over:?}: {problem:?}");
        assert!(["F255", "F258", "F263"].contains(&problem.code.as_str()), "{over:?}: {problem:?}");
        assert!(problem.message.contains("phone-1"), "{over:?}: {problem:?}");
        assert_eq!(phone.counters().await.boot_commands, 0);
        bench.is_free("phone-1").await;
        phone.enter(Mode::Loader).await;
        bench.passes("again", &boot(&image, "phone-1")).await;
        bench.stop().await;
    };
    tokio::join!(silent(BOTH[0]), silent(BOTH[1]));
}

/// What no specification knows, to a question and in a loop.
#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_told_as_such() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        for kind in ["unknown-tag", "short", "endless-info"] {
            phone.fault(&format!("nonsense {kind} download")).await;
            let view = bench.run(kind, &boot(&image, "phone-1")).await;
            let problem = view.problem.unwrap_or_else(|| panic!("{over:?}: {kind} passed"));
            assert_eq!(
                (view.verdict, problem.code.as_str()),
                (Some(Verdict::Infra), "F261"),
                "{kind}: {problem:?}"
            );
            assert_eq!(phone.counters().await.boot_commands, 0, "{over:?}: {kind}");
            phone.enter(Mode::Loader).await;
        }
        bench.passes("again", &boot(&image, "phone-1")).await;
        bench.stop().await;
    }
}

/// The cable is pulled in the middle of a download; put back, the next run is as any.
#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_is_cut_leaves_a_phone_that_can_be_tried_again() {
    let cut = async |over| {
        let (bench, phone) = Bench::one(over).await;
        let (image, bytes) = (bench.image(1), noise(7, 600_000));
        let file = put_file(bench.folder(), "misc.img", &bytes);
        let write = partitions(vec![step("misc", &file)], Leave::Stay, "phone-1", false);
        for (key, job) in [("boot", boot(&image, "phone-1")), ("write", write)] {
            phone.enter(Mode::Loader).await;
            phone.fault("cut 200000").await;
            let before = phone.counters().await;
            bench.fails(&format!("{key}, cut"), &job, Verdict::Infra, "F263").await;
            let cut = phone.counters().await;
            assert!(cut.download_bytes > before.download_bytes, "{over:?}: {key} was not begun");
            assert_eq!(cut.downloads, before.downloads, "{over:?}: {key} was not cut");
            assert_eq!((cut.boots, cut.flashes), (before.boots, before.flashes), "{over:?}: {key}");
            bench.is_free("phone-1").await;
            bench.passes(&format!("{key}, again"), &job).await;
        }
        assert_eq!(phone.counters().await.boots, 1);
        bench.stop().await;
    };
    tokio::join!(cut(BOTH[0]), cut(BOTH[1]));
}

/// A boot cannot be split. The phone is asked what it takes, and sent nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_larger_than_the_phone_takes_is_not_sent() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let image = put_file(bench.folder(), "large.img", &boot_image(1, MOST as usize));
        let problem = bench.fails("large", &boot(&image, "phone-1"), Verdict::Failed, "F265").await;
        let said = problem.message.contains(&MOST.to_string()) && problem.message.contains("large.img has");
        assert!(said, "{problem:?}");
        assert_eq!(phone.counters().await.download_bytes, 0, "{over:?}");
        assert_eq!(phone.times("download").await, 0, "{over:?}");
        bench.passes("again", &boot(&bench.image(1), "phone-1")).await;
        bench.stop().await;
    }
}

/// An Android sparse image of one chunk (AOSP, libsparse, `sparse_format.h`), in blocks of 4 KiB.
fn sparse(chunk: u16, blocks: u32, body: &[u8]) -> Vec<u8> {
    let mut image = Vec::new();
    image.extend(0xed26_ff3a_u32.to_le_bytes());
    image.extend([1_u16, 0, 28, 12].into_iter().flat_map(u16::to_le_bytes));
    image.extend([4096, blocks, 1, 0].into_iter().flat_map(u32::to_le_bytes));
    image.extend([chunk, 0].into_iter().flat_map(u16::to_le_bytes));
    image.extend([blocks, 12 + u32::try_from(body.len()).unwrap()].into_iter().flat_map(u32::to_le_bytes));
    image.extend(body);
    image
}

/// The second step is looked at before the first is begun; each error names the file as its user does, and is its own.
///
/// Guard: `look`, before the first `begun` in `Put::write`.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_to_be_written_is_looked_at_before_the_first_step() {
    const RAW: u16 = 0xcac1;
    const NOTHING: u16 = 0xcac3;
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let good = put_file(bench.folder(), "good.img", &noise(1, 10_000));
        let whole = sparse(RAW, 2, &noise(2, 8192));
        let wrong = [
            ("empty", Vec::new(), "F133", "it is empty"),
            ("cut", whole[..5000].to_vec(), "F134", "bytes are missing"),
            ("damaged", sparse(0xcacf, 2, &noise(2, 8192)), "F270", "unknown type"),
            ("large", noise(3, (1 << 20) + 1), "F269", "has 1048576"),
            ("stands for much", sparse(NOTHING, 300, &[]), "F269", "is 1228800 bytes"),
        ];
        for (what, bytes, code, why) in wrong {
            let name = format!("{what}.img");
            let file = put_file(bench.folder(), &name, &bytes);
            let steps = vec![step("userdata", &good), step("misc", &file)];
            let write = partitions(steps, Leave::Stay, "phone-1", false);
            let problem = bench.fails(what, &write, Verdict::Failed, code).await;
            assert!(problem.message.contains(&name) && problem.message.contains(why), "{what}: {problem:?}");
            assert!(!problem.help.is_empty(), "{what}: {problem:?}");
        }
        let steps = vec![step("userdata", &good), step("no:partition", &good)];
        let nowhere = partitions(steps, Leave::Stay, "phone-1", false);
        bench.fails("no name", &nowhere, Verdict::Infra, "F260").await;
        let counters = phone.counters().await;
        assert_eq!((counters.flashes, counters.download_bytes), (0, 0), "{over:?}: {counters}");
        bench.is_free("phone-1").await;
        let file = put_file(bench.folder(), "whole.img", &whole);
        let steps = vec![step("userdata", &good), step("misc", &file)];
        bench.passes("good", &partitions(steps, Leave::Stay, "phone-1", false)).await;
        bench.stop().await;
    }
}

/// Known from the file alone: the phone is not asked anything.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_is_known_before_a_phone_is_asked() {
    let (bench, phone) = Bench::one(BOTH[0]).await;
    let whole = boot_image(1, 100_000);
    let wrong = [
        ("truncated", whole[..50_000].to_vec(), "F134"),
        ("header only", whole[..100].to_vec(), "F134"),
        ("a script", b"#!/bin/sh\necho hello\n".to_vec(), "F131"),
        ("noise", noise(1, 100_000), "F131"),
        ("empty", Vec::new(), "F133"),
    ];
    for (what, bytes, code) in wrong {
        let file = put_file(bench.folder(), "wrong.img", &bytes);
        let problem = bench.fails(what, &boot(&file, "phone-1"), Verdict::Failed, code).await;
        assert!(problem.message.contains("wrong.img"), "{what}: {problem:?}");
    }
    let gone = bench.folder().join("gone.img");
    let problem = bench.fails("gone", &boot(&gone, "phone-1"), Verdict::Infra, "F311").await;
    assert!(problem.message.contains("gone.img"), "{problem:?}");
    assert_eq!(phone.counters().await.hosts, 0, "nobody spoke to it");
    bench.stop().await;
}

/// Its address answers nobody: it is off, or runs.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_is_away_is_told_and_comes_back() {
    let away = async |over| {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        phone.enter(Mode::Away).await;
        let problem = bench.fails("away", &boot(&image, "phone-1"), Verdict::Infra, "F255").await;
        assert!(problem.message.contains("phone-1"), "{problem:?}");
        phone.enter(Mode::Loader).await;
        bench.passes("back", &boot(&image, "phone-1")).await;
        assert_eq!(phone.counters().await.boots, 1);
        bench.stop().await;
    };
    tokio::join!(away(BOTH[0]), away(BOTH[1]));
}
