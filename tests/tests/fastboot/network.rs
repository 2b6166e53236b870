//! Phones over a network, which nobody sees come and go: they are told from addresses at which nobody is.

use farmhand::transport::ClientError;
use farmhand_api::{Answer, BootloaderCommand, DeviceState, DeviceView, Request};
use farmhand_sim::fastboot::Mode;
use farmhand_tests::{TestPhone, devices};

use super::bench::{BOTH, Bench, options};

fn product(of: Option<String>) -> Request {
    Request::Bootloader { device: of, command: BootloaderCommand::GetVar("product".into()) }
}

async fn only(bench: &Bench) -> DeviceView {
    let mut all = devices(&bench.client).await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// Guard: `untried` in the directory.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_at_which_nobody_is_becomes_no_device() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[]).await;
        let place = phone.place();
        let nobody = |place: &str| place.replace("127.0.0.1", "127.0.0.2");
        let refused = bench.client.ask(product(Some(nobody(&place)))).await.unwrap_err();
        let ClientError::Problem(problem) = refused else { panic!("{over:?}: {refused:?}") };
        assert_eq!(problem.code, "F207", "{problem:?}");
        assert!(problem.message.contains(&nobody(&place)), "{problem:?}");
        assert_eq!(devices(&bench.client).await.unwrap(), [], "{over:?}: it was mistyped");
        // The right one is the only one then: it needs no name.
        let said = bench.client.ask(product(Some(place.clone()))).await.unwrap();
        assert!(matches!(&said, Answer::Said(product) if !product.is_empty()), "{said:?}");
        bench.client.ask(product(None)).await.unwrap();
        assert_eq!(only(&bench).await.port, Some(place));
        bench.stop().await;
    }
}

/// Guard: `Answered`, which the device tells the directory.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_answer_any_more_is_absent_and_was_seen_when_it_did() {
    for over in BOTH {
        let phone = TestPhone::start("phone-1", over, options()).await;
        let bench = Bench::of(&[phone.entry("")]).await;
        let untried = only(&bench).await;
        assert_eq!((untried.state, untried.seen_unix_ms), (DeviceState::Free, None), "nobody has looked");
        bench.client.ask(product(Some("phone-1".into()))).await.unwrap();
        let seen = only(&bench).await;
        assert!(seen.seen_unix_ms.is_some() && seen.state == DeviceState::Free, "{seen:?}");
        phone.enter(Mode::Away).await;
        bench.client.ask(product(Some("phone-1".into()))).await.unwrap_err();
        let gone = only(&bench).await;
        assert_eq!((gone.state, gone.seen_unix_ms), (DeviceState::Absent, seen.seen_unix_ms), "{gone:?}");
        // It can be tried all the same, and is there again.
        phone.enter(Mode::Loader).await;
        bench.client.ask(product(Some("phone-1".into()))).await.unwrap();
        assert_eq!(only(&bench).await.state, DeviceState::Free);
        bench.stop().await;
    }
}
