//! A simulated phone on the command line.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use farmhand_wire::fastboot::PORT;

use super::options::{OptionError, PartitionSpec, PhoneOptions, SLOTS_MAX, UsbId, byte_count};
use super::serve::ServeOptions;

/// A simulated phone in its bootloader, that speaks fastboot.
#[derive(Debug, Clone, Args)]
pub struct FastbootArgs {
    /// Listen for TCP there; port 0 is any that is free [default: 127.0.0.1:5554, where neither is given]
    #[arg(long, value_name = "ADDR")]
    pub tcp: Option<SocketAddr>,
    /// Listen for UDP there [default: 127.0.0.1:5554, where neither is given]
    #[arg(long, value_name = "ADDR")]
    pub udp: Option<SocketAddr>,
    /// Its serial number
    #[arg(long, default_value = "farmhand-sim")]
    pub serial: String,
    /// What it says it is
    #[arg(long, default_value = "farmhand-phone")]
    pub product: String,
    /// What it takes at once, such as 64M
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = size)]
    pub max_download: u32,
    /// What it gives at once; at 0 it knows no fetch
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = size)]
    pub max_fetch: u32,
    /// Slots; at 0 it knows none
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=i64::from(SLOTS_MAX)))]
    pub slots: u8,
    /// A partition, in place of those that it has by default: see [`PartitionSpec`].
    // The help has words of its own: what stands in brackets would be a link to rustdoc.
    #[arg(
        long = "partition",
        value_name = "NAME=SIZE",
        help = "A partition: NAME=SIZE[,slotted][,logical][,type=TYPE]; in place of those that it has by default"
    )]
    pub partitions: Vec<PartitionSpec>,
    /// Keep its partitions in files in this folder; otherwise they are in memory
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// A variable of its own, or another value of one that it has
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
    /// Refuse whatever writes, until it is unlocked
    #[arg(long)]
    pub locked: bool,
    /// What an image that it boots shows itself as
    #[arg(long, value_name = "VENDOR:PRODUCT", default_value_t = super::options::NEXT_ID)]
    pub next: UsbId,
    /// Listen for TCP there, and print the banner once an image that it was sent runs
    #[arg(long, value_name = "ADDR")]
    pub console: Option<SocketAddr>,
    /// What such an image prints
    #[arg(long, default_value = "farmhand-phone login:")]
    pub banner: String,
    /// A Unix socket to tell it things, a line each: counters, log, fault ...; `help` lists them
    #[arg(long, value_name = "PATH")]
    pub control: Option<PathBuf>,
    /// End when standard input does
    #[arg(long)]
    pub die_with_stdin: bool,
}

fn size(text: &str) -> Result<u32, OptionError> {
    let wrong = |_| OptionError::new("a size", "below 4G", text);
    u32::try_from(byte_count(text)?).map_err(wrong)
}

fn variable(text: &str) -> Result<(String, String), OptionError> {
    let split = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = split.ok_or_else(|| OptionError::new("a variable", "NAME=VALUE", text))?;
    Ok((name.to_owned(), value.to_owned()))
}

impl From<FastbootArgs> for ServeOptions {
    fn from(args: FastbootArgs) -> Self {
        let both = args.tcp.is_none() && args.udp.is_none();
        let usual = both.then(|| SocketAddr::from(([127, 0, 0, 1], PORT)));
        let mut phone = PhoneOptions {
            serial: args.serial,
            product: args.product,
            max_download: args.max_download,
            max_fetch: args.max_fetch,
            slots: args.slots,
            locked: args.locked,
            folder: args.dir,
            variables: args.variables.into_iter().collect::<BTreeMap<_, _>>(),
            next: args.next,
            banner: Some(args.banner),
            ..PhoneOptions::default()
        };
        if !args.partitions.is_empty() {
            phone.partitions = args.partitions;
        }
        Self {
            phone,
            tcp: args.tcp.or(usual),
            udp: args.udp.or(usual),
            console: args.console,
            control: args.control,
            die_with_stdin: args.die_with_stdin,
        }
    }
}
