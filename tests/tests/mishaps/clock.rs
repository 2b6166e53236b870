//! A wall clock that jumps an hour while a session runs: nothing changes but the stamps.

use farmhand::transport::{Client, Reply};
use farmhand_api::{Item, LogFrom, LogItem, LogOf, Request, Stamp};
use farmhand_records::{DeviceName, Epoch};
use farmhand_tests::{Desk, FakeClock, Running, alpha, or_hang, sessions, until};
use rustix::process::Signal;

use super::{UNO, expecting};

const HOUR_S: u32 = 3600;
/// The program counts so far in some seconds: the jump is before that.
const LAST: u32 = 300;

/// A device's output as it was recorded: offset, epoch, stamp, bytes.
async fn recorded(client: &Client) -> Vec<(u64, Epoch, Stamp, usize)> {
    let of = LogOf::Device(DeviceName::new("uno").unwrap());
    let read = async {
        let mut replies =
            client.stream(Request::Log { of, from: LogFrom::Start, follow: false }).await.unwrap();
        let mut chunks = Vec::new();
        while let Some(Reply::Item(item)) = replies.next().await.unwrap() {
            if let Item::Log(LogItem::Chunk { offset, epoch, stamp, bytes }) = item {
                chunks.push((offset, epoch, stamp, bytes.len()));
            }
        }
        chunks
    };
    or_hang("a recording is read", read).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_an_hour_changes_the_stamps_and_nothing_else() {
    let clock = match FakeClock::get().await {
        Ok(clock) => clock,
        Err(missing) => return eprintln!("skipped: it needs {missing}"),
    };
    let desk = Desk::ready();
    desk.configure(UNO);
    let mut farm = desk.farmhandd("exec \"$0\" \"$@\"");
    clock.put_into(&mut farm);
    let farm = Running::start(&desk, "farm", farm);
    let client = until("the farm listens", async || Client::connect(desk.path()).await.ok()).await;
    let run = Running::start(&desk, "run", desk.farmhand(expecting(alpha(), &format!("^alpha {LAST}$"))));
    until("it is being recorded", async || (recorded(&client).await.len() > 10).then_some(())).await;
    clock.set(HOUR_S);
    let result = run.ended().await.expect(0).json_lines().pop().unwrap();
    assert_eq!(result["verdict"], "passed", "{result}");
    let known = sessions(&client).await.unwrap();
    assert_eq!(known.iter().map(|view| view.attempt).collect::<Vec<_>>(), [1], "{known:?}");

    let chunks = recorded(&client).await;
    let mut jumps = Vec::new();
    for pair in chunks.windows(2) {
        let [(offset, epoch, stamp, bytes), (next, next_epoch, next_stamp, _)] = pair else { continue };
        assert_eq!(offset + *bytes as u64, *next, "offsets are of bytes, not of time");
        assert!(epoch <= next_epoch && stamp.mono_us <= next_stamp.mono_us, "{pair:?}");
        let wall_us = next_stamp.unix_us.abs_diff(stamp.unix_us);
        let passed_us = next_stamp.mono_us - stamp.mono_us;
        if wall_us > passed_us + u64::from(HOUR_S) * 500_000 {
            jumps.push(wall_us - passed_us);
        }
    }
    assert_eq!(jumps.len(), 1, "the wall's stamps jump once: {jumps:?}");
    let off_us = jumps[0].abs_diff(u64::from(HOUR_S) * 1_000_000);
    assert!(off_us < 60_000_000, "by an hour, not by {} us", jumps[0]);
    assert_eq!(desk.board("uno").counters().leaves, 1);
    // The next run is as any other.
    desk.run(expecting(alpha(), "^alpha 3$")).await.expect(0);
    farm.signal(Signal::TERM);
    farm.ended().await.expect(0);
    desk.run(["store", "check"]).await.expect(0);
}
