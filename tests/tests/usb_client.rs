//! A third party agrees, over a real kernel's USB: Debian's `fastboot` and the simulated phone.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use farmhand_sim::fastboot::{Phone, PhoneOptions, UsbPhone};
use farmhand_sim::usbredir::Plugged;
use farmhand_tests::usb_bench::Bench;

/// Several of a kernel's transfers. Whole blocks: of other images the client splits none (29.0.6, "not a multiple of the
/// block size").
const IMAGE_BYTES: u64 = (24 << 20) + 4096;

/// What a phone takes at once, in bytes: less than the image, which the client splits.
const MOST: u32 = 10 << 20;

fn phone(serial: &str) -> UsbPhone {
    let options = PhoneOptions { serial: serial.to_owned(), max_download: MOST, ..PhoneOptions::default() };
    UsbPhone::new(Phone::new(options).unwrap())
}

/// Waits until the client lists these phones, and no others.
async fn lists(bench: &mut Bench, serials: &[&str]) {
    let what = format!("fastboot lists {serials:?}");
    bench
        .until(&what, "fastboot devices", |said| {
            let mut listed: Vec<_> = said.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
            listed.sort_unstable();
            (listed == serials).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_fastboot_works_against_two_phones_of_one_model() {
    let Some(mut bench) = Bench::boot().await else { return };
    let one = Plugged::into_socket(&bench.slot(0), phone("P-1")).await.unwrap();
    let two = Plugged::into_socket(&bench.slot(1), phone("P-2")).await.unwrap();
    lists(&mut bench, &["P-1", "P-2"]).await;

    let said = bench.run("fastboot -s P-2 getvar product").await;
    said.expect(0).mentions(&["product: farmhand-phone"]);
    let said = bench.run("fastboot -s P-2 getvar all").await;
    said.expect(0).mentions(&["serialno:P-2", "max-download-size:0xa00000"]);
    let said = bench.run("fastboot -s P-1 flash nowhere /bin/busybox").await;
    assert_ne!(said.code, Some(0), "{said:?}");
    assert!(said.stderr.contains("FAILED (remote:"), "{}", said.stderr);

    let make = format!("head -c {IMAGE_BYTES} /dev/urandom > /tmp/image && sha256sum /tmp/image");
    let said = bench.run(&make).await;
    let (hash, _) = said.expect(0).stdout.split_once(' ').unwrap();
    bench.run("fastboot -s P-2 flash userdata /tmp/image").await.expect(0);
    let stored = two.call(|two| two.phone().partition_sha256("userdata", Some(IMAGE_BYTES))).await.unwrap();
    assert_eq!(stored.unwrap().unwrap(), hash);
    let pieces = two
        .call(|two| two.phone().asked().filter(|asked| asked.command.starts_with("flash:userdata")).count());
    assert!(pieces.await.unwrap() > 2, "it came in sparse pieces");
    let other = one.call(|one| one.phone().asked().any(|asked| asked.command.contains("userdata")));
    assert!(!other.await.unwrap(), "the other one heard nothing of it");

    // Elsewhere it is the same; what it knows went with it.
    let phone = two.pull().await.unwrap();
    lists(&mut bench, &["P-1"]).await;
    let two = Plugged::into_socket(&bench.slot(2), phone).await.unwrap();
    lists(&mut bench, &["P-1", "P-2"]).await;
    bench.run("fastboot -s P-2 reboot bootloader").await.expect(0);
    let heard = two.call(|two| two.phone().asked().map(|asked| asked.command.clone()).collect::<Vec<_>>());
    assert!(heard.await.unwrap().contains(&"reboot-bootloader".to_owned()));
    lists(&mut bench, &["P-1", "P-2"]).await;

    // A kernel, which the client makes an image of; what runs then is no bootloader.
    bench.run("fastboot -s P-2 boot /bin/busybox").await.expect(0);
    lists(&mut bench, &["P-1"]).await;
    let counters = two.call(|two| two.phone().counters()).await.unwrap();
    assert_eq!((counters.boot_commands, counters.boots), (1, 1), "{counters}");
}
