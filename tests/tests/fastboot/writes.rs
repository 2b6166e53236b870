//! Partitions that are written and erased.

use farmhand_api::{EventBody, Leave, PartitionStep, Verdict};
use farmhand_sim::fastboot::{Mode, PartitionSpec};
use farmhand_tests::{TestPhone, follow, noise, partitions, put_file, sha256, step, submit};

use super::bench::{BOTH, Bench, MOST, options};

/// A small one, one larger than the phone takes at once, an erase, and a restart: what is on the phone is what was given.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_written_whole_in_pieces_and_in_order() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let (small, large) = (noise(1, 300_000), noise(2, 3 * MOST as usize + 12_345));
        let files = [("misc.img", &small), ("userdata.img", &large), ("boot.img", &small)];
        let [misc, userdata, slotted] = files.map(|(name, bytes)| put_file(bench.folder(), name, bytes));
        let steps = vec![
            step("misc", &misc),
            PartitionStep::Erase("userdata".into()),
            step("userdata", &userdata),
            step("boot", &slotted),
        ];
        let job = partitions(steps, Leave::Reboot, "phone-1", false);
        let id = submit(&bench.client, "write", &job).await.unwrap();
        let followed = follow(&bench.client, id).await.unwrap();
        assert_eq!(followed.view.verdict, Some(Verdict::Passed), "{over:?}: {:?}", followed.view.problem);
        for (name, bytes) in [("misc", &small), ("userdata", &large), ("boot_a", &small)] {
            assert_eq!(phone.partition(name, bytes.len() as u64).await, sha256(bytes), "{over:?}: {name}");
        }
        let counters = phone.counters().await;
        assert_eq!((counters.erases, counters.boots, counters.system_starts), (1, 0, 1), "{counters}");
        assert_eq!(phone.mode().await, Mode::System);
        let asked = phone.asked().await;
        let writes = |asked: &&farmhand_sim::fastboot::Asked| {
            ["flash:", "erase:", "reboot"].iter().any(|what| asked.command.starts_with(what))
        };
        let mut order: Vec<_> = asked.iter().filter(writes).map(|asked| asked.command.as_str()).collect();
        assert!(order.iter().filter(|command| **command == "flash:userdata").count() > 2, "{order:?}");
        order.dedup();
        assert_eq!(order, ["flash:misc", "erase:userdata", "flash:userdata", "flash:boot_a", "reboot"]);
        let told = |body: &EventBody| match body {
            EventBody::Partition { name, step, steps, before, .. } => {
                Some((name.clone(), *step, *steps, *before))
            }
            _ => None,
        };
        let told: Vec<_> = followed.events.iter().filter_map(|event| told(&event.body)).collect();
        let names = ["misc", "userdata", "userdata", "boot"];
        let all: Vec<_> = (1..).zip(names).map(|(at, name)| (name.to_owned(), at, 4, false)).collect();
        assert_eq!(told, all, "{over:?}");
        bench.stop().await;
    }
}

/// What is refused in the middle: its words, and a phone that can be tried again.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_says_so_and_the_next_one_works() {
    for (over, once) in BOTH.into_iter().flat_map(|over| [(over, false), (over, true)]) {
        let (bench, phone) = Bench::one(over).await;
        let bytes = noise(3, 200_000);
        let file = put_file(bench.folder(), "misc.img", &bytes);
        let steps = vec![step("misc", &file), step("userdata", &file)];
        let job = partitions(steps, Leave::RebootBootloader, "phone-1", once);
        phone.fault("fail flash:userdata the eMMC is worn out").await;
        let problem = bench.fails("worn", &job, Verdict::Infra, "F259").await;
        assert!(problem.message.contains("the eMMC is worn out"), "{over:?}: {problem:?}");
        assert!(problem.message.contains("flash:userdata"), "{over:?}: {problem:?}");
        assert_eq!(phone.times("flash:userdata").await, 1, "it is not tried again by itself");
        assert_eq!(phone.times("reboot").await, 0);
        bench.is_free("phone-1").await;
        bench.passes("again", &job).await;
        assert_eq!(phone.partition("userdata", bytes.len() as u64).await, sha256(&bytes));
        bench.stop().await;
    }
}

/// A partition that the phone does not have: some phones tell no sizes, so only it can say so.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_not_there_is_the_phones_word() {
    let (bench, phone) = Bench::one(BOTH[0]).await;
    let small = put_file(bench.folder(), "small.img", &noise(4, 10_000));
    let nowhere = partitions(vec![step("nvram", &small)], Leave::Stay, "phone-1", false);
    let problem = bench.fails("nowhere", &nowhere, Verdict::Infra, "F259").await;
    assert!(problem.message.contains("partition nvram does not exist"), "{problem:?}");
    assert_eq!(phone.counters().await.system_starts, 0);
    bench.passes("fits", &partitions(vec![step("misc", &small)], Leave::Stay, "phone-1", false)).await;
    assert_eq!(phone.mode().await, Mode::Loader, "it was told to stay");
    bench.stop().await;
}

/// Refused is not done: what is once is tried again where the job says so, and it is the same attempt.
///
/// Guard: what was refused is recorded as not begun, in `Put::write`; the attempt stays, in `Session::retry`.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_once_and_was_refused_may_be_tried_again() {
    let (bench, phone) = Bench::one(BOTH[0]).await;
    let bytes = noise(6, 50_000);
    let file = put_file(bench.folder(), "misc.img", &bytes);
    let steps = vec![PartitionStep::Erase("userdata".into()), step("misc", &file)];
    let mut job = partitions(steps, Leave::Reboot, "phone-1", true);
    job.infra_retries = 1;
    phone.fault("fail flash:misc not now").await;
    let view = bench.passes("retried", &job).await;
    assert_eq!(view.attempt, 1, "nothing was handed off before");
    assert_eq!((phone.times("flash:misc").await, phone.times("erase:userdata").await), (2, 1));
    assert_eq!(phone.partition("misc", bytes.len() as u64).await, sha256(&bytes));
    bench.stop().await;
}

/// A part of a partition is written, and the cable is pulled: whether that is once or not makes the difference.
///
/// Guard: `some_written` in `Put::one`.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_half_written_is_begun_anew_only_where_it_may_be() {
    for once in [false, true] {
        let (bench, phone) = Bench::one(BOTH[0]).await;
        let large = noise(8, 3 * MOST as usize);
        let file = put_file(bench.folder(), "userdata.img", &large);
        let mut job = partitions(vec![step("userdata", &file)], Leave::Stay, "phone-1", once);
        job.infra_retries = 1;
        phone.fault("slow 4M").await;
        let pulled = async {
            let one_is_written = async || (phone.counters().await.flashes == 1).then_some(());
            farmhand_tests::until("the first piece is written", one_is_written).await;
            phone.fault("cut 1000").await;
        };
        if once {
            let (problem, ()) = tokio::join!(bench.fails("half", &job, Verdict::Unknown, "F301"), pulled);
            assert!(problem.detail.iter().any(|line| line.contains("download")), "{problem:?}");
            assert_eq!(phone.times("flash:userdata").await, 1, "no piece is written twice");
        } else {
            let (view, ()) = tokio::join!(bench.passes("half", &job), pulled);
            assert_eq!(view.attempt, 2);
            assert_eq!(phone.partition("userdata", large.len() as u64).await, sha256(&large));
        }
        bench.stop().await;
    }
}

/// Sizes that were told are of the partitions there were: one that lies in `super` is made larger, and what is written
/// behind a new table is not held against the old one.
///
/// Guard: `is_logical` and `LAYS_OUT` in `look`.
#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_can_change_refuses_nothing() {
    let mut options = options();
    let system = PartitionSpec { logical: true, ..PartitionSpec::new("system", 1 << 20) };
    options.partitions.extend([system, PartitionSpec::new("gpt", 1 << 20)]);
    let phone = TestPhone::start("phone-1", BOTH[0], options).await;
    let bench = Bench::of(&[phone.entry("allow = [\"flash\"]")]).await;
    let bytes = noise(9, 2 << 20);
    let large = put_file(bench.folder(), "large.img", &bytes);
    phone.enter(Mode::Userspace).await;
    let grows = partitions(vec![step("system", &large)], Leave::Stay, "phone-1", false);
    bench.passes("grows", &grows).await;
    assert_eq!(phone.partition("system", bytes.len() as u64).await, sha256(&bytes));
    phone.enter(Mode::Loader).await;
    let small = put_file(bench.folder(), "gpt.img", &noise(9, 10_000));
    let steps = vec![step("gpt", &small), step("misc", &large)];
    let problem =
        bench.fails("anew", &partitions(steps, Leave::Stay, "phone-1", false), Verdict::Infra, "F259").await;
    assert!(problem.message.contains("flash:misc"), "it is the phone that says so: {problem:?}");
    assert_eq!(phone.times("flash:gpt").await, 1);
    bench.stop().await;
}
