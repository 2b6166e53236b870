//! Any packets, to both ends: no panic, packets of the agreed size, an end that stays the end. And a network that does what
//! it is told with those of both ends: what one writes the other hears, in order and once.
#![no_main]

use farmhand_wire::fastboot::udp::{Device, DeviceEvent, HEADER_LEN, Host, Step, UdpError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((0, rest)) => strangers(rest),
        Some((_, rest)) => network(rest),
        None => {}
    }
});

/// Packets of anyone's, each with its length before it.
fn strangers(mut rest: &[u8]) {
    let mut host = Host::new(600);
    let mut device = Device::new(0, 600);
    host.start().unwrap();
    let mut ended = false;
    while let Some((len, behind)) = rest.split_first() {
        let (datagram, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = behind;
        let answer = device.on_datagram(datagram);
        assert!(answer.send.is_none_or(|packet| packet.len() >= HEADER_LEN && packet.len() <= 600));
        if matches!(answer.event, Some(DeviceEvent::ReadPending)) {
            let packet = device.push(&[1; 700]).unwrap();
            assert!(packet.len() <= 600);
        }
        let step = if datagram.is_empty() { host.on_timeout() } else { host.on_datagram(datagram) };
        match step {
            Ok(Step::Connected { packet_len_max, .. }) => {
                assert!((512..=600).contains(&packet_len_max));
                host.write(&[2; 700]).unwrap();
            }
            Ok(Step::Written | Step::Received { .. }) => drop(host.read().unwrap()),
            Ok(Step::Send) => assert!(host.datagram().len() <= 600),
            Ok(Step::Wait | Step::Ignored) => {}
            Err(error) => {
                assert!(!ended && error != UdpError::Misused && !error.to_string().is_empty());
                ended = true;
            }
        }
    }
}

/// Each byte is something that happens: three bits what, five bits to which packet.
fn network(acts: &[u8]) {
    let mut host = Host::new(512);
    let mut device = Device::new(0xfffe, 512);
    let (mut to_device, mut to_host) = (Vec::new(), Vec::<Vec<u8>>::new());
    let (mut turn, mut written, mut read, mut piece) = (0u8, 0u8, 0u8, Vec::new());
    host.start().unwrap();
    to_device.push(host.datagram().to_vec());
    for act in acts {
        let (what, which) = (act >> 5, usize::from(act & 31));
        let network = if what & 1 == 0 { &mut to_device } else { &mut to_host };
        let datagram = match what {
            0..=5 if network.is_empty() => continue,
            0 | 1 => network.remove(which % network.len()),
            2 | 3 => network[which % network.len()].clone(),
            4 | 5 => drop_one(network, which),
            _ => match host.on_timeout() {
                Ok(Step::Send) => {
                    to_device.push(host.datagram().to_vec());
                    continue;
                }
                Ok(_) => continue,
                Err(_) => return,
            },
        };
        if what > 3 {
            continue;
        }
        if what & 1 == 0 {
            let answer = device.on_datagram(&datagram);
            to_host.extend(answer.send);
            match answer.event {
                Some(DeviceEvent::Data { bytes, last }) => {
                    assert!(bytes.iter().all(|byte| *byte == written));
                    written += u8::from(last);
                }
                Some(DeviceEvent::ReadPending) => to_host.extend(device.push(&[read; 600])),
                _ => {}
            }
            continue;
        }
        let next = match host.on_datagram(&datagram).unwrap() {
            Step::Send => {
                to_device.push(host.datagram().to_vec());
                false
            }
            Step::Received { bytes, last } => {
                piece.extend_from_slice(bytes);
                if last {
                    assert_eq!(piece, [read; 600]);
                    piece.clear();
                    read += 1;
                } else {
                    host.read().unwrap();
                    to_device.push(host.datagram().to_vec());
                }
                last
            }
            Step::Wait | Step::Ignored => false,
            Step::Connected { .. } | Step::Written => true,
        };
        if next {
            turn += 1;
            if turn > 200 {
                return;
            }
            if turn % 2 == 1 {
                assert_eq!((written, read), (turn / 2, turn / 2));
                host.write(&[turn / 2; 600]).unwrap();
            } else {
                assert_eq!((written, read), (turn / 2, turn / 2 - 1));
                host.read().unwrap();
            }
            to_device.push(host.datagram().to_vec());
        }
    }
}

fn drop_one(network: &mut Vec<Vec<u8>>, which: usize) -> Vec<u8> {
    network.remove(which % network.len())
}
