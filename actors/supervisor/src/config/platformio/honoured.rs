//! What of `platformio.ini` is not done as it says, and is told.

/// Options that farmhand has no use for, and why; a `*` at the end stands for the rest of a name.
const NOT: &[(&str, &str)] = &[
    ("extra_scripts", "scripts of PlatformIO's build system are not run"),
    ("extra_script", "scripts of PlatformIO's build system are not run"),
    (
        "platform_packages",
        "packages are farmhand's own, or those that PlatformIO installed, the newest of each",
    ),
    ("targets", "say what is to be done on the command line"),
    ("upload_protocol", "a device's driver is said in farm.toml"),
    ("upload_speed", "a device's driver knows its loader's rate"),
    ("upload_flags", "a device's driver is said in farm.toml"),
    ("upload_resetmethod", "a device's driver is said in farm.toml"),
    ("upload_command", "a device's driver is said in farm.toml"),
    ("monitor_filters", "output is recorded as it comes"),
    ("monitor_parity", "consoles are opened without parity"),
    ("monitor_rts", "lines are the device's driver's to set"),
    ("monitor_dtr", "lines are the device's driver's to set"),
    ("monitor_eol", "what is typed is sent as it is"),
    ("monitor_raw", "output is recorded as it comes"),
    ("monitor_echo", "output is recorded as it comes"),
    ("monitor_encoding", "output is recorded as it comes"),
    ("monitor_port", "the console of the device that is flashed is what is watched"),
    ("test_*", "PlatformIO's unit tests are not run: say what is expected in farmhand.toml, [test]"),
];

/// Options that are PlatformIO's own business: of its checker and its debugger.
const OTHERS: &[&str] = &["check_", "debug_", "custom_", "board_"];

/// Why an option is not done; none where it is, or where it is nothing of ours.
pub(super) fn not_honoured(option: &str) -> Option<&'static str> {
    let found = NOT.iter().find(|(name, _)| match name.strip_suffix('*') {
        Some(beginning) => option.starts_with(beginning),
        None => *name == option,
    });
    if let Some((_, why)) = found {
        return Some(why);
    }
    let is_known = farmhand_project::platformio::Config::is_known("env", option);
    let is_others = OTHERS.iter().any(|beginning| option.starts_with(beginning));
    (!is_known && !is_others).then_some("PlatformIO has no such option either")
}
