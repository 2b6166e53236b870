//! What a person's core has run before anything is planned: it may write sources, headers and files of arguments.

use std::fs;
use std::path::Path;
use std::time::Duration;

use farmhand_messages::compiler::BuildWish;
use farmhand_runtime::Helper;
use tokio::process::Command;

use crate::BuildError;
use crate::build::{blocking, layout_of};
use crate::clean::LOCK;
use crate::fingerprint;
use crate::orphans::end_left;
use crate::plan::{Hook, Kit, Tools, hooks_before_all};
use crate::report;
use crate::run::Watcher;

/// Scripts that write a file or two; the slowest that is known asks git for a version.
const HOOK_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Runs the hooks of a build in `folder` that come before all else.
pub(crate) async fn prepare(
    wish: &BuildWish,
    tools: &Tools,
    (folder, is_ours): (&Path, bool),
    watcher: &Watcher,
) -> Result<(), BuildError> {
    let Kit::Core(kit) = &tools.kit else { return Ok(()) };
    if !kit.is_own {
        return Ok(());
    }
    let (wish, tools_of, kit, folder) = (wish.clone(), tools.clone(), kit.clone(), folder.to_owned());
    let (hooks, layout) = blocking(move || {
        let layout = layout_of(&wish, &folder);
        let hooks = hooks_before_all(&wish, &layout, &tools_of, &kit)?;
        // What an earlier build's hooks left would be found by this one's.
        if !is_ours {
            return Err(BuildError::NotOurs {
                path: folder,
                why: "it holds what no build put there, or is a link",
            });
        }
        end_left(&folder)?;
        clear(&folder)?;
        let sketch = folder.join("sketch");
        fs::create_dir_all(&sketch).map_err(BuildError::io("make the folder", &sketch))?;
        Ok((hooks, layout))
    })
    .await?;
    for Hook { name, program, args } in hooks {
        let mut command = Command::new(&program);
        command
            .args(&args)
            .current_dir(&layout.project)
            .env_clear()
            .envs(&tools.environment)
            .env_remove("PWD");
        let ended = Helper::run(command, HOOK_DEADLINE).await?;
        let mut printed = String::from_utf8_lossy(&ended.stderr).into_owned();
        printed.push_str(&String::from_utf8_lossy(&ended.stdout));
        if !ended.status.success() {
            if printed.is_empty() {
                printed = format!("{} ended with {}\n", program.display(), ended.status);
            }
            watcher.printed(&printed).await;
            return Err(BuildError::Refused { what: name, verb: "run", printed });
        }
        watcher.printed(&printed).await;
    }
    Ok(())
}

/// Empties a build folder of all but what tells builds apart.
fn clear(folder: &Path) -> Result<(), BuildError> {
    for entry in fs::read_dir(folder).map_err(BuildError::io("read", folder))? {
        let path = entry.map_err(BuildError::io("read", folder))?.path();
        let kept = [LOCK, report::NAME, fingerprint::NAME];
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| kept.contains(&name)) {
            continue;
        }
        let removed = match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.map_err(BuildError::io("remove", &path))?;
    }
    Ok(())
}
