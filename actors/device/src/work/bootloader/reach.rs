//! The bootloader is reached, and made sure of: the right device, of the right model.

use std::io::ErrorKind;
use std::time::Duration;

use farmhand_api::Problem;
use farmhand_messages::device::{COMMAND_MAX, FastbootWay};
use farmhand_messages::fastboot::{Address, Model, Probe, UsbIdentity};
use farmhand_messages::{DeviceMessage, DirectoryMessage, SchedulerMessage};
use farmhand_records::DeviceName;
use farmhand_records::v1::{FlashProgress, Identity};
use farmhand_runtime::{ask, ask_once, load};
use ractor::registry;

use super::super::Tools;
use super::WHERE_WITHIN;
use crate::evidence::Try;
use crate::fastboot::{self, Client, ClientError, OpenError};
use crate::problems;

/// For the words of other people: the longest has [`COMMAND_MAX`] for each of its commands, and three of them.
const OTHERS_WITHIN: Duration = COMMAND_MAX.saturating_mul(3);

/// A bootloader that answers, and is the one that is meant.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) client: Client,
    pub(super) identity: Identity,
    /// Other names of it.
    pub(super) also: Vec<DeviceName>,
}

/// Why a bootloader was not opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    /// It shows itself as something else, or is away.
    NotThere,
    /// It was tried.
    Failed(OpenError),
}

impl NotOpened {
    pub(super) fn problem(&self, device: &DeviceName) -> Problem {
        match self {
            Self::NotThere => problems::not_in_bootloader(device),
            Self::Failed(error) => problems::not_reached(device, error),
        }
    }

    /// Whether somebody is there, and it is no bootloader: a host that has an address answers that nobody listens.
    pub(super) fn nobody_listens(&self) -> bool {
        matches!(self, Self::Failed(OpenError::Connect { error, .. }) if error.kind() == ErrorKind::ConnectionRefused)
    }
}

impl Tools {
    /// Opens the way to the bootloader. Nothing is sent but a transport's own greeting.
    pub(super) async fn open_bootloader(&self, way: &FastbootWay) -> Result<Client, NotOpened> {
        let name = &self.config.name;
        let Some(address) = self.address(way).await else { return Err(NotOpened::NotThere) };
        let opened = fastboot::connect(&address, &way.identity).await;
        if !matches!(address, Address::Usb(_)) {
            let (device, well) = (name.clone(), opened.is_ok());
            let directory = self.ctx.names.directory();
            let answered = |reply| DirectoryMessage::Answered { device, well, reply };
            // One that cannot be told now begins anew, and the next try tells it.
            let _not_told = ask_once(&directory, WHERE_WITHIN, answered).await;
        }
        opened.map_err(NotOpened::Failed)
    }

    /// Where its bootloader is now: it may have been plugged in elsewhere since the actor was told.
    async fn address(&self, way: &FastbootWay) -> Option<Address> {
        let (directory, device) = (self.ctx.names.directory(), self.config.name.clone());
        let asked = ask_once(&directory, WHERE_WITHIN, |reply| DirectoryMessage::AddressOf { device, reply });
        asked.await.unwrap_or_else(|_| way.address.clone())
    }

    /// Opens it, and makes sure that it is the one that is meant, where a serial number says which: for what writes nothing.
    pub(super) async fn meet(&self, way: &FastbootWay) -> Result<Client, Box<Problem>> {
        let mut client = self.open_ready(way).await?;
        if way.identity.serial.is_some() {
            self.is_meant(&mut client, way).await?;
        }
        Ok(client)
    }

    async fn open_ready(&self, way: &FastbootWay) -> Result<Client, Box<Problem>> {
        let opened = self.open_bootloader(way).await;
        let mut client = opened.map_err(|why| Box::new(why.problem(&self.config.name)))?;
        match client.resynchronise().await.map_err(|error| self.failed(&error))? {
            fastboot::Connection::Ready => Ok(client),
            _ => Err(Box::new(problems::bootloader_silent(&self.config.name))),
        }
    }

    fn failed(&self, error: &ClientError) -> Box<Problem> {
        Box::new(problems::bootloader_failed(&self.config.name, error))
    }

    async fn variable(&self, client: &mut Client, variable: &str) -> Result<Option<String>, Box<Problem>> {
        match variable.parse() {
            Ok(variable) => client.getvar(&variable).await.map_err(|error| self.failed(&error)),
            Err(_) => Ok(None),
        }
    }

    /// Its serial number, which is the one that is meant where one is; a bootloader may tell none.
    async fn is_meant(&self, client: &mut Client, way: &FastbootWay) -> Result<String, Box<Problem>> {
        let serial = self.variable(client, "serialno").await?.unwrap_or_default();
        match &way.identity.serial {
            // On USB its descriptor has told, before it was opened.
            Some(wanted) if serial.is_empty() && way.address.is_some() => {
                let nobody = "one without serial number";
                Err(Box::new(problems::another_device(&self.config.name, nobody, wanted)))
            }
            Some(wanted) if !serial.is_empty() && serial != *wanted => {
                Err(Box::new(problems::another_device(&self.config.name, &serial, wanted)))
            }
            _ => Ok(serial),
        }
    }

    /// Opens it, and asks who it is: the serial number that is meant, and the model.
    pub(super) async fn reach(
        &self,
        way: &FastbootWay,
        model: Option<&Model>,
    ) -> Result<Reached, Box<Problem>> {
        let way = &held_to(way, model);
        let mut client = self.open_ready(way).await?;
        let serial = self.is_meant(&mut client, way).await?;
        if let Some(model) = model {
            for probe in &model.probes {
                let answer = self.variable(&mut client, &probe.getvar).await?;
                if !probe.wanted.holds(answer.as_deref()) {
                    return Err(Box::new(wrong_model(self, model, probe, answer.as_deref())));
                }
            }
        }
        let product = self.variable(&mut client, "product").await?.unwrap_or_default();
        let identity = called(&serial, &product);
        let also = self.is_had_by_no_other(&identity).await?;
        Ok(Reached { client, identity, also })
    }

    /// One phone may be at two addresses, or at one and on USB, and is granted under each of its names until it has told who
    /// it is. The directory tells the scheduler, which grants none of them from then on while another is had, and says here
    /// what it had granted before.
    async fn is_had_by_no_other(&self, identity: &Identity) -> Result<Vec<DeviceName>, Box<Problem>> {
        let (device, identity) = (self.config.name.clone(), identity.clone());
        let met = |reply| DirectoryMessage::Met { device: device.clone(), identity: identity.clone(), reply };
        let also = ask(&self.ctx.names.directory(), WHERE_WITHIN, met).await;
        let also = also.map_err(|error| self.no_answer("the directory", &error))?;
        if also.is_empty() {
            return Ok(also);
        }
        let had = |reply| SchedulerMessage::HadAs { device: device.clone(), also: also.clone(), reply };
        let had = ask(&self.ctx.names.scheduler(), WHERE_WITHIN, had).await;
        had.map_err(|error| self.no_answer("the scheduler", &error))?.map_err(Box::new)?;
        Ok(also)
    }

    /// Waits for words that are being said to this device under its other names, and gives those names. Words have no lease
    /// that would keep a session from it. Those that come from now on are refused. Only for a session: who says a word waits
    /// for nobody.
    pub(super) async fn others_are_idle(&self) -> Result<Vec<DeviceName>, Box<Problem>> {
        let device = self.config.name.clone();
        let also_of = |reply| DirectoryMessage::AlsoOf { device: device.clone(), reply };
        let also = ask(&self.ctx.names.directory(), WHERE_WITHIN, also_of).await;
        let also = also.map_err(|error| self.no_answer("the directory", &error))?;
        for other in &also {
            let name = self.ctx.names.device(other);
            if registry::where_is(name.clone()).is_none() {
                continue;
            }
            let idle = ask(&name, OTHERS_WITHIN, |reply| DeviceMessage::Idle { reply }).await;
            idle.map_err(|error| self.no_answer(other.as_str(), &error))?;
        }
        Ok(also)
    }

    /// What this device's record says of an image's way through its bootloader, where it is of this session; in whichever
    /// attempt, and whatever its plan was then.
    pub(super) async fn begun_at(&self, of: &Try) -> Result<Option<FlashProgress>, String> {
        let known = load::<FlashProgress>(&self.ctx.store, self.config.name.as_str().as_bytes()).await;
        let known = known.map_err(|error| error.to_string())?;
        Ok(known.filter(|known| known.session == of.session))
    }
}

/// The way to a device of that model: what its profile demands of its identity holds too, where nothing is configured.
fn held_to(way: &FastbootWay, model: Option<&Model>) -> FastbootWay {
    let mut way = way.clone();
    if let Some(model) = model {
        let UsbIdentity { usb, serial, port_path } = UsbIdentity::of(model);
        if way.identity.usb.is_empty() {
            way.identity.usb = usb;
        }
        way.identity.serial = way.identity.serial.or(serial);
        way.identity.port_path = way.identity.port_path.or(port_path);
    }
    way
}

/// What a bootloader calls itself. Of one that tells no serial number only the product is known.
pub(super) fn called(serial: &str, product: &str) -> Identity {
    let loader = format!("fastboot {product}").trim_end().to_owned();
    Identity { signature: serial.as_bytes().to_vec(), loader }
}

/// Whether who answers is who answered before; or else both, in words. One that told its serial number tells it again: a
/// device that tells none is another than one that does.
pub(super) fn same(before: &Identity, now: &Identity) -> Result<(), (String, String)> {
    let words = |identity: &Identity| {
        let serial = String::from_utf8_lossy(&identity.signature);
        let product = identity.loader.strip_prefix("fastboot").unwrap_or_default().trim_start();
        match (&*serial, product) {
            ("", "") => "one without serial number and product".to_owned(),
            ("", product) => format!("{product}, without serial number"),
            (serial, "") => serial.to_owned(),
            (serial, product) => format!("{serial} ({product})"),
        }
    };
    if before == now { Ok(()) } else { Err((words(now), words(before))) }
}

fn wrong_model(tools: &Tools, model: &Model, probe: &Probe, answer: Option<&str>) -> Problem {
    let is = answer.map_or_else(|| "is not known to it".to_owned(), |is| format!("is {is:?}"));
    let why = format!("its {} {is}", probe.getvar);
    problems::wrong_model(&tools.config.name, &model.id, &why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootloader_is_the_same_by_serial_number_and_product_or_by_product_alone() {
        let ours = called("c0ffee", "fajita");
        assert_eq!(same(&ours, &called("c0ffee", "fajita")), Ok(()));
        assert_eq!(same(&called("", "fajita"), &called("", "fajita")), Ok(()), "it tells no more");
        for other in [
            called("decaf", "fajita"),
            called("c0ffee", "enchilada"),
            called("", "fajita"),
            called("c0ffee", ""),
            called("", ""),
        ] {
            let (is, was) = same(&ours, &other).unwrap_err();
            assert_eq!(was, "c0ffee (fajita)");
            assert_ne!(is, was);
            assert!(same(&other, &ours).is_err());
        }
        let (is, was) = same(&ours, &called("", "fajita")).unwrap_err();
        assert_eq!((is.as_str(), was.as_str()), ("fajita, without serial number", "c0ffee (fajita)"));
    }
}
