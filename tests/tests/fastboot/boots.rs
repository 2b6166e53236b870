//! Boots from memory that go well.

use farmhand_api::{EpochCause, EventBody};
use farmhand_sim::fastboot::Mode;
use farmhand_tests::{TestPhone, boot, epochs_of, follow, sha256, submit};

use super::bench::{BOTH, Bench, options};

/// One `boot`, with the bytes of the image and no others, and nothing that writes.
async fn booted_once(phone: &TestPhone, image: &[u8]) {
    let asked = phone.asked().await;
    let boots: Vec<_> = asked.iter().filter(|asked| asked.command == "boot").collect();
    let [boot] = boots.as_slice() else { panic!("{}: {asked:#?}", phone.name()) };
    let data = boot.data.as_ref().unwrap();
    assert_eq!((data.len, &data.sha256), (image.len() as u64, &sha256(image)), "{}", phone.name());
    let counters = phone.counters().await;
    assert_eq!((counters.boots, counters.downloads), (1, 1), "{counters}");
    assert_eq!((counters.flashes, counters.erases), (0, 0), "a boot writes nothing: {counters}");
    assert_eq!(phone.mode().await, Mode::Booted);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_booted_once_and_as_it_is() {
    for over in BOTH {
        let (bench, phone) = Bench::one(over).await;
        let image = bench.image(1);
        let id = submit(&bench.client, "boot", &boot(&image, "phone-1")).await.unwrap();
        let followed = follow(&bench.client, id).await.unwrap();
        assert!(followed.view.problem.is_none(), "{over:?}: {:?}", followed.view.problem);
        let bytes = std::fs::read(&image).unwrap();
        booted_once(&phone, &bytes).await;
        let staged = |body: &EventBody| matches!(body, EventBody::Staged { bytes: staged, .. } if *staged == bytes.len() as u64);
        assert!(followed.events.iter().any(|event| staged(&event.body)), "{over:?}: {:#?}", followed.events);
        let epochs = epochs_of(&bench.client, "phone-1").await.unwrap();
        let epoch = followed.view.epoch.expect("what was booted has an epoch");
        assert_eq!(epochs.get(&epoch), Some(&EpochCause::Handoff(id)), "{over:?}: {epochs:?}");
        bench.is_free("phone-1").await;

        // The same wish again is the same session, and boots nothing.
        assert_eq!(submit(&bench.client, "boot", &boot(&image, "phone-1")).await.unwrap(), id);
        follow(&bench.client, id).await.unwrap();
        booted_once(&phone, &bytes).await;

        // Back in its bootloader, another wish boots it anew.
        phone.enter(Mode::Loader).await;
        let view = bench.passes("again", &boot(&bench.image(2), "phone-1")).await;
        assert!(view.epoch > Some(epoch), "{over:?}: a new boot is a new epoch");
        assert_eq!(phone.counters().await.boots, 2);
        bench.stop().await;
    }
}

/// Both are in the middle of their download at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn two_of_one_model_each_get_their_own_image() {
    for over in BOTH {
        let one = TestPhone::start("phone-1", over, options()).await;
        let other = TestPhone::start("phone-2", over, options()).await;
        let allow = "allow = [\"boot\"]";
        let bench = Bench::of(&[one.entry(allow), other.entry(allow)]).await;
        one.fault("slow 2M").await;
        other.fault("slow 2M").await;
        let (first, second) = (bench.image(1), bench.image(2));
        let (first_job, second_job) = (boot(&first, "phone-1"), boot(&second, "phone-2"));
        tokio::join!(bench.passes("one", &first_job), bench.passes("two", &second_job));
        booted_once(&one, &std::fs::read(first).unwrap()).await;
        booted_once(&other, &std::fs::read(second).unwrap()).await;
        bench.stop().await;
    }
}

/// One is unplugged in the middle of the other's download.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_does_not_disturb_the_other() {
    for over in BOTH {
        let one = TestPhone::start("phone-1", over, options()).await;
        let other = TestPhone::start("phone-2", over, options()).await;
        let allow = "allow = [\"boot\"]";
        let bench = Bench::of(&[one.entry(allow), other.entry(allow)]).await;
        one.fault("slow 1M").await;
        let (first, second) = (bench.image(1), bench.image(2));
        let goes = async {
            let half = async || (one.counters().await.download_bytes > 100_000).then_some(());
            farmhand_tests::until("the first is in the middle of its download", half).await;
            other.enter(Mode::Away).await;
            let second = boot(&second, "phone-2");
            bench.fails("two", &second, farmhand_api::Verdict::Infra, "F255").await
        };
        let first_job = boot(&first, "phone-1");
        tokio::join!(bench.passes("one", &first_job), goes);
        booted_once(&one, &std::fs::read(first).unwrap()).await;
        assert_eq!(other.counters().await.commands, 0);
        // And back: the next one works.
        other.enter(Mode::Loader).await;
        bench.passes("two again", &boot(&second, "phone-2")).await;
        booted_once(&other, &std::fs::read(second).unwrap()).await;
        bench.stop().await;
    }
}
