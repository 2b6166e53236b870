//! What the device side needs to know of a board.

use std::path::{Path, PathBuf};

use super::{Core, PropertiesError};

/// A USB vendor and product id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsbId {
    /// The vendor's.
    pub vendor: u16,
    /// The product's.
    pub product: u16,
}

/// What a core's `boards.txt` says of a board to those who upload to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardFacts {
    /// Its name, for people: `Arduino UNO`.
    pub name: String,
    /// Its chip, as avr-gcc names it: `atmega328p`. [`super::chip_facts`] has its signature and page size.
    pub mcu: String,
    /// The clock, in Hz; 0 where the core does not say.
    pub clock_hz: u32,
    /// The loader's rate, in baud; 0 where the core does not say.
    pub upload_speed: u32,
    /// The loader's protocol, as avrdude names it: `arduino` is STK500v1 as optiboot speaks it.
    pub upload_protocol: String,
    /// Bytes of flash that a program may take; 0 where the core does not say.
    pub upload_maximum_size: u64,
    /// Bytes of RAM; 0 where the core does not say.
    pub upload_maximum_data_size: u64,
    /// Opening the port at 1200 baud makes the board enter its loader.
    pub touch_1200: bool,
    /// The USB ids it is known by, the first the most usual.
    pub usb: Vec<UsbId>,
    /// The file of its loader, where the core names one that is there.
    pub bootloader: Option<PathBuf>,
}

/// Reads what the core in `core_dir` says of `fqbn`.
pub fn board_facts(core_dir: &Path, fqbn: &str) -> Result<BoardFacts, PropertiesError> {
    board_facts_with(core_dir, None, fqbn)
}

/// Likewise, where that core may refer to another.
pub fn board_facts_with(
    core_dir: &Path,
    referenced: Option<&Path>,
    fqbn: &str,
) -> Result<BoardFacts, PropertiesError> {
    let core = Core::read_with(core_dir, referenced)?;
    facts(&core, fqbn)
}

fn facts(core: &Core, fqbn: &str) -> Result<BoardFacts, PropertiesError> {
    let board = core.board(fqbn)?;
    let properties = &board.properties;
    let text = |key: &str| properties.expanded(key).unwrap_or_default();
    let number = |key: &str| text(key).trim_end_matches(['L', 'U', 'l', 'u']).parse().unwrap_or(0);
    let hex =
        |text: &str| u16::from_str_radix(text.trim_start_matches("0x").trim_start_matches("0X"), 16).ok();
    let usb = (0..)
        .map_while(|at| Some((properties.get(&format!("vid.{at}"))?, properties.get(&format!("pid.{at}"))?)))
        .filter_map(|(vendor, product)| Some(UsbId { vendor: hex(vendor)?, product: hex(product)? }))
        .collect();
    let bootloader = Some(text("bootloader.file"))
        .filter(|file| !file.is_empty())
        // Cores of Arduino 1.0 name its folder apart.
        .map(|file| core.folder().join("bootloaders").join(text("bootloader.path")).join(file))
        .filter(|file| file.is_file());
    Ok(BoardFacts {
        name: text("name"),
        mcu: board.need("build.mcu", core)?,
        clock_hz: u32::try_from(number("build.f_cpu")).unwrap_or(0),
        upload_speed: u32::try_from(number("upload.speed")).unwrap_or(0),
        upload_protocol: text("upload.protocol"),
        upload_maximum_size: number("upload.maximum_size"),
        upload_maximum_data_size: number("upload.maximum_data_size"),
        touch_1200: text("upload.use_1200bps_touch") == "true",
        usb,
        bootloader,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uno() {
        let folder = tempfile::tempdir().unwrap();
        let loader = folder.path().join("bootloaders/optiboot/optiboot_atmega328.hex");
        std::fs::create_dir_all(loader.parent().unwrap()).unwrap();
        std::fs::write(&loader, ":00000001FF\n").unwrap();
        let boards = "\
uno.name=Arduino UNO
uno.vid.0=0x2341
uno.pid.0=0x0043
uno.vid.1=0x2A03
uno.pid.1=0x0043
uno.upload.protocol=arduino
uno.upload.speed=115200
uno.upload.maximum_size=32256
uno.upload.maximum_data_size=2048
uno.bootloader.file=optiboot/optiboot_atmega328.hex
uno.build.mcu=atmega328p
uno.build.f_cpu=16000000L
bare.name=Bare
";
        let core = Core::from_texts(folder.path(), "", boards);
        assert_eq!(
            facts(&core, "arduino:avr:uno").unwrap(),
            BoardFacts {
                name: "Arduino UNO".into(),
                mcu: "atmega328p".into(),
                clock_hz: 16_000_000,
                upload_speed: 115_200,
                upload_protocol: "arduino".into(),
                upload_maximum_size: 32256,
                upload_maximum_data_size: 2048,
                touch_1200: false,
                usb: vec![UsbId { vendor: 0x2341, product: 0x43 }, UsbId { vendor: 0x2a03, product: 0x43 }],
                bootloader: Some(loader),
            }
        );
        assert!(matches!(facts(&core, "arduino:avr:bare"), Err(PropertiesError::Lacks { .. })));
    }
}
