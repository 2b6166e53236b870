//! Whether `platformio.ini` is read as PlatformIO reads it: `tests/platformio/NAME.json` is what `platformio project config
//! --json-output` (6.2.0) said of `NAME.ini`. With `FARMHAND_TEST_PLATFORMIO` set to a `platformio` program it is asked again, and of
//! files made up at random too.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use farmhand_project::platformio::{Config, Ini, Surroundings};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, TestRunner};
use serde_json::{Map, Value};

/// Set in front of a project's folder in what is kept.
const PROJECT: &str = "@PROJECT@";
const HOME: &str = "/home/somebody";
/// Of the files made up at random: PlatformIO takes half a second for each.
const RANDOM: u32 = 60;

struct Here {
    project: String,
    variables: BTreeMap<&'static str, &'static str>,
}

impl Here {
    fn of(name: &str, project: &str) -> Self {
        let mut variables = BTreeMap::from([("HOME", HOME), ("FARMHAND_TEST_PORT", "/dev/ttyACM7")]);
        if name == "variables" {
            variables.extend([
                ("PLATFORMIO_BUILD_FLAGS", "-D VARIABLE"),
                ("PLATFORMIO_UPLOAD_PORT", "/dev/ttyACM0"),
                ("PLATFORMIO_SRC_FILTER", "+<b>"),
                ("PLATFORMIO_SRC_DIR", "elsewhere"),
                ("PLATFORMIO_DEFAULT_ENVS", "b"),
            ]);
        }
        Self { project: project.to_owned(), variables }
    }
}

impl Surroundings for Here {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).map(|&value| value.to_owned())
    }

    fn built_in(&self, name: &str) -> Option<String> {
        (name == "PROJECT_DIR").then(|| self.project.clone())
    }

    fn core_dir(&self) -> String {
        format!("{HOME}/.platformio")
    }
}

/// Sections of environments and of the project, as PlatformIO lists them; none where something is wrong.
fn ours(text: &str, here: &Here) -> Option<BTreeMap<String, BTreeMap<String, Value>>> {
    let mut config = Config::default();
    config.push(Ini::parse(text, 0).ok()?);
    let mut all = BTreeMap::new();
    let mut section = |name: String, options: Vec<(String, Option<Value>)>| {
        all.insert(name, options.into_iter().filter_map(|(name, value)| Some((name, value?))).collect());
    };
    let value = |found: Option<farmhand_project::platformio::Found>, several: bool| {
        let found = found?;
        Some(if several {
            found.several().into_iter().map(Value::String).collect()
        } else {
            Value::String(found.text)
        })
    };
    let mut of_project = Vec::new();
    for (option, _) in config.project_options(here) {
        let found = config.of_project(option, here).ok()?;
        of_project.push((option.to_owned(), value(found, Config::has_several("platformio", option))));
    }
    if text.contains("[platformio]") {
        section("platformio".to_owned(), of_project);
    }
    for environment in config.environments() {
        let name = format!("env:{environment}");
        let mut options = Vec::new();
        for (option, _) in config.options(environment, here) {
            let found = config.of(environment, option, here).ok()?;
            options.push((option.to_owned(), value(found, Config::has_several(&name, option))));
        }
        section(name, options);
    }
    Some(all)
}

/// What it said, in the same shape. A folder that it made absolute is told from the project's.
fn theirs(said: &Value, project: &str) -> BTreeMap<String, BTreeMap<String, Value>> {
    let sections = said.as_array().unwrap().iter().map(|section| {
        let options = section[1].as_array().unwrap().iter().map(|option| {
            let value = match &option[1] {
                Value::Number(number) => Value::String(number.to_string()),
                Value::Bool(value) => Value::String(if *value { "True" } else { "False" }.to_owned()),
                Value::String(text) => Value::String(text.replace(&format!("{project}/"), "")),
                other => other.clone(),
            };
            (option[0].as_str().unwrap().to_owned(), value)
        });
        (section[0].as_str().unwrap().to_owned(), options.collect())
    });
    let is_ours = |name: &String| name == "platformio" || name.starts_with("env:");
    sections.filter(|(name, _)| is_ours(name)).collect()
}

/// Paths in both are told from the project's folder.
fn plain(
    sections: BTreeMap<String, BTreeMap<String, Value>>,
    project: &str,
) -> BTreeMap<String, BTreeMap<String, Value>> {
    let option = |(name, value): (String, Value)| {
        let value = match value {
            Value::String(text) => Value::String(text.replace(&format!("{project}/"), "")),
            other => other,
        };
        (name, value)
    };
    sections.into_iter().map(|(name, options)| (name, options.into_iter().map(option).collect())).collect()
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/platformio")
}

/// PlatformIO's own answer, where it may be asked; an error is none.
fn asked(name: &str, text: &str) -> Option<Option<Value>> {
    let program = std::env::var_os("FARMHAND_TEST_PLATFORMIO")?;
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path().canonicalize().unwrap();
    fs::write(project.join("platformio.ini"), text).unwrap();
    let here = Here::of(name, project.to_str().unwrap());
    let mut command = Command::new(program);
    command.args(["project", "config", "--json-output", "-d"]).arg(&project);
    command.env_clear().envs(here.variables).env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", HOME).env("PLATFORMIO_CORE_DIR", folder.path().join(".core"));
    let said = command.output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap().replace(project.to_str().unwrap(), PROJECT);
    Some(said.status.success().then(|| serde_json::from_str(&text).unwrap()))
}

#[test]
fn files_are_read_as_platformio_reads_them() {
    for name in ["common", "extends", "lines", "variables"] {
        let text = fs::read_to_string(cases().join(format!("{name}.ini"))).unwrap();
        let kept = cases().join(format!("{name}.json"));
        if let Some(said) = asked(name, &text) {
            let mut pretty = serde_json::to_string_pretty(&said.unwrap()).unwrap();
            pretty.push('\n');
            fs::write(&kept, pretty).unwrap();
        }
        let said: Value = serde_json::from_str(&fs::read_to_string(kept).unwrap()).unwrap();
        let here = Here::of(name, PROJECT);
        let mut expect = theirs(&said, PROJECT);
        // Where it is told by a variable for the sake of asking.
        expect.values_mut().for_each(|options| drop(options.remove("core_dir")));
        assert_eq!(plain(ours(&text, &here).unwrap(), PROJECT), expect, "{name}");
    }
}

/// A file: sections in an order, each with some options.
fn files() -> impl Strategy<Value = String> {
    const SECTIONS: &[&str] = &["env", "common", "base", "env:a", "env:b"];
    const OPTIONS: &[&str] =
        &["build_flags", "board", "custom_x", "custom_y", "src_filter", "lib_deps", "extends", "upload_port"];
    const VALUES: &[&str] = &[
        "plain",
        "-D A -D B ; no",
        "one, two",
        "\n  -D C\n  # no\n\n  -D D",
        "${common.custom_x}",
        "${env.build_flags} -D E",
        "${this.board}",
        "${this.__env__}",
        "${env:a.lib_deps}",
        "${base.custom_y} x${sysenv.FARMHAND_TEST_PORT}",
        "${NONE} $ ${ {}",
        "",
    ];
    let option = (0..OPTIONS.len(), 0..VALUES.len());
    let section = proptest::collection::btree_map(0..OPTIONS.len(), option, 0..4);
    proptest::collection::btree_map(0..SECTIONS.len(), section, 1..5).prop_map(|sections| {
        let mut text = String::new();
        for (name, options) in sections {
            text.push_str(&format!("[{}]\n", SECTIONS[name]));
            for (option, (pick, value)) in options {
                // One that would extend itself has no end there.
                let value = match OPTIONS[option] {
                    "extends" if SECTIONS[name].starts_with("env:") => {
                        ["common", "base", "base, common"][pick % 3]
                    }
                    "extends" => continue,
                    _ => VALUES[value],
                };
                text.push_str(&format!("{} = {value}\n", OPTIONS[option]));
            }
        }
        text
    })
}

#[test]
fn files_made_up_at_random_too() {
    if std::env::var_os("FARMHAND_TEST_PLATFORMIO").is_none() {
        return;
    }
    let mut runner = TestRunner::new(Runs { cases: RANDOM, failure_persistence: None, ..Runs::default() });
    let run = runner.run(&files(), |text| {
        let said = asked("random", &text).unwrap();
        let ours = ours(&text, &Here::of("random", PROJECT));
        // It refuses a file for a section that nothing asks for, which is no fault of an environment's.
        let Some(said) = said else { return Ok(()) };
        prop_assert_eq!(ours.map(|all| plain(all, PROJECT)), Some(theirs(&said, PROJECT)), "{}", text);
        Ok(())
    });
    run.unwrap();
}

#[test]
fn no_answer_is_empty() {
    for entry in fs::read_dir(cases()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let said: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            let all: Map<String, Value> = theirs(&said, PROJECT)
                .into_iter()
                .map(|(name, options)| (name, Value::from_iter(options)))
                .collect();
            assert!(!all.is_empty(), "{}", path.display());
        }
    }
}
