//! The cache of objects, kept within its limit: behind builds, or when somebody asks for it.

use farmhand_runtime::Paths;

use crate::BuildError;
use crate::cache::{CollectWish, Collected, UNFINISHED_AFTER, collect, is_due, sweep_unfinished};

/// How large the cache grows where nobody says otherwise, in bytes: what ccache allows itself (5 GB), which is some
/// thousand builds of an Arduino core for boards and flags of their own.
pub const CACHE_BYTES: u64 = 5_000_000_000;

/// Whether it is time to count the cache, and to collect it where it is larger than `limit_bytes`. Costs next to nothing.
#[must_use]
pub fn cache_is_due(paths: &Paths, limit_bytes: u64) -> bool {
    is_due(&paths.objects(), limit_bytes)
}

/// Counts the cache, and removes what was used longest ago where it is too large; builds go on meanwhile, and compile
/// again what is gone. It ends early where `is_over` says so. Blocks on the disk.
pub fn collect_cache(
    paths: &Paths,
    wish: CollectWish,
    is_over: &dyn Fn() -> bool,
) -> Result<Collected, BuildError> {
    let folder = paths.objects();
    let collected = collect(&folder, wish, is_over).map_err(BuildError::io("collect", &folder))?;
    if !wish.dry_run {
        // Programs are kept by who names them; what a killed build left of one is nobody's.
        sweep_unfinished(&paths.artifacts(), UNFINISHED_AFTER);
    }
    collected.ok_or(BuildError::Collecting { folder })
}
