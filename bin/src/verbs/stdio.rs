//! `stdio`: passes a connection's bytes on, for a front end that came by ssh.

use std::time::Duration;

use farmhand::transport;
use tokio::io::{AsyncWriteExt as _, copy};
use tokio::time::timeout;

use crate::exit;
use crate::failed::Failed;
use crate::reach::Reach;
use crate::streams;

/// After the front end has said its last word, the farm's last ones arrive within this.
const LAST_WORDS: Duration = Duration::from_secs(20);

pub(crate) async fn run(reach: &mut Reach) -> Result<u8, Failed> {
    // A farm listens; the front end says its own hello.
    drop(reach.client_of_process().await?);
    let cannot = |error: std::io::Error| Failed::io("connect to the farm", &error);
    let stream = transport::connect(reach.home()).await.map_err(cannot)?;
    let stream = stream.ok_or_else(|| cannot(std::io::ErrorKind::ConnectionRefused.into()))?;
    let (mut from_farm, mut to_farm) = stream.into_split();
    let pipe = |error: std::io::Error| Failed::io("stdin and stdout", &error);
    let (mut stdin, mut stdout) = (streams::stdin().map_err(pipe)?, streams::stdout().map_err(pipe)?);
    let up = async {
        let _it_left = copy(&mut stdin, &mut to_farm).await;
        let _it_left = to_farm.shutdown().await;
    };
    let down = async {
        let _it_left = copy(&mut from_farm, &mut stdout).await;
        let _it_left = stdout.flush().await;
    };
    tokio::pin!(down);
    tokio::select! {
        () = up => {
            let _nothing_more_comes = timeout(LAST_WORDS, down).await;
        }
        () = &mut down => {}
    }
    Ok(exit::PASSED)
}
