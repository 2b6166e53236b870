//! A real sketch, from its source to its verdict, and the farm killed while compilers run.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::path::Path;

use farmhand::transport::{Client, Reply};
use farmhand_api::{BuildEvent, EventBody, Item, Job, Request, SessionId, Source, Verdict};
use farmhand_tests::{Daemon, Home, alpha, follow, or_hang, repeatable, stop, submit};

/// Functions that are used before they are declared, and a library of the core: what makes a sketch a sketch.
const SKETCH: &str = r#"
void setup() {
  Serial.begin(115200);
  pinMode(LED_BUILTIN, OUTPUT);
}

void loop() {
  say(next());
  digitalWrite(LED_BUILTIN, HIGH);
  delay(50);
}

unsigned next() {
  static unsigned said;
  return ++said;
}

void say(unsigned number) {
  Serial.print("sketch ");
  Serial.println(number);
}
"#;

fn sketch(home: &Home) -> Job {
    let folder = home.path().join("project/count");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("count.ino"), SKETCH).unwrap();
    let mut job = repeatable(alpha(), None);
    job.title = "count".into();
    job.project = folder.display().to_string();
    job.build.source = Source::Sketch(folder.display().to_string());
    job.expect = vec!["^sketch 3\\s*$".into()];
    job
}

/// Until compilers run: some files are done, and not all.
async fn compiles(client: &Client, session: SessionId) {
    let mut replies = client.stream(Request::Events { after: None, session: Some(session) }).await.unwrap();
    let under_way = async {
        loop {
            match replies.next().await.unwrap() {
                Some(Reply::Item(Item::Event(event))) => {
                    if let EventBody::Build(BuildEvent::Progress { done, total, .. }) = event.body
                        && 0 < done
                        && done < total
                    {
                        return;
                    }
                }
                other => panic!("a build, and {other:?}"),
            }
        }
    };
    or_hang("compilers run", under_way).await;
}

fn objects(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.map(|path| if path.is_dir() { objects(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_killed_while_compilers_run_leaves_none_and_goes_on() {
    let home = Home::with_toolchain();
    let job = sketch(&home);
    let (daemon, client) = Daemon::start(&home).await;
    let id = submit(&client, "key", &job).await.unwrap();
    compiles(&client, id).await;
    daemon.kill().await;
    home.only_boards_are_left().await;
    let made = objects(&home.paths().objects());
    assert!(made > 0, "what was compiled is kept");

    let (mut daemon, client) = Daemon::start(&home).await;
    assert_eq!(submit(&client, "key", &job).await.unwrap(), id, "the same wish is the same session");
    let ended = follow(&client, id).await.unwrap();
    assert_eq!(ended.view.verdict, Some(Verdict::Passed), "{:?}", ended.view.problem);
    let cached = ended.events.iter().find_map(|event| match event.body {
        EventBody::Build(BuildEvent::Done { cached, .. }) => Some(cached),
        _ => None,
    });
    assert!(cached.unwrap() > 0, "nothing is compiled twice");
    assert_eq!(home.board("uno-sim").counters().leaves, 1);
    stop(&client, 0).await;
    assert!(daemon.ended().await.success());
    home.only_boards_are_left().await;
}
