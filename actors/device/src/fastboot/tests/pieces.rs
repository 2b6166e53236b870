//! What is larger than the device takes at once.

use std::io;

use async_trait::async_trait;

use super::{asked, fault, noise, over_bus, plugged_in};
use crate::fastboot::{Connection, Piece, Pieces};

/// Each piece is an image of its own here: what stands in it is the sparse format's.
struct Three(Vec<Vec<u8>>);

#[async_trait]
impl Pieces for Three {
    fn count(&self) -> usize {
        self.0.len()
    }

    async fn piece(&mut self, at: usize) -> io::Result<Piece<'_>> {
        let piece = &self.0[at];
        let len = u32::try_from(piece.len()).unwrap();
        Ok(Piece { len, writes: u64::from(len), source: Box::new(&piece[..]) })
    }
}

#[tokio::test(start_paused = true)]
async fn pieces_are_written_in_order_and_go_on_where_they_were() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    let mut three = Three(vec![noise(70_000), noise(20_000), noise(5)]);
    fault(&phone, "fail download:00004e20 busy").await;
    let mut written = Vec::new();
    let misc = "misc".parse().unwrap();
    let mut tell = |at| written.push(at);
    client.flash_pieces(&misc, &mut three, 0, &mut tell, &mut ()).await.unwrap_err();
    assert_eq!(client.connection(), Connection::Ready);
    client.flash_pieces(&misc, &mut three, 1, &mut tell, &mut ()).await.unwrap();
    assert_eq!(written, [0, 1, 2]);
    let wanted = [
        "download:00011170",
        "flash:misc",
        "download:00004e20",
        "download:00004e20",
        "flash:misc",
        "download:00000005",
        "flash:misc",
    ];
    assert_eq!(asked(&phone).await, wanted);
}
