//! The phone over UDP (AOSP, fastboot/README.md, "UDP Protocol v1").

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use farmhand_wire::fastboot::udp::{DATAGRAM_LEN_MAX, Device, DeviceEvent, Header, PacketId};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::bench::{PhoneHandle, SimError};
use super::fault::Datagrams;
use super::presence::{Out, Presence};

/// Of a data phase to the host, as one message, in bytes.
const SEND_BYTES: usize = 64 << 10;
/// What it takes at once, in bytes with the header: two pages and the header fit into what a host offers.
const PACKET_LEN_MAX: u16 = 8192;
/// A host that has not read its answer for so long has gone: it asks each 500 ms (README, "UDP Protocol v1", overview, 4).
const UNREAD: Duration = Duration::from_secs(2);
/// Between the first sequence numbers of two starts: a host of an earlier one is not taken for one of this.
const SEQUENCE_STEP: u16 = 0x3a5b;

/// A phone's place on UDP.
#[derive(Debug)]
pub struct UdpPlace {
    socket: UdpSocket,
}

impl UdpPlace {
    /// Takes it; port 0 is any that is free.
    pub async fn take(address: SocketAddr) -> Result<Self, SimError> {
        let socket = UdpSocket::bind(address).await.map_err(SimError::listen(format!("udp {address}")))?;
        Ok(Self { socket })
    }

    /// Where it is.
    pub fn address(&self) -> Result<SocketAddr, SimError> {
        self.socket.local_addr().map_err(SimError::listen("udp"))
    }

    /// Serves hosts as long as the phone lives.
    pub async fn serve(self, phone: PhoneHandle) -> Result<Infallible, SimError> {
        let mut datagram = vec![0; usize::from(DATAGRAM_LEN_MAX)];
        let mut presence = phone.presence();
        let mut link = Link::new(&self.socket, &phone, *presence.borrow());
        let (mut inward, mut harm) = (Harm::default(), None);
        loop {
            let received = match timeout(UNREAD, self.socket.recv_from(&mut datagram)).await {
                Ok(received) => received,
                Err(_) => {
                    if std::mem::take(&mut link.unsent) {
                        phone.call(|phone| phone.host_left()).await?;
                    }
                    continue;
                }
            };
            let (len, host) = match received {
                Ok(received) => received,
                // An ICMP answer to an earlier one of ours: that host has gone.
                Err(error) => {
                    tracing::debug!(%error, "a datagram could not be received");
                    continue;
                }
            };
            let now = *presence.borrow_and_update();
            if now.speaks_fastboot() && now != link.presence {
                link = Link::new(&self.socket, &phone, now);
            }
            let (stalled, datagrams) = phone.call(|phone| (phone.stalled(), phone.datagrams())).await?;
            if harm != datagrams {
                harm = datagrams;
                inward = Harm::of(datagrams, 0);
                link.outward = Harm::of(datagrams, 1);
            }
            for datagram in inward.pass(datagram[..len].to_vec()) {
                if !now.speaks_fastboot() {
                    link.again(&datagram, host).await;
                } else if !stalled {
                    link.take(&datagram, host).await?;
                }
            }
        }
    }
}

/// What is said with whoever spoke last, during one stay in fastboot.
struct Link<'a> {
    socket: &'a UdpSocket,
    phone: &'a PhoneHandle,
    presence: Presence,
    device: Device,
    outward: Harm,
    /// Something was given to the host, and the phone does not know yet that it has it.
    unsent: bool,
}

impl<'a> Link<'a> {
    fn new(socket: &'a UdpSocket, phone: &'a PhoneHandle, presence: Presence) -> Self {
        let first = (presence.plug as u16).wrapping_mul(SEQUENCE_STEP);
        let device = Device::new(first, PACKET_LEN_MAX);
        Self { socket, phone, presence, device, outward: Harm::default(), unsent: false }
    }

    async fn send(&mut self, packet: Vec<u8>, host: SocketAddr) {
        for packet in self.outward.pass(packet) {
            // Whoever does not get it asks again.
            let _lost = self.socket.send_to(&packet, host).await;
        }
    }

    /// The phone is something else by now; its last answer may have been lost, and is given again.
    async fn again(&mut self, datagram: &[u8], host: SocketAddr) {
        let mut device = self.device.clone();
        let answer = device.on_datagram(datagram);
        let is_fastboot = Header::split(datagram).is_some_and(|(header, _)| header.id == PacketId::Fastboot);
        if let (true, Some(packet), None) = (is_fastboot, answer.send, answer.event)
            && device == self.device
        {
            self.send(packet, host).await;
        }
    }

    async fn take(&mut self, datagram: &[u8], host: SocketAddr) -> Result<(), SimError> {
        let answer = self.device.on_datagram(datagram);
        let mut pause = None;
        match answer.event {
            Some(DeviceEvent::Connected { .. }) => {
                self.unsent = false;
                self.phone.call(|phone| phone.host_arrived()).await?;
            }
            Some(DeviceEvent::Data { bytes, last }) => {
                let (bytes, len) = (Bytes::copy_from_slice(bytes), bytes.len());
                let pace = self.phone.call(move |phone| {
                    phone.receive(&bytes, last);
                    phone.bytes_per_s()
                });
                pause = pace.await?.map(|bytes_per_s| len as f64 / bytes_per_s as f64);
            }
            Some(DeviceEvent::ReadPending) | None => {}
        }
        if let Some(seconds) = pause {
            sleep(Duration::from_secs_f64(seconds)).await;
        }
        if let Some(packet) = answer.send {
            self.send(packet, host).await;
        }
        self.give(host).await
    }

    /// What the phone has to say, once the host has read all that it said before.
    async fn give(&mut self, host: SocketAddr) -> Result<(), SimError> {
        while self.device.is_drained() {
            if std::mem::take(&mut self.unsent) {
                self.phone.call(|phone| phone.sent()).await?;
            }
            match self.phone.call(|phone| phone.next_out(SEND_BYTES)).await? {
                Some(Out::Reply(bytes) | Out::Data(bytes)) => {
                    self.unsent = true;
                    if let Some(packet) = self.device.push(&bytes) {
                        self.send(packet, host).await;
                    }
                }
                // There is no connection to cut; it forgets its host, which is not answered any more.
                Some(Out::Cut) => {
                    self.device = Device::new((self.presence.plug as u16).wrapping_sub(1), PACKET_LEN_MAX);
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

/// What happens to datagrams one way.
#[derive(Debug, Default)]
struct Harm {
    odds: Option<Datagrams>,
    dice: u64,
    late: Option<Vec<u8>>,
}

impl Harm {
    fn of(odds: Option<Datagrams>, way: u64) -> Self {
        let dice = odds.map_or(0, |odds| odds.seed.wrapping_mul(2).wrapping_add(way));
        Self { odds, dice, late: None }
    }

    /// A number below 1000 (SplitMix64).
    fn roll(&mut self) -> u16 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % 1000) as u16
    }

    fn pass(&mut self, datagram: Vec<u8>) -> Vec<Vec<u8>> {
        let Some(Datagrams { drop, duplicate, reorder, .. }) = self.odds else { return vec![datagram] };
        let rolled = self.roll();
        let late = self.late.take();
        let mut passed = if rolled < drop {
            vec![]
        } else if rolled < drop + duplicate {
            vec![datagram.clone(), datagram]
        } else if rolled < drop + duplicate + reorder && late.is_none() {
            self.late = Some(datagram);
            vec![]
        } else {
            vec![datagram]
        };
        passed.extend(late);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harm_comes_to_as_many_as_were_asked_for_and_the_same_ones_each_time() {
        let odds = Datagrams { drop: 100, duplicate: 50, reorder: 50, seed: 7 };
        let run = || {
            let mut harm = Harm::of(Some(odds), 0);
            (0..10_000_u32).flat_map(|number| harm.pass(number.to_be_bytes().to_vec())).collect::<Vec<_>>()
        };
        let passed = run();
        assert_eq!(passed, run());
        let backwards = passed.windows(2).filter(|pair| pair[0] > pair[1]).count();
        let twice = passed.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!((300..600).contains(&backwards), "{backwards}");
        assert!((300..700).contains(&twice), "{twice}");
        assert!((9_000..10_000).contains(&passed.len()), "{}", passed.len());
        assert_eq!(Harm::default().pass(vec![1]), [vec![1]]);
    }
}
