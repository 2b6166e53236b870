//! 256 MiB to a phone over a real kernel's usbfs, in the USB bench's guest: our client, the same loop in bare `nusb`, and
//! Debian's `fastboot`, in turn.

mod guest;

use std::time::Duration;

use farmhand_sim::fastboot::{Phone, PhoneOptions, UsbPhone};
use farmhand_sim::usbredir::Plugged;
use farmhand_tests::usb_bench::Bench;

pub(crate) use guest::in_the_guest;

use crate::Failure;
use crate::report::{Goal, Report, Row};
use crate::stats::{Series, ratios};

/// The word by which this program, in the guest, knows what it is there for.
pub(crate) const IN_THE_GUEST: &str = "usb-in-the-guest";
/// Of each, in turn.
const ROUNDS: usize = 9;
/// What is sent each time, in MiB.
const MIB: u64 = 256;
/// What the guest says each time.
const OURS: [&str; 2] = ["farmhand", "bare"];

pub(crate) async fn run() -> Result<Report, Failure> {
    let own = std::env::current_exe()?;
    let mut bench = Bench::try_boot_with(&[&own]).await?;
    let name = own.file_name().and_then(|name| name.to_str()).ok_or("this program has a name")?;
    let phone = Phone::new(PhoneOptions { serial: "P-1".to_owned(), ..PhoneOptions::default() })?;
    let phone = Plugged::into_socket(&bench.slot(0), UsbPhone::new(phone)).await?;
    let is_there = |said: &farmhand_tests::Said| said.stdout.contains("P-1").then_some(());
    bench.until("the phone is listed", "fastboot devices", is_there).await;
    let made =
        bench.run(&format!("head -c {} /dev/urandom > /tmp/image && sha256sum /tmp/image", MIB << 20)).await;
    let hash = made.stdout.split(' ').next().unwrap_or_default().to_owned();

    let mut rates: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..rates.len() {
            // Whoever is first in a round is another one each time.
            let who = (round + turn) % rates.len();
            let took = match OURS.get(who) {
                Some(what) => {
                    let said = bench.run(&format!("{name} {IN_THE_GUEST} {what} P-1 /tmp/image")).await;
                    let seconds = said.stdout.trim().parse::<f64>();
                    Duration::from_secs_f64(seconds.map_err(|_| format!("{what}: {said:?}"))?)
                }
                None => {
                    let said = bench.run("fastboot -s P-1 stage /tmp/image").await;
                    sending(&said.stderr).ok_or_else(|| format!("fastboot: {said:?}"))?
                }
            };
            rates[who].push(MIB as f64 / took.as_secs_f64());
            let heard = phone
                .call(|phone| phone.phone().asked().rev().find_map(|asked| asked.data.clone()))
                .await?
                .map(|data| data.sha256);
            if heard.as_ref() != Some(&hash) {
                return Err(format!("the phone has {heard:?}, not {hash}").into());
            }
        }
    }
    let [ours, bare, debian] = rates;
    let against = |peer: &[f64]| ratios(&ours, peer);
    Ok(Report {
        title: format!(
            "usb: {MIB} MiB into a simulated phone's memory, MiB a second; {ROUNDS} of each, in turn"
        ),
        rows: vec![
            Row::rate("peer: the same loop in bare nusb", Series::of(bare.iter().copied())),
            Row::rate("farmhand's client", Series::of(ours.iter().copied()))
                .against(against(&bare))
                .goal(Goal::TimesAtLeast(0.9)),
            Row::rate("peer: Debian's fastboot", Series::of(debian.iter().copied())),
            Row::rate("farmhand's client", Series::of(ours.iter().copied())).against(against(&debian)),
        ],
        notes: vec![
            "an emulated machine and no wire: these say who wastes more, and nothing of a phone".to_owned(),
        ],
    })
}

/// `Sending '/tmp/image' (262144 KB)   OKAY [  0.512s]`: from the command to its answer, as ours is measured.
fn sending(said: &str) -> Option<Duration> {
    let line = said.lines().find(|line| line.starts_with("Sending "))?;
    let (_, rest) = line.split_once("OKAY [")?;
    let seconds = rest.split('s').next()?.trim().parse().ok()?;
    Some(Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debians_own_figure_is_read() {
        let said = "Sending '/tmp/image' (262144 KB)                   OKAY [  0.512s]\nFinished. Total time: 0.9s\n";
        assert_eq!(sending(said), Some(Duration::from_millis(512)));
        assert_eq!(sending("Sending 'x' (1 KB)   FAILED (remote: 'no')\n"), None);
    }
}
