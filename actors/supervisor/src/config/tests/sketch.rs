//! What a sketch says of itself in `sketch.yaml`.

use farmhand_api::{Goal, Job, ProfileLibrary, Source};

use super::*;

const FILE: &str = "\
default_fqbn: arduino:avr:nano
default_port: /dev/ttyUSB7
profiles:
  plain:
    fqbn: arduino:avr:uno
  pinned:
    fqbn: arduino:avr:mega
    port: /dev/ttyACM1
    platforms:
      - platform: arduino:avr (1.8.6)
    libraries:
      - Servo (1.2.1)
      - dir: ../mine
";

fn load(yaml: &str, toml: Option<&str>, environment: Option<&str>) -> Result<Job, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("sketch.ino", "");
    write("sketch.yaml", yaml);
    if let Some(toml) = toml {
        write("farmhand.toml", toml);
    }
    let sources = Sources {
        project: Some(folder.path().to_owned()),
        environment: environment.map(str::to_owned),
        ..Sources::default()
    };
    let project = Project { folder: folder.path().to_owned(), artifact: None };
    Config::load(&sources)?.job(&project, Goal::Build)
}

#[test]
fn a_sketch_has_its_board_and_its_port() {
    let job = load(FILE, None, None).unwrap();
    assert_eq!(job.board, "arduino:avr:nano");
    assert!(matches!(job.build.source, Source::Sketch(_)));
    assert_eq!(job.device, DeviceSelect::Port("/dev/ttyUSB7".into()));
    // What stands in farmhand.toml is stronger, and may have environments of its own.
    let toml = "board = \"arduino:avr:uno\"\n[env.big]\nboard = \"arduino:avr:mega\"\n";
    assert_eq!(load(FILE, Some(toml), None).unwrap().board, "arduino:avr:uno");
    assert_eq!(load(FILE, Some(toml), Some("big")).unwrap().board, "arduino:avr:mega");
    let only = "profiles:\n  one:\n    fqbn: arduino:avr:uno\n";
    assert_eq!(load(only, None, None).unwrap().board, "arduino:avr:uno");
}

#[test]
fn a_profile_is_chosen_by_its_name() {
    let plain = load(FILE, None, Some("plain")).unwrap();
    assert_eq!(plain.board, "arduino:avr:uno");
    assert!(matches!(plain.build.source, Source::Sketch(_)), "it pins nothing");
    let pinned = load(FILE, None, Some("pinned")).unwrap();
    assert_eq!(pinned.device, DeviceSelect::Port("/dev/ttyACM1".into()));
    let Source::Profile(of) = pinned.build.source else { panic!("{:?}", pinned.build.source) };
    assert_eq!(
        (of.name.as_str(), &of.cores[..]),
        ("pinned", &[("arduino:avr".into(), Some("1.8.6".into()))][..])
    );
    assert_eq!(of.libraries[0], ProfileLibrary::Named("Servo".into(), Some("1.2.1".into())));
    assert!(matches!(&of.libraries[1], ProfileLibrary::Folder(folder) if folder.ends_with("/../mine")));
}

#[test]
fn what_is_wrong_with_it_has_its_line() {
    let problem = |yaml: &str| Problem::from(load(yaml, None, None).unwrap_err());
    let wrong = problem("default_fqbn: a:b:c\nprofiles:\n  uno:\n    fqbn: [x]\n");
    let place = wrong.place.unwrap();
    assert!(place.file.ends_with("sketch.yaml"), "{place:?}");
    assert_eq!(place.line, 4);
    let wrong = problem("default_profile: nope\nprofiles:\n  uno:\n    fqbn: a:b:c\n");
    assert!(wrong.message.contains("nope"), "{}", wrong.message);
    assert_eq!(wrong.place.map(|place| place.line), Some(1));
}
