//! `config show`.

use farmhand::config::{Origin, Value as Set, keys};
use serde_json::{Map, Value, json};

use crate::args::Global;
use crate::exit;
use crate::failed::Failed;
use crate::project;
use crate::table::columns;
use crate::term::Term;

pub(crate) fn show(global: &Global, term: &Term, origin: bool, all: bool) -> Result<u8, Failed> {
    let (_, config) = project::load(global, None, Vec::new())?;
    if term.json {
        let one = |(key, setting): (&str, &farmhand::config::Setting)| {
            let value = match &setting.value {
                Set::Text(text) => json!(text),
                Set::Number(number) | Set::Size(number) => json!(number),
                Set::Bool(value) => json!(value),
                Set::Time(time) => json!(humantime::format_duration(*time).to_string()),
                Set::Texts(elements) => {
                    json!(elements.iter().map(|element| element.text.as_str()).collect::<Vec<_>>())
                }
            };
            (key.to_owned(), json!({ "value": value, "origin": setting.origin.to_string() }))
        };
        let settings: Map<String, Value> = config.settings().map(one).collect();
        term.answer(&Value::Object(settings));
        return Ok(exit::PASSED);
    }
    let mut rows = Vec::new();
    for key in keys() {
        let setting = config.get(key.path);
        let said = setting.is_some_and(|setting| setting.origin != Origin::BuiltIn);
        match setting {
            Some(setting) if all || origin || said => {
                let mut row = vec![format!("{} = {}", key.path, setting.value)];
                row.extend(origin.then(|| setting.origin.to_string()));
                row.extend(all.then(|| format!("# {}", key.about)));
                rows.push(row);
            }
            None if all => {
                let mut row = vec![format!("# {} = ...", key.path)];
                row.extend(origin.then(String::new));
                row.push(format!("# {}", key.about));
                rows.push(row);
            }
            _ => {}
        }
    }
    if rows.is_empty() {
        term.say("nothing is set here; `--all` shows what can be");
    }
    term.text(&columns(&rows));
    Ok(exit::PASSED)
}
