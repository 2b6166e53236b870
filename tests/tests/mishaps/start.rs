//! A session whose actor did not start: it is durable with its key, and who asks again is answered with it.

use farmhand::FarmConfig;
use farmhand_api::{Answer, Request, SessionId, Verdict};
use farmhand_tests::{Home, InProcess, alpha, at_work, follow, repeatable, sessions, submit};
use ractor::{Actor, ActorProcessingErr, ActorRef, registry};

/// Has a name that another is to have.
struct InTheWay;

#[ractor::async_trait]
impl Actor for InTheWay {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_key_after_a_start_that_failed() {
    let home = Home::ready();
    let farm = InProcess::start(FarmConfig::new(home.path())).await;
    let client = farm.client().await;
    let of_the_farm = home.paths().home().display().to_string();
    let scheduler = registry::registered()
        .into_iter()
        .find(|name| name.contains(&of_the_farm) && name.ends_with("/scheduler"))
        .unwrap();
    let session = scheduler.replace("/scheduler", &format!("/session/{}", SessionId(1)));
    let (in_the_way, gone) = Actor::spawn(Some(session), InTheWay, ()).await.unwrap();

    let job = repeatable(alpha(), None);
    let refused = submit(&client, "the key", &job).await.unwrap_err();
    assert!(refused.to_string().contains("did not start"), "{refused}");
    let made = sessions(&client).await.unwrap();
    assert_eq!(made.iter().map(|view| view.id).collect::<Vec<_>>(), [SessionId(1)], "it is durable");
    assert!(submit(&client, "the key", &job).await.is_err(), "as long as it cannot start");
    in_the_way.stop(None);
    gone.await.unwrap();

    // Whoever asks again, and twice at once, has the same session.
    let (one, other) = tokio::join!(submit(&client, "the key", &job), submit(&client, "the key", &job));
    assert_eq!((one.unwrap(), other.unwrap()), (SessionId(1), SessionId(1)));
    let ended = follow(&client, SessionId(1)).await.unwrap();
    assert_eq!(ended.view.verdict, Some(Verdict::Passed), "{:?}", ended.view.problem);
    assert_eq!(ended.view.attempt, 1);
    assert_eq!(submit(&client, "the key", &job).await.unwrap(), SessionId(1));
    farmhand_tests::until("it has given its device back", async || {
        (at_work(&client).await.unwrap() == 0).then_some(())
    })
    .await;
    assert_eq!(home.board("uno-sim").counters().leaves, 1, "nothing was done twice");
    assert_eq!(sessions(&client).await.unwrap().len(), 1);
    let answer = client.ask(Request::Session(SessionId(1))).await.unwrap();
    assert!(matches!(answer, Answer::Session(view) if view.verdict == Some(Verdict::Passed)));
    farm.stop().await;
}
