//! A device whose actor fails again and again: it is given up, and nobody else is.

use farmhand::transport::Client;
use farmhand::{Chaos, ChaosRole, DeviceEntry, FarmConfig};
use farmhand_api::{Answer, DeviceState, DeviceView, Job, PhaseName, Request, Verdict};
use farmhand_records::DeviceName;
use farmhand_tests::{
    Home, InProcess, UNO, alpha, beta, devices, follow, repeatable, session, submit, until,
};

fn entry(name: &str) -> DeviceEntry {
    DeviceEntry {
        name: DeviceName::new(name).unwrap(),
        board: UNO.into(),
        driver: farmhand::VIRTUAL_UNO.into(),
        matching: farmhand::Match::default(),
        count: None,
        allow: Vec::new(),
        console: None,
    }
}

async fn view(client: &Client, name: &str) -> DeviceView {
    let all = devices(client).await.unwrap();
    all.into_iter().find(|view| view.name.as_ref().is_some_and(|own| own.as_str() == name)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_be_kept_up_is_set_aside_and_the_others_never_notice() {
    let home = Home::ready();
    let chaos = Chaos::armable();
    let (bad, good) = ("uno-bad", "uno-good");
    let config = FarmConfig {
        devices: vec![entry(bad), entry(good)],
        chaos: chaos.clone(),
        ..FarmConfig::new(home.path())
    };
    let farm = InProcess::start(config).await;
    let client = farm.client().await;
    // The other observes, and while it does its device is asked nothing.
    let endless = Job { expect: vec!["never said".into()], ..repeatable(alpha(), Some(good)) };
    let beside = submit(&client, "beside", &endless).await.unwrap();
    until("the other observes", async || {
        (session(&client, beside).await.unwrap().phase == PhaseName::Observing).then_some(())
    })
    .await;
    let first = submit(&client, "first", &repeatable(beta(), Some(bad))).await.unwrap();
    assert_eq!(follow(&client, first).await.unwrap().view.verdict, Some(Verdict::Passed));
    let leaves = home.board(bad).counters().leaves;

    // Each successor fails at its first message, until there is none.
    chaos.arm(ChaosRole::Device, 1);
    let id = submit(&client, "melts", &repeatable(alpha(), Some(bad))).await.unwrap();
    until("it is given up", async || {
        if !chaos.is_armed(ChaosRole::Device) {
            chaos.arm(ChaosRole::Device, 1);
        }
        (view(&client, bad).await.state == DeviceState::Quarantined).then_some(())
    })
    .await;
    chaos.arm(ChaosRole::Device, 0);
    let ended = follow(&client, id).await.unwrap();
    assert_eq!(ended.view.verdict, Some(Verdict::Infra), "not the firmware's: {:?}", ended.view.problem);
    let problem = ended.view.problem.unwrap();
    assert!(problem.message.contains(bad) || problem.message.contains("is not there"), "{problem:?}");
    assert_eq!(home.board(bad).counters().leaves, leaves, "it was not handed off");
    let aside = view(&client, bad).await;
    assert!(aside.note.as_ref().is_some_and(|why| why.contains("fails again and again")), "{aside:?}");
    let refused = submit(&client, "refused", &repeatable(alpha(), Some(bad))).await.unwrap();
    let refused = follow(&client, refused).await.unwrap().view;
    assert_eq!(refused.problem.map(|problem| problem.code).as_deref(), Some("F203"));

    // The other never noticed, and neither did its device.
    let other = session(&client, beside).await.unwrap();
    assert_eq!((other.phase, other.attempt), (PhaseName::Observing, 1), "{other:?}");
    assert_eq!(view(&client, good).await.state, DeviceState::Leased);
    let cancelled = client.ask(Request::Cancel(beside)).await.unwrap();
    assert!(matches!(cancelled, Answer::Session(view) if view.verdict == Some(Verdict::Cancelled)));
    assert_eq!(follow(&client, beside).await.unwrap().restarts(), 0);
    let after = submit(&client, "after", &repeatable(beta(), Some(good))).await.unwrap();
    assert_eq!(follow(&client, after).await.unwrap().view.verdict, Some(Verdict::Passed));

    // A person gives it back.
    client.ask(Request::Unquarantine(DeviceName::new(bad).unwrap())).await.unwrap();
    let back = submit(&client, "back", &repeatable(alpha(), Some(bad))).await.unwrap();
    let back = follow(&client, back).await.unwrap().view;
    assert_eq!(back.verdict, Some(Verdict::Passed), "{:?}", back.problem);
    farm.stop().await;
}
