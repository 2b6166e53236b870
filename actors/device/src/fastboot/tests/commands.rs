//! Each command, over each transport.

use std::io::Cursor;

use farmhand_wire::fastboot::{CommandLimit, Extent, RebootTarget, Variable};

use super::{
    Heard, asked, downloaded, fault, noise, options, over_bus, over_tcp, over_udp, phone, plugged_in, sha256,
};
use crate::fastboot::{Client, ClientError, Connection, Departure};

async fn talk(mut client: Client) {
    let var = |name: &str| name.parse::<Variable>().unwrap();
    assert_eq!(client.getvar(&var("serialno")).await.unwrap().as_deref(), Some("c0ffee"));
    assert_eq!(client.getvar(&var("no-such")).await.unwrap(), None);
    assert_eq!(client.max_download_size().await.unwrap(), Some(u64::from(options().max_download)));
    let mut heard = Heard::default();
    let all = client.getvar_all(&mut heard).await.unwrap();
    assert!(all.contains(&("partition-size:misc".to_owned(), "0x800000".to_owned())), "{all:?}");
    assert_eq!(heard.said.len(), all.len());

    let image = noise(3 * (1 << 20) + 13);
    let mut heard = Heard::default();
    let len = u32::try_from(image.len()).unwrap();
    client.download(Box::new(Cursor::new(image.clone())), len, &mut heard).await.unwrap();
    assert_eq!(heard.moved.last(), Some(&(u64::from(len), u64::from(len))));
    assert!(heard.moved.is_sorted());

    let mut heard = Heard::default();
    client.flash(&"misc".parse().unwrap(), None, &mut heard).await.unwrap();
    assert_eq!(heard.said, ["info writing misc"]);
    let mut back = Vec::new();
    let extent = Extent::Part { offset: 0, len: u64::from(len) };
    let got = client.fetch(&"misc".parse().unwrap(), extent, &mut back, &mut ()).await.unwrap();
    assert_eq!(got, u64::from(len));
    assert!(back == image, "what was written is read back");
    client.erase(&"misc".parse().unwrap(), Some(8 << 20), &mut ()).await.unwrap();

    let mut heard = Heard::default();
    client.oem(&"log".parse().unwrap(), &mut heard).await.unwrap();
    assert_eq!(heard.said[heard.said.len() - 2..], ["text no line of its own, ", "text and its end\n"]);
    client.oem(&"stage-log".parse().unwrap(), &mut ()).await.unwrap();
    let mut log = Vec::new();
    let len = client.upload(&mut log, &mut ()).await.unwrap();
    assert_eq!(len, log.len() as u64);
    assert!(String::from_utf8(log).unwrap().contains("flash:misc"));

    client.set_active(&"b".parse().unwrap(), &mut ()).await.unwrap();
    assert_eq!(client.in_active_slot(&"boot".parse().unwrap()).await.unwrap().as_str(), "boot_b");
    assert_eq!(client.in_active_slot(&"misc".parse().unwrap()).await.unwrap().as_str(), "misc");
    let error = client.oem(&"no-such".parse().unwrap(), &mut ()).await.unwrap_err();
    assert_eq!(error.to_string(), "device refused \"oem no-such\": unknown oem command");
    assert_eq!(client.connection(), Connection::Ready);
    client.flashing(&"get_unlock_ability".parse().unwrap(), &mut ()).await.unwrap();
    let raw = client.raw(&"verify:00000001".parse().unwrap(), &mut ()).await.unwrap_err();
    assert!(matches!(raw, ClientError::Refused { .. }), "{raw}");
    let gone = client.reboot(RebootTarget::System, &mut ()).await.unwrap();
    assert_eq!(gone, Departure::Acknowledged);
    let error = client.getvar(&var("product")).await.unwrap_err();
    assert!(matches!(error, ClientError::Unusable), "{error}");
}

#[tokio::test]
async fn a_phone_is_commanded_over_tcp() {
    let phone = phone().await;
    talk(over_tcp(&phone).await).await;
    assert_eq!(downloaded(phone.handle()).await, Some(sha256(&noise(3 * (1 << 20) + 13))));
}

#[tokio::test]
async fn a_phone_is_commanded_over_udp() {
    let phone = phone().await;
    talk(over_udp(&phone).await).await;
    assert_eq!(downloaded(phone.handle()).await, Some(sha256(&noise(3 * (1 << 20) + 13))));
}

#[tokio::test(start_paused = true)]
async fn a_phone_is_commanded_over_a_bus() {
    let phone = plugged_in();
    talk(over_bus(&phone).await).await;
    assert_eq!(downloaded(&phone).await, Some(sha256(&noise(3 * (1 << 20) + 13))));
}

#[tokio::test]
async fn packets_that_are_lost_doubled_and_late_change_nothing() {
    let phone = phone().await;
    let mut client = over_udp(&phone).await;
    fault(phone.handle(), "datagrams 30 60 60 7").await;
    let image = noise(200_000);
    client.download(Box::new(Cursor::new(image.clone())), 200_000, &mut ()).await.unwrap();
    assert_eq!(downloaded(phone.handle()).await, Some(sha256(&image)));
    assert_eq!(asked(phone.handle()).await, ["download:00030d40"]);
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_too_long_is_not_sent() {
    let phone = plugged_in();
    let mut client = over_bus(&phone).await;
    let long = "x".repeat(80);
    let error = client.oem(&long.parse().unwrap(), &mut ()).await.unwrap_err();
    assert!(matches!(error, ClientError::Command { .. }), "{error}");
    let error = client.raw(&"download:00000001".parse().unwrap(), &mut ()).await.unwrap_err();
    assert!(matches!(error, ClientError::Command { .. }), "{error}");
    assert!(asked(&phone).await.is_empty());
    let mut client = client.with_limit(CommandLimit::Long);
    let error = client.oem(&long.parse().unwrap(), &mut ()).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }), "{error}");
}
