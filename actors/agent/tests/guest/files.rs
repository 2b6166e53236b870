//! Files, each way.

use std::os::unix::fs::PermissionsExt;

use farmhand_agent_link::LinkError;

use crate::world::{Guest, LEN_MAX, WITHIN, run};

fn some(len: u32) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[tokio::test]
async fn there_and_back() {
    let (guest, link) = Guest::linked().await;
    let path = guest.path("file");
    for (len, mode) in [(0, 0o644), (1, 0o600), (3_000_001, 0o4755)] {
        let bytes = some(len);
        link.put(&path, mode, bytes.len() as u64, &mut &bytes[..]).await.unwrap();
        assert!(std::fs::read(&path).unwrap() == bytes);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        let mut back = Vec::new();
        assert_eq!(link.get(&path, &mut back).await, Ok(bytes.len() as u64));
        assert!(back == bytes);
    }
    while link.health(WITHIN).await.unwrap().commands > 0 {}
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let (guest, link) = Guest::linked().await;
    let names = || std::fs::read_dir(guest.folder.path()).unwrap().count();
    let before = names();
    let bytes = some(1_000_000);
    let put = link.put(&guest.path("nowhere/file"), 0o644, bytes.len() as u64, &mut &bytes[..]).await;
    assert_eq!(put, Err(LinkError::Failed("No such file or directory (os error 2)".into())));
    let put = link.put("/", 0o644, 1, &mut &[0][..]).await;
    assert_eq!(put, Err(LinkError::Failed("/ names no file".into())));
    std::fs::create_dir(guest.path("folder")).unwrap();
    let put = link.put(&guest.path("folder"), 0o644, 1, &mut &[0][..]).await;
    assert_eq!(put, Err(LinkError::Failed("Is a directory (os error 21)".into())));
    assert_eq!(names(), before + 1);
}

#[tokio::test]
async fn half_a_file_is_none() {
    let (guest, link) = Guest::linked().await;
    let path = guest.path("file");
    std::fs::write(&path, "as it was").unwrap();
    let put = link.put(&path, 0o644, 100, &mut &[0; 50][..]).await;
    assert_eq!(put, Err(LinkError::Local("50 bytes are missing".into())));
    while link.health(WITHIN).await.unwrap().commands > 0 {}
    assert_eq!(guest.read("file"), "as it was");
    let (out, ..) = run(&link, "ls -A | grep -c farmhand-1").await.collect(LEN_MAX).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&out), "0\n");
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let (guest, link) = Guest::linked().await;
    let mut nothing = Vec::new();
    let get = link.get(&guest.path("nowhere"), &mut nothing).await;
    assert_eq!(get, Err(LinkError::Failed("No such file or directory (os error 2)".into())));
    let get = link.get(&guest.path(""), &mut nothing).await;
    assert_eq!(get, Err(LinkError::Failed("not a regular file".into())));
    run(&link, "mkfifo pipe").await.ended().await.unwrap();
    let get = link.get(&guest.path("pipe"), &mut nothing).await;
    assert_eq!(get, Err(LinkError::Failed("not a regular file".into())));
    assert_eq!(nothing, []);
}
