//! Which device is meant.

use farmhand::config::Value;
use farmhand::protocol::{DeviceName, DeviceSelect, DeviceState, DeviceView, ProblemClass};

use super::devices;
use crate::args::Global;
use crate::failed::Failed;
use crate::project;
use crate::reach::Reach;

/// The one that is named; else the one that the project's settings name, by device, port or board; else the only one.
/// Among several, none is chosen silently.
pub(super) async fn device(
    reach: &mut Reach,
    global: &Global,
    name: Option<DeviceName>,
) -> Result<DeviceView, Failed> {
    let (_, config) = project::load(global, None, Vec::new())?;
    let select = match name {
        Some(name) => DeviceSelect::Named(name),
        None => config.select()?,
    };
    let board = match config.get("board").map(|setting| &setting.value) {
        Some(Value::Text(board)) => Some(board.as_str()),
        _ => None,
    };
    choose(devices(reach).await?, &select, board)
}

fn choose(
    devices: Vec<DeviceView>,
    select: &DeviceSelect,
    board: Option<&str>,
) -> Result<DeviceView, Failed> {
    let fits = |view: &DeviceView| match select {
        DeviceSelect::Named(name) => view.name.as_ref() == Some(name),
        DeviceSelect::Port(port) => view.port.as_ref() == Some(port),
        DeviceSelect::Board => board.is_none_or(|board| view.board == board),
    };
    let mut fitting: Vec<_> = devices.into_iter().filter(fits).collect();
    if fitting.len() > 1 && fitting.iter().any(|view| view.state != DeviceState::Absent) {
        fitting.retain(|view| view.state != DeviceState::Absent);
    }
    if fitting.len() > 1 {
        let names: Vec<_> =
            fitting.iter().filter_map(|view| view.name.as_ref()).map(ToString::to_string).collect();
        let help: Vec<_> = names.iter().map(|name| format!("farmhand monitor {name}")).collect();
        let help: Vec<_> = help.iter().map(String::as_str).collect();
        let message = format!("several devices fit: {}; none is chosen for you", names.join(", "));
        return Err(Failed::new(ProblemClass::NoDevice, "F206", message, &help));
    }
    fitting.pop().ok_or_else(|| {
        let (code, message) = match (select, board) {
            (DeviceSelect::Named(name), _) => ("F201", format!("no device is called {name}")),
            (DeviceSelect::Port(port), _) => ("F202", format!("no device of this farm is on {port}")),
            (DeviceSelect::Board, Some(board)) => ("F202", format!("this farm has no {board} yet")),
            (DeviceSelect::Board, None) => ("F202", "this farm has no device yet".into()),
        };
        let help = ["farmhand devices", "farmhand run takes what is plugged in, or a virtual board"];
        Failed::new(ProblemClass::NoDevice, code, message, &help)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, board: &str, state: DeviceState) -> DeviceView {
        DeviceView {
            name: Some(DeviceName::new(name).unwrap()),
            board: board.into(),
            driver: String::new(),
            state,
            holder: None,
            since_unix_ms: None,
            port: Some(format!("/dev/{name}")),
            serial: None,
            seen_unix_ms: None,
            virtual_: false,
            epoch: None,
            note: None,
        }
    }

    #[test]
    fn the_one_that_fits_and_none_among_several() {
        let all = || {
            vec![
                view("a", "uno", DeviceState::Free),
                view("b", "uno", DeviceState::Absent),
                view("c", "pico", DeviceState::Leased),
            ]
        };
        let chosen = |select: DeviceSelect, board: Option<&str>| {
            choose(all(), &select, board)
                .map(|view| view.name.unwrap().to_string())
                .map_err(|failed| failed.0.code)
        };
        assert_eq!(chosen(DeviceSelect::Board, Some("uno")).unwrap(), "a", "the one that is there");
        assert_eq!(chosen(DeviceSelect::Board, None).unwrap_err(), "F206");
        assert_eq!(chosen(DeviceSelect::Port("/dev/c".into()), Some("uno")).unwrap(), "c");
        assert_eq!(chosen(DeviceSelect::Named("b".parse().unwrap()), None).unwrap(), "b");
        assert_eq!(chosen(DeviceSelect::Named("x".parse().unwrap()), None).unwrap_err(), "F201");
        assert_eq!(chosen(DeviceSelect::Board, Some("esp")).unwrap_err(), "F202");
    }
}
