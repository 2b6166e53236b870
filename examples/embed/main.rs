//! A farm inside a tokio service: no daemon, no socket, no command line. `cargo run -p farmhand --example embed -- DIR`
//! runs the project in DIR on any board that is plugged in, or a virtual one, and prints what happens.

use std::time::Duration;

use farmhand::config::{Config, Project, Sources};
use farmhand::protocol::{Answer, Goal, Item, Request};
use farmhand::{Farm, FarmConfig};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "examples/blink".into()).into();
    let home = farmhand::config::home(|name| std::env::var(name).ok()).ok_or("set FARMHAND_HOME")?;
    let farm = Farm::start(FarmConfig::new(home)).await?;
    let api = farm.api();

    let project = Project { folder, artifact: None };
    let sources = Sources { project: Some(project.folder.clone()), ..Sources::default() };
    let job = Box::new(Config::load(&sources)?.job(&project, Goal::Run)?);
    let (no_items, _) = mpsc::channel(1);
    let submit = Request::Submit { key: format!("embed-{}", std::process::id()), job };
    let answer = api.answer(submit, no_items).await.map_err(|problem| problem.message)?;
    let Answer::Session(session) = answer else { return Err("no session".into()) };

    let (items, mut events) = mpsc::channel(64);
    let following = api.answer(Request::Events { after: None, session: Some(session.id) }, items);
    let show = async {
        while let Some(Item::Event(event)) = events.recv().await {
            eprintln!("{:?}", event.body);
        }
    };
    let (end, ()) = tokio::join!(following, show);
    let Answer::Session(ended) = end.map_err(|problem| problem.message)? else {
        return Err("no verdict".into());
    };
    eprintln!("{} ended: {:?}", ended.id, ended.verdict);
    farm.stop(Duration::ZERO).await;
    Ok(())
}
