//! `compile_commands.json`: for editors and other tools (Clang's JSON compilation database).

use serde_json::json;

use super::{Kind, Plan};

/// The database's text.
pub(crate) fn compile_commands(plan: &Plan) -> String {
    let layout = &plan.layout;
    let commands: Vec<_> = plan
        .actions
        .iter()
        .filter(|action| action.kind == Kind::Compile)
        .map(|action| {
            let mut arguments = vec![action.program.to_string_lossy().into_owned()];
            arguments.extend(action.args.iter().cloned());
            json!({
                "directory": layout.project.to_string_lossy(),
                "file": action.sources[0].to_string_lossy(),
                "output": layout.shown(&action.output),
                "arguments": arguments,
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&commands).expect("strings and lists of them are JSON");
    text.push('\n');
    text
}
