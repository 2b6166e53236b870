//! A kill in an installation.

use std::path::{Path, PathBuf};

use farmhand::transport::{Client, ClientError};
use farmhand_api::{Answer, InstalledView, Request};
use farmhand_tests::{Daemon, Home, stop};

use super::{Hit, MISSED, Plan};

/// What is in the package.
const WORDS: &str = "whole\n";

pub(super) async fn run(plan: &Plan) -> Hit {
    let home = Home::empty();
    let archive = archive(home.path());
    let mut daemon = Daemon::spawn(&home, Some(&plan.armed()));
    let client = daemon.ready(&home).await;
    let installs = async {
        let Some(client) = client else { return std::future::pending().await };
        match install(&client, &archive).await {
            Ok(_) => {}
            Err(error) if error.is_lost() => std::future::pending().await,
            Err(error) => panic!("{plan}: {error}"),
        }
    };
    let status = tokio::select! {
        biased;
        status = daemon.ended() => status,
        () = installs => return MISSED,
    };
    plan.died_there(&home, status);

    let (mut daemon, client) = Daemon::start(&home).await;
    let installed = install(&client, &archive).await.unwrap();
    assert!(!installed.already, "{plan}: what has no record is not installed");
    let found = std::fs::read_to_string(Path::new(&installed.path).join("share/words")).unwrap();
    assert_eq!(found, WORDS, "{plan}");
    let again = install(&client, &archive).await.unwrap();
    assert!(again.already && again.path == installed.path, "{plan}: {again:?}");
    stop(&client, 0).await;
    assert!(daemon.ended().await.success(), "{plan}: it stops in order");
    home.only_boards_are_left().await;
    let shelf = Path::new(&installed.path).parent().unwrap();
    let left =
        std::fs::read_dir(shelf).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<_> = left.filter(|name| name.starts_with(".staging") || name.ends_with(".new")).collect();
    assert!(left.is_empty(), "{plan}: {left:?} is left");
    Hit { died: true, in_loader: false }
}

fn archive(folder: &Path) -> PathBuf {
    let path = folder.join("words-1.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_size(WORDS.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    archive.append_data(&mut header, "share/words", WORDS.as_bytes()).unwrap();
    archive.finish().unwrap();
    path
}

async fn install(client: &Client, archive: &Path) -> Result<InstalledView, ClientError> {
    let request = Request::Install { packages: vec![archive.display().to_string()], board: None };
    match client.ask(request).await? {
        Answer::Installed(installed) if installed.len() == 1 => Ok(installed[0].clone()),
        other => panic!("an installation is answered by {other:?}"),
    }
}
